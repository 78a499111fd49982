"""Each gate refuses what it names and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.chip import cut_chip, to_grey
from edge.contract.detector import load_detector
from edge.contract.spec import ChipSpec
from edge.quality import check_quality
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


def test_every_reason_has_a_sentence_for_the_person() -> None:
    assert set(ADVICE) == set(Reason)
