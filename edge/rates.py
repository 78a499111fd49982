"""Rates per attempt from rates per comparison: the FAR and FRR that k of n frames make of FMR and FNMR. Pure."""

from __future__ import annotations

from math import comb
from typing import NamedTuple

from edge.contract.modelfile import OperatingPoint
from edge.settings import PolicySettings


class Bounds(NamedTuple):
    """A rate if the frames of an attempt are independent, and if they are all alike; the truth lies between."""

    independent: float
    alike: float


def at_least(k: int, n: int, p: float) -> float:
    """The chance of k or more successes in n independent trials of chance p."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def far(point: OperatingPoint, policy: PolicySettings, subjects: int = 1, templates: int = 1) -> Bounds:
    """The chance that one attempt of a stranger is accepted, with `subjects` enrolled and `templates` of each.

    The model's FMR is that of comparisons with one template. Several templates count here as independent chances for a stranger: they
    are of one face, so the true rate is lower.
    """

    def anyone(one: float) -> float:
        return 1 - (1 - min(one, 1.0)) ** subjects

    frame = 1 - (1 - point.fmr) ** templates
    return Bounds(anyone(at_least(policy.matches, policy.frames, frame)), anyone(frame))


def frr(point: OperatingPoint, policy: PolicySettings) -> Bounds:
    """The chance that one attempt of an enrolled person is refused, comparisons being with one template."""
    return Bounds(1 - at_least(policy.matches, policy.frames, 1 - point.fnmr), point.fnmr)


def far_until_disabled(point: OperatingPoint, policy: PolicySettings, templates: int = 1) -> Bounds:
    """The chance that a stranger who tries until the device is disabled is accepted once."""
    one = far(point, policy, templates=templates)
    tries = policy.disable_failures
    return Bounds(1 - (1 - one.independent) ** tries, 1 - (1 - one.alike) ** tries)
