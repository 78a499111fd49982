"""Decides which of a live camera's frames are current: not those that waited in buffers while nobody read, and no repeated frame. Pure;
the clock is passed in.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.camera.frame import DARK_LEVEL

# Frames that V4L2 buffers, about; libcamera buffers fewer.
BUFFERED = 4
# Fraction of the frame period. A buffered frame arrives sooner than this, a frame that had to be waited for does not.
WAITED = 0.5
# A late packet causes a wait in the middle of a queue, too. So a queue counts as over only when LATELY_S passed with at most CROWD times
# the frames that a camera takes in that time, plus BUFFERED.
LATELY_S, CROWD = 0.2, 1.4
# Early frames are dropped no longer than this: all frames of a camera that has become faster look early.
LONGEST_DROP_S = 3.0
# Weight of the newest interval in the running mean of the frame period.
NEWEST = 0.1
# Every STEP-th row and column is compared: 0.06 ms for 640x480, and a sensor's noise is everywhere.
STEP = 8
# At least this fraction of the compared pixels changes in a sensor's next frame: 3 % in 19 of 20 frames of strongly compressed clips of
# somebody holding still. A clock that a camera draws into its picture changes at most 0.4 %.
MOVED = 0.005
# A picture shows nothing if this percentage of its pixels is dark: a lit face in a dark room covers more than the remainder.
NOTHING = 99.9


class Freshness:
    """Takes every frame of one camera in order, with the time at which its read returned.

    After a pause of more than `max_age_s`, when the process was stopped or the machine asleep, the buffered frames come first: they are
    not current, whenever they are read. A network camera's queue is longer than a driver's. So frames are dropped for a moment, at least
    as many as V4L2 buffers, until one had to be waited for and no crowd of others came just before it. A camera that takes longer than
    that for every frame loses its first frames. A link that delivers its frames only in bursts has no current frame: the first of each
    burst is as old as the silence before it.

    `period_s` is the approximate time between two frames of a network camera, and 0 for other cameras. A network camera starts as if
    after a pause, because a relay first sends what it has kept since the last key frame, which may be seconds old.
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
        """Length in seconds of the pause whose queue, longer than a driver's, may not have ended with the last frame; 0 if it has."""

    def is_of_now(self, read_at: float) -> bool:
        """Whether a frame whose read returned at `read_at` was taken just before. Must be called once for each frame."""
        last_at, self._last_at = self._last_at, read_at
        self._lately.append(read_at)
        while read_at - self._lately[0] > LATELY_S:
            self._lately.popleft()
        if last_at is None:
            self._dropped, self._since = (1 if self._period_s else None), read_at
            return self._dropped is None
        waited_s, self.behind_s = read_at - last_at, 0.0
        paused = waited_s > max(self._max_age_s, 2 * self._period_s)
        # If most frames, and more than a driver buffers, came faster than they are taken, a long wait means that the next queue begins.
        burst = self._dropped is not None and paused and self._early > BUFFERED and self._dropped - 1 <= 2 * self._early
        if self._dropped is not None and not burst:
            soon = waited_s < WAITED * self._period_s
            self._early += soon
            soon |= (len(self._lately) - 1 - BUFFERED) * self._period_s > CROWD * LATELY_S
            dropping_s = read_at - self._since
            if self._dropped < BUFFERED or dropping_s < LATELY_S or (soon and dropping_s < LONGEST_DROP_S):
                self._dropped += 1
                return False
            # A machine that decodes only as fast as frames are taken never waits for one, and so never sees the end of a queue.
            if soon or 2 * self._early < self._dropped - 1:
                self.behind_s = self._paused_s
            # The camera's period now: it may have become slower, or always have been slow.
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
        """Whether a frame differs from the last different one. A sensor has noise: a repeated frame means a hanging driver, or no sensor.
        The first frame differs from none: a driver that hangs gives its one picture at every opening.

        Dark frames always count as different, because in the dark a camera may give only zeros. They are not judged, but reported as dark.
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
        return last is not None and not same
