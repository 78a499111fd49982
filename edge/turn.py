"""How far a face is turned to a side: one number from the pixels that the tower sees. Pure; no angle is claimed.

The difference between a face and its mirror image, weighted: the weights were fitted to the place of the nose between the eyes, as
dlib's five landmarks have it, on training people of LFW (benchmarks/turn.py). A plane picture that is moved, turned in its plane or
tilted keeps its nose where it is between the eyes, but for perspective.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WEIGHTS = Path(__file__).parent / "models" / "turn.npy"
SIDE_PX = 24
# Contrast is taken out over so many pixels of the small face, and what remains is held within so many deviations.
_BLUR_PX, _MOST, _NOISE = 2.0, 2.0, 4.0


def antisymmetry(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What of a grey face, uint8 [side, side], its mirror image has not: float32 [SIDE_PX * SIDE_PX / 2], local contrast taken out."""
    small = cv2.resize(face, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    rest = small - cv2.GaussianBlur(small, (0, 0), _BLUR_PX)
    deviation = np.sqrt(cv2.GaussianBlur(rest * rest, (0, 0), _BLUR_PX) + _NOISE)
    even = np.clip(rest / deviation, -_MOST, _MOST)
    apart: NDArray[np.float32] = (even - even[:, ::-1])[:, : SIDE_PX // 2].astype(np.float32)
    return apart.ravel()


def measure_turn(face: NDArray[np.uint8]) -> float:
    """By how much of the eyes' distance the nose lies beside the middle between them, to the right of the picture above 0.

    `face` is uint8 [side, side] grey: the aligned square, or the detector's box. From about 0.3 on the cascade finds no face.
    """
    return float(antisymmetry(face) @ _weights())


def own_side(turn: float, *, mirrored: bool) -> float:
    """A turn as the person's own, to the left above 0: a camera that mirrors nothing sees the person's left at the picture's right."""
    return -turn if mirrored else turn


@cache
def _weights() -> NDArray[np.float32]:
    weights: NDArray[np.float32] = np.load(WEIGHTS, allow_pickle=False)
    return weights
