"""What a teacher says: where it looked, by hand; its file, whole and broken; a tower cut out of a larger one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.contract.align import crop
from edge.contract.errors import InputError
from edge.contract.spec import ChipSpec
from trainer.aligner import fit_aligner
from trainer.augment import augment
from trainer.dataset import Chips, Faces, Teaching
from trainer.networks import build_tower, initialise
from trainer.settings import AugmentSettings, Network, TowerSettings
from trainer.teach import _MARGIN, _POINTS, placement_of

PLAIN = AugmentSettings(**dict.fromkeys(AugmentSettings.model_fields, 0.0))


def test_a_placement_by_hand() -> None:
    """Points of a face that fills the middle half of a picture, turned by ten degrees and moved a tenth down."""
    angle = np.radians(10)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mean = (_MARGIN + _POINTS) / (2 * _MARGIN + 1) - 0.5
    points = (mean @ turn.T) * 0.5 + [0.5, 0.6]
    assert placement_of(points) == pytest.approx((0.0, 0.1, 0.5, 10.0), abs=1e-6)


def test_without_jitter_training_sees_what_the_device_cuts() -> None:
    import cv2

    chip = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (208, 208), np.uint8), (0, 0), 3)
    from edge.contract.align import Placement

    placed = Placement(0.02, -0.03, 0.7, 6.0)
    seen = augment(chip, PLAIN, np.random.default_rng(0), placed, 150)
    assert np.abs(seen.astype(int) - crop(chip, placed, 150)).max() <= 3


def test_an_aligner_learns_where_a_face_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces here are a bright square on grey; the teacher's placements are those they were drawn at."""
    monkeypatch.setattr("trainer.aligner.BATCH", 32)
    rng = np.random.default_rng(0)
    chips, placements = [], []
    for _ in range(200):
        right, down, size = *rng.normal(0, 0.04, 2), rng.uniform(0.5, 0.7)
        chip = np.full((96, 96), 90, np.uint8)
        x, y, half = 48 + 96 * right, 48 + 96 * down, 96 * size / 3
        chip[int(y - half) : int(y + half), int(x - half) : int(x + half)] = 200
        chips.append(chip)
        placements.append((right, down, size, rng.normal(0, 0.1)))
    teaching = Teaching(np.zeros((200, 4), np.float32), np.array(placements, np.float32))
    faces = Faces(
        ChipSpec(side_px=96),
        Chips.whole(np.stack(chips)),
        np.arange(200),
        [f"p{n}" for n in range(200)],
        "d",
        ["n"] * 200,
        teaching,
    )
    aligner, told = fit_aligner(faces, faces, 64, 150, 1)
    assert told["error_deviation"]["right"] < 0.5 * told["unaligned_deviation"]["right"]
    assert told["error_deviation"]["down"] < 0.5 * told["unaligned_deviation"]["down"]
    assert aligner.spec.input_px == 24
    with pytest.raises(InputError, match="trainer teach"):
        fit_aligner(Faces(faces.spec, faces.chips, faces.labels, faces.identities, "d", faces.names), faces, 64, 150, 1)


def test_a_smaller_tower_is_cut_out_of_a_trained_one(tmp_path: Path) -> None:
    whole = build_tower(TowerSettings(network=Network.RESNET), 118)
    (tmp_path / "run").mkdir()
    whole.save(tmp_path / "run/tower.keras")
    sample = np.random.default_rng(0).integers(0, 256, (12, 118, 118), np.uint8)
    settings = TowerSettings(network=Network.RESNET, init=str(tmp_path / "run"), inner=(16, 32, 64, 128, 128))
    small, fresh = (build_tower(settings, 118) for _ in range(2))
    initialise(small, settings, sample)
    assert small.count_params() < 0.55 * whole.count_params()
    seen = sample[..., None].astype(np.float32)
    wanted, got, unrelated = (np.asarray(tower(seen, training=False)) for tower in (whole, small, fresh))

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))

    assert cosine(wanted, got) > max(0.9, cosine(wanted, unrelated) + 0.1)
    with pytest.raises(InputError, match="neither 'dlib' nor the folder"):
        initialise(small, TowerSettings(network=Network.RESNET, init=str(tmp_path / "none")), sample)
