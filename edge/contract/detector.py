"""Face detection with OpenCV's Haar cascade, behind an interface. The cascade file is vendored, and its digest checked."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.chip import FaceBox
from edge.contract.errors import ModelUnsupported, PackageMissing, StorageError

HAAR_ALT2_FILE = "haarcascade_frontalface_alt2.xml"
HAAR_ALT2_SHA256 = "7b0c967d9abbdfbde025eb9c786947d151b6426040d07a8f9562ed8fd90724b4"

# Trainer, export and edge all search with these. 1.1 gives steadier boxes than the faster 1.2, and the chip's position matters most.
SCALE_FACTOR = 1.1
MIN_NEIGHBOURS = 3
WINDOW_PX = 20
"""Side of the cascade's own window: it finds no smaller face."""


class Detector(Protocol):
    """Finds upright frontal faces."""

    name: str

    def detect(self, grey: NDArray[np.uint8], *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        """The faces in a grey frame, uint8 [h, w], whose boxes have `min_px` to `max_px` a side, largest first."""
        ...


class HaarDetector:
    """The frontal-face cascade `alt2`: on LFW the fastest of OpenCV's frontal cascades, with the steadiest boxes."""

    name = "haar-alt2"

    def __init__(self) -> None:
        if not hasattr(cv2, "CascadeClassifier"):
            raise PackageMissing(f"OpenCV {cv2.__version__} has no CascadeClassifier: install opencv-python-headless below 5")
        path = resources.files("edge.contract") / "cascades" / HAAR_ALT2_FILE
        with resources.as_file(path) as file:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if digest != HAAR_ALT2_SHA256:
                raise StorageError(f"{file}: SHA-256 {digest} is not the cascade's; install facelatch again")
            self._cascade = cv2.CascadeClassifier(str(file))
        if self._cascade.empty():
            raise StorageError(f"{file}: OpenCV cannot read this cascade; install facelatch again")

    def detect(self, grey: NDArray[np.uint8], *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        """See `Detector.detect`."""
        limit = max_px or max(grey.shape)
        found = self._cascade.detectMultiScale(
            grey, scaleFactor=SCALE_FACTOR, minNeighbors=MIN_NEIGHBOURS, minSize=(min_px, min_px), maxSize=(limit, limit)
        )
        return largest_first(FaceBox(*(int(value) for value in box)) for box in found)

    def windows(self, grey: NDArray[np.uint8]) -> list[tuple[int, int]]:
        """The upper left corners (x, y) of the windows, WINDOW_PX a side, in which the cascade sees a face, before merging into boxes.

        Only every second position is searched: OpenCV moves the window by two pixels up to twice its size, and by one beyond that.
        """
        windows = self._cascade.detectMultiScale(
            grey, scaleFactor=SCALE_FACTOR, minNeighbors=0, minSize=(WINDOW_PX, WINDOW_PX), maxSize=(WINDOW_PX, WINDOW_PX)
        )
        return sorted((int(x), int(y)) for x, y, _, _ in windows)


def largest_first(boxes: Iterable[FaceBox]) -> list[FaceBox]:
    """Sorts by size, then by position: the order must not depend on OpenCV's threads."""
    return sorted(boxes, key=lambda box: (-box.width, box.y, box.x))


DETECTORS: dict[str, Callable[[], Detector]] = {HaarDetector.name: HaarDetector}


def load_detector(name: str) -> Detector:
    """The detector that a chip specification names.

    Raises:
        ModelUnsupported: no detector has this name.
        PackageMissing: the installed OpenCV cannot run it.
    """
    try:
        make = DETECTORS[name]
    except KeyError:
        raise ModelUnsupported(f"detector {name!r}: known are {', '.join(DETECTORS)}") from None
    return make()


def detect_scaled(
    detector: Detector, grey: NDArray[np.uint8], *, search_height_px: int, min_px: int, max_px: int | None = None
) -> list[FaceBox]:
    """Searches a frame, uint8 [h, w], shrunk to `search_height_px` if it is higher; boxes and limits are in pixels of the frame."""
    factor = grey.shape[0] / search_height_px
    if factor <= 1:
        return detector.detect(grey, min_px=min_px, max_px=max_px)
    size = (max(1, round(grey.shape[1] / factor)), search_height_px)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    limit = None if max_px is None else math.ceil(max_px / factor)
    found = detector.detect(small, min_px=max(1, math.floor(min_px / factor)), max_px=limit)
    return [FaceBox(*(math.floor(value * factor + 0.5) for value in box)) for box in found]
