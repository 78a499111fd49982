"""Searches frame after frame for faces within a time budget: near the last face while one is held, now and then in the whole frame,
now and then by the cascade alone, and not at all in a frame that has not changed. Keeps no picture but a thumbnail.
"""

from __future__ import annotations

import math
import time
from enum import Enum, auto

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.chip import FaceBox
from edge.contract.detector import WINDOW_PX, Detector, detect_scaled
from edge.finders import Finder, Within, look
from edge.settings import DetectionSettings

# Sizes at which a held face is searched for where it was, as multiples of its last width. One that grew or shrank more is found by the
# search of the whole frame that follows.
NEXT_SIZES = (0.85, 1.18)
# For how many seconds a face may be followed without a search of the whole frame: a second face is seen no later than this.
WHOLE_EVERY_S = 0.5
# Seconds between searches by the cascade alone, which finds what the finder of regions misses, the only face or a second one.
ALONE_EVERY_S = 1.0
# For how many seconds an unchanged frame keeps the last result: not for ever, because a thumbnail can miss a slow dawn.
STILL_FOR_S = 2.0
# Seconds between searches for faces too small to be judged, and by what factor these are finer than the others.
FAR_EVERY_S = 1.0
_FINER = 1.5
_THUMBNAIL = (40, 30)
_STEP = 0.85
_LATEST = 0.2


class Extent(Enum):
    """How much of a frame was searched."""

    NOTHING = auto()
    NEAR = auto()
    WHOLE = auto()
    FAR = auto()


