"""Alignment: a small network locates the face in the chip, so that the tower sees it upright, centred and at one size.

No cascade finds eyes often enough to align on. A network trained on landmarks, at a fiftieth of the tower's cost, works on every
chip. After the network's answer all arithmetic is in integers, so that every machine cuts the same pixels.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.chip import to_grey
from edge.contract.errors import InputError, ModelUnsupported

ALIGN_VERSION = 1
"""To be increased whenever `shrink` or `crop` gives different bytes for the same chip, specification and placement."""

# Positions in the chip are integers, in 1/2048 pixel, until the last step rounds them to the 1/32 pixel at which OpenCV samples.
_FINE, _COARSE = 2048, 32
# Right shifts from fine to coarse, and from coarse to whole pixels. They round towards minus infinity.
_FINE_BITS, _COARSE_BITS = 6, 5
# Limits of a placement, whatever the network says: shift and size as fractions of the chip's side, turn in degrees.
_MAX_SHIFT, _MAX_TURN, _SIZES = 0.25, 45.0, (0.3, 1.2)


class Placement(NamedTuple):
    """The square of a chip that the tower sees. `right` and `down` are the offset of its centre from the chip's, `size` is its side,
    all as fractions of the chip's side; `turn` is in degrees, clockwise in the picture."""

    right: float
    down: float
    size: float
    turn: float


@dataclass(frozen=True, slots=True)
class AlignSpec:
    """Everything that determines the bytes that the tower sees, given a chip and the aligner's answer.

    The aligner takes the chip shrunk to `input_px` a side. Its four float outputs are (right, down, log size, turn), standardised
    with `mean` and `deviation` over the training people. The tower takes `side_px` a side.
    """

    version: int
    input_px: int
    side_px: int
    mean: tuple[float, float, float, float]
    deviation: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        if self.version != ALIGN_VERSION:
            raise ModelUnsupported(f"alignment version {self.version}: this facelatch does version {ALIGN_VERSION}")
        if not 16 <= self.input_px <= 128 or not 32 <= self.side_px <= 256:
            raise ModelUnsupported(f"alignment input {self.input_px} px, tower {self.side_px} px: must be 16-128 and 32-256")
        numbers = (*self.mean, *self.deviation)
        if not all(math.isfinite(number) and abs(number) < 100 for number in numbers) or min(self.deviation) <= 0:
            raise ModelUnsupported(f"alignment mean {self.mean}, deviation {self.deviation}: must be finite, deviation above 0")

    def placement(self, outputs: NDArray[np.float32]) -> Placement:
        """The placement given by the aligner's `outputs`, float32 [4], clamped to where a face can lie."""
        right, down, log_size, turn = (
            mean + deviation * float(value) for mean, deviation, value in zip(self.mean, self.deviation, outputs, strict=True)
        )
        return Placement(
            min(max(right, -_MAX_SHIFT), _MAX_SHIFT),
            min(max(down, -_MAX_SHIFT), _MAX_SHIFT),
            min(max(math.exp(min(log_size, 1.0)), _SIZES[0]), _SIZES[1]),
            min(max(turn, -_MAX_TURN), _MAX_TURN),
        )

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> AlignSpec:
        """Reads what `to_json` wrote.

        Raises:
            ModelUnsupported: the version differs, or a value is out of range.
            KeyError, TypeError, ValueError: it is not such a record.
        """
        mean, deviation = (_four(record[key]) for key in ("mean", "deviation"))
        return cls(int(record["version"]), int(record["input_px"]), int(record["side_px"]), mean, deviation)


