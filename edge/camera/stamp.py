"""When a frame was exposed: what its driver says where that can be true, else when the read of it came back. Pure; the clock is passed
in.
"""

from __future__ import annotations

# Of another clock, or of none: no frame is this old, whatever lay between the camera and us.
OLDEST_S = 10.0
# As many buffers as V4L2 has at most: what lay in them is over after so many frames.
MOST_BUFFERS = 32


class Stamps:
    """Takes the stamps of one camera in the order of its frames.

    A stamp can only make a frame older than the read of it says. Stamps that make too many frames in a row too old, or stand still, are
    no times of exposure, whatever the driver calls them: from then on this camera's count no more, until it is opened again.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._last = float("-inf")
        self._refused = 0

    def exposed_at(self, stamp: float | None, read_at: float) -> float | None:
        """The time of a frame whose read came back at `read_at`, in seconds of edge/clock.py as `stamp`; None where it is no frame of
        now: older than `max_age_s`, or not after the one before.
        """
        if stamp is None or self._refused >= MOST_BUFFERS or not 0 <= read_at - stamp <= OLDEST_S:
            self._last = read_at
            return read_at
        if read_at - stamp > self._max_age_s or stamp <= self._last:
            self._refused += 1
            return None
        self._last, self._refused = stamp, 0
        return stamp