class Search:
    """Finds the faces of the frames of one camera, in their order.

    `detector` makes every box. A `finder` searches the whole frame first, and `detector` looks only where it found something
    (edge/finders.py), except for one search every ALONE_EVERY_S, and while there are several faces.
    """

    def __init__(self, detector: Detector, settings: DetectionSettings, finder: Finder | None = None) -> None:
        self._detector, self._settings = detector, settings
        self._whole_frame_detector = Within(finder, detector) if finder else detector
        highest, smallest = settings.search_height_px, settings.min_face_px / 2
        lowest = highest * WINDOW_PX / max(WINDOW_PX, smallest)
        self._whole = _Height(highest, lowest, settings.budget_ms)
        self._alone = _Height(highest, lowest, settings.budget_ms) if finder else self._whole
        self._far = _Height(_FINER * highest, highest * WINDOW_PX / max(WINDOW_PX, smallest / 2), settings.budget_ms)
        self._shape: tuple[int, ...] = ()
        self._held: FaceBox | None = None
        self._last_at = self._whole_at = self._alone_at = self._far_at = float("-inf")
        self._far_waits = False
        self._spent_ms = 0.0
        self._thumbnail: NDArray[np.float32] | None = None
        self._boxes: list[FaceBox] = []
        self.extent = Extent.NOTHING

    @property
    def height_px(self) -> int:
        """The height that frames are shrunk to at present."""
        return round(self._whole.px)

    def find(self, grey: NDArray[np.uint8], at: float) -> list[FaceBox]:
        """The faces of a grey frame, uint8 [h, w], taken at `at` monotonic seconds, in pixels of the frame, largest first."""
        if grey.shape != self._shape:
            # What is known is in pixels of the last frame, and says nothing about a frame of another size.
            self._shape, self._held, self._boxes, self._thumbnail = grey.shape, None, [], None
        follows = 0 < at - self._last_at <= WHOLE_EVERY_S
        recent = 0 <= at - self._whole_at < WHOLE_EVERY_S
        far_waits, self._far_waits = self._far_waits, False
        if not 0 <= at - self._last_at <= STILL_FOR_S:
            self._alone_at = at  # after a gap begin with the cheaper search
        self._last_at = at
        thumbnail = None
        if self._held is not None and follows and recent:
            near = self._near(grey, self._held)
            if near:
                self.extent, self._held = Extent.NEAR, near[0]
                return near[:1]
        elif self._held is None and follows and far_waits:
            self.extent = Extent.FAR
            return []
        elif self._held is None and follows and 0 <= at - self._whole_at < STILL_FOR_S:
            thumbnail = _thumbnail(grey)
            if self._is_unchanged(thumbnail):
                self.extent = Extent.NOTHING
                return self._boxes
        self.extent, self._whole_at = Extent.WHOLE, at
        detector, height = self._whole_frame_detector, self._whole
        # A second face must not come and go with the finder's luck. But if the budget has shrunk the cascade's own search further than the
        # finder's, it must not replace that finer search while a face is held.
        due = len(self._boxes) > 1 or at - self._alone_at >= ALONE_EVERY_S
        if due and (self._held is None or self._alone.px >= self._whole.px):
            detector, height, self._alone_at = self._detector, self._alone, at
        began = time.perf_counter()
        self._boxes = detect_scaled(detector, grey, search_height_px=round(height.px), min_px=self._settings.min_face_px)
        self._spent_ms = (time.perf_counter() - began) * 1000
        height.adapt(self._spent_ms)
        self._held = self._boxes[0] if len(self._boxes) == 1 else None
        if self._held is None:
            self._thumbnail = _thumbnail(grey) if thumbnail is None else thumbnail
        return self._boxes

    def too_far(self, grey: NDArray[np.uint8], at: float) -> FaceBox | None:
        """A face too small to be judged, in a frame without any other; searched for once a second.

        It stays within the frame's budget: if the search of this frame left too little, the next frame is searched for such a face
        and for nothing else.
        """
        if self.extent is Extent.WHOLE:
            if 0 <= at - self._far_at < FAR_EVERY_S:
                return None
            expected_ms = self._far.expected_ms or self._spent_ms * (self._far.px / self._whole.px) ** 2
            if self._spent_ms + expected_ms > self._settings.budget_ms:
                self._far_waits = True
                return None
        elif self.extent is not Extent.FAR:
            return None
        self._far_at = at
        limit = self._settings.min_face_px
        height = min(grey.shape[0], round(self._far.px))
        began = time.perf_counter()
        boxes = detect_scaled(
            self._whole_frame_detector, grey, search_height_px=height, min_px=max(WINDOW_PX, limit // 2), max_px=limit
        )
        self._far.adapt((time.perf_counter() - began) * 1000)
        return boxes[0] if boxes else None

    def _near(self, grey: NDArray[np.uint8], held: FaceBox) -> list[FaceBox]:
        scale = min(1.0, self._whole.px / grey.shape[0])
        return look(self._detector, grey, held, NEXT_SIZES, min_px=self._settings.min_face_px, scale=scale)

    def _is_unchanged(self, now: NDArray[np.float32]) -> bool:
        # Compared with the last frame that was searched, not the one before, so that slow changes add up.
        return self._thumbnail is not None and float(np.abs(now - self._thumbnail).max()) < self._settings.still_levels


class _Height:
    """The height that frames are shrunk to for one kind of search, so that it costs no more than `budget_ms`; between `lowest`, where
    the smallest face fills the cascade's window, and `highest`."""

    def __init__(self, highest: float, lowest: float, budget_ms: float) -> None:
        self.px = self._highest = float(highest)
        self._lowest, self._budget_ms = lowest, budget_ms
        self.expected_ms: float | None = None

    def adapt(self, took_ms: float) -> None:
        """Adapts the height to what a search at it cost."""
        cost_ms = took_ms if self.expected_ms is None else (1 - _LATEST) * self.expected_ms + _LATEST * took_ms
        # A search's cost grows with its pixels: the square of the height.
        fitting = self.px * math.sqrt(self._budget_ms / cost_ms)
        new_px = self.px
        if cost_ms > self._budget_ms and self.px > self._lowest:
            new_px = max(self._lowest, fitting, self.px * _STEP)
        elif self.px < self._highest and fitting > self.px / _STEP:
            new_px = min(self._highest, self.px / _STEP)
        self.expected_ms = cost_ms * (new_px / self.px) ** 2
        self.px = new_px


def _thumbnail(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    # Means of blocks: a camera's noise averages out, a person's shadow does not.
    return cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
