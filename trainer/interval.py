"""The interval of an error rate over people: they, and not their comparisons, are what was drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm, t

from edge.contract.metrics import clopper_pearson


@dataclass(frozen=True, slots=True)
class Interval:
    """A rate with its 95 % interval over people; `resampled`, float64 [400], is what it is of people drawn anew."""

    value: float
    low: float
    high: float
    resampled: NDArray[np.float64] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.value:.2%} (95 % {self.low:.2%}-{self.high:.2%})"


def interval_of(
    value: float, missed: NDArray[np.int64], each: NDArray[np.int64], resampled: NDArray[np.float64], most: float
) -> Interval:
    """The interval of a rate of misses, of people of whom `each`, int [people], none 0, were compared so often and `missed` so often:
    Clopper and Pearson's, of so many independent comparisons as show as much, and nothing above `most`.

    Where nobody is missed, each resampling has the same people found: the other end is then that of none in so many people; likewise
    where everybody is.
    """
    none = clopper_pearson(0, len(each))[1]
    if not missed.any():
        low, high = np.nanpercentile(resampled, [2.5, 97.5])
        high = max(high, none)
    elif (missed == each).all():
        low, high = 1 - none, 1.0
    else:
        trials = independent_trials(missed, each, float(np.nanvar(resampled)))
        low = beta.ppf(0.025, value * trials, (1 - value) * trials + 1)
        high = beta.ppf(0.975, value * trials + 1, (1 - value) * trials)
    return Interval(value, float(low), float(min(high, most)), resampled)


def independent_trials(missed: NDArray[np.int64], each: NDArray[np.int64], variance: float) -> float:
    """How many independent comparisons show as much as those of people of whom `each`, int [people], were compared so often and `missed`
    so often, and of whom resamplings miss a share of this `variance`.

    Korn and Graubard (1998), "Confidence intervals for proportions with small expected number of positive counts estimated from
    survey data": those of the same variance, and fewer by the t distribution, for the variance is itself known from few people. Its
    degrees of freedom are what its own scatter says (Satterthwaite 1946): 2 n / (k - 1) of n people whose shares in it have the kurtosis
    k. Where few people make most of the misses, or of the comparisons, that is few.
    """
    people, share = len(each), missed.sum() / each.sum()
    squares = (missed - share * each) ** 2
    beyond = (squares**2).sum() - squares.sum() ** 2 / people
    freedom = min(2 * squares.sum() ** 2 / beyond, people - 1) if beyond > 0 else people - 1
    known = norm.ppf(0.975) / t.ppf(0.975, max(freedom, 1))
    # Of one person alone, or of people missed alike, each resampling is the same but for rounding.
    independent = share * (1 - share) / variance if variance > 1e-20 else people
    return float(independent * known**2)
