"""Which of a live camera's frames are of now: not what lay in buffers while nobody read, not one and the same frame again. Pure; the
clock is passed in.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.camera.frame import DARK_LEVEL

# V4L2 keeps about so many frames, libcamera fewer.
BUFFERED = 4
# Of the time between two frames; a frame out of a buffer comes sooner, one that was waited for does not.
WAITED = 0.5
# A late packet in the middle of a queue is waited for, too: the queue is over when for so long there came no more frames than so many
# times those that are taken meanwhile, and a driver's.
LATELY_S, CROWD = 0.2, 1.4
# A camera that has become faster meanwhile is not waited for as long as before.
LONGEST_DROP_S = 3.0
# Weight of the newest in the running mean of that time.
NEWEST = 0.1
# Of rows and of columns every so many are compared: 0.06 ms for 640x480, and a sensor's noise is everywhere.
STEP = 8
# Of them at least so many change where a sensor is seen: 3 % in 19 of 20 frames of strongly compressed clips, of somebody who holds
# still. A clock that a camera draws into its picture changes 0.4 % at most.
MOVED = 0.005
# Percent of the pixels that are dark where a picture shows nothing: a lit face before a dark room covers more than the rest.
NOTHING = 99.9


class Freshness:
    """Takes every frame of one camera in its order, with the time at which the read of it came back.

    After a pause of more than `max_age_s`, the process stopped or the machine asleep, the driver's buffers come first: they are no
    frames of now, whatever time they are read at. A network camera's are longer than a driver's, so frames are dropped for a moment, at
    least as many as V4L2 keeps, and until one had to be waited for that no crowd of others came before. A camera that needs longer for
    every frame loses its first ones. A link that gives its frames in bursts alone has none of now: the first of each is as old as the
    silence before it.

    `period_s` is about what a camera in the network takes between two frames, 0 for others: it begins as after a pause, for a relay sends
    first what it has kept since the last whole picture, which may be of seconds ago.
    """

    def __init__(self, max_age_s: float, period_s: float = 0.0) -> None:
        self._max_age_s = max_age_s
        self._last_at: float | None = None
        self._period_s = period_s
        self._dropped: int | None = None
        self._since = 0.0
        self._sample: NDArray[np.uint8] | None = None
        self._early, self._paused_s = 0, 0.0
        self._lately = deque[float]()
        self.behind_s = 0.0
        """How long a pause was of which a queue longer than a driver's may not be over with the last frame; 0 where it is."""

    def is_of_now(self, read_at: float) -> bool:
        """Whether a frame whose read came back at `read_at` was taken just before. To be asked once for each frame."""
        last_at, self._last_at = self._last_at, read_at
        self._lately.append(read_at)
        while read_at - self._lately[0] > LATELY_S:
            self._lately.popleft()
        if last_at is None:
            self._dropped, self._since = (1 if self._period_s else None), read_at
            return self._dropped is None
        waited_s, self.behind_s = read_at - last_at, 0.0
        paused = waited_s > max(self._max_age_s, 2 * self._period_s)
        # Where more than a driver keeps, and most, came sooner than they are taken, what is waited for so long begins the next queue.
        burst = self._dropped is not None and paused and self._early > BUFFERED and self._dropped - 1 <= 2 * self._early
        if self._dropped is not None and not burst:
            soon = waited_s < WAITED * self._period_s
            self._early += soon
            soon |= (len(self._lately) - 1 - BUFFERED) * self._period_s > CROWD * LATELY_S
            dropping_s = read_at - self._since
            if self._dropped < BUFFERED or dropping_s < LATELY_S or (soon and dropping_s < LONGEST_DROP_S):
                self._dropped += 1
                return False
            # Who decodes as slowly as frames are taken never waits for one, and never sees the end of a queue.
            if soon or 2 * self._early < self._dropped - 1:
                self.behind_s = self._paused_s
            # What the camera needs now, if it became slower; or slow is what it has always been.
            self._dropped, self._period_s = None, waited_s
            return True
        if paused:
            self._dropped, self._early, self._since = 1, 0, read_at
            self._paused_s = waited_s if self._period_s else 0.0
            self.behind_s = self._paused_s if waited_s > LONGEST_DROP_S else 0.0
            return False
        self._period_s += (waited_s - self._period_s) * (NEWEST if self._period_s else 1.0)
        return True

    def is_another(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether a frame differs from the last that did. A sensor has noise: the same again is a driver that hangs, or no sensor.

        In the dark a camera may well give nothing but zeros; that is no frame to be judged by, and told as what it is.
        """
        sample, last = pixels[::STEP, ::STEP], self._sample
        same = (
            last is not None
            and last.shape == sample.shape
            and float(np.mean(sample != last)) < MOVED
            and float(np.percentile(sample, NOTHING)) >= DARK_LEVEL
        )
        if not same:
            self._sample = sample.copy()
        return not same
