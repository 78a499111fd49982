"""Computed rates of attempts against the policy itself, run on random frames."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.modelfile import ModelFile
from edge.lockout import Failures
from edge.matcher import Match
from edge.policy import Grant, Policy
from edge.rates import at_least, far, far_until_disabled, frr
from edge.reasons import Reason
from edge.settings import PolicySettings


def test_by_hand() -> None:
    """At least two of three with probability 1/2: three outcomes with two, one with three, of eight."""
    assert at_least(2, 3, 0.5) == pytest.approx(4 / 8)
    assert at_least(1, 1, 0.3) == pytest.approx(0.3)


@pytest.mark.parametrize(("k", "n", "chance"), [(1, 1, 0.2), (2, 3, 0.2), (3, 10, 0.15), (3, 10, 0.5)])
def test_the_policy_grants_as_often_as_the_formula_says(k: int, n: int, chance: float) -> None:
    """20,000 attempts, each until its decision. The count may be off by five standard deviations."""
    policy = Policy(PolicySettings(matches=k, frames=n, rearm_s=0, window_s=60, lockout_failures=99, disable_failures=100))
    rng, now, granted, attempts = np.random.default_rng(k * n), 0.0, 0, 20_000
    for _ in range(attempts):
        decision = None
        while decision is None:
            now += 0.01
            decision = policy.observe(Match("ada", 0.9) if rng.random() < chance else Reason.NO_MATCH, now)
        granted += isinstance(decision, Grant)
        policy.restore(Failures())
    expected = at_least(k, n, chance)
    assert abs(granted / attempts - expected) < 5 * np.sqrt(expected * (1 - expected) / attempts)


def test_rates_of_the_committed_model(model: ModelFile) -> None:
    point, policy = model.operating_point(1e-3), PolicySettings()
    one, ten = far(point, policy), far(point, policy, subjects=10)
    assert one.independent < one.alike == pytest.approx(point.fmr)
    assert ten.alike == pytest.approx(10 * one.alike, rel=0.01)
    assert frr(point, policy).independent < frr(point, policy).alike == point.fnmr
    assert far_until_disabled(point, policy).alike == pytest.approx(1 - (1 - point.fmr) ** 50)
