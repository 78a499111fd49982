"""Cuts the face chip: the same function for training, enrolment and probing. Does not detect faces."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from edge.contract.spec import ChipSpec


class FaceBox(NamedTuple):
    """A detector's box in whole pixels of the frame; `x`, `y` is its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def to_grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame, uint8 [h, w, 3] BGR or [h, w] grey, as uint8 [h, w] grey. Near-infrared frames pass unchanged.

    Raises:
        InputError: the frame has another dtype or shape.
    """
    if frame.dtype != np.uint8 or 0 in frame.shape:
        raise InputError(f"frame of dtype {frame.dtype} and shape {frame.shape}: expected uint8 pixels")
    if frame.ndim == 2:
        return frame
    if frame.ndim == 3 and frame.shape[2] == 1:
        return frame[:, :, 0]
    if frame.ndim == 3 and frame.shape[2] == 3:
        return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
    raise InputError(f"frame of shape {frame.shape}: expected [height, width, 3] BGR or [height, width] grey")


def as_source(frame: NDArray[np.uint8], spec: ChipSpec) -> NDArray[np.uint8]:
    """Converts a frame to what chips of `spec` are cut from: grey, uint8 [h, w], or BGR, uint8 [h, w, 3]. A grey frame becomes
    three equal channels.

    Raises:
        InputError: the frame has another dtype or shape.
    """
    if spec.channels == 1:
        return to_grey(frame)
    if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8 and 0 not in frame.shape:
        return frame
    return np.repeat(to_grey(frame)[:, :, None], 3, axis=2)


class Window(NamedTuple):
    """The square of a frame that becomes a chip: its upper left pixel and its side, in whole pixels of the frame."""

    left: int
    top: int
    side: int


def chip_window(box: FaceBox, spec: ChipSpec) -> Window:
    """Where the chip of a detector box lies in its frame; it may extend beyond the frame."""
    side = max(1, _round_half_up(spec.scale * box.width))
    factor = max(1, side // spec.side_px)
    side = factor * math.ceil(side / factor)
    left = _round_half_up(box.x + box.width / 2 - side / 2)
    return Window(left, _round_half_up(box.y + box.height * (0.5 + spec.shift_down) - side / 2), side)


def cut_chip(source: NDArray[np.uint8], box: FaceBox, spec: ChipSpec) -> NDArray[np.uint8]:
    """Cuts the face chip of `box`, uint8 [side, side] grey or [side, side, 3] BGR, from a frame converted by `as_source`.

    1. The window is a square of `round(scale * width)` pixels around the box's centre, moved down by `shift_down * height`;
       halves round up. Corners are whole pixels, so a translated frame gives a translated chip.
    2. Pixels outside the frame repeat the nearest one inside.
    3. A window of at least twice the chip's side is first shrunk to block means, by the largest integer factor that keeps it as
       large as the chip, in integer arithmetic (halves up): bilinear sampling alone would skip pixels and alias.
    4. The rest is `cv2.INTER_LINEAR_EXACT`, the interpolation that OpenCV documents as bit exact.

    Raises:
        InputError: the frame is not what `as_source` returns, or the box is empty.
    """
    if source.dtype != np.uint8 or source.shape[2:] != spec.shape[2:] or source.ndim < 2 or 0 in source.shape:
        wanted = "grey uint8 [height, width]" if spec.channels == 1 else "BGR uint8 [height, width, 3]"
        raise InputError(f"frame of dtype {source.dtype} and shape {source.shape}: expected {wanted}")
    if box.width < 1 or box.height < 1:
        raise InputError(f"face box {tuple(box)}: width and height must be at least 1 px")
    left, top, window_px = chip_window(box, spec)
    factor = max(1, window_px // spec.side_px)
    # Rounding the window up to a multiple of one factor may make it large enough for the next, and yet not a multiple of that one.
    while window_px % factor:
        factor -= 1
    window = _square(source, left, top, window_px)
    if factor > 1:
        window = _mean_of_blocks(window, factor)
    return _bilinear(window, spec.side_px)


def face_part(chip: NDArray[np.uint8], spec: ChipSpec) -> NDArray[np.uint8]:
    """The middle of a chip, as large as the detector's box: the face, without the surroundings that a wider chip shows."""
    margin = max(0, round(spec.side_px * (1 - 1 / spec.scale) / 2))
    return chip[margin : spec.side_px - margin, margin : spec.side_px - margin]


