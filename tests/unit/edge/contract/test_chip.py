"""The face chip: golden vectors, a naive reference, and the rules for edges and rounding."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.contract.chip import FaceBox, _mean_of_blocks, _opencv_agrees, as_source, chip_window, cut_chip, to_grey
from edge.contract.errors import InputError, ModelUnsupported
from edge.contract.fingerprint import chip_fingerprint, generated_frame
from edge.contract.spec import ChipSpec

SPEC = ChipSpec()


def pattern(height: int, width: int) -> np.ndarray:
    """A frame made with integer arithmetic only, so that it is the same on every machine."""
    y, x = np.mgrid[0:height, 0:width].astype(np.uint32)
    return ((x * 7 + y * 13 + (x * y) // 11) % 256).astype(np.uint8)


# SHA-256 of the chip's bytes. A change here changes the contract: raise CHIP_VERSION with it.
GOLDEN = [
    (FaceBox(100, 80, 120, 120), 64, "a488d3afd0bc0426bfa59616667f0894209410f1cf1802fa862b19b47afa797c"),
    (FaceBox(-20, -10, 90, 90), 64, "d7beec9e5d0ef3d17475227675a5b24f9fb71a332344b9e6b2ece3a90f44dee6"),
    (FaceBox(250, 200, 41, 43), 64, "9242bade5d4fc6c36a3aaae86c4c758e13ca3e7b7c432118bc02c08438110bb1"),
    (FaceBox(10, 10, 300, 300), 105, "ea7308649ed5dd190c089999ffb13fe54bb74dbbced81d4b60d7ddab4520705d"),
    (FaceBox(7, 9, 33, 33), 105, "219d02ecf1d891df2331b5045a8882435bad5618d63e1bc68ece7be2776dfaae"),
]


@pytest.mark.parametrize(("box", "side", "digest"), GOLDEN)
def test_golden_vectors(box: FaceBox, side: int, digest: str) -> None:
    chip = cut_chip(pattern(240, 320), box, ChipSpec(side_px=side))
    assert hashlib.sha256(chip.tobytes()).hexdigest() == digest


def test_a_window_of_the_chips_size_is_copied() -> None:
    frame = pattern(240, 320)
    chip = cut_chip(frame, FaceBox(100, 60, 64, 64), ChipSpec(shift_down=0.0))
    assert np.array_equal(chip, frame[60:124, 100:164])


def test_a_window_of_twice_the_size_is_the_mean_of_its_blocks_halves_up() -> None:
    """A window of 128 px for a chip of 64 px has factor 2: (a + b + c + d + 2) // 4 of each block, naively."""
    frame = pattern(240, 320)
    chip = cut_chip(frame, FaceBox(50, 40, 128, 128), ChipSpec(shift_down=0.0))
    for row, column in ((0, 0), (3, 60), (31, 32), (63, 63)):
        total = sum(int(frame[40 + 2 * row + i, 50 + 2 * column + j]) for i in (0, 1) for j in (0, 1))
        assert chip[row, column] == (total + 2) // 4


def test_the_window_lies_lower_by_the_share_of_the_box() -> None:
    frame = pattern(240, 320)
    chip = cut_chip(frame, FaceBox(100, 60, 64, 64), ChipSpec(shift_down=0.125))
    assert np.array_equal(chip, frame[68:132, 100:164])


def test_pixels_outside_repeat_the_nearest_inside() -> None:
    frame = pattern(240, 320)
    chip = cut_chip(frame, FaceBox(-32, 0, 64, 64), ChipSpec(shift_down=0.0))
    assert (chip[:, :32] == frame[:64, :1]).all()
    assert np.array_equal(chip[:, 32:], frame[:64, :32])


@pytest.mark.parametrize("box", [FaceBox(0, 0, 0, 10), FaceBox(0, 0, 10, 0), FaceBox(5, 5, -3, 4)])
def test_an_empty_box_is_refused(box: FaceBox) -> None:
    with pytest.raises(InputError, match="at least 1 px"):
        cut_chip(pattern(20, 20), box, SPEC)


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8), np.zeros(7, np.uint8)]
)
def test_what_is_no_grey_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected grey uint8"):
        cut_chip(frame, FaceBox(0, 0, 4, 4), SPEC)


def test_grey_frames_pass_unchanged_and_colour_is_weighed_as_opencv_does() -> None:
    grey = pattern(10, 12)
    assert to_grey(grey) is grey
    assert np.array_equal(to_grey(grey[:, :, None]), grey)
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)
    assert np.array_equal(to_grey(colour), cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))


