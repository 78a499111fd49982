"""Computed rates of attempts against the policy itself, run on random frames."""

from __future__ import annotations

from dataclasses import replace

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
    assert far(point, policy, templates=8).alike == pytest.approx(1 - (1 - point.fmr) ** 8)
    assert frr(point, policy).independent < frr(point, policy).alike == point.fnmr
    assert far_until_disabled(point, policy).alike == pytest.approx(1 - (1 - point.fmr) ** 50)


def test_several_templates_and_attempts_by_hand(model: ModelFile) -> None:
    """Two of three frames at FMR 0.1: with two templates a frame matches with 1 - 0.9^2 = 0.19, two of three or more with
    3 * 0.19^2 * 0.81 + 0.19^3 = 0.094582; Markov's bound is 2 * 0.1 * 3 / 2. At FNMR 0.2 an attempt fails with two misses of three or
    more, 3 * 0.2^2 * 0.8 + 0.2^3 = 0.104; the bound is 0.2 * 3 / 2."""
    policy = PolicySettings(matches=2, frames=3, lockout_failures=3, disable_failures=4)
    point = replace(model.operating_point(1e-3), fmr=0.1, fnmr=0.2)
    assert far(point, policy, templates=2) == pytest.approx((0.094582, 0.19, 0.3))
    assert far(point, policy, subjects=3, templates=2) == pytest.approx((1 - (1 - 0.094582) ** 3, 1 - 0.81**3, 0.9))
    assert frr(point, policy) == pytest.approx((0.104, 0.2, 0.3))
    expected = [1 - (1 - one) ** 4 for one in (0.094582, 0.19, 0.3)]
    assert far_until_disabled(point, policy, templates=2) == pytest.approx(expected)
    assert far(replace(point, fmr=1.0), policy, subjects=9) == (1, 1, 1)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 10), (2, 3), (3, 10), (10, 10)])
def test_a_few_who_look_alike_stay_below_the_most(model: ModelFile, k: int, n: int) -> None:
    """Some people match in a share of their frames, everybody else in none; the FMR is the same. The truth may be above that of frames that
    are all alike, and for one of ten frames it is ten times as high."""
    point, policy = replace(model.operating_point(1e-3), fmr=1e-3, fnmr=1e-3), PolicySettings(matches=k, frames=n)
    shares = np.linspace(1e-3, 1, 1000)
    accepted = max(1e-3 / share * at_least(k, n, share) for share in shares)
    refused = max(1e-3 / share * at_least(n - k + 1, n, share) for share in shares)
    assert far(point, policy).independent < accepted * (1 + 1e-9)
    assert accepted <= far(point, policy).most * (1 + 1e-9)
    assert refused <= frr(point, policy).most * (1 + 1e-9)
    if (k, n) == (3, 10):
        assert accepted > 2 * far(point, policy).alike


def test_tiny_chances_are_no_zeros(model: ModelFile) -> None:
    """All of ten frames at FMR and FNMR 1e-5: 1 - (1 - 1e-50) would be 0."""
    point = replace(model.operating_point(1e-3), fmr=1e-5, fnmr=1e-5)
    assert far(point, PolicySettings(matches=10), subjects=3).independent == pytest.approx(3e-50, rel=1e-3)
    assert frr(point, PolicySettings(matches=1)).independent == pytest.approx(1e-50)
