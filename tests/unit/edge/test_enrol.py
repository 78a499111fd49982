"""Enrolment: enough good frames of one person, chosen for spread, checked against one another and against the other subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.camera import Frame, open_camera
from edge.contract.errors import EnrolmentFailed
from edge.contract.modelfile import ModelFile, read_model
from edge.contract.score import Head, score
from edge.enrol import SPACING_S, Enrolment, enrol
from edge.gallery import new_subject
from edge.line import Enrollable, Examined, Line
from edge.matcher import Matcher
from edge.models import model_path
from edge.poses import SENTENCES, Asking, Course, Pose
from edge.progress import Progress
from edge.settings import CameraSettings, Settings
from tests.conftest import ADA, BOB
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View

Enrolled = Callable[..., Enrolment]


@pytest.fixture
def enrolled(model: ModelFile, settings: Settings) -> Enrolled:
    """`enrolled(frames, others)`: enrols from the frames, beside the subjects already enrolled."""
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


class Numbers:
    """A line for which a frame's first pixel is the face. Faces more than 4 apart are not of one person."""

    HEAD = Head(np.ones(1, np.float32), 4.0)

    def examine(self, frame: Frame) -> Examined:
        face = frame.pixels[0, :1].astype(np.float32)
        return Examined(Enrollable(face, face), None, 0.0, ())


@pytest.mark.parametrize(("ours", "strange"), [(32, 0), (24, 8), (23, 9), (8, 24), (7, 25), (0, 32)])
def test_another_look_is_of_the_same_person_also_where_strange_frames_are_borne(ours: int, strange: int) -> None:
    """Eight of 32 frames may be strange, and are left out. Those of the enrolled person, at 10, must not vouch for the rest."""
    faces = [10] * ours + [200] * strange
    frames = [Frame(np.full((2, 2), face, np.uint8), number / 5) for number, face in enumerate(faces)]
    course, existing = Course(Settings(), Asking.NOBODY), np.full((3, 1), 10, np.float32)

    def add() -> Enrolment:
        line: Any = Numbers()
        return enrol(line, Numbers.HEAD, 0.5, frames, Matcher(Numbers.HEAD, []), course, lambda *_: None, existing=existing)

    if ours >= 24:
        assert set(add().templates.ravel()) == {10}
    else:
        with pytest.raises(
            EnrolmentFailed, match=r"0 of \d+ frames look like the person who is enrolled|do not look like the others"
        ):
            add()


def test_what_is_kept_are_the_templates_of_frames_that_are_some_time_apart() -> None:
    """Not the embeddings; and of a hundred frames a second most are not even looked at, because frames of one moment are alike."""
    looked_at: list[float] = []

    class Fast(Numbers):
        def examine(self, frame: Frame) -> Examined:
            looked_at.append(frame.at)
            face = frame.pixels[0, :1].astype(np.float32)
            return Examined(Enrollable(face, face + np.float32(0.25)), None, 0.0, ())

    line: Any = Fast()
    frames = (Frame(np.full((2, 2), 10, np.uint8), number / 100) for number in range(3000))
    course = Course(Settings(), Asking.NOBODY)
    found = enrol(line, Numbers.HEAD, 0.5, frames, Matcher(Numbers.HEAD, []), course, lambda *_: None)
    assert set(found.templates.ravel()) == {10.25}
    assert len(looked_at) >= 12
    assert np.diff(looked_at).min() >= SPACING_S - 1e-9


@pytest.mark.parametrize("alike", [6, 7])
def test_a_fifth_of_another_look_must_be_like_the_person_who_is_enrolled(alike: int) -> None:
    """The subject is at 10. All frames are of one person, who looks like the subject in some and like these in the others."""
    frames = [Frame(np.full((2, 2), 13 if number < alike else 16, np.uint8), number / 5) for number in range(32)]
    line: Any = Numbers()
    how = (line, Numbers.HEAD, 0.5, frames, Matcher(Numbers.HEAD, []), Course(Settings(), Asking.NOBODY), lambda *_: None)
    if alike == 7:
        assert len(enrol(*how, existing=np.full((3, 1), 10, np.float32)).templates) == 8
    else:
        with pytest.raises(EnrolmentFailed, match="only 6 of 32 frames look like the person who is enrolled"):
            enrol(*how, existing=np.full((3, 1), 10, np.float32))


