"""Whether a face chip is fit to be judged. Pure; each refusal gives the measured value and a remedy."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.reasons import ADVICE, Reason
from edge.settings import QualitySettings


class Refusal(NamedTuple):
    """A gate that a chip did not pass: what was measured and what is wanted."""

    reason: Reason
    measured: float
    wanted: float

    @property
    def advice(self) -> str:
        """What the person should change, with the value and the limit if they mean something."""
        if self.reason in (Reason.NO_FACE, Reason.SEVERAL_FACES):
            return ADVICE[self.reason]
        decimals = 2 if self.wanted < 1 else 0
        return f"{ADVICE[self.reason]} ({self.measured:.{decimals}f} of {self.wanted:.{decimals}f})"


class Gate(StrEnum):
    """What is measured of a face before it is judged."""

    BRIGHTNESS = "brightness"
    CONTRAST = "contrast"
    SHARPNESS = "sharpness"
    SIZE = "face size"
    TURN = "turn"
    TILT = "tilt"


class Gauge(NamedTuple):
    """A gate with what was measured, passed or not: the value is to lie between `least` and `most`."""

    gate: Gate
    value: float
    least: float = 0.0
    most: float = math.inf

    @property
    def passes(self) -> bool:
        """Whether a face may be judged, as far as this gate goes."""
        return self.least <= self.value <= self.most


def check_quality(chip: NDArray[np.uint8], settings: QualitySettings) -> Refusal | None:
    """The first gate that `chip`, uint8 [side, side], does not pass, or None."""
    brightness, contrast = _mean_and_deviation(chip)
    if brightness < settings.min_brightness:
        return Refusal(Reason.TOO_DARK, brightness, settings.min_brightness)
    if brightness > settings.max_brightness:
        return Refusal(Reason.TOO_BRIGHT, brightness, settings.max_brightness)
    if contrast < settings.min_contrast:
        return Refusal(Reason.LOW_CONTRAST, contrast, settings.min_contrast)
    sharpness = _sharpness(chip)
    if sharpness < settings.min_sharpness:
        return Refusal(Reason.BLURRED, sharpness, settings.min_sharpness)
    return None


def check_pose(turn: float, tilt_deg: float, settings: QualitySettings) -> Refusal | None:
    """The gate of the head's pose: `turn` as edge/turn.py measures it, `tilt_deg` as the model's aligner does, 0 without an aligner."""
    if abs(turn) > settings.max_turn:
        return Refusal(Reason.TOO_TURNED, abs(turn), settings.max_turn)
    if abs(tilt_deg) > settings.max_tilt_deg:
        return Refusal(Reason.TOO_TURNED, abs(tilt_deg), settings.max_tilt_deg)
    return None


def measure_chip(chip: NDArray[np.uint8], settings: QualitySettings) -> tuple[Gauge, ...]:
    """All gates of `check_quality`: for enrolment, where the person is shown them."""
    brightness, contrast = _mean_and_deviation(chip)
    return (
        Gauge(Gate.BRIGHTNESS, brightness, settings.min_brightness, settings.max_brightness),
        Gauge(Gate.CONTRAST, contrast, settings.min_contrast),
        Gauge(Gate.SHARPNESS, _sharpness(chip), settings.min_sharpness),
    )


def measure_pose(turn: float, tilt_deg: float | None, settings: QualitySettings) -> tuple[Gauge, ...]:
    """The gates of `check_pose`; no tilt if the model has no aligner."""
    turned = Gauge(Gate.TURN, abs(turn), most=settings.max_turn)
    return (turned,) if tilt_deg is None else (turned, Gauge(Gate.TILT, abs(tilt_deg), most=settings.max_tilt_deg))


def _mean_and_deviation(pixels: NDArray[np.uint8] | NDArray[np.int16]) -> tuple[float, float]:
    # One pass over the pixels; NumPy makes several, with arrays of floats in between.
    mean, deviation = cv2.meanStdDev(pixels)
    return float(mean[0, 0]), float(deviation[0, 0])


def _sharpness(chip: NDArray[np.uint8]) -> float:
    # int16 is enough: the Laplacian gives whole numbers of magnitude 4 * 255 at most.
    return _mean_and_deviation(cv2.Laplacian(chip, cv2.CV_16S).astype(np.int16, copy=False))[1] ** 2
