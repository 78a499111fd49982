"""Measures how far a face is turned to a side: one number from the pixels that the tower sees. Pure; it is no angle.

It is the weighted difference between a face and its mirror image. The weights were fitted to the position of the nose between the
eyes, as dlib's five landmarks give it, on training people of LFW (benchmarks/turn.py). In a flat picture that is moved, rotated in its
plane or tilted, the nose stays where it is between the eyes, except for perspective.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WEIGHTS = Path(__file__).parent / "models" / "turn.npy"
SIDE_PX = 24
# Local contrast of the small face is normalised: the blur's sigma in pixels, the clipping in deviations, and a variance added for noise.
_BLUR_PX, _MOST, _NOISE = 2.0, 2.0, 4.0


def antisymmetry(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A grey face, uint8 [side, side], minus its mirror image, local contrast normalised: left half, float32 [SIDE_PX * SIDE_PX / 2]."""
    small = cv2.resize(face, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = small - cv2.GaussianBlur(small, (0, 0), _BLUR_PX)
    deviation = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _BLUR_PX) + _NOISE)
    normalised = np.clip(detail / deviation, -_MOST, _MOST)
    difference: NDArray[np.float32] = (normalised - normalised[:, ::-1])[:, : SIDE_PX // 2].astype(np.float32)
    return difference.ravel()


def measure_turn(face: NDArray[np.uint8]) -> float:
    """How far the nose lies beside the middle between the eyes, as a share of their distance; positive to the right of the picture.

    `face` is uint8 [side, side] grey: the aligned square, or the detector's box. From about 0.3 on the cascade finds no face.
    """
    return float(antisymmetry(face) @ _weights())


def own_side(turn: float, *, mirrored: bool) -> float:
    """A turn from the person's point of view, positive to the person's left, which an unmirrored camera shows at the picture's right."""
    return -turn if mirrored else turn


@cache
def _weights() -> NDArray[np.float32]:
    weights: NDArray[np.float32] = np.load(WEIGHTS, allow_pickle=False)
    return weights
