"""What a chip may look like another day: position, turn, light, sharpness, noise, side. uint8 in, uint8 out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Standard deviations and chances; the geometry is that of a Haar box's own jitter (2-3 px of 113)."""

    rotate_deg: float = 5.0
    scale: float = 0.05
    shift: float = 0.03
    contrast: float = 0.2
    brightness: float = 20.0
    shade: float = 25.0
    gamma: float = 0.2
    blur_chance: float = 0.3
    noise_chance: float = 0.3
    noise: float = 6.0
    mirror_chance: float = 0.5


def augment(chip: NDArray[np.uint8], how: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A chip, uint8 [side, side], as it might have been taken at another moment."""
    side = chip.shape[0]
    middle = (side - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), rng.normal(0, how.rotate_deg), float(np.exp(rng.normal(0, how.scale))))
    turn[:, 2] += rng.normal(0, how.shift * side, 2)
    if rng.random() < how.mirror_chance:
        turn[0] *= -1
        turn[0, 2] += side - 1
    x = cv2.warpAffine(chip, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < how.blur_chance:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 0.02 * side))
    x = x.astype(np.float32)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    x += rng.normal(0, how.shade) * ramp[None, :] + rng.normal(0, how.shade) * ramp[:, None]
    x = (x - 128) * np.exp(rng.normal(0, how.contrast)) + 128 + rng.normal(0, how.brightness)
    if rng.random() < how.noise_chance:
        x += rng.standard_normal(x.shape, np.float32) * rng.uniform(0, how.noise)
    x = np.clip(x, 0, 255) / 255
    return (x ** np.exp(rng.normal(0, how.gamma)) * 255 + 0.5).astype(np.uint8)
