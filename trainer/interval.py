"""Confidence intervals of error rates over people: the people, not their comparisons, are the random sample."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm, t

from edge.contract.metrics import clopper_pearson


@dataclass(frozen=True, slots=True)
class Interval:
    """A rate with its 95 % interval over people; `resampled`, float64 [400], has the rate for each resampling of the people."""

    value: float
    low: float
    high: float
    resampled: NDArray[np.float64] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.value:.2%} (95 % {self.low:.2%}-{self.high:.2%})"


def interval_of(
    value: float, missed: NDArray[np.int64], counts: NDArray[np.int64], resampled: NDArray[np.float64], upper_limit: float
) -> Interval:
    """The 95 % interval of a miss rate. `counts`, int [people], none 0, counts the comparisons of each person and `missed` the misses among
    them. It is the Clopper-Pearson interval for the effective number of independent comparisons, and its upper end is at most
    `upper_limit`.

    Without misses no resampling has one either, so the upper end is at least that for no misses in as many comparisons as there are
    people; likewise for the lower end if all comparisons are misses.
    """
    upper_if_none = clopper_pearson(0, len(counts))[1]
    if not missed.any():
        low, high = np.nanpercentile(resampled, [2.5, 97.5])
        high = max(high, upper_if_none)
    elif (missed == counts).all():
        low, high = 1 - upper_if_none, 1.0
    else:
        low, high = of_independent(value, independent_trials(missed, counts, float(np.nanvar(resampled))))
    return Interval(value, float(low), float(min(high, upper_limit)), resampled)


def of_independent(value: float, trials: float) -> tuple[float, float]:
    """The 95 % interval of Clopper and Pearson for a rate in so many trials; neither these nor the errors among them need be whole."""
    low = float(beta.ppf(0.025, value * trials, (1 - value) * trials + 1)) if value > 0 else 0.0
    high = float(beta.ppf(0.975, value * trials + 1, (1 - value) * trials)) if value < 1 else 1.0
    return low, high


def independent_trials(missed: NDArray[np.int64], counts: NDArray[np.int64], variance: float) -> float:
    """The effective number of independent comparisons: as many as carry the same information as those of people with `counts` comparisons
    and `missed` misses, int [people] both, whose miss rate has this `variance` over resamplings.

    Korn and Graubard (1998), "Confidence intervals for proportions with small expected number of positive counts estimated from
    survey data": the number with the same variance, reduced by the t distribution because the variance itself is estimated from few
    people. Its degrees of freedom follow from its scatter (Satterthwaite 1946): 2 n / (k - 1) for n people whose contributions have
    kurtosis k. They are few where few people have most of the misses or of the comparisons.
    """
    people, share = len(counts), missed.sum() / counts.sum()
    squares = (missed - share * counts) ** 2
    excess = (squares**2).sum() - squares.sum() ** 2 / people
    degrees_of_freedom = min(2 * squares.sum() ** 2 / excess, people - 1) if excess > 0 else people - 1
    correction = norm.ppf(0.975) / t.ppf(0.975, max(degrees_of_freedom, 1))
    # With one person, or people with equal miss rates, all resamplings are the same but for rounding.
    independent = share * (1 - share) / variance if variance > 1e-20 else people
    return float(independent * correction**2)
