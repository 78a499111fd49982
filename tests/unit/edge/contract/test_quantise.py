"""Quantisation: halves are rounded away from zero, values are clipped, and pixels become int8."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.quantise import chip_to_int8, dequantise, quantise


def test_halves_go_away_from_zero() -> None:
    """x/s = 0.5, 1.5, 2.5, -0.5, -1.5: numpy's round would give 0, 2, 2, 0, -2 and a cast 0, 1, 2, 0, -1."""
    found = quantise(np.array([0.5, 1.5, 2.5, -0.5, -1.5]), 1.0, 0)
    assert found.tolist() == [1, 2, 3, -1, -2]


def test_values_out_of_range_are_clipped_not_wrapped() -> None:
    assert quantise(np.array([1e9, -1e9, np.inf]), 0.5, 3).tolist() == [127, -128, 127]


def test_what_was_quantised_comes_back() -> None:
    every = np.arange(-128, 128).astype(np.int8)
    assert np.array_equal(quantise(dequantise(every, 0.037, -5), 0.037, -5), every)


def test_a_pixel_as_int8_is_the_pixel_less_128() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(chip_to_int8(pixels).astype(int), pixels.astype(int) - 128)
    assert np.array_equal(chip_to_int8(pixels), quantise(pixels, 1.0, -128))


@pytest.mark.parametrize(("scale", "zero_point"), [(0.0, 0), (-1.0, 0), (np.nan, 0), (1.0, 200), (1.0, -129)])
def test_impossible_parameters_are_refused(scale: float, zero_point: int) -> None:
    with pytest.raises(ValueError, match=r"scale|zero"):
        quantise(np.zeros(1), scale, zero_point)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        quantise(np.array([np.nan]), 1.0, 0)
