"""The poses of an enrolment: which is asked for now, which a frame shows, which could not be captured. Pure; time is that of the frames.

Poses are filled in any order: a request is only a hint, which the person may not follow and a recording cannot hear.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import NamedTuple

from edge import liveness
from edge.liveness import Way
from edge.settings import Settings
from edge.turn import own_side

CANDIDATES_PER_ANCHOR = 4
# From here on a head counts as turned to a side. Somebody who speaks and was asked for nothing reaches it in few frames
# (docs/liveness.md).
TURNED = 0.1
# If the settings allow less turn, a side begins at this share of what they allow.
_OF_ALLOWED = 0.6
# A pose that is not measured counts as taken this long after it was asked for.
SETTLE_S = 1.5
# The share of enrolment.timeout_s that is divided among the poses; the rest is for latecomers.
_POSES_SHARE = 0.75


class Pose(StrEnum):
    """What a person is asked for; left and right are the person's own."""

    STRAIGHT = "straight"
    LEFT = "left"
    RIGHT = "right"
    UP = "chin-up"
    DOWN = "chin-down"


MEASURED = (Pose.STRAIGHT, Pose.LEFT, Pose.RIGHT)
"""The poses that are recognised in the picture. Nothing measures whether the person took one of the others."""

SENTENCES = {
    Pose.STRAIGHT: "look straight into the camera",
    Pose.LEFT: liveness.SENTENCES[Way.LEFT],
    Pose.RIGHT: liveness.SENTENCES[Way.RIGHT],
    Pose.UP: "face the camera again, chin a little up",
    Pose.DOWN: "chin a little down",
}


class Asking(Enum):
    """Who hears the requests for poses."""

    PERSON = auto()
    """Somebody before the camera: every pose is asked for, and waited for."""
    RECORDING = auto()
    """Nobody, because the frames are recorded: only the measured poses are waited for."""
    NOBODY = auto()
    """Nobody, because the caller cannot pass them on: whatever is shown is taken."""


class Count(NamedTuple):
    """How many frames of a pose there are and are wanted; `over` if it is no longer waited for."""

    pose: Pose
    have: int
    want: int
    over: bool


class Course:
    """The poses of one enrolment, from its first frame to its last."""

    def __init__(self, settings: Settings, asking: Asking) -> None:
        self.settings = settings
        self.want = settings.enrolment.anchors * CANDIDATES_PER_ANCHOR
        self.asking = asking
        self.turned = min(TURNED, _OF_ALLOWED * settings.quality.max_turn)
        # Never more poses than enrolment.anchors, which is at least five: each captured pose gives one template.
        poses = tuple(Pose) if asking is Asking.PERSON else MEASURED
        share = self.want // len(poses)
        self._want = dict.fromkeys(poses, share) | {poses[0]: self.want - share * (len(poses) - 1)}
        self._have = dict.fromkeys(poses, 0)
        self._spare = 0
        self._over = set(poses) if asking is Asking.NOBODY else set()
        self._patience_s = _POSES_SHARE * settings.enrolment.timeout_s / len(poses)
        self.asked = None if self._over else poses[0]
        """The pose that is waited for, or None."""
        self._asked_at: float | None = None

    @property
    def have(self) -> int:
        """How many frames count: those of the poses, and others in place of poses that could not be captured."""
        missing = sum(self._want[pose] - self._have[pose] for pose in self._over)
        return sum(self._have.values()) + min(self._spare, missing)

    @property
    def done(self) -> bool:
        """Whether there are enough frames, and no pose is waited for."""
        return self.asked is None and self.have == self.want

    def counts(self) -> tuple[Count, ...]:
        """How far each pose is, in the order in which they are asked for."""
        return tuple(Count(pose, self._have[pose], want, pose in self._over) for pose, want in self._want.items())

    def side(self, turn: float) -> float:
        """A turn (edge/turn.py) from the person's point of view: positive to the person's left."""
        return own_side(turn, mirrored=self.settings.camera.mirror)

    def tick(self, now: float, *, face: bool) -> None:
        """Advances the time to that of a frame. The first pose's time begins with the first face; a pose that takes too long is skipped."""
        if self._asked_at is None:
            self._asked_at = now if face else None
        elif self.asked and now - self._asked_at > self._patience_s:
            self._over.add(self.asked)
            self._ask_next(now)

    def take(self, turn: float, now: float) -> tuple[Pose, bool]:
        """Takes a good frame; returns the pose that it shows, and whether that pose needed it. If not, it may stand in for another."""
        pose = self._pose(self.side(turn), now)
        was_needed = self._have[pose] < self._want[pose]
        if was_needed:
            self._have[pose] += 1
        else:
            self._spare += 1
        if self.asked and self._have[self.asked] == self._want[self.asked]:
            self._ask_next(now)
        return pose, was_needed

    def _pose(self, side: float, now: float) -> Pose:
        if abs(side) >= self.turned:
            return Pose.LEFT if side > 0 else Pose.RIGHT
        if self.asked and self.asked not in MEASURED and self._asked_at is not None and now - self._asked_at >= SETTLE_S:
            return self.asked
        return Pose.STRAIGHT

    def _ask_next(self, now: float) -> None:
        open_poses = (pose for pose, want in self._want.items() if self._have[pose] < want and pose not in self._over)
        self.asked, self._asked_at = next(open_poses, None), now
