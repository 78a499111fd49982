"""When a frame was exposed: what its driver says if that can be true, else when its read returned. Pure; the clock is passed in."""

from __future__ import annotations

# A stamp this old is from another clock, or not a time: no frame takes so long to reach us.
OLDEST_S = 10.0
# The most buffers that V4L2 has: after so many frames they hold nothing old.
MOST_BUFFERS = 32


class Stamps:
    """Takes the stamps of one camera in the order of its frames.

    A stamp can only make a frame older than its read. Stamps that make too many frames in a row too old, or do not advance, are no times
    of exposure, whatever the driver calls them: they are then ignored until the camera is opened again.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._last = float("-inf")
        self._refused = 0

    def exposed_at(self, stamp: float | None, read_at: float) -> float | None:
        """The time of a frame whose read returned at `read_at`; None if it is not current: older than `max_age_s`, or not newer than the
        one before. All times are in seconds of edge/clock.py.
        """
        if stamp is None or self._refused >= MOST_BUFFERS or not 0 <= read_at - stamp <= OLDEST_S:
            self._last = read_at
            return read_at
        if read_at - stamp > self._max_age_s or stamp <= self._last:
            self._refused += 1
            return None
        self._last, self._refused = stamp, 0
        return stamp
