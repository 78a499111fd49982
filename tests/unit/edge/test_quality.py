"""Each quality gate refuses what its reason names and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.chip import cut_chip, to_grey
from edge.contract.detector import load_detector
from edge.contract.spec import ChipSpec
from edge.quality import Gate, Refusal, check_pose, check_quality, measure_chip, measure_pose
from edge.reasons import ADVICE, Reason
from edge.settings import QualitySettings
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    grey = to_grey(draw_frame(Person.from_seed(1), View(), np.random.default_rng(0), width=320, height=240))
    (box,) = load_detector("haar-alt2").detect(grey, min_px=60)
    return cut_chip(grey, box, ChipSpec())


def test_a_good_face_passes(face: np.ndarray) -> None:
    assert check_quality(face, QualitySettings()) is None


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda chip: (chip * 0.2).astype(np.uint8), Reason.TOO_DARK),
        (lambda chip: (215 + chip * 0.15).astype(np.uint8), Reason.TOO_BRIGHT),
        (lambda chip: (110 + chip * 0.04).astype(np.uint8), Reason.LOW_CONTRAST),
        (lambda chip: np.tile(np.linspace(60, 160, 64).astype(np.uint8), (64, 1)), Reason.BLURRED),
    ],
)
def test_each_gate_names_its_cause(face: np.ndarray, spoil: object, reason: Reason) -> None:
    refusal = check_quality(spoil(face), QualitySettings())  # type: ignore[operator]
    assert refusal is not None
    assert refusal.reason is reason


def test_a_face_just_at_a_limit_passes() -> None:
    """A chess board of 108 and 132: its mean is 120, its deviation 12, and its Laplacian plus or minus 96."""
    board = np.where(np.indices((64, 64)).sum(0) % 2, 132, 108).astype(np.uint8)
    at = {"min_brightness": 120.0, "max_brightness": 120.0, "min_contrast": 12.0, "min_sharpness": 96.0**2}
    settings = QualitySettings.model_construct(**at, max_turn=0.28, max_tilt_deg=12.0)
    assert [gauge.value for gauge in measure_chip(board, settings)] == [120, 12, 96**2]
    assert check_quality(board, settings) is None
    assert all(gauge.passes for gauge in measure_chip(board, settings))
    for key, change in zip(at, (1, -1, 1, 1), strict=True):
        assert check_quality(board, settings.model_copy(update={key: at[key] + change})) is not None, key
    for sign in (1, -1):
        assert check_pose(sign * 0.28, sign * 12.0, settings) is None
        gauges = measure_pose(sign * 0.28, sign * 12.0, settings)
        assert [(gauge.value, gauge.passes) for gauge in gauges] == [(0.28, True), (12.0, True)]


def test_every_reason_has_a_sentence_for_the_person() -> None:
    assert set(ADVICE) == set(Reason)


@pytest.mark.parametrize("gain", [0.15, 0.5, 1.0, 1.6, 4.0])
@pytest.mark.parametrize("contrast", [0.02, 0.4, 1.0])
def test_the_gauges_pass_where_the_gates_do(face: np.ndarray, gain: float, contrast: float) -> None:
    chip = np.clip(gain * (face.mean() + contrast * (face - face.mean())), 0, 255).astype(np.uint8)
    gauges, refusal = measure_chip(chip, QualitySettings()), check_quality(chip, QualitySettings())
    assert [gauge.gate for gauge in gauges] == [Gate.BRIGHTNESS, Gate.CONTRAST, Gate.SHARPNESS]
    assert all(gauge.passes for gauge in gauges) is (refusal is None)
    if refusal:
        assert next(gauge for gauge in gauges if not gauge.passes).value == refusal.measured


@pytest.mark.parametrize(("turn", "tilt"), [(0.1, 2.0), (-0.3, 2.0), (0.1, -13.0), (0.3, 13.0), (-0.1, None)])
def test_the_gauges_of_the_pose_too(turn: float, tilt: float | None) -> None:
    gauges = measure_pose(turn, tilt, QualitySettings())
    assert all(gauge.passes for gauge in gauges) is (check_pose(turn, tilt or 0.0, QualitySettings()) is None)
    assert [gauge.gate for gauge in gauges] == [Gate.TURN, Gate.TILT][: 1 if tilt is None else 2]


def test_advice_names_value_and_limit_where_there_are_two() -> None:
    assert Refusal(Reason.TOO_DARK, 31.4, 45.0).advice == "too dark; turn a light on (31 of 45)"
    assert Refusal(Reason.TOO_TURNED, 0.312, 0.28).advice == "turned away; look straight into the camera (0.31 of 0.28)"
    assert Refusal(Reason.NO_FACE, 0, 1).advice == ADVICE[Reason.NO_FACE]
    assert Refusal(Reason.SEVERAL_FACES, 2, 1).advice == ADVICE[Reason.SEVERAL_FACES]