@pytest.mark.parametrize(
    "frame", [np.zeros((1, 921600), np.int16), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(InputError, match="frame of"):
        to_grey(frame)


COLOUR = ChipSpec(side_px=64, channels=3)


@pytest.mark.parametrize("box", [FaceBox(101, 57, 113, 113), FaceBox(-20, -31, 90, 90), FaceBox(80, 40, 150, 150)])
def test_each_colour_is_cut_as_grey_is(box: FaceBox) -> None:
    frame = generated_frame(240, 320, 1)
    chip = cut_chip(as_source(frame, COLOUR), box, COLOUR)
    assert chip.shape == COLOUR.shape == (64, 64, 3)
    for channel in range(3):
        grey = cut_chip(np.ascontiguousarray(frame[:, :, channel]), box, ChipSpec(side_px=64))
        assert np.array_equal(chip[:, :, channel], grey)


def test_a_grey_camera_gives_three_colours_alike() -> None:
    grey = generated_frame(60, 80, 2)[:, :, 0]
    source = as_source(grey, COLOUR)
    assert source.shape == (60, 80, 3)
    assert all(np.array_equal(source[:, :, channel], grey) for channel in range(3))
    assert as_source(generated_frame(60, 80, 2), ChipSpec()).ndim == 2
    with pytest.raises(InputError, match="BGR uint8"):
        cut_chip(grey, FaceBox(0, 0, 40, 40), COLOUR)
    with pytest.raises(InputError, match="grey uint8"):
        cut_chip(source, FaceBox(0, 0, 40, 40), ChipSpec())


def test_colour_has_a_fingerprint_of_its_own() -> None:
    assert chip_fingerprint(COLOUR) != chip_fingerprint(ChipSpec(side_px=64))
    with pytest.raises(ModelUnsupported, match="channels 2"):
        ChipSpec(channels=2)


def test_a_window_that_no_larger_factor_divides_is_shrunk_by_the_one_that_does() -> None:
    """A side of 895 px for a chip of 64: factor 13 widens it to 897 = 13 * 69. 897 // 64 is 14, but 897 is not a multiple of 14."""
    spec = ChipSpec(
        version=1, detector="haar-alt2", scale=1.0, shift_down=0.09, side_px=64, interpolation="linear-exact", channels=1
    )
    frame = np.full((900, 900), 77, np.uint8)
    assert (cut_chip(frame, FaceBox(0, 0, 895, 895), spec) == np.full((64, 64), 77, np.uint8)).all()


BESIDE = [(160, 120), (-50, -40), (300, -30), (-30, 215), (290, 210), (-900, 0), (0, 900), (900, -900), (-2000, 2000)]


@pytest.mark.parametrize("corner", BESIDE)
@pytest.mark.parametrize("side", [40, 64, 128, 200, 1100])
def test_a_window_anywhere_is_what_a_naive_loop_cuts(corner: tuple[int, int], side: int) -> None:
    """With scale 1 and no shift the window is the box, or a little wider if it must be a multiple of the factor. It lies inside the frame,
    across each edge and far outside, in grey and in colour, with factors up to 17."""
    for spec in (ChipSpec(side_px=64, shift_down=0.0), ChipSpec(side_px=64, shift_down=0.0, channels=3)):
        frame = as_source(generated_frame(240, 320, 3), spec)
        box = FaceBox(*corner, side, side)
        left, top, wide = chip_window(box, spec)
        rows, columns = (np.clip(np.arange(start, start + wide), 0, end - 1) for start, end in ((top, 240), (left, 320)))
        factor = max(n for n in range(1, wide + 1) if n <= max(1, wide // 64) and wide % n == 0)
        blocks = frame[rows][:, columns].astype(np.int64).reshape(wide // factor, factor, wide // factor, factor, -1)
        means = (blocks.sum(axis=(1, 3)) + factor**2 // 2) // factor**2
        expected = cv2.resize(means.astype(np.uint8), (64, 64), interpolation=cv2.INTER_LINEAR_EXACT)
        assert np.array_equal(cut_chip(frame, box, spec), expected)


@pytest.mark.parametrize("factor", range(2, 18))
@pytest.mark.parametrize("channels", [(), (3,)])
def test_opencv_shrinks_where_it_gives_the_same_bytes(factor: int, channels: tuple[int, ...]) -> None:
    """A part of a larger frame, so its rows are not contiguous; naively, (sum + half) // count of each block."""
    frame = np.random.default_rng(factor).integers(0, 256, (41 * factor + 3, 41 * factor + 5, *channels), np.uint8)
    window = frame[3:, 5:]
    blocks = window.astype(np.int64).reshape(41, factor, 41, factor, -1).sum(axis=(1, 3))
    assert np.array_equal(_mean_of_blocks(window, factor).ravel(), ((blocks + factor**2 // 2) // factor**2).ravel())


def test_an_opencv_that_rounds_otherwise_shrinks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _opencv_agrees.cache_clear()
    monkeypatch.setattr("edge.contract.chip._mean_by_opencv", lambda window, factor: window[::factor, ::factor])
    window = np.array([[0, 1], [1, 0]], np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    try:
        assert _mean_of_blocks(window, 4).tolist() == [[1]]  # 8 / 16 is a half, which is rounded up
        assert _mean_of_blocks(window, 2).tolist() == [[0, 1], [1, 0]]
        assert not _opencv_agrees(2, ())
    finally:
        _opencv_agrees.cache_clear()


@pytest.mark.parametrize("side", [97, 210, 230, 407])
def test_a_colour_chip_is_the_three_chips_of_its_colours(side: int) -> None:
    """The sampling of a channel must not depend on the number of channels, for which OpenCV has different code."""
    frame = np.random.default_rng(side).integers(0, 256, (side + 20, side + 31, 3), np.uint8)
    box = FaceBox(9, 11, round(side / 1.4), round(side / 1.4))
    colour, grey = (replace(SPEC, side_px=208, scale=1.4, channels=channels) for channels in (3, 1))
    chip = cut_chip(frame, box, colour)
    for channel in range(3):
        assert np.array_equal(chip[:, :, channel], cut_chip(np.ascontiguousarray(frame[:, :, channel]), box, grey))
