"""Rates per attempt from rates per comparison: the FAR and FRR that k of n frames make of FMR and FNMR. Pure."""

from __future__ import annotations

from math import comb, expm1, log1p
from typing import NamedTuple

from edge.contract.modelfile import OperatingPoint
from edge.settings import PolicySettings


class Bounds(NamedTuple):
    """A rate if the frames of an attempt are independent, if they are all alike, and the `most` that it can be however they depend on
    each other.

    The truth need not lie between the first two. If few strangers look like the subject, each in every third frame, three of ten frames
    accept twice as many of them as all alike.
    """

    independent: float
    alike: float
    most: float


def at_least(k: int, n: int, p: float) -> float:
    """The chance of k or more successes in n independent trials of chance p."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def far(point: OperatingPoint, policy: PolicySettings, subjects: int = 1, templates: int = 1) -> Bounds:
    """The chance that one attempt of a stranger is accepted, with `subjects` enrolled and `templates` of each.

    The model's FMR is that of comparisons with one template. Several templates count here as independent chances for a stranger: they
    are of one face, so the true rate is lower.
    """
    frame = _any(templates, point.fmr)
    # However frames depend, no more than n p of n match on average, so k of them or more in n p / k attempts at most (Markov).
    most = subjects * templates * point.fmr * policy.frames / policy.matches
    return Bounds(_any(subjects, at_least(policy.matches, policy.frames, frame)), _any(subjects, frame), min(most, 1.0))


def frr(point: OperatingPoint, policy: PolicySettings) -> Bounds:
    """The chance that one attempt of an enrolled person is refused, comparisons being with one template."""
    misses = policy.frames - policy.matches + 1
    most = point.fnmr * policy.frames / misses
    return Bounds(at_least(misses, policy.frames, point.fnmr), point.fnmr, min(most, 1.0))


def far_until_disabled(point: OperatingPoint, policy: PolicySettings, templates: int = 1) -> Bounds:
    """The chance that a stranger who tries until the device is disabled is accepted once, if attempts are independent."""
    return Bounds(*(_any(policy.disable_failures, one) for one in far(point, policy, templates=templates)))


def _any(tries: int, chance: float) -> float:
    """The chance of a success or more in independent tries. Exact for tiny chances, where 1 - (1 - p) ** n would give 0."""
    return -expm1(tries * log1p(-chance)) if chance < 1 else 1.0
