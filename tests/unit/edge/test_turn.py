"""The turn of a head is measured with its sign; a mirror image has the opposite sign."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.contract.chip import as_source, cut_chip, to_grey
from edge.contract.detector import load_detector
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder
from edge.models import DEFAULT, model_path
from edge.quality import check_pose
from edge.reasons import Reason
from edge.settings import QualitySettings
from edge.turn import measure_turn, own_side
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View


def test_a_mirror_image_is_turned_as_far_the_other_way() -> None:
    face = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (150, 150), np.uint8), (0, 0), 4)
    assert measure_turn(face) == pytest.approx(-measure_turn(np.ascontiguousarray(face[:, ::-1])), abs=1e-4)
    assert measure_turn(face) != 0


def test_what_is_the_same_on_both_sides_is_not_turned() -> None:
    half = np.random.default_rng(0).integers(0, 255, (150, 75), np.uint8)
    assert measure_turn(np.hstack([half, half[:, ::-1]])) == pytest.approx(0, abs=1e-4)
    assert measure_turn(np.full((150, 150), 90, np.uint8)) == 0


def test_drawn_heads_that_turn_are_measured_in_their_order() -> None:
    """A head drawn with a positive yaw has its nose at the right of the picture, where a turn counts as positive."""
    model = read_model(model_path(DEFAULT))
    embedder, haar = Embedder(model), load_detector(model.chip.detector)
    rising = 0
    for seed in range(8):
        turns = []
        for yaw in (-14.0, 0.0, 14.0):
            view = View(yaw_deg=yaw, noise=1.0)
            frame = draw_frame(Person.from_seed(seed), view, np.random.default_rng(seed), width=640, height=480)
            box = haar.detect(to_grey(frame), min_px=120)[0]
            turns.append(measure_turn(to_grey(embedder.view(cut_chip(as_source(frame, model.chip), box, model.chip)))))
        rising += turns[0] + 0.05 < turns[2] and turns[0] < turns[1] < turns[2]
    assert rising >= 6


def test_it_is_measured_by_the_steps_that_its_weights_were_fitted_to() -> None:
    """Whatever the face: with another blur, clipping, noise or way of shrinking, limits in settings would mean something else."""
    rng = np.random.default_rng(0)
    soft, noisy = (cv2.GaussianBlur(rng.integers(0, 255, (150, 150), np.uint8), (0, 0), sigma) for sigma in (4, 0.6))
    assert [measure_turn(face) for face in (soft, noisy)] == pytest.approx([0.0596, 0.0316], abs=2e-4)


def test_a_mirror_shows_a_persons_left_at_the_left() -> None:
    assert (own_side(0.2, mirrored=False), own_side(0.2, mirrored=True)) == (0.2, -0.2)


@pytest.mark.parametrize(("turn", "tilt_deg"), [(0.3, 0.0), (-0.3, 0.0), (0.0, 13.0), (0.0, -13.0)])
def test_a_head_that_is_turned_or_tilted_too_far_is_refused(turn: float, tilt_deg: float) -> None:
    refusal = check_pose(turn, tilt_deg, QualitySettings())
    assert refusal is not None
    assert refusal.reason is Reason.TOO_TURNED
    assert refusal.measured > refusal.wanted


def test_a_head_within_the_limits_is_not() -> None:
    assert check_pose(0.27, -11.0, QualitySettings()) is None
