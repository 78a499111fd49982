"""Other detectors, by name, as finders of the region in which the contract's cascade then makes the box. They place no chip.

A model is measured on chips cut from the boxes of the detector that its specification names, and a chip's position matters more than
anything else: no other detector's box is ever used for one (docs/decisions/0018).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.coarse import CoarseFinder
from edge.contract.chip import FaceBox
from edge.contract.detector import MIN_NEIGHBOURS, SCALE_FACTOR, WINDOW_PX, Detector, HaarDetector, detect_scaled, largest_first
from edge.contract.errors import PackageMissing, SettingsError
from edge.settings import DetectionSettings, DetectorKind

# How far around the largest possible box the cascade looks, as a share of that box's width.
_AROUND = 0.1
# A finder may find one face twice: boxes that share at least this much of the smaller one's area count as one.
_SAME = 0.5
# YuNet's own defaults (OpenCV's tutorial "DNN-based Face Detection And Recognition"), but a lower score threshold: Haar has the last word.
_SCORE, _NMS, _TOP = 0.6, 0.3, 50


class Finder(Detector, Protocol):
    """A detector that also says how wide the contract's box is, at least and at most, as multiples of its own box's width."""

    sizes: tuple[float, float]


class LbpFinder:
    """A cascade of local binary patterns: cheaper than Haar's, but its boxes jitter more."""

    name = "lbp"
    # By the cascade's window size. Measured on three clips, 231 faces: 0.91 to 1.10 and 1.28 to 1.59 (docs/decisions/0018).
    _SIZES: ClassVar = {(24, 24): (0.75, 1.35), (45, 45): (1.1, 1.8)}

    def __init__(self, file: Path) -> None:
        if not hasattr(cv2, "CascadeClassifier"):
            raise PackageMissing(f"OpenCV {cv2.__version__} has no CascadeClassifier: install opencv-python-headless below 5")
        if b"LBP" not in _content(file, DetectorKind.LBP):
            raise _unusable(file, DetectorKind.LBP, "is no cascade of local binary patterns")
        self._cascade = cv2.CascadeClassifier()
        try:
            loaded = self._cascade.load(str(file))
        except cv2.error:
            loaded = False
        if not loaded or self._cascade.empty():
            raise _unusable(file, DetectorKind.LBP, "cannot be read by OpenCV")
        width, height = self._cascade.getOriginalWindowSize()
        if (width, height) not in self._SIZES:
            raise _unusable(file, DetectorKind.LBP, f"has a window of {width}x{height}, none of a frontal face that is known")
        self.sizes = self._SIZES[width, height]

    def detect(self, grey: NDArray[np.uint8], *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        """See `Detector.detect`."""
        limit = max_px or max(grey.shape)
        found = self._cascade.detectMultiScale(
            grey, scaleFactor=SCALE_FACTOR, minNeighbors=MIN_NEIGHBOURS, minSize=(min_px, min_px), maxSize=(limit, limit)
        )
        return largest_first([FaceBox(*(int(value) for value in box)) for box in found])


class YunetFinder:
    """YuNet (Wu et al. 2023), a small network, through OpenCV. Also finds faces that are turned or tilted."""

    name = "yunet"
    # Not measured: wide enough for a box from the brow to the chin, or from the hair to the chin.
    sizes = (0.6, 1.7)

    def __init__(self, file: Path) -> None:
        if not hasattr(cv2, "FaceDetectorYN"):
            raise PackageMissing(
                f"OpenCV {cv2.__version__} has no FaceDetectorYN: install opencv-python-headless 4.11 or later"
            )
        _content(file, DetectorKind.YUNET)
        try:
            self._network = cv2.FaceDetectorYN.create(str(file), "", (320, 320), _SCORE, _NMS, _TOP)
            # A network of another kind loads without an error and fails at its first picture.
            self.detect(np.zeros((96, 96), np.uint8), min_px=20)
        except cv2.error as error:
            raise _unusable(file, DetectorKind.YUNET, f"is no YuNet network that OpenCV {cv2.__version__} can run") from error

    def detect(self, grey: NDArray[np.uint8], *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        """See `Detector.detect`. YuNet's boxes are higher than wide: they become squares of the same centre and area."""
        self._network.setInputSize((grey.shape[1], grey.shape[0]))
        _, found = self._network.detect(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
        boxes = [] if found is None else [_square(*(float(value) for value in row[:4])) for row in found]
        limit = max_px or max(grey.shape)
        return largest_first([box for box in boxes if min_px <= box.width <= limit])


class Within:
    """The boxes that `detector` makes in the regions where `finder` sees a face. What `finder` misses is missed."""

    def __init__(self, finder: Finder, detector: Detector) -> None:
        self._finder, self._detector = finder, detector
        self.name = detector.name

    def detect(self, grey: NDArray[np.uint8], *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        """See `Detector.detect`."""
        smaller, larger = self._finder.sizes
        least, most = math.floor(min_px / larger), None if max_px is None else math.ceil(max_px / smaller)
        boxes: list[FaceBox] = []
        for region in self._finder.detect(grey, min_px=max(1, least), max_px=most):
            boxes += look(self._detector, grey, region, self._finder.sizes, min_px=min_px, max_px=max_px)
        return _without_doubles(largest_first(boxes))


class Narrow:
    """`detector` for a narrow range of sizes: searches first a picture so small that OpenCV moves the cascade's window by two pixels and
    not by one, which is a quarter of the windows, and if that finds none, the picture itself."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.name = detector.name

    def detect(self, grey: NDArray[np.uint8], *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        """See `Detector.detect`."""
        # All sizes or none: if some are searched at every pixel and others are not, the mean of the hits leans towards the former.
        if max_px and 2 * WINDOW_PX < max_px <= 2 * min_px:
            # OpenCV shrinks many times faster by a whole factor. Rounded up, it is used only if the smallest face still fills the window.
            factor = math.ceil(max_px / (2 * WINDOW_PX))
            if min_px >= factor * WINDOW_PX:
                grey_cut = grey[: grey.shape[0] // factor * factor, : grey.shape[1] // factor * factor]
                height = grey_cut.shape[0] // factor
            else:
                grey_cut, height = grey, max(1, round(grey.shape[0] * 2 * WINDOW_PX / max_px))
            boxes = detect_scaled(self._detector, grey_cut, search_height_px=height, min_px=min_px, max_px=max_px)
            if boxes:
                return boxes
        return self._detector.detect(grey, min_px=min_px, max_px=max_px)


def look(
    detector: Detector,
    grey: NDArray[np.uint8],
    near: FaceBox,
    sizes: tuple[float, float],
    *,
    min_px: int,
    max_px: int | None = None,
    scale: float = 1.0,
) -> list[FaceBox]:
    """The boxes that `detector` makes around `near` in `grey` shrunk by `scale`. `sizes` are the least and the greatest width of a box, as
    multiples of the width of `near`."""
    smallest, largest = math.floor(near.width * sizes[0]), math.ceil(near.width * sizes[1])
    smallest, largest = max(min_px, smallest), largest if max_px is None else min(max_px, largest)
    if smallest > largest:
        return []
    middle_x, middle_y = near.x + near.width // 2, near.y + near.height // 2
    reach = math.ceil(largest * (0.5 + _AROUND))
    x, y = max(0, middle_x - reach), max(0, middle_y - reach)
    part = np.ascontiguousarray(grey[y : max(0, middle_y + reach), x : max(0, middle_x + reach)])
    if part.size == 0:
        return []
    height = max(1, round(part.shape[0] * scale))
    boxes = detect_scaled(Narrow(detector), part, search_height_px=height, min_px=smallest, max_px=largest)
    return [FaceBox(box.x + x, box.y + y, box.width, box.height) for box in boxes]


def load_finder(settings: DetectionSettings, detector: Detector) -> Finder | None:
    """The finder that the settings name; None if `detector`, which makes the boxes, has to search alone.

    Raises:
        SettingsError: `detection.detector_file` is missing, unreadable or of another kind.
        PackageMissing: the installed OpenCV cannot run it.
    """
    if settings.detector is DetectorKind.HAAR:
        return CoarseFinder(detector) if isinstance(detector, HaarDetector) else None
    file = Path(settings.detector_file)
    return LbpFinder(file) if settings.detector is DetectorKind.LBP else YunetFinder(file)


_FILE_SOURCES = {
    DetectorKind.LBP: "an LBP cascade of OpenCV, such as lbpcascade_frontalface.xml of Debian's package opencv-data",
    DetectorKind.YUNET: "face_detection_yunet_*.onnx of OpenCV's model zoo",
}


def _content(file: Path, kind: DetectorKind) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unusable(file, kind, f"cannot be read: {error.strerror}") from error


def _unusable(file: Path, kind: DetectorKind, problem: str) -> SettingsError:
    return SettingsError(
        f"detection.detector_file = {str(file)!r} {problem}; detection.detector = {kind.value!r} needs {_FILE_SOURCES[kind]}, "
        'or set detection.detector = "haar", which needs no file'
    )


def _square(x: float, y: float, width: float, height: float) -> FaceBox:
    side = max(1.0, math.sqrt(max(width, 0.0) * max(height, 0.0)))
    return FaceBox(round(x + width / 2 - side / 2), round(y + height / 2 - side / 2), round(side), round(side))


def _without_doubles(boxes: list[FaceBox]) -> list[FaceBox]:
    kept: list[FaceBox] = []
    for box in boxes:
        if all(_shared(box, other) < _SAME for other in kept):
            kept.append(box)
    return kept


def _shared(a: FaceBox, b: FaceBox) -> float:
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(0, across) * max(0, down) / min(a.width * a.height, b.width * b.height)
