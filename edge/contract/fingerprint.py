"""The fingerprint: a digest that shows whether two machines cut the same chips from the same frames. Reads no files."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from edge.contract.chip import FaceBox, as_source, cut_chip
from edge.contract.spec import ChipSpec

# Sizes below, at and far above a chip's side; boxes inside, over each edge and larger than the frame.
_CASES = (
    (240, 320, FaceBox(101, 57, 113, 113)),
    (240, 320, FaceBox(-20, -31, 90, 90)),
    (97, 131, FaceBox(80, 40, 77, 77)),
    (480, 640, FaceBox(211, 33, 333, 333)),
    (60, 80, FaceBox(-10, -15, 120, 121)),
    (48, 48, FaceBox(9, 9, 31, 31)),
)
_BAND = 16


def chip_fingerprint(spec: ChipSpec) -> str:
    """SHA-256, as hex, of the chips that `spec` gives for a fixed set of generated colour and grey frames."""
    digest = hashlib.sha256()
    for number, (height, width, box) in enumerate(_CASES):
        colour = generated_frame(height, width, number)
        for frame in (colour, colour[:, :, number % 3]):
            digest.update(cut_chip(as_source(np.ascontiguousarray(frame), spec), box, spec).tobytes())
    return digest.hexdigest()


def golden_chips(spec: ChipSpec) -> NDArray[np.uint8]:
    """The chips, uint8 [6, side, side] or [6, side, side, 3], that every machine can generate. A model file records its answers to them."""
    frames = (generated_frame(height, width, number) for number, (height, width, _) in enumerate(_CASES))
    return np.stack([cut_chip(as_source(f, spec), box, spec) for f, (_, _, box) in zip(frames, _CASES, strict=True)])


def generated_frame(height: int, width: int, number: int) -> NDArray[np.uint8]:
    """Frame `number`, uint8 [height, width, 3]: ramps, edges and noise from integer arithmetic only.

    NumPy does not promise the same random stream across versions, so the noise is a 32-bit integer hash of the position.
    """
    # In bands of rows, to stay in the processor's cache: a device does this at every start.
    bands = [_rows(top, min(top + _BAND, height), width, number) for top in range(0, height, _BAND)]
    return np.concatenate(bands)


def _rows(top: int, bottom: int, width: int, number: int) -> NDArray[np.uint8]:
    channel, y, x = (axis.astype(np.uint32) for axis in np.ogrid[:3, top:bottom, :width])
    mixed = x * np.uint32(3 + number) + y * np.uint32(5 + 2) + channel * np.uint32(41)
    mixed >>= np.uint32(2)
    mixed += (((x // np.uint32(7 + number)) ^ (y // np.uint32(11))) & np.uint32(1)) * np.uint32(90)
    noise = x * np.uint32(374761393) + y * np.uint32(668265263) + channel * np.uint32(69069)
    noise ^= np.uint32(number)
    noise ^= noise >> np.uint32(13)
    noise *= np.uint32(1274126177)
    noise ^= noise >> np.uint32(16)
    noise &= np.uint32(31)
    mixed += noise
    # Keep the lowest 8 bits. The channel was the slow axis so far, so that NumPy works along rows.
    return np.ascontiguousarray(mixed.astype(np.uint8).transpose(1, 2, 0))
