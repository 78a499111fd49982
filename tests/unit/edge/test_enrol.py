"""Enrolment: enough good frames of one person, chosen for spread, checked against themselves and the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera import Frame, open_camera
from edge.contract.errors import EnrolmentFailed
from edge.contract.modelfile import ModelFile
from edge.contract.score import score
from edge.enrol import Enrolment, enrol
from edge.gallery import new_subject
from edge.line import Line
from edge.matcher import Matcher
from edge.poses import Asking, Course
from edge.settings import CameraSettings, Settings
from tests.conftest import ADA, BOB

Enrolled = Callable[..., Enrolment]


@pytest.fixture
def enrolled(model: ModelFile, settings: Settings) -> Enrolled:
    """Enrols from frames, with others enrolled before."""
    line, threshold = Line(model, settings), model.operating_point(1e-3).threshold

    def run(frames: Iterator[Frame | None], others: Matcher | None = None) -> Enrolment:
        return enrol(
            line,
            model.head,
            threshold,
            frames,
            others or Matcher(model.head, []),
            Course(settings, Asking.RECORDING),
            lambda *_: None,
        )

    return run


def frames_of(path: Path) -> Iterator[Frame | None]:
    return open_camera(CameraSettings(source=str(path))).frames()


def test_a_person_alone_is_enrolled_and_recognised(
    enrolled: Enrolled, clip: Callable[[int, int], Path], model: ModelFile
) -> None:
    found = enrolled(frames_of(clip(ADA, 1)))
    assert found.templates.shape == (8, model.head.size)
    assert found.recognised >= 0.9 * found.checked > 0


def test_the_templates_are_spread_and_distinct(enrolled: Enrolled, clip: Callable[[int, int], Path], model: ModelFile) -> None:
    templates = enrolled(frames_of(clip(ADA, 1))).templates
    assert len(np.unique(templates, axis=0)) == 8
    others = [score(model.head, probe, np.delete(templates, at, axis=0)).max() for at, probe in enumerate(templates)]
    assert max(others) < 1.0


def test_a_face_that_is_enrolled_already_is_named(
    enrolled: Enrolled, clip: Callable[[int, int], Path], model: ModelFile
) -> None:
    first = enrolled(frames_of(clip(ADA, 1)))
    others = Matcher(model.head, [new_subject("ada", model.model_id, first.templates)])
    with pytest.raises(EnrolmentFailed, match="enrolled already, as ada"):
        enrolled(frames_of(clip(ADA, 2)), others)


def test_two_people_in_turn_are_refused(enrolled: Enrolled, clip: Callable[[int, int], Path]) -> None:
    def both() -> Iterator[Frame | None]:
        pairs = zip(frames_of(clip(ADA, 1)), frames_of(clip(BOB, 1)), strict=True)
        for number, (ada, bob) in enumerate(pairs):
            yield ada if number // 12 % 2 else bob

    with pytest.raises(EnrolmentFailed, match="one person alone"):
        enrolled(both())


def test_too_few_frames_are_counted_by_reason(enrolled: Enrolled) -> None:
    grey = np.full((240, 320, 3), 120, np.uint8)
    with pytest.raises(EnrolmentFailed, match=r"0 good frames, at least 12 are needed \(no-face 50\); no face seen"):
        enrolled(iter([Frame(grey, n / 5) for n in range(50)]))


def test_a_dark_room_says_so(enrolled: Enrolled, clip: Callable[[int, int], Path]) -> None:
    dark = (f and Frame(cv2.convertScaleAbs(f.pixels, alpha=0.25), f.at) for f in frames_of(clip(ADA, 1)))
    with pytest.raises(EnrolmentFailed, match="turn a light on"):
        enrolled(dark)


def test_it_ends_after_the_timeout(enrolled: Enrolled) -> None:
    endless = (Frame(np.zeros((240, 320), np.uint8), float(n)) for n in iter(int, 1) for n in range(10**9))
    with pytest.raises(EnrolmentFailed, match="too-dark 61"):
        enrolled(endless)


def test_nothing_at_all_is_told(enrolled: Enrolled) -> None:
    with pytest.raises(EnrolmentFailed, match="the camera gave no more"):
        enrolled(iter([None, None]))
