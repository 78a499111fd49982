"""Which of a live camera's frames are of now: not what lay in buffers while nobody read, not one and the same frame again. Pure; the
clock is passed in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.camera.frame import DARK_LEVEL

# V4L2 keeps about so many frames, libcamera fewer.
BUFFERED = 4
# Of the time between two frames; a frame out of a buffer comes sooner, one that was waited for does not.
WAITED = 0.5
# A camera that has become faster meanwhile is not waited for as long as before.
LONGEST_DROP_S = 3.0
# Weight of the newest in the running mean of that time.
NEWEST = 0.1
# Of rows and of columns every so many are compared: 0.06 ms for 640x480, and a sensor's noise is everywhere.
STEP = 8


class Freshness:
    """Takes every frame of one camera in its order, with the time at which the read of it came back.

    After a pause of more than `max_age_s`, the process stopped or the machine asleep, the driver's buffers come first: they are no
    frames of now, whatever time they are read at. A network camera's are longer than a driver's, so frames are dropped until one had
    to be waited for, and at least as many as V4L2 keeps. A camera that needs longer for every frame loses its first ones.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._last_at: float | None = None
        self._period_s = 0.0
        self._dropped: int | None = None
        self._since = 0.0
        self._sample: NDArray[np.uint8] | None = None
        self._early, self._paused_s = 0, 0.0
        self.behind_s = 0.0
        """How long a pause was of which a queue longer than a driver's may not be over with the last frame; 0 where it is."""

    def is_of_now(self, read_at: float) -> bool:
        """Whether a frame whose read came back at `read_at` was taken just before. To be asked once for each frame."""
        last_at, self._last_at = self._last_at, read_at
        if last_at is None:
            return True
        waited_s, self.behind_s = read_at - last_at, 0.0
        if self._dropped is not None:
            soon = waited_s < WAITED * self._period_s
            self._early += soon
            if self._dropped < BUFFERED or (soon and read_at - self._since < LONGEST_DROP_S):
                self._dropped += 1
                return False
            # Who decodes as slowly as frames are taken never waits for one, and never sees the end of a queue.
            if soon or 2 * self._early < self._dropped - 1:
                self.behind_s = self._paused_s
            # What the camera needs now, if it became slower; or slow is what it has always been.
            self._dropped, self._period_s = None, waited_s
            return True
        if waited_s > max(self._max_age_s, 2 * self._period_s):
            self._dropped, self._early, self._since = 1, 0, read_at
            self._paused_s = waited_s if self._period_s else 0.0
            self.behind_s = self._paused_s if waited_s > LONGEST_DROP_S else 0.0
            return False
        self._period_s += (waited_s - self._period_s) * (NEWEST if self._period_s else 1.0)
        return True

    def is_another(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether a frame differs from the one before. A sensor has noise: the same again is a driver that hangs, or no sensor.

        In the dark a camera may well give nothing but zeros; that is no frame to be judged by, and told as what it is.
        """
        sample = pixels[::STEP, ::STEP]
        same = self._sample is not None and np.array_equal(sample, self._sample) and sample.mean() >= DARK_LEVEL
        if not same:
            self._sample = sample.copy()
        return not same