def test_templates_that_miss_most_of_the_session_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that link to one another like a chain: eight of them recognise their neighbours alone."""
    frames = [Frame(np.full((2, 2), 3 * number, np.uint8), number / 5) for number in range(32)]
    line: Any = Numbers()
    monkeypatch.setattr("edge.enrol._farthest", lambda *_: list(range(8)))
    with pytest.raises(EnrolmentFailed, match="only 1 of 24 further frames were recognised with the new templates"):
        enrol(line, Numbers.HEAD, 0.5, frames, Matcher(Numbers.HEAD, []), Course(Settings(), Asking.NOBODY), lambda *_: None)


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


# Yaw towards the person's own left, and pitch, of a drawn head, in degrees.
VIEWS = {
    Pose.STRAIGHT: (0.0, 0.0), Pose.LEFT: (23.0, 0.0), Pose.RIGHT: (-23.0, 0.0), Pose.UP: (0.0, -8.0), Pose.DOWN: (0.0, 8.0),
}  # fmt: skip


class Sitter:
    """A drawn person, at five frames a second, who follows the guide at once; `can` are the poses that the person can take."""

    def __init__(self, *can: Pose) -> None:
        self._can, self.pose, self.asked, self.haves = can, Pose.STRAIGHT, list[str](), list[int]()

    def hears(self, progress: Progress) -> None:
        self.haves.append(progress.have)
        if progress.sentence not in self.asked:
            self.asked.append(progress.sentence)
        heard = next((pose for pose, sentence in SENTENCES.items() if sentence == progress.sentence), self.pose)
        self.pose = heard if heard in self._can else Pose.STRAIGHT

    def frames(self, seconds: float) -> Iterator[Frame]:
        rng = np.random.default_rng(1)
        for number in range(round(5 * seconds)):
            yaw, pitch = VIEWS[self.pose] + rng.normal(0, 0.5, 2)
            view = View(yaw_deg=yaw, pitch_deg=pitch, x=rng.normal(0, 0.01))
            yield Frame(draw_frame(Person.from_seed(ADA), view, rng, width=320, height=240), number / 5)


def sit(sitter: Sitter, frames: Iterator[Frame | None], asking: Asking = Asking.PERSON) -> Enrolment:
    """Enrols with the shipped model, which has an aligner: the turn is measured as docs/liveness.md says."""
    accurate, how = read_model(model_path("accurate")), Settings.model_validate({"detection": {"min_face_px": 60}})
    threshold, course = accurate.operating_point(1e-3).threshold, Course(how, asking)
    return enrol(Line(accurate, how), accurate.head, threshold, frames, Matcher(accurate.head, []), course, sitter.hears)


def test_who_does_as_asked_has_every_pose_among_the_templates() -> None:
    sitter = Sitter(*Pose)
    made = sit(sitter, sitter.frames(60.0))
    assert set(made.by_pose) == set(Pose)
    assert len(made.poses) == len(made.templates) == sum(made.by_pose.values()) == 8
    assert sitter.asked[:5] == list(SENTENCES.values())
    assert sitter.haves == sorted(sitter.haves)
    assert sitter.haves[-1] == 32


def test_who_cannot_turn_is_enrolled_without() -> None:
    sitter = Sitter(Pose.STRAIGHT, Pose.UP, Pose.DOWN)
    made = sit(sitter, sitter.frames(60.0))
    assert set(made.by_pose) == {Pose.STRAIGHT, Pose.UP, Pose.DOWN}
    assert sitter.asked[:5] == list(SENTENCES.values())
    assert made.recognised > 0


def test_a_recording_may_show_the_poses_in_any_order_and_none_is_lost() -> None:
    """Right comes first, then left, then straight. Only two of the thirty frames show the left, and they still give a template."""

    def recorded() -> Iterator[Frame]:
        shown = [Pose.RIGHT] * 8 + [Pose.LEFT] * 2 + [Pose.STRAIGHT] * 20
        rng = np.random.default_rng(2)
        for number, pose in enumerate(shown):
            view = View(yaw_deg=VIEWS[pose][0] + rng.normal(0, 0.5), x=rng.normal(0, 0.01))
            yield Frame(draw_frame(Person.from_seed(ADA), view, rng, width=320, height=240), number / 5)

    sitter = Sitter()
    made = sit(sitter, recorded(), Asking.RECORDING)
    assert set(made.by_pose) == {Pose.STRAIGHT, Pose.LEFT, Pose.RIGHT}
    assert sitter.asked[0] == "looking for frames: straight"
    assert not set(SENTENCES.values()) & set(sitter.asked)


def test_where_nobody_is_asked_nobody_is_waited_for() -> None:
    sitter = Sitter()
    made = sit(sitter, sitter.frames(60.0), Asking.NOBODY)
    assert set(made.by_pose) == {Pose.STRAIGHT}
    assert len(sitter.haves) == 32
    assert sitter.asked == [""]
