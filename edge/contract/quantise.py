"""Quantisation as in the TFLite kernels: q = clip(round(x / scale) + zero_point), halves rounded away from zero. Never truncates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INT8_MIN, INT8_MAX = -128, 127


def quantise(x: NDArray[np.floating], scale: float, zero_point: int) -> NDArray[np.int8]:
    """Quantises real values of any shape to int8 of that shape.

    Raises:
        ValueError: `scale` is not a positive number, `zero_point` is not an int8, or a value is NaN.
    """
    _check(scale, zero_point)
    values = np.asarray(x, dtype=np.float64) / scale
    if np.isnan(values).any():
        raise ValueError("cannot quantise NaN")
    rounded = np.copysign(np.floor(np.abs(values) + 0.5), values)
    q: NDArray[np.int8] = np.clip(rounded + zero_point, INT8_MIN, INT8_MAX).astype(np.int8)
    return q


def dequantise(q: NDArray[np.int8], scale: float, zero_point: int) -> NDArray[np.float32]:
    """Converts int8 of any shape to float32 of that shape: (q - zero_point) * scale.

    Raises:
        ValueError: `scale` is not a positive number or `zero_point` is not an int8.
    """
    _check(scale, zero_point)
    return ((q.astype(np.int32) - zero_point) * scale).astype(np.float32)


def chip_to_int8(chip: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Converts uint8 pixels to the network's int8 input, pixel - 128: scale 1, zero point -128, without rounding."""
    return (chip ^ np.uint8(0x80)).view(np.int8)


def _check(scale: float, zero_point: int) -> None:
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale {scale}: must be a positive number")
    if not INT8_MIN <= zero_point <= INT8_MAX:
        raise ValueError(f"zero point {zero_point}: must be {INT8_MIN} to {INT8_MAX}")
