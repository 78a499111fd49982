"""The search for faces, frame after frame, within a budget: near the last face while one is held, in the whole frame now and then,
not at all in a frame that shows what the last one did. Keeps no picture but a thumbnail.
"""

from __future__ import annotations

import math
import time
from enum import Enum, auto

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.chip import FaceBox
from edge.contract.detector import Detector, detect_scaled
from edge.settings import DetectionSettings

# A face is looked for where it was, and half its width around, at sizes that it can have a moment later.
_AROUND, _SMALLER, _LARGER = 0.35, 0.8, 1.25
# For so long a face that was found may be followed without a look at the whole frame: a second one is seen no later.
WHOLE_EVERY_S = 0.5
# A frame that shows the same as the one before shows it again: but not for ever, for a thumbnail can miss a slow dawn.
STILL_FOR_S = 2.0
# Between two searches for faces that are too small to be judged.
FAR_EVERY_S = 1.0
_THUMBNAIL = (40, 30)
# The cascade's own window: smaller faces than this it cannot see.
_WINDOW_PX = 20
_STEP = 0.85
_LATEST = 0.2


class How(Enum):
    """How much of a frame was searched."""

    NOTHING = auto()
    NEAR = auto()
    WHOLE = auto()


class Search:
    """Finds the faces of the frames of one camera, in their order."""

    def __init__(self, detector: Detector, settings: DetectionSettings) -> None:
        self._detector, self._settings = detector, settings
        self._height_px = float(settings.search_height_px)
        self._took_ms: float | None = None
        self._held: FaceBox | None = None
        self._last_at = self._whole_at = self._far_at = float("-inf")
        self._thumbnail: NDArray[np.float32] | None = None
        self._boxes: list[FaceBox] = []
        self.how = How.NOTHING

    @property
    def height_px(self) -> int:
        """The height that frames are shrunk to at present."""
        return round(self._height_px)

    def find(self, grey: NDArray[np.uint8], at: float) -> list[FaceBox]:
        """The faces of a grey frame, uint8 [h, w], taken at `at` monotonic seconds, in pixels of the frame, largest first."""
        follows = 0 < at - self._last_at <= WHOLE_EVERY_S
        recent = 0 <= at - self._whole_at < WHOLE_EVERY_S
        self._last_at = at
        if self._held is not None and follows and recent:
            near = self._near(grey, self._held)
            if near:
                self.how, self._held, self._thumbnail = How.NEAR, near[0], None
                return near[:1]
        elif self._held is None and follows and 0 <= at - self._whole_at < STILL_FOR_S and self._still(grey):
            self.how = How.NOTHING
            return self._boxes
        self.how, self._whole_at = How.WHOLE, at
        began = time.perf_counter()
        self._boxes = detect_scaled(self._detector, grey, search_height_px=self.height_px, min_px=self._settings.min_face_px)
        self._keep_budget((time.perf_counter() - began) * 1000)
        self._held = self._boxes[0] if len(self._boxes) == 1 else None
        self._thumbnail = _thumbnail(grey)
        return self._boxes

    def too_far(self, grey: NDArray[np.uint8], at: float) -> FaceBox | None:
        """A face too small to be judged in a frame that has none else; looked for once a second."""
        if 0 <= at - self._far_at < FAR_EVERY_S or self.how is not How.WHOLE:
            return None
        self._far_at = at
        limit = self._settings.min_face_px
        height = min(grey.shape[0], round(self.height_px * 1.5))
        found = detect_scaled(self._detector, grey, search_height_px=height, min_px=max(_WINDOW_PX, limit // 2), max_px=limit)
        return found[0] if found else None

    def _near(self, grey: NDArray[np.uint8], held: FaceBox) -> list[FaceBox]:
        margin = round(held.width * _AROUND)
        x, y = max(0, held.x - margin), max(0, held.y - margin)
        part = grey[y : held.y + held.height + margin, x : held.x + held.width + margin]
        # At the scale of the whole search, so that a box means the same wherever it was found.
        height = max(_WINDOW_PX, round(part.shape[0] * min(1.0, self._height_px / grey.shape[0])))
        found = detect_scaled(
            self._detector,
            np.ascontiguousarray(part),
            search_height_px=height,
            min_px=max(self._settings.min_face_px, math.floor(held.width * _SMALLER)),
            max_px=math.ceil(held.width * _LARGER),
        )
        return [FaceBox(box.x + x, box.y + y, box.width, box.height) for box in found]

    def _still(self, grey: NDArray[np.uint8]) -> bool:
        now = _thumbnail(grey)
        before, self._thumbnail = self._thumbnail, now if self._thumbnail is None else self._thumbnail
        # Against the frame that was searched, not the one before: what creeps adds up.
        return before is not None and float(np.abs(now - before).max()) < self._settings.still_levels

    def _keep_budget(self, took_ms: float) -> None:
        """Shrinks the search while it costs more than the budget, down to where the smallest face fills the cascade's window."""
        self._took_ms = took_ms if self._took_ms is None else (1 - _LATEST) * self._took_ms + _LATEST * took_ms
        # A search costs as its pixels do: the square of the height.
        fitting = self._height_px * math.sqrt(self._settings.budget_ms / self._took_ms)
        lowest = self._settings.search_height_px * _WINDOW_PX / max(_WINDOW_PX, self._settings.min_face_px / 2)
        highest = float(self._settings.search_height_px)
        if self._took_ms > self._settings.budget_ms and self._height_px > lowest:
            wanted = max(lowest, fitting, self._height_px * _STEP)
        elif self._height_px < highest and fitting > self._height_px / _STEP:
            wanted = min(highest, self._height_px / _STEP)
        else:
            return
        self._took_ms *= (wanted / self._height_px) ** 2
        self._height_px = wanted


def _thumbnail(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    # Means of blocks: a camera's noise averages out, a person's shadow does not.
    return cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
