"""Drawn people: found by the cascade, reproducible from a seed, and differing by more than their views."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.linalg import eigh

from edge.contract.chip import cut_chip, to_grey
from edge.contract.detector import load_detector
from edge.contract.errors import InputError, StorageError
from edge.contract.spec import ChipSpec
from trainer.prepare import Several, find_face
from trainer.synth.clip import draw_clip, write_clip
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.population import write_population
from trainer.synth.view import View


def picture(person: int, take: int, size: int = 160) -> np.ndarray:
    rng = np.random.default_rng((person, take))
    return draw_frame(Person.from_seed(person), View.random(rng), rng, width=size, height=size)


def test_the_cascade_finds_the_faces() -> None:
    detector = load_detector("haar-alt2")
    found = [find_face(detector, to_grey(picture(person, 0)), Several.SKIP) for person in range(100)]
    assert sum(not isinstance(box, str) for box in found) >= 96


def test_the_same_seed_draws_the_same_picture() -> None:
    assert np.array_equal(picture(1, 1), picture(1, 1))
    assert Person.from_seed(1) != Person.from_seed(2)
    assert picture(3, 4).shape == (160, 160, 3)
    assert picture(3, 4).dtype == np.uint8


def test_people_differ_by_more_than_their_views() -> None:
    """Linear discriminants of half of the people separate pairs of the other half, with an EER well below chance, 50 %."""
    detector, chips, labels = load_detector("haar-alt2"), [], []
    for person in range(60):
        for take in range(4):
            grey = to_grey(picture(person, take))
            box = find_face(detector, grey, Several.LARGEST)
            if not isinstance(box, str):
                chips.append(cv2.resize(cut_chip(grey, box, ChipSpec()), (24, 24)).astype(float).ravel())
                labels.append(person)
    x, y = np.array(chips), np.array(labels)
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    seen = y < 30
    means = np.array([x[y == p].mean(0) for p in range(30)])
    within = np.cov((x[seen] - means[y[seen]]).T) + 0.05 * np.eye(x.shape[1])
    _, plane = eigh(np.cov(means.T), within, subset_by_index=(x.shape[1] - 29, x.shape[1] - 1))
    z = x[~seen] @ plane
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    alike, same = z @ z.T, y[~seen][:, None] == y[~seen][None]
    upper = np.triu(np.ones_like(same), 1).astype(bool)
    genuine, impostor = alike[same & upper], alike[~same & upper]
    threshold = np.quantile(genuine, 0.25)
    assert (impostor >= threshold).mean() < 0.25


def test_a_clip_moves_starts_dark_and_can_be_read_back(tmp_path: Path) -> None:
    frames = list(draw_clip(Person.from_seed(1), 1, 1.0, width=320, height=240))
    assert len(frames) == 15
    assert frames[0].mean() < 0.4 * frames[10].mean()
    assert np.abs(frames[14].astype(int) - frames[8]).mean() > 1
    write_clip(tmp_path / "a.avi", Person.from_seed(1), 1, 1.0, width=320, height=240)
    capture = cv2.VideoCapture(str(tmp_path / "a.avi"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 15
    assert capture.read()[1].shape == (240, 320, 3)


def test_a_population_is_a_folder_a_person(tmp_path: Path) -> None:
    write_population(tmp_path, people=3, pictures=2, seed=5)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert found == [f"person-{p:04d}/{k:02d}.png" for p in range(3) for k in range(2)]


def test_no_picture_of_an_earlier_drawing_stays_with_somebody_drawn_now(tmp_path: Path) -> None:
    write_population(tmp_path, people=1, pictures=2, seed=1)
    write_population(tmp_path, people=1, pictures=2, seed=2)
    with pytest.raises(InputError, match=r"person-0000/01.png of another drawing"):
        write_population(tmp_path, people=1, pictures=1, seed=3)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.avi", Path("/proc/none/a.avi")):
        with pytest.raises(StorageError, match=str(path)):
            write_clip(path, Person.from_seed(1), 1, 0.2)
