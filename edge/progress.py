"""What is shown of an enrolment after a frame: numbers and sentences, no picture, no score, no embedding. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from edge.camera import Frame
from edge.contract.chip import FaceBox
from edge.line import Examined
from edge.poses import SENTENCES, Asking, Count, Course, Pose
from edge.quality import Gate, Gauge, Refusal
from edge.reasons import Reason

_STAY, _DONE = "stay a moment as you are", "that is all"
_TOO_MUCH = "turned too far; turn back a little"
_LOST = "no face seen; if you turned, turn back a little"
_TILTED = "tilted to a shoulder; hold your head upright"


# For an unknown frame: a camera's usual shape, and the size of a face in front of a desk camera.
ASPECT, AIM = 4 / 3, 0.4


class Box(NamedTuple):
    """Where a face is, in shares of the frame's width and height, as in a mirror: the person's left is at the left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Progress:
    """See the module. `sentence` is what to do now; `reason` and `advice` say why the frame was refused, and are empty if it was not.

    `gauges` are those of the face, with the turn's limits as the requested pose needs them. `aspect` is the frame's width over its
    height, `aim` the width of a face that is well between too far and too near, as a share of the frame's height.
    """

    have: int
    want: int
    sentence: str = ""
    poses: tuple[Count, ...] = ()
    reason: str = ""
    advice: str = ""
    gauges: tuple[Gauge, ...] = ()
    face: Box | None = None
    aspect: float = ASPECT
    aim: float = AIM


def progress_of(course: Course, frame: Frame, examined: Examined) -> Progress:
    """What to show after `frame` was examined and taken or not."""
    refusal = examined.outcome if isinstance(examined.outcome, Refusal) else None
    height, width = frame.pixels.shape[:2]
    least, most = course.settings.detection.min_face_px / height, course.settings.quality.max_face
    return Progress(
        course.have,
        course.want,
        _sentence(course),
        course.counts(),
        refusal.reason.value if refusal else "",
        _advice(course, refusal, examined.gauges) if refusal else "",
        tuple(_for_requested_pose(course, gauge, examined.turn) for gauge in examined.gauges),
        _mirrored_box(course, examined.box, height, width) if examined.box else None,
        width / height,
        math.sqrt(min(least, most) * most),
    )


def _sentence(course: Course) -> str:
    if course.asking is Asking.NOBODY:
        return ""
    if course.done:
        return _DONE
    if course.asking is Asking.RECORDING:
        return f"looking for frames: {course.asked.value}" if course.asked else "looking for frames"
    return SENTENCES[course.asked] if course.asked else _STAY


def _advice(course: Course, refusal: Refusal, gauges: tuple[Gauge, ...]) -> str:
    """As in ADVICE, but without `look straight` for somebody who was asked to turn."""
    turning = course.asking is Asking.PERSON and course.asked in (Pose.LEFT, Pose.RIGHT)
    if refusal.reason is Reason.NO_FACE and turning:
        return _LOST
    if refusal.reason is not Reason.TOO_TURNED:
        return refusal.advice
    if all(gauge.passes for gauge in gauges if gauge.gate is Gate.TURN):
        return _TILTED
    return _TOO_MUCH if turning else refusal.advice


def _for_requested_pose(course: Course, gauge: Gauge, turn: float | None) -> Gauge:
    if gauge.gate is not Gate.TURN or turn is None or course.asked is None:
        return gauge
    side = course.side(turn)
    if course.asked in (Pose.LEFT, Pose.RIGHT):
        return gauge._replace(value=side if course.asked is Pose.LEFT else -side, least=course.turned)
    return gauge._replace(most=course.turned)


def _mirrored_box(course: Course, box: FaceBox, height: int, width: int) -> Box:
    left = box.x if course.settings.camera.mirror else width - box.x - box.width
    return Box(left / width, box.y / height, box.width / width, box.height / height)
