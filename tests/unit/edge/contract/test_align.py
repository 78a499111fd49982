"""Alignment crops the same bytes on every machine, where the network says, and only where a face can be."""

from __future__ import annotations

import hashlib
import math

import cv2
import numpy as np
import pytest

from edge.contract.align import AlignSpec, Placement, crop, shrink
from edge.contract.errors import InputError, ModelUnsupported
from edge.contract.fingerprint import generated_frame

SPEC = AlignSpec(1, 52, 150, (0.0, 0.01, -0.3, -1.0), (0.01, 0.01, 0.07, 3.0))
PLACED = (
    Placement(0, 0, 0.7, 0), Placement(0.01, -0.02, 0.73, -5.3), Placement(-0.2, 0.2, 1.1, 30), Placement(0.013, 0.0017, 0.5, 0.77)
)  # fmt: skip


def chip() -> np.ndarray:
    return np.ascontiguousarray(generated_frame(208, 208, 3)[:, :, 0])


def test_the_bytes_are_the_same_on_every_machine() -> None:
    """Recorded with OpenCV 4.14 and numpy 2; identical with 4.11 and numpy 1, and without vector instructions."""
    digest = hashlib.sha256()
    for placed in PLACED:
        digest.update(crop(chip(), placed, 150).tobytes())
    digest.update(shrink(chip(), 52).tobytes())
    assert digest.hexdigest().startswith("8e62f73bd50a4b88")


def test_the_whole_chip_at_its_own_size_is_the_chip() -> None:
    assert np.array_equal(crop(chip(), Placement(0, 0, 1, 0), 208), chip())


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    """The square turns clockwise in the picture, so the crop looks turned counterclockwise."""
    turned = crop(chip(), Placement(0, 0, 1, 90), 208)
    assert np.abs(turned.astype(int) - np.rot90(chip(), 1)).max() <= 1


@pytest.mark.parametrize("placed", PLACED[:2])
def test_it_agrees_with_opencvs_own_warp(placed: Placement) -> None:
    smooth = cv2.GaussianBlur(chip(), (0, 0), 3)
    step = placed.size * 208 / 150
    c, s = step * math.cos(math.radians(placed.turn)), step * math.sin(math.radians(placed.turn))
    turn = np.array([[c, -s], [s, c]])
    middle = 103.5 + 208 * np.array([placed.right, placed.down])
    view = np.column_stack([turn, middle - turn @ np.full(2, 74.5)])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    theirs = cv2.warpAffine(smooth, view, (150, 150), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(crop(smooth, placed, 150).astype(int) - theirs).max() <= 3


def test_shrink_by_hand() -> None:
    """Means of 2x2 blocks, halves up: (0+1+0+1)/4 = 0.5 -> 1; (3+3+3+2)/4 = 2.75 -> 3."""
    small = shrink(np.array([[0, 1, 3, 3], [0, 1, 3, 2], [0, 0, 9, 9], [0, 1, 9, 9]], np.uint8), 2)
    assert small.tolist() == [[1, 3], [0, 9]]
    with pytest.raises(InputError, match="multiple of 3"):
        shrink(np.zeros((4, 4), np.uint8), 3)


def test_shrinking_the_brightest_chip_does_not_run_over() -> None:
    assert (shrink(np.full((256, 256), 255, np.uint8), 16) == 255).all()


def test_colour_is_cut_as_grey_is_and_shrunk_as_its_grey() -> None:
    colour = generated_frame(208, 208, 4)
    square = crop(colour, PLACED[1], 150)
    for channel in range(3):
        assert np.array_equal(square[:, :, channel], crop(np.ascontiguousarray(colour[:, :, channel]), PLACED[1], 150))
    assert np.array_equal(shrink(colour, 52), shrink(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), 52))


def test_an_answer_is_held_within_where_a_face_can_lie() -> None:
    assert SPEC.placement(np.zeros(4, np.float32)) == Placement(0.0, 0.01, math.exp(-0.3), -1.0)
    wild = SPEC.placement(np.full(4, 1e4, np.float32))
    assert wild == Placement(0.25, 0.25, 1.2, 45.0)
    assert SPEC.placement(np.full(4, -1e4, np.float32)) == Placement(-0.25, -0.25, 0.3, -45.0)


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"input_px": 8}, {"side_px": 500}, {"deviation": [0, 1, 1, 1]}, {"mean": [float("nan"), 0, 0, 0]}],
)
def test_another_specification_is_refused(change: dict[str, object]) -> None:
    assert AlignSpec.from_json(SPEC.to_json()) == SPEC
    with pytest.raises(ModelUnsupported):
        AlignSpec.from_json(SPEC.to_json() | change)
