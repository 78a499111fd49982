"""What a camera is doing, told from what it gives: each change once. Pure; the time is passed in."""

from __future__ import annotations

from enum import StrEnum

from edge.camera.frame import DARK_LEVEL, Frame
from edge.contract.errors import CameraBusy, CameraError, CameraFrozen

# A little lighter than dark, so that dusk does not flicker between the two.
LIGHT_LEVEL = 1.6 * DARK_LEVEL
# A warm-up takes less, a hand before the lens as well.
DARK_AFTER_S = 3.0
# A driver that reconnects is silent for about a second; a person waits no longer without asking what is wrong.
STALLED_AFTER_S = 1.5


class CameraState(StrEnum):
    """`running` alone is judged."""

    CLOSED = "closed"
    STARTING = "starting"
    DARK = "dark"
    RUNNING = "running"
    STALLED = "stalled"
    BUSY = "busy"
    LOST = "lost"


class CameraWatch:
    """The state of the one camera of a daemon, from opening to opening. Every method returns the state entered, None if it is the old."""

    def __init__(self) -> None:
        self.state = CameraState.CLOSED
        self._light_at = self._frame_at = 0.0
        self._froze = False

    def opening(self, now: float) -> CameraState | None:
        """It is being opened, at `now` monotonic seconds. After a failure it stays in the state of that until a frame comes."""
        self._light_at = self._frame_at = now
        return self._enter(CameraState.STARTING) if self.state is CameraState.CLOSED else None

    def saw(self, frame: Frame | None, now: float) -> CameraState | None:
        """A frame came, or none for a moment."""
        if frame is None:
            silent = now - self._frame_at > STALLED_AFTER_S
            known = (CameraState.BUSY, CameraState.LOST)
            return self._enter(CameraState.STALLED) if silent and self.state not in known else None
        self._frame_at = now
        if self._froze:
            # The picture that stood still is the first one again, however often such a camera is opened; the next tells.
            self._froze = False
            return None
        if frame.brightness >= (LIGHT_LEVEL if self.state is CameraState.DARK else DARK_LEVEL):
            self._light_at = now
            return self._enter(CameraState.RUNNING)
        if now - self._light_at > DARK_AFTER_S:
            return self._enter(CameraState.DARK)
        return None

    def failed(self, error: CameraError) -> CameraState | None:
        """It cannot be opened, or broke."""
        # Until a frame comes: where the next opening fails, the one after it may give that picture yet.
        self._froze |= isinstance(error, CameraFrozen)
        return self._enter(CameraState.BUSY if isinstance(error, CameraBusy) else CameraState.LOST)

    def closed(self) -> CameraState | None:
        """Nobody needs it, and it was given back."""
        return self._enter(CameraState.CLOSED)

    def _enter(self, state: CameraState) -> CameraState | None:
        if state is self.state:
            return None
        self.state = state
        return state
