"""Augmentation, what a chip may look like another day: position, rotation, light, sharpness, noise, compression, mirroring. uint8 in and
out."""

from __future__ import annotations

import math
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.align import Placement
from edge.contract.chip import to_grey
from trainer.settings import AugmentSettings

Pixel = TypeVar("Pixel", bound=np.generic)

WHOLE = Placement(0.0, 0.0, 1.0, 0.0)


def augment(
    chip: NDArray[np.uint8], settings: AugmentSettings, rng: np.random.Generator, placement: Placement, side_px: int
) -> NDArray[np.uint8]:
    """Cuts the square at `placement` from a chip, uint8 [side, side] or [side, side, 3], with random changes, as uint8 [side_px, side_px]
    or [side_px, side_px, 3].

    Geometric jitter and cut are one resampling, to blur only once. The same state of `rng` gives the same changes for every `side_px`,
    apart from the noise of single pixels, so that a teacher may see the same picture larger.
    """
    middle = (side_px - 1) / 2
    jitter = cv2.getRotationMatrix2D(
        (middle, middle), rng.normal(0, settings.rotate_deg), float(np.exp(rng.normal(0, settings.scale)))
    )
    jitter[:, 2] += rng.normal(0, settings.shift * side_px, 2)
    if settings.shear:
        slant = np.array([[1.0, rng.normal(0, settings.shear), 0.0], [rng.normal(0, settings.shear), 1.0, 0.0]])
        slant[:, 2] = middle - slant[:, :2] @ np.full(2, middle)
        jitter = _product(jitter, slant)
    if rng.random() < settings.mirror_chance:
        jitter[:, 2] += jitter[:, 0] * (side_px - 1)
        jitter[:, 0] *= -1
    x = _sample(chip, _product(_view(placement, chip.shape[0], side_px), jitter), side_px)
    if rng.random() < settings.blur_chance:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 0.02 * side_px))
    if rng.random() < settings.coarse_chance:
        x = _coarse(x, rng)
    if x.ndim == 3 and rng.random() < settings.grey_chance:
        x = np.repeat(to_grey(x)[:, :, None], 3, axis=2)
    # By whole rows, the three colours of a pixel side by side: NumPy is slow with an inner axis of three.
    rows = x.reshape(side_px, -1).astype(np.float32)
    colours = rows.shape[1] // side_px
    ramp = np.linspace(-1, 1, side_px, dtype=np.float32)
    rows += np.repeat(rng.normal(0, settings.shade) * ramp, colours)
    rows += (rng.normal(0, settings.shade) * ramp)[:, None]
    if colours == 3 and settings.tint:
        rows *= np.tile(np.exp(rng.normal(0, settings.tint, 3)).astype(np.float32), side_px)
    contrast = float(np.exp(rng.normal(0, settings.contrast)))
    rows *= contrast
    rows += 128 - 128 * contrast + rng.normal(0, settings.brightness)
    # Gamma by a lookup table: a power of every pixel would take longer than all the rest.
    curve = (np.linspace(0, 1, 256) ** np.exp(rng.normal(0, settings.gamma)) * 255 + 0.5).astype(np.uint8)
    # Last, because it draws a number for each pixel.
    if rng.random() < settings.noise_chance:
        rows += rng.uniform(0, settings.noise) * rng.standard_normal(rows.shape, np.float32)
    return cv2.LUT(np.clip(rows, 0, 255, out=rows).astype(np.uint8), curve).reshape(x.shape)


def with_margin(placement: Placement, margin: int, side_px: int) -> Placement:
    """The square of `side_px` pixels a side of which the one at `placement` is the middle, without `margin` pixels on each side."""
    return placement._replace(size=placement.size * side_px / (side_px - 2 * margin))


def middle(squares: NDArray[Pixel], margin: int) -> NDArray[Pixel]:
    """Squares, [n, side, side] or [n, side, side, c], without `margin` pixels on each side."""
    return np.ascontiguousarray(squares[:, margin:-margin, margin:-margin]) if margin else squares


def _coarse(x: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    side = x.shape[0]
    if rng.random() < 0.5:
        small = int(side * rng.uniform(0.3, 0.8))
        return cv2.resize(
            cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA), (side, side), interpolation=cv2.INTER_LINEAR
        )
    quality = int(rng.integers(15, 70))
    return cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED)


def _view(placement: Placement, chip_px: int, side_px: int) -> NDArray[np.float64]:
    """The affine map from pixels of the square to pixels of the chip, float64 [2, 3], the same as in `edge.contract.align.crop`."""
    step = placement.size * chip_px / side_px
    c, s = step * math.cos(math.radians(placement.turn)), step * math.sin(math.radians(placement.turn))
    turn = np.array([[c, -s], [s, c]])
    middle = (chip_px - 1) / 2 + chip_px * np.array([placement.right, placement.down])
    return np.column_stack([turn, middle - turn @ np.full(2, (side_px - 1) / 2)])


def _product(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def _sample(chip: NDArray[np.uint8], view: NDArray[np.float64], side_px: int) -> NDArray[np.uint8]:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(chip, view, (side_px, side_px), flags=flags, borderMode=cv2.BORDER_REPLICATE)
