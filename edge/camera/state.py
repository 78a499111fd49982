"""What a camera is doing, derived from its frames and errors. Reports each change once. Pure; the time is passed in."""

from __future__ import annotations

from enum import StrEnum

from edge.camera.frame import DARK_LEVEL, Frame
from edge.contract.errors import CameraBusy, CameraError, CameraFrozen

# A little lighter than dark, so that dusk does not flicker between the two.
LIGHT_LEVEL = 1.6 * DARK_LEVEL
# Longer than a camera's warm-up, and than a hand in front of the lens.
DARK_AFTER_S = 3.0
# A driver that reconnects is silent for about a second; a person does not wait longer without wondering what is wrong.
STALLED_AFTER_S = 1.5


class CameraState(StrEnum):
    """The states of a camera. Frames are judged only while it is RUNNING."""

    CLOSED = "closed"
    STARTING = "starting"
    DARK = "dark"
    RUNNING = "running"
    STALLED = "stalled"
    BUSY = "busy"
    LOST = "lost"


class CameraWatch:
    """The state of a daemon's camera, across openings. Every method returns the state that is entered, or None if it does not change."""

    def __init__(self) -> None:
        self.state = CameraState.CLOSED
        self._light_at = self._frame_at = 0.0
        self._patience_s = STALLED_AFTER_S
        self._froze = False

    def opening(self, now: float) -> CameraState | None:
        """The camera is being opened, at `now` in monotonic seconds. After a failure, its state remains until a frame comes."""
        self._light_at = self._frame_at = now
        self._patience_s = STALLED_AFTER_S
        return self._enter(CameraState.STARTING) if self.state is CameraState.CLOSED else None

    def saw(self, frame: Frame | None, now: float) -> CameraState | None:
        """A frame came, or None for a moment, at `now` in monotonic seconds."""
        if frame is None:
            silent = now - self._frame_at > self._patience_s
            known = (CameraState.BUSY, CameraState.LOST)
            return self._enter(CameraState.STALLED) if silent and self.state not in known else None
        self._frame_at = now
        if self.state is CameraState.STALLED:
            # A codec gives an empty room anew every few seconds only: that is told a few times, not all night.
            self._patience_s *= 2
        if self._froze:
            # However often a frozen camera is opened, its first picture is the frozen one again. Only the next shows whether it runs.
            self._froze = False
            return None
        if not frame.shows_nothing(LIGHT_LEVEL if self.state is CameraState.DARK else DARK_LEVEL):
            self._light_at = now
            return self._enter(CameraState.RUNNING)
        if now - self._light_at > DARK_AFTER_S:
            return self._enter(CameraState.DARK)
        return None

    def failed(self, error: CameraError) -> CameraState | None:
        """The camera cannot be opened, or broke."""
        # Kept until a frame comes: if the next opening fails, a later one may still begin with the frozen picture.
        self._froze |= isinstance(error, CameraFrozen)
        return self._enter(CameraState.BUSY if isinstance(error, CameraBusy) else CameraState.LOST)

    def closed(self) -> CameraState | None:
        """The camera was released because nobody needs it."""
        return self._enter(CameraState.CLOSED)

    def _enter(self, state: CameraState) -> CameraState | None:
        if state is self.state:
            return None
        self.state = state
        return state
