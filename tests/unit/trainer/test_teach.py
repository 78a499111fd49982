"""A teacher's answers: placements by hand, interrupted teaching; and towers that start from a trained one, whole, cut or refitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.contract.align import crop
from edge.contract.errors import InputError
from edge.contract.spec import ChipSpec
from edge.models import model_path
from trainer.aligner import fit_aligner
from trainer.augment import augment
from trainer.backend import keras
from trainer.dataset import Chips, Faces, Teaching
from trainer.dlibway import _MARGIN, _POINTS, placement_of
from trainer.networks import build_tower
from trainer.settings import AugmentSettings, Network, Recipe, TowerSettings
from trainer.start import check_start, inherit_tower, initialise, open_start
from trainer.teach import TEACHER, UNFINISHED, read_learned, teach


def _start(tower: Any, **settings: Any) -> Any:
    """A finished training of this tower, as far as another that starts from it looks at it."""
    return SimpleNamespace(
        verifier=SimpleNamespace(tower=tower), tower=lambda: TowerSettings(network=Network.RESNET, **settings)
    )


PLAIN = AugmentSettings(**dict.fromkeys(AugmentSettings.model_fields, 0.0))


def test_a_placement_by_hand() -> None:
    """Points of a face that fills the middle half of a picture, turned by ten degrees and moved a tenth down."""
    angle = np.radians(10)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mean = (_MARGIN + _POINTS) / (2 * _MARGIN + 1) - 0.5
    points = (mean @ turn.T) * 0.5 + [0.5, 0.6]
    assert placement_of(points) == pytest.approx((0.0, 0.1, 0.5, 10.0), abs=1e-6)


def test_without_jitter_training_sees_what_the_device_cuts() -> None:

    chip = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (208, 208), np.uint8), (0, 0), 3)
    from edge.contract.align import Placement

    placed = Placement(0.02, -0.03, 0.7, 6.0)
    seen = augment(chip, PLAIN, np.random.default_rng(0), placed, 150)
    assert np.abs(seen.astype(int) - crop(chip, placed, 150)).max() <= 3


def test_an_aligner_learns_where_a_face_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each face is a bright square on grey; the teacher's placements are where the squares were drawn."""
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
    assert aligner.with_side(118).spec == replace(aligner.spec, side_px=118)  # the same placements for a tower of another side
    around, middle_of = (each.placements(faces.chips[:5]) for each in (aligner.with_side(64), aligner.with_side(48, 8)))
    for whole, part, chip in zip(around, middle_of, chips, strict=False):
        assert tuple(part) == pytest.approx(whole._replace(size=whole.size * 0.75))
        assert np.array_equal(crop(chip, part, 48), crop(chip, whole, 64)[8:-8, 8:-8])
    with pytest.raises(InputError, match="trainer teach"):
        fit_aligner(Faces(faces.spec, faces.chips, faces.labels, faces.identities, "d", faces.names), faces, 64, 150, 1)


NARROW = {"s3b0_2": 64, "s3b1_1": 48, "s3b1_2": 32, "s3b2_1": 32, "s3b2_2": 32, "s4b0_2": 32}


@pytest.mark.parametrize(
    ("smaller", "share"),
    [
        ({"inner": (16, 32, 64, 128, 128)}, 0.55),
        ({"narrow": NARROW}, 0.55),
        ({"inner": (32, 64, 128, 128, 128), "narrow": {**NARROW, "s3b0_1": 64}}, 0.4),
    ],
    ids=["inner", "narrow", "both"],
)
def test_a_smaller_tower_is_cut_out_of_a_trained_one(smaller: dict[str, Any], share: float) -> None:
    whole = build_tower(TowerSettings(network=Network.RESNET), 118)
    start = _start(whole)
    sample = np.random.default_rng(0).integers(0, 256, (12, 118, 118), np.uint8)
    settings = TowerSettings(network=Network.RESNET, **smaller)
    small, fresh = (build_tower(settings, 118) for _ in range(2))
    initialise(small, settings, start, lambda *_: sample)
    assert small.count_params() < share * whole.count_params()
    seen = sample[..., None].astype(np.float32)
    wanted, got, unrelated = (np.asarray(tower(seen, training=False)) for tower in (whole, small, fresh))

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))

    assert cosine(wanted, got) > max(0.9, cosine(wanted, unrelated) + 0.1)