def _square(source: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """A square of a frame: a view where it lies inside, else a copy in which the nearest pixels inside are repeated."""
    height, width = source.shape[:2]
    # At least one row and one column, even of a square that lies outside the frame.
    first_row, first_column = min(max(top, 0), height - 1), min(max(left, 0), width - 1)
    inside = source[first_row : max(top + side, 1), first_column : max(left + side, 1)]
    if inside.shape[:2] == (side, side):
        return inside
    above, before = (min(max(-start, 0), side - 1) for start in (top, left))
    below, after = side - above - inside.shape[0], side - before - inside.shape[1]
    return cv2.copyMakeBorder(inside, above, below, before, after, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)


def _bilinear(window: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Resizes a square, uint8 [side, side] or [side, side, 3]. Each channel's bytes are independent of the others."""
    # OpenCV has special code for 1, 2 and 4 channels. Three take half as long again as four, even with adding and dropping the fourth.
    wide = cv2.cvtColor(window, cv2.COLOR_BGR2BGRA) if window.ndim == 3 else window
    sized = cv2.resize(wide, (side_px, side_px), interpolation=cv2.INTER_LINEAR_EXACT)
    return (cv2.cvtColor(sized, cv2.COLOR_BGRA2BGR) if window.ndim == 3 else sized).astype(np.uint8, copy=False)


def _mean_of_blocks(window: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Shrinks a square, uint8 [side, side] or [side, side, 3], whose side is a multiple of `factor`, by that factor; halves up."""
    mean = _mean_by_opencv if _opencv_agrees(factor, window.shape[2:]) else _mean_by_numpy
    return mean(window, factor)


@cache
def _opencv_agrees(factor: int, channels: tuple[int, ...]) -> bool:
    """Whether OpenCV's area mean, 5 to 15 times as fast, gives the same bytes.

    By a factor of 2 it rounds halves up, and with an odd factor there are no halves; with other factors it rounds them to even. It is
    tried here, because OpenCV runs different code on each processor.
    """
    if factor % 2 == 0 and factor != 2:
        return False
    # A side that leaves a remainder for vector instructions of any width.
    drawn = np.random.default_rng(0).integers(0, 256, (37 * factor, 37 * factor, *channels), np.uint8)
    return np.array_equal(_mean_by_opencv(drawn, factor), _mean_by_numpy(drawn, factor))


def _mean_by_opencv(window: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    side = window.shape[0] // factor
    return cv2.resize(window, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _mean_by_numpy(window: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    # Adding whole rows first, then strided columns, is many times as fast in NumPy as one sum over the axes of blocks.
    side, channels = window.shape[0] // factor, window.size // window.shape[0] ** 2
    flat = window.reshape(window.shape[0], -1)
    # 16 by 16 pixels of 255, and half a block for rounding, still fit into 16 bits.
    rows = np.zeros((side, flat.shape[1]), np.uint16 if factor <= 16 else np.uint32)
    for row in range(factor):
        rows += flat[row::factor]
    sums = np.full((side, side * channels), factor * factor // 2, rows.dtype)
    for channel in range(channels):
        for column in range(factor):
            sums[:, channel::channels] += rows[:, column * channels + channel :: factor * channels]
    means: NDArray[np.uint8] = (sums // rows.dtype.type(factor * factor)).astype(np.uint8)
    return means.reshape(side, side, *window.shape[2:])


def _round_half_up(value: float) -> int:
    return math.floor(value + 0.5)
