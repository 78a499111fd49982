"""What epochs and heads are chosen by, counted by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.contract.score import score_all_pairs, with_cohort
from edge.contract.spec import ChipSpec
from trainer.backend import keras
from trainer.dataset import Chips, Faces
from trainer.judges import Judges, rates_and_cost
from trainer.networks import SiameseHead
from trainer.settings import Recipe
from trainer.spread import damp, damping_matrix

RNG = np.random.default_rng(0)


def test_the_cost_is_the_mean_of_the_rates_that_can_be_shown() -> None:
    """Of 400 scores of strangers four may match at FMR 1e-2, so the threshold is above 395 / 400 and misses two in five. At 0.8 both rates
    are 1/5. 1e-3 cannot be shown."""
    rates, cost = rates_and_cost(np.array([0.5, 0.98, 0.993, 0.994, 0.995]), np.arange(400) / 400)
    assert rates == pytest.approx({"eer": 0.2, "fnmr_0.01": 0.4})
    assert cost == pytest.approx(0.3)


def tower() -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 1))
    return keras.Model(pixels, keras.layers.Dense(6)(keras.layers.Flatten()(pixels)))


def test_an_epoch_is_judged_with_the_cohort() -> None:
    shown, labels = RNG.integers(0, 256, (80, 8, 8)).astype(np.uint8), np.repeat(np.arange(40), 2)
    shown[1::2] = (shown[::2] * 0.7 + shown[1::2] * 0.3).astype(np.uint8)
    faces = Faces(ChipSpec(), Chips.whole(shown), labels, [f"p{n}" for n in range(40)], "d", ["n"] * 80)
    cohort, network, head = Chips.whole(RNG.integers(0, 256, (20, 8, 8)).astype(np.uint8)), tower(), SiameseHead(True, True)
    head.build((None, 6))
    rows = {}
    for nearest, strangers in ((0, None), (3, cohort)):
        judges = Judges.placed(faces, strangers, Recipe().changed(tower__cohort=nearest), None)
        plain = head.to_numpy()
        used = with_cohort(plain, judges.strangers(network), 3) if nearest else plain
        expected, cost = rates_and_cost(*score_all_pairs(used, judges.embed(network), labels))
        rows[nearest], found = judges.validate(head, network)
        assert found == cost
        assert {key: value for key, value in rows[nearest].items() if key != "val_loss"} == {
            f"val_{key}": value for key, value in expected.items()
        }
    assert rows[0] != rows[3]


@pytest.mark.parametrize(("after", "damped"), [(0.1, True), (0.2, False), (0.3, False)])
def test_only_what_improves_the_figures_is_damped(after: float, damped: bool) -> None:
    network, pixels = tower(), RNG.uniform(0, 255, (50, 8, 8, 1)).astype(np.float32)
    before = np.asarray(network(pixels))
    told: list[Any] = [({"val_eer": 0.2, "val_teacher": 9.0}, 0.2), ({"val_eer": after, "val_teacher": 9.0}, after)]
    judges = SimpleNamespace(validate=lambda *_: told.pop(0))
    embeddings, record = damp(network, before, 0.5, judges, SiameseHead())  # type: ignore[arg-type]
    wanted = before @ damping_matrix(before, 0.5) if damped else before
    assert np.abs(before @ damping_matrix(before, 0.5) - before).max() > 1
    assert np.asarray(network(pixels)) == pytest.approx(wanted, rel=1e-3, abs=0.01)
    assert embeddings == pytest.approx(wanted)
    assert record == {"damped": damped, "before": {"val_eer": 0.2}, "after": {"val_eer": after}}