def test_through_as_many_maps_as_there_are_directions_nothing_is_lost() -> None:
    """A convolution whose filters have rank 8 loses nothing through 8 maps: the fit is exact, and the ridge pulls it to itself."""
    whole = build_tower(TowerSettings(network=Network.RESNET), 118)
    rng = np.random.default_rng(0)
    for name in ("s3b1_1", "s3b1_2"):
        filters, bias = whole.get_layer(f"{name}_conv").get_weights()
        few = filters[..., :8] @ rng.normal(0, 0.3, (8, 256))
        whole.get_layer(f"{name}_conv").set_weights([few.astype(np.float32), rng.normal(0, 0.1, bias.shape).astype(np.float32)])
    sample = rng.integers(0, 256, (40, 118, 118), np.uint8)
    settings = TowerSettings(network=Network.RESNET, narrow={"s3b1_1": 8, "s3b1_2": 8})
    small = build_tower(settings, 118)
    initialise(small, settings, _start(whole), lambda *_: sample)
    other = rng.integers(0, 256, (8, 118, 118, 1)).astype(np.float32)
    wanted, got = (np.asarray(tower(other, training=False)) for tower in (whole, small))
    assert np.abs(got - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_a_tower_of_the_same_kind_is_taken_whole(tmp_path: Path) -> None:
    settings = TowerSettings(network=Network.RESNET, narrow=NARROW)
    whole, same = (build_tower(settings, 118) for _ in range(2))
    initialise(same, settings, _start(whole), lambda *_: np.zeros((1, 118, 118), np.uint8))
    seen = np.random.default_rng(0).integers(0, 256, (4, 118, 118, 1)).astype(np.float32)
    assert np.array_equal(np.asarray(same(seen, training=False)), np.asarray(whole(seen, training=False)))
    with pytest.raises(InputError, match="neither 'dlib' nor a finished run's folder nor a model file"):
        open_start(str(tmp_path / "none"))


def test_a_tower_of_smaller_squares_takes_after_the_trained_one() -> None:
    """Its filters are fitted to the outputs of the larger tower: copied unchanged, they would have the wrong size in its pixels."""
    whole = build_tower(TowerSettings(network=Network.RESNET), 150)
    rng = np.random.default_rng(0)
    blots = [cv2.GaussianBlur(rng.normal(128, 900, (300, 300)), (0, 0), 12) for _ in range(60)]

    def sample(side: int) -> np.ndarray:
        shrunk = [cv2.resize(blot, (side, side), interpolation=cv2.INTER_AREA) for blot in blots]
        return np.stack(shrunk).clip(0, 255).astype(np.uint8)

    settings = TowerSettings(
        network=Network.RESNET, align=True, init="x", side=118, inner=(32, 48, 64, 64, 64), narrow={"s3b0_2": 64, "s4b0_2": 32}
    )
    fitted, as_they_are = build_tower(settings, 118), build_tower(TowerSettings(network=Network.RESNET), 118)
    as_they_are.set_weights(whole.get_weights())
    start = _start(whole)
    initialise(fitted, settings, start, lambda side, _: sample(side)[:40])
    large, small = (sample(side)[40:, ..., None].astype(np.float32) for side in (150, 118))
    wanted = np.asarray(whole(large, training=False))

    def off(tower: Any) -> float:
        return float(np.square(np.asarray(tower(small, training=False)) - wanted).sum())

    assert off(fitted) < 0.5 * off(as_they_are)
    with pytest.raises(InputError, match="not of this recipe's network and size"):
        check_start(start, settings.model_copy(update={"align": False}), fitted)


def _blots(count: int, side: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    blots = [cv2.GaussianBlur(rng.normal(128, 900, (side, side)), (0, 0), 6) for _ in range(count)]
    return np.stack(blots).clip(0, 255).astype(np.uint8)


TRIMMED = TowerSettings(network=Network.RESNET, align=True, init="x", side=118, trim=16)


def _maps(tower: Any, layer: str, squares: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(tower.input, tower.get_layer(layer).output)(squares[..., None].astype(np.float32)))


def test_a_trimmed_tower_has_every_map_in_its_place_on_the_face() -> None:
    """Without what the blocks add, a place of a map sees only what is near it. So the maps are the middle of those of the whole square,
    and the last stages, where what was trimmed counts as zeros, see as many places as before."""
    whole, trimmed = build_tower(TowerSettings(network=Network.RESNET), 150), build_tower(TRIMMED, 118)
    for layer in whole.layers:
        if layer.name.endswith("_2_conv"):
            layer.set_weights([0 * weights for weights in layer.get_weights()])
    squares = _blots(4, 150)
    initialise(trimmed, TRIMMED, _start(whole), lambda side, margin: {(150, 16): squares}[side, margin])
    for layer, lost in (("stem_pool", 4), ("s1b3_relu2", 2), ("s2b2_relu2", 1)):
        middle_of = _maps(whole, layer, squares)[:, lost:-lost, lost:-lost]
        assert _maps(trimmed, layer, squares[:, 16:-16, 16:-16]) == pytest.approx(middle_of, abs=1e-5), layer
    filled = _maps(trimmed, "trimmed", squares[:, 16:-16, 16:-16]).copy()
    assert filled.shape == _maps(whole, "s2b2_relu2", squares).shape
    assert filled[:, 1:-1, 1:-1].any()
    filled[:, 1:-1, 1:-1] = 0
    assert not filled.any()
    with pytest.raises(InputError, match=r"an even side from 118 to 256 px, these have 84 and tower\.trim = 16"):
        build_tower(TRIMMED.model_copy(update={"side": 84}), 84)
    assert build_tower(TRIMMED.model_copy(update={"side": 86, "trim": 32}), 86).output_shape == (None, 128)
    with pytest.raises(InputError, match=r"these have 52 and tower\.trim = 64"):
        build_tower(TRIMMED.model_copy(update={"side": 52, "trim": 64}), 52)


def test_a_trimmed_tower_is_cut_out_of_one_that_sees_the_whole() -> None:
    whole = build_tower(TowerSettings(network=Network.RESNET), 150)
    squares = _blots(60, 150)
    smaller = TRIMMED.model_copy(update={"inner": (16, 48, 80, 256, 256), "narrow": {"s3b0_1": 64, "s4b0_2": 32}})
    same, small, fresh = (build_tower(settings, 118) for settings in (TRIMMED, smaller, smaller))
    for tower, settings in ((same, TRIMMED), (small, smaller)):
        initialise(tower, settings, _start(whole), lambda *_: squares[:40])
    for one, other in zip(same.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(one, other), "at the same scale all filters fit"
    wanted = np.asarray(whole(squares[40:, ..., None].astype(np.float32)))

    def off(tower: Any) -> float:
        return float(np.square(np.asarray(tower(squares[40:, 16:-16, 16:-16, None].astype(np.float32))) - wanted).sum())

    assert off(small) < 0.5 * off(fresh)


def test_a_trimmed_tower_starts_from_the_whole_square_or_its_own() -> None:
    whole, trimmed = build_tower(TowerSettings(network=Network.RESNET), 150), build_tower(TRIMMED, 118)
    check_start(_start(whole), TRIMMED, trimmed)
    check_start(_start(trimmed, trim=16, side=118), TRIMMED, trimmed)
    narrow = TRIMMED.model_copy(update={"trim": 0, "side": 150, "narrow": NARROW})
    for start, settings in (
        (_start(build_tower(TowerSettings(network=Network.RESNET), 152)), TRIMMED),
        (_start(build_tower(TowerSettings(network=Network.RESNET), 118)), TRIMMED),
        (_start(trimmed, trim=16, side=118), TRIMMED.model_copy(update={"trim": 0})),
        (_start(build_tower(narrow, 150), narrow=NARROW), TRIMMED.model_copy(update={"narrow": NARROW})),
    ):
        with pytest.raises(InputError, match="not of this recipe's network and size"):
            check_start(start, settings, build_tower(settings, 118))
    start = _start(trimmed, trim=16, side=118, align=True)
    assert inherit_tower(Recipe(tower=TRIMMED.model_copy(update={"trim": 0, "side": 150})), start).tower == TRIMMED


def test_chips_of_another_part_of_the_box_are_not_what_a_start_knows() -> None:
    """The side may differ if the start's aligner can shrink it."""
    start = open_start(str(model_path("accurate")))
    own = start.chip()
    start.check_chips("data", own)
    start.check_chips("data", replace(own, side_px=own.side_px // 2))
    with pytest.raises(InputError, match=r"data: chips of 2.2 boxes, 0.09 down, and those of .* are of 1.4"):
        start.check_chips("data", replace(own, scale=2.2))
    with pytest.raises(InputError, match=r"data: chips of 160 px, and the aligner of .* takes multiples of 52"):
        start.check_chips("data", replace(own, side_px=160))


def test_what_is_narrow_is_cut_back_to_no_more() -> None:
    narrow = build_tower(TowerSettings(network=Network.RESNET, narrow=NARROW), 118)
    start = _start(narrow, narrow=NARROW)
    settings = TowerSettings(network=Network.RESNET, init="x", narrow={"s3b1_1": 48})
    with pytest.raises(InputError, match="not of this recipe's network and size"):
        check_start(start, settings, build_tower(settings, 118))
    silent = Recipe(tower=TowerSettings(network=Network.RESNET, init="x"))
    assert inherit_tower(silent, start).tower.narrow == NARROW
    said = Recipe(tower=settings)
    assert inherit_tower(said, start).tower.narrow == {"s3b1_1": 48}


def test_squares_grow_no_larger_than_the_start_sees_them() -> None:
    began = TowerSettings(network=Network.RESNET, align=True, side=118)
    start = SimpleNamespace(tower=lambda: began)
    sides = {wanted: Recipe(tower=began.model_copy(update={"side": wanted, "init": "x"})) for wanted in (150, 118)}
    assert {wanted: inherit_tower(recipe, start).tower.side for wanted, recipe in sides.items()} == {150: 118, 118: 118}
    whole = Recipe(tower=TowerSettings(network=Network.RESNET, init="x", side=150))
    assert inherit_tower(whole, start).tower.side == 150  # without an aligner: whole chips, which have one size


def test_a_narrow_tower_is_not_fitted_to_smaller_squares() -> None:
    """Its narrow filters are split in two halves, neither of which is a filter of the smaller tower."""
    settings = TowerSettings(network=Network.RESNET, align=True, init="x", side=118, narrow=NARROW)
    start = _start(build_tower(settings, 150), narrow=NARROW)
    with pytest.raises(InputError, match="not of this recipe's network and size"):
        check_start(start, settings, build_tower(settings, 118))


def test_stages_that_are_fixed_are_not_trained() -> None:
    tower = build_tower(TowerSettings(network=Network.RESNET, init="dlib", fixed=2), 118)
    trained = {variable.path.split("/")[0] for variable in tower.trainable_variables}
    assert trained
    assert not any(name.startswith(("stem", "s0", "s1")) for name in trained)
    assert {"s2b0_1_conv", "s2b0_skip", "s4b0_2_conv", "embedding"} <= trained
    free = build_tower(TowerSettings(network=Network.RESNET), 118)
    assert {v.path.split("/")[0] for v in free.trainable_variables} >= {"stem_conv", "s0b0_1_conv"} | trained


class Counting:
    """A teacher whose answers are the pictures' numbers, from 1, and which can be interrupted."""

    made_by, learned = "a test", ("ada", "bob")

    def __init__(self, breaks_at: int | None = None) -> None:
        self.asked: list[int] = []
        self._breaks_at = breaks_at

    def ask(self, rows: range) -> Teaching:
        if self._breaks_at is not None and rows.start >= self._breaks_at:
            raise KeyboardInterrupt
        self.asked += [*rows]
        numbers = np.array(rows, np.float32)[:, None]
        return Teaching(np.tile(numbers + 1, 4), np.tile(np.float32([0, 0, 1, 0]), (len(rows), 1)))


def test_asking_goes_on_where_it_was_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.teach._BATCH", 2)
    monkeypatch.setattr("trainer.teach._SAVE_EVERY_S", -1.0)
    chips = [{"chip": f"chips/p/{at}.png", "identity": "p", "box": [0, 0, 1, 1]} for at in range(7)]
    monkeypatch.setattr("trainer.teach.read_manifest", lambda _: {"chip": {}, "chips": chips})
    first, second = Counting(breaks_at=4), Counting()
    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path, first)
    assert not (tmp_path / TEACHER).exists()
    teaching = teach(tmp_path, second)
    assert (first.asked, second.asked) == ([0, 1, 2, 3], [4, 5, 6])
    assert teaching.vectors[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert not (tmp_path / UNFINISHED).exists()
    assert read_learned(tmp_path) == {"ada", "bob"}

    def asked_after_a_break(made_by: str = "a test", damage: bytes | None = None) -> list[int]:
        with pytest.raises(KeyboardInterrupt):
            teach(tmp_path, Counting(breaks_at=4))
        if damage is not None:
            (tmp_path / UNFINISHED).write_bytes(damage)
        teacher = Counting()
        teacher.made_by = made_by
        teach(tmp_path, teacher)
        return teacher.asked

    assert asked_after_a_break() == [4, 5, 6]
    assert asked_after_a_break(made_by="another") == [*range(7)]
    assert asked_after_a_break(damage=b"PK cut off") == [*range(7)]
    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path, Counting(breaks_at=4))
    chips[0]["box"] = [1, 0, 1, 1]  # as after another preparation
    teacher = Counting()
    teach(tmp_path, teacher)
    assert teacher.asked == [*range(7)]