def shrink(chip: NDArray[np.uint8], to_px: int) -> NDArray[np.uint8]:
    """Shrinks a chip, uint8 [side, side] or [side, side, 3] BGR, to grey block means, uint8 [to_px, to_px]; halves round up.

    Raises:
        InputError: the chip is not a uint8 square, or its side is not a multiple of `to_px`.
    """
    side = chip.shape[0]
    if chip.ndim == 3:
        chip = to_grey(chip)
    if chip.dtype != np.uint8 or chip.shape != (side, side) or side % to_px:
        raise InputError(f"chip {chip.dtype} {chip.shape}: expected a uint8 square whose side is a multiple of {to_px}")
    factor = side // to_px
    # 16 bits are enough: chips have at most 256 px a side and aligners at least 16, so a sum covers at most 256 pixels and a half.
    rows = np.add.reduce(chip.reshape(to_px, factor, side), axis=1, dtype=np.uint16)
    sums = np.full((to_px, to_px), factor * factor // 2, np.uint16)
    for column in range(factor):
        sums += rows[:, column::factor]
    small: NDArray[np.uint8] = (sums // np.uint16(factor * factor)).astype(np.uint8)
    return small


def crop(chip: NDArray[np.uint8], placement: Placement, side_px: int) -> NDArray[np.uint8]:
    """The square at `placement` of a chip, uint8 [side, side] or [side, side, 3], as uint8 [side_px, side_px] or [side_px, side_px, 3].

    Bilinear, at positions rounded to 1/32 pixel and with OpenCV's integer weights. Outside the chip its border pixels repeat.
    """
    return Cropper(side_px)(chip, placement)


class Cropper:
    """`crop` to one size, for many chips. Reuses its position tables, because allocating them for each frame costs more than the
    arithmetic. Not safe to share between threads."""

    def __init__(self, side_px: int) -> None:
        self._along = np.arange(side_px) - (side_px - 1) / 2
        self._x, self._y, self._spare = (np.empty((side_px, side_px), np.int32) for _ in range(3))
        self._whole = np.empty((side_px, side_px, 2), np.int16)
        self._fraction = np.empty((side_px, side_px), np.uint16)

    def __call__(self, chip: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
        """As `crop`."""
        side, side_px = chip.shape[0], len(self._along)
        step = placement.size * side / side_px * _FINE
        cosine, sine = (step * function(math.radians(placement.turn)) for function in (math.cos, math.sin))
        self._place(self._x, cosine, -sine, ((side - 1) / 2 + placement.right * side) * _FINE)
        self._place(self._y, sine, cosine, ((side - 1) / 2 + placement.down * side) * _FINE)
        self._split()
        square = cv2.remap(chip, self._whole, self._fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return square.astype(np.uint8, copy=False)

    def _place(self, table: NDArray[np.int32], right: float, down: float, middle: float) -> None:
        """Fills the table of one coordinate, in 1/2048 pixel, plus half of the 1/32 pixel that it will be rounded to."""
        # Rounded before adding, because integer sums are the same on every machine.
        across, along = (np.floor(self._along * part + 0.5).astype(np.int32) for part in (right, down))
        half = _FINE // _COARSE // 2
        np.add(across[None, :], (along + np.int32(math.floor(middle + 0.5) + half))[:, None], out=table)

    def _split(self) -> None:
        """Splits both coordinates into whole pixels, (x, y) in two int16, and the rest, 1/32 pixels of y and of x in one uint16, as
        OpenCV takes them. Overwrites the coordinates.

        In whole passes over int32 tables, y in the upper 16 bits of a pair: writing 16 bits at a time takes twice as long.
        """
        x, y, spare, pairs = self._x, self._y, self._spare, self._whole.view("<i4")[..., 0]
        to_whole, fraction = _FINE_BITS + _COARSE_BITS, _COARSE - 1
        np.left_shift(y, 16 - to_whole, out=pairs)
        np.bitwise_and(pairs, -1 << 16, out=pairs)
        np.right_shift(x, to_whole, out=spare)
        np.bitwise_and(spare, (1 << 16) - 1, out=spare)
        np.bitwise_or(pairs, spare, out=pairs)
        np.right_shift(x, _FINE_BITS, out=x)
        np.bitwise_and(x, fraction, out=x)
        np.right_shift(y, _FINE_BITS - _COARSE_BITS, out=y)
        np.bitwise_and(y, fraction << _COARSE_BITS, out=y)
        np.bitwise_or(x, y, out=x)
        self._fraction[...] = x


def _four(values: list[float]) -> tuple[float, float, float, float]:
    a, b, c, d = (float(value) for value in values)
    return a, b, c, d
