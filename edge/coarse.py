"""A finder of regions that searches coarsely with the contract's own cascade: at few sizes, and at every second pixel of each.

It says where a face may be, and makes no box (edge/finders.py does, with the cascade's full search of that place). Keeps no picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.chip import FaceBox
from edge.contract.detector import WINDOW_PX, HaarDetector, largest_first

# The factor from one size to the next: in a large picture, and in one no higher than _SMALL_PX, where sizes cost little. Every second
# search begins halfway between the first two sizes of the other.
_STEP, _SMALL_STEP, _SMALL_PX = 1.3, 1.15, 90
# Windows whose sides lie no further apart than this share of their width are of one face.
_TOGETHER = 0.3


class CoarseFinder:
    """The Haar cascade at a fifth of the cost of its full search. Searches alternate between two sets of sizes: each finds what the other
    misses."""

    name = "haar-coarse"
    # The full search's box as a multiple of the region: 0.85 to 1.15 on clips, 0.78 to 1.28 on single pictures (docs/decisions/0021).
    sizes = (0.75, 1.33)

    def __init__(self, cascade: HaarDetector) -> None:
        self._cascade = cascade
        self._between = False

    def detect(self, grey: NDArray[np.uint8], *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        """See `Detector.detect`: regions, each of one window or the mean of several."""
        # Beginning at the smallest region that may hold a face would nearly double the windows and find hardly any more faces.
        scale = max(1.0, min_px * self.sizes[1] / WINDOW_PX)
        if self._between:
            scale *= _STEP**0.5
        self._between = not self._between
        limit = min(max_px or max(grey.shape), *grey.shape)
        windows: list[list[int]] = []
        while WINDOW_PX * scale <= limit:
            size = (round(grey.shape[1] / scale), round(grey.shape[0] / scale))
            side = round(WINDOW_PX * scale)
            level = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
            windows += [[round(x * scale), round(y * scale), side, side] for x, y in self._cascade.windows(level)]
            scale *= _STEP if size[1] > _SMALL_PX else _SMALL_STEP
        # groupRectangles drops groups of one, so every window is passed twice.
        regions, _ = cv2.groupRectangles(windows * 2, 1, _TOGETHER)
        return largest_first(FaceBox(*(int(value) for value in region)) for region in regions)
