"""Verification error rates from scores (ISO/IEC 19795-1): FMR, FNMR, EER, DET, thresholds and their intervals. Does no I/O.

Genuine and impostor scores are float [n]; higher is closer, and a comparison matches when score >= threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Rate:
    """`errors` in `trials`, with the 95 % Clopper-Pearson interval. A rate is never shown without counts and interval."""

    errors: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """errors / trials."""
        return self.errors / self.trials

    def __str__(self) -> str:
        return f"{self.value:.3%} ({self.errors}/{self.trials}, 95 % {self.low:.3%}-{self.high:.3%})"


@dataclass(frozen=True, slots=True)
class Det:
    """The DET curve: at `thresholds[i]` the rates are `fmr[i]` and `fnmr[i]`; thresholds rise, FMR falls, FNMR rises."""

    thresholds: NDArray[np.float64]
    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]


def clopper_pearson(errors: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval of Clopper and Pearson (1934).

    Needs SciPy, which only trainer and export install: a device reads intervals from its model.

    Raises:
        ValueError: `trials` is below 1 or `errors` is not in 0..trials.
    """
    from scipy.stats import beta

    if trials < 1 or not 0 <= errors <= trials:
        raise ValueError(f"{errors} errors in {trials} trials: need at least one trial and no more errors than trials")
    tail = (1 - confidence) / 2
    low = 0.0 if errors == 0 else float(beta.ppf(tail, errors, trials - errors + 1))
    high = 1.0 if errors == trials else float(beta.ppf(1 - tail, errors + 1, trials - errors))
    return low, high


def rate(errors: int, trials: int) -> Rate:
    """The rate with its interval. Raises ValueError as `clopper_pearson` does."""
    return Rate(int(errors), int(trials), *clopper_pearson(int(errors), int(trials)))


def fmr(impostor: ArrayLike, threshold: float) -> Rate:
    """FMR at `threshold`: the share of impostor comparisons that match."""
    scores = _scores(impostor, "impostor")
    return rate(int((scores >= threshold).sum()), scores.size)


def fnmr(genuine: ArrayLike, threshold: float) -> Rate:
    """FNMR at `threshold`: the share of genuine comparisons that do not match."""
    scores = _scores(genuine, "genuine")
    return rate(int((scores < threshold).sum()), scores.size)


def det(genuine: ArrayLike, impostor: ArrayLike) -> Det:
    """The DET curve at every distinct score, and above the highest one, where nothing matches."""
    genuine, impostor = np.sort(_scores(genuine, "genuine")), np.sort(_scores(impostor, "impostor"))
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    thresholds = np.append(thresholds, np.nextafter(thresholds[-1], math.inf))
    false_matches = impostor.size - np.searchsorted(impostor, thresholds, side="left")
    false_non_matches = np.searchsorted(genuine, thresholds, side="left")
    return Det(thresholds, false_matches / impostor.size, false_non_matches / genuine.size)


def eer(genuine: ArrayLike, impostor: ArrayLike) -> tuple[float, float]:
    """(EER, threshold): the mean of FMR and FNMR at the threshold where they are closest."""
    curve = det(genuine, impostor)
    index = int(np.argmin(np.abs(curve.fmr - curve.fnmr)))
    return float((curve.fmr[index] + curve.fnmr[index]) / 2), float(curve.thresholds[index])


def threshold_at_fmr(impostor: ArrayLike, target: float) -> float:
    """The lowest threshold whose FMR on these scores is at most `target`.

    Raises:
        ValueError: `target` is not in (0, 1), or there are too few scores for it (see `supports_fmr`).
    """
    scores = np.sort(_scores(impostor, "impostor"))
    if not 0 < target < 1:
        raise ValueError(f"target FMR {target}: must lie between 0 and 1")
    if not supports_fmr(scores.size, target):
        raise ValueError(f"target FMR {target}: needs at least {math.ceil(3 / target)} impostor trials, have {scores.size}")
    allowed = allowed_matches(scores.size, target)
    # The score at rank `allowed` from the top must not match, nor any equal to it.
    return float(np.nextafter(scores[scores.size - 1 - allowed], math.inf))


def allowed_matches(trials: int, target: float) -> int:
    """How many of `trials` impostor comparisons may match at an FMR of at most `target`."""
    return math.floor(target * trials + 1e-9)


def supports_fmr(trials: int, target: float) -> bool:
    """Whether `trials` are enough for `target`, by the rule of three: no error in N trials only shows, at 95 %, a rate below 3/N."""
    return trials * target >= 3 - 1e-9


def _scores(values: ArrayLike, name: str) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64).ravel()
    if scores.size == 0:
        raise ValueError(f"no {name} scores")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} scores hold values that are not finite")
    return scores
