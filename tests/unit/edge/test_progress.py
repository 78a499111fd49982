"""The view of an enrolment: sentences, gates as the pose needs them, the face as in a mirror, and nothing that identifies the person."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from edge.camera import Frame
from edge.contract.chip import FaceBox
from edge.line import Enrollable, Examined
from edge.poses import SENTENCES, Asking, Course, Pose
from edge.progress import Box, Progress, progress_of
from edge.quality import Gate, Gauge, Refusal
from edge.reasons import Reason
from edge.settings import Settings

FRAME = Frame(np.zeros((480, 640), np.uint8), 0.0)
BOX = FaceBox(64, 120, 160, 160)
TURN, TILT = Gauge(Gate.TURN, 0.15, most=0.28), Gauge(Gate.TILT, 3.0, most=12.0)


def course(asked: Pose = Pose.STRAIGHT, asking: Asking = Asking.PERSON, **tables: dict[str, object]) -> Course:
    made = Course(Settings.model_validate(tables), asking)
    made.asked = asked
    return made


def seen(outcome: Refusal | None = None, turn: float | None = 0.15, gauges: tuple[Gauge, ...] = (TURN, TILT)) -> Examined:
    return Examined(outcome or Enrollable(*np.ones((2, 3), np.float32)), BOX, turn, gauges)


def test_the_sentence_is_the_asked_poses() -> None:
    for pose in Pose:
        assert progress_of(course(pose), FRAME, seen()).sentence == SENTENCES[pose]
    assert progress_of(course(Pose.LEFT, Asking.RECORDING), FRAME, seen()).sentence == "looking for frames: left"
    assert progress_of(Course(Settings(), Asking.NOBODY), FRAME, seen()).sentence == ""
    done = Course(Settings(), Asking.RECORDING)
    for turn in [0.0] * 12 + [0.2] * 10 + [-0.2] * 10:
        assert progress_of(done, FRAME, seen()).sentence.startswith("looking for frames")
        done.take(turn, 1.0)
    assert progress_of(done, FRAME, seen()).sentence == "that is all"


def test_the_face_is_where_a_mirror_shows_it() -> None:
    """In a frame of 640 x 480, a box from x = 64 to 224 lies, mirrored, from 416 to 576."""
    assert progress_of(course(), FRAME, seen()).face == Box(416 / 640, 0.25, 0.25, 1 / 3)
    assert progress_of(course(camera={"mirror": True}), FRAME, seen()).face == Box(0.1, 0.25, 0.25, 1 / 3)


def test_the_wanted_size_lies_between_too_far_and_too_near() -> None:
    shown = progress_of(course(), FRAME, seen())
    assert shown.aspect == pytest.approx(4 / 3)
    assert 80 / 480 < shown.aim < 0.85
    assert shown.aim == pytest.approx((80 / 480 * 0.85) ** 0.5)


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        (Pose.STRAIGHT, Gauge(Gate.TURN, 0.15, 0.0, 0.1)),
        (Pose.LEFT, Gauge(Gate.TURN, 0.15, 0.1, 0.28)),
        (Pose.RIGHT, Gauge(Gate.TURN, -0.15, 0.1, 0.28)),
        (Pose.UP, Gauge(Gate.TURN, 0.15, 0.0, 0.1)),
    ],
)
def test_the_turns_bounds_are_those_of_the_pose(pose: Pose, expected: Gauge) -> None:
    turn, tilt = progress_of(course(pose), FRAME, seen()).gauges
    assert turn == expected
    assert tilt == TILT


def test_who_turns_as_asked_is_not_told_to_look_straight() -> None:
    too_far = Gauge(Gate.TURN, 0.3, most=0.28)
    turned = seen(Refusal(Reason.TOO_TURNED, 0.3, 0.28), 0.3, (too_far, TILT))
    assert progress_of(course(Pose.LEFT), FRAME, turned).advice == "turned too far; turn back a little"
    told = progress_of(course(), FRAME, turned)
    assert told.advice == "turned away; look straight into the camera (0.30 of 0.28)"
    assert told.reason == "turned-away"
    lost = Examined(Refusal(Reason.NO_FACE, 0, 1), None, None, ())
    assert progress_of(course(Pose.RIGHT), FRAME, lost).advice == "no face seen; if you turned, turn back a little"
    assert progress_of(course(), FRAME, lost).advice == "no face seen; look straight into the camera"


def test_a_tilt_is_not_called_a_turn() -> None:
    tilted = seen(
        Refusal(Reason.TOO_TURNED, 15.0, 12.0), 0.02, (Gauge(Gate.TURN, 0.02, most=0.28), Gauge(Gate.TILT, 15.0, most=12.0))
    )
    for pose in Pose:
        assert progress_of(course(pose), FRAME, tilted).advice == "tilted to a shoulder; hold your head upright"


def test_nothing_of_the_person_is_shown() -> None:
    """Numbers, sentences and a box only: no array, neither pixels nor an embedding."""
    shown = progress_of(course(), FRAME, seen())
    assert {each.name for each in fields(Progress)} == {
        "have", "want", "sentence", "poses", "reason", "advice", "gauges", "face", "aspect", "aim",
    }  # fmt: skip
    assert not any(isinstance(getattr(shown, each.name), np.ndarray) for each in fields(Progress))
