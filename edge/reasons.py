"""Why a frame or an attempt ended as it did: a closed set of values, and what a person is told."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The outcome of a frame that was not a match, or of a denied attempt. The first group is what the person can correct."""

    NO_FACE = "no-face"
    SEVERAL_FACES = "several-faces"
    TOO_DARK = "too-dark"
    TOO_BRIGHT = "too-bright"
    LOW_CONTRAST = "low-contrast"
    BLURRED = "blurred"
    TOO_FAR = "too-far"
    TOO_NEAR = "too-near"
    TOO_TURNED = "turned-away"

    NO_MATCH = "no-match"
    AMBIGUOUS = "ambiguous"
    WRONG_SUBJECT = "wrong-subject"
    EMPTY_GALLERY = "empty-gallery"
    NOT_ASKED = "not-asked"
    QUIET_HOURS = "quiet-hours"
    LOCKED_OUT = "locked-out"
    DISABLED = "disabled"
    NO_FRAMES = "no-frames"
    CHALLENGE_FAILED = "challenge-failed"
    TOO_FEW = "too-few"
    GALLERY_CHANGED = "gallery-changed"


MENDABLE = frozenset(
    {
        Reason.NO_FACE, Reason.SEVERAL_FACES, Reason.TOO_DARK, Reason.TOO_BRIGHT, Reason.LOW_CONTRAST, Reason.BLURRED,
        Reason.TOO_FAR, Reason.TOO_NEAR, Reason.TOO_TURNED,
    }
)  # fmt: skip
"""What the person before the camera can correct: a retry, not a result."""

ADVICE = {
    Reason.NO_FACE: "no face seen; look straight into the camera",
    Reason.SEVERAL_FACES: "several faces; only one person may stand before the camera",
    Reason.TOO_DARK: "too dark; turn a light on",
    Reason.TOO_BRIGHT: "too bright; turn away from the light",
    Reason.LOW_CONTRAST: "the face is flat; change the light or clean the lens",
    Reason.BLURRED: "blurred; hold still",
    Reason.TOO_FAR: "too far away; come closer",
    Reason.TOO_NEAR: "too near; step back",
    Reason.TOO_TURNED: "turned away; look straight into the camera",
    Reason.NO_MATCH: "not someone who is enrolled",
    Reason.AMBIGUOUS: "like two enrolled subjects at once",
    Reason.WRONG_SUBJECT: "someone else who is enrolled",
    Reason.EMPTY_GALLERY: "nobody is enrolled; run `edge enroll NAME`",
    Reason.NOT_ASKED: "the button was not pressed",
    Reason.QUIET_HOURS: "nobody is let in at this hour",
    Reason.LOCKED_OUT: "locked out after repeated failures; wait",
    Reason.DISABLED: "disabled after too many failures; `edge unlock-out` as administrator",
    Reason.NO_FRAMES: "the camera gave no frames that could be judged",
    Reason.GALLERY_CHANGED: "somebody was enrolled or removed meanwhile; try again",
    Reason.TOO_FEW: "gone before it was decided; stay before the camera a moment longer",
    Reason.CHALLENGE_FAILED: "did not turn the head as asked, or went out of sight meanwhile; try again",
}
