"""Whether a face chip is fit to be judged. Pure; each refusal has a value to name and a remedy."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.reasons import Reason
from edge.settings import QualitySettings


class Refusal(NamedTuple):
    """A gate that a chip did not pass: what was measured and what is wanted."""

    reason: Reason
    measured: float
    wanted: float


def check_quality(chip: NDArray[np.uint8], settings: QualitySettings) -> Refusal | None:
    """The first gate that `chip`, uint8 [side, side], does not pass, or None."""
    brightness, contrast = float(chip.mean()), float(chip.std())
    if brightness < settings.min_brightness:
        return Refusal(Reason.TOO_DARK, brightness, settings.min_brightness)
    if brightness > settings.max_brightness:
        return Refusal(Reason.TOO_BRIGHT, brightness, settings.max_brightness)
    if contrast < settings.min_contrast:
        return Refusal(Reason.LOW_CONTRAST, contrast, settings.min_contrast)
    sharpness = float(cv2.Laplacian(chip, cv2.CV_32F).var())
    if sharpness < settings.min_sharpness:
        return Refusal(Reason.BLURRED, sharpness, settings.min_sharpness)
    return None


def check_pose(turn: float, tilt_deg: float, settings: QualitySettings) -> Refusal | None:
    """The gate of the head's pose: `turn` as edge/turn.py measures it, `tilt_deg` as the model's aligner says, 0 where it has none."""
    if abs(turn) > settings.max_turn:
        return Refusal(Reason.TOO_TURNED, abs(turn), settings.max_turn)
    if abs(tilt_deg) > settings.max_tilt_deg:
        return Refusal(Reason.TOO_TURNED, abs(tilt_deg), settings.max_tilt_deg)
    return None
