"""Properties of the contract, on which every side relies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge.contract.chip import FaceBox, cut_chip, to_grey
from edge.contract.errors import ModelError
from edge.contract.modelfile import parse_model
from edge.contract.quantise import dequantise, quantise
from edge.contract.score import Head, score, with_cohort
from edge.contract.spec import ChipSpec
from tests.conftest import MODEL
from trainer.prepare import cut_chip as cut_chip_of_the_trainer

DATA = MODEL.read_bytes()
numbers = st.floats(-1e4, 1e4, width=32)


@given(hnp.arrays(np.float32, 20, elements=numbers), st.floats(1e-3, 10), st.integers(-128, 127))
def test_quantising_errs_by_half_a_step_at_most(x: np.ndarray, scale: float, zero_point: int) -> None:
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    back = dequantise(quantise(x, scale, zero_point), scale, zero_point)
    assert np.allclose(back, np.clip(x, low, high), atol=scale / 2 + 1e-3)


embeddings = hnp.arrays(np.float32, (6, 5), elements=st.floats(-50, 50, width=32))
weights = hnp.arrays(np.float32, 5, elements=st.floats(0, 3, width=32))


@given(embeddings, weights, st.floats(-10, 10))
def test_scores_are_symmetric_bounded_and_highest_for_the_same(e: np.ndarray, w: np.ndarray, bias: float) -> None:
    head = Head(w, bias)
    table = np.stack([score(head, probe, e) for probe in e])
    assert np.array_equal(table, table.T)
    assert (table >= 0).all()
    assert (table <= 1).all()
    assert (table <= np.diag(table)[:, None]).all()


@given(embeddings, weights, st.integers(1, 4), st.booleans(), st.booleans())
def test_a_cohort_lowers_scores_alone_and_keeps_them_symmetric(
    e: np.ndarray, w: np.ndarray, nearest: int, normalise: bool, squared: bool
) -> None:
    plain = Head(w, 2.0, normalise, squared)
    table = np.stack([score(plain, probe, e) for probe in e])
    against = with_cohort(plain, e[::-1] + np.float32(1), nearest)
    held = np.stack([score(against, probe, e) for probe in e])
    assert np.allclose(held, held.T, rtol=1e-12)
    assert (held <= table).all()
    assert (held >= 0).all()


boxes = st.builds(FaceBox, st.integers(-80, 200), st.integers(-80, 150), st.integers(1, 260), st.integers(1, 260))
frames = st.tuples(st.integers(8, 120), st.integers(8, 160), st.integers(0, 2**32 - 1))


def random_frame(shape: tuple[int, int, int]) -> np.ndarray:
    height, width, seed = shape
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=200)
@given(frames, boxes, st.sampled_from([64, 105]))
def test_training_and_device_cut_the_same_bytes(shape: tuple[int, int, int], box: FaceBox, side: int) -> None:
    """The trainer reads pictures from disk, the device frames from memory; one function cuts the chips of both."""
    frame = random_frame(shape)
    spec = ChipSpec(side_px=side)
    assert cut_chip_of_the_trainer is cut_chip
    grey = to_grey(frame)
    chip = cut_chip(grey, box, spec)
    assert (chip.shape, chip.dtype) == ((side, side), np.uint8)
    assert chip.tobytes() == cut_chip(np.asfortranarray(grey), box, spec).tobytes()
    assert chip.tobytes() == cut_chip(to_grey(grey[:, :, None].copy()), box, spec).tobytes()


@settings(max_examples=100)
@given(frames, st.integers(-40, 60), st.integers(-40, 60), st.integers(8, 90), st.integers(0, 30), st.integers(0, 30))
def test_a_shifted_frame_gives_the_same_chip(
    shape: tuple[int, int, int], x: int, y: int, size: int, right: int, down: int
) -> None:
    """If the frame lies inside a larger one that repeats its edges, only the box moves."""
    grey = to_grey(random_frame(shape))
    moved = np.pad(grey, ((down, 40), (right, 40)), mode="edge")
    spec = ChipSpec()
    chip = cut_chip(grey, FaceBox(x, y, size, size), spec)
    assert np.array_equal(chip, cut_chip(moved, FaceBox(x + right, y + down, size, size), spec))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_one_flipped_byte_of_a_model_is_an_error(at: int, flip: int) -> None:
    data = bytearray(DATA)
    data[at] ^= flip
    with pytest.raises(ModelError):
        parse_model(bytes(data), Path("flipped.tflite"))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(DATA) - 1), st.binary(max_size=40))
def test_a_cut_or_grown_model_is_an_error(length: int, tail: bytes) -> None:
    for data in (DATA[:length], DATA[:length] + tail + b"!", DATA + tail + b"!", tail + DATA if tail else b""):
        with pytest.raises(ModelError):
            parse_model(data, Path("cut.tflite"))
