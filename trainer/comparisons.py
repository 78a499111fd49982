"""All comparisons of a set of embeddings, in memory that does not grow with their number, and rates with intervals from them.

Every genuine score is kept, of the impostor scores only the highest: those that thresholds of use lie among.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from edge.contract.metrics import Rate, rate
from edge.contract.score import Head, place, score_all_pairs, sigmoid

ROWS = 256  # embeddings compared with all others at a time
SAMPLE = 1500  # embeddings on which it is found how many impostor scores are worth keeping
RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval from resampling people, who, not comparisons, are what was drawn at random."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2%} (95 % {self.low:.2%}-{self.high:.2%})"


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Scores, float64, sorted from low to high, each with the two rows it compares, int [n, 2]. Of `impostors` comparisons the
    highest are listed; `histogram` counts all scores, genuine and impostor, in as many equal bins of [0, 1]."""

    genuine: NDArray[np.float64]
    genuine_rows: NDArray[np.int64]
    impostor: NDArray[np.float64]
    impostor_rows: NDArray[np.int64]
    impostors: int
    labels: NDArray[np.int64]
    histogram: NDArray[np.int64]

    def threshold(self, target_fmr: float) -> float:
        """The lowest threshold whose FMR is at most `target_fmr`.

        Raises:
            ValueError: the comparisons are too few for it, or the scores kept do not reach down to it.
        """
        allowed = int(target_fmr * self.impostors + 1e-9)
        if self.impostors * target_fmr < 3 - 1e-9:
            raise ValueError(f"FMR {target_fmr}: {self.impostors} impostor comparisons cannot show it")
        if allowed >= len(self.impostor):
            raise ValueError(f"FMR {target_fmr}: only the {len(self.impostor)} highest of {self.impostors} scores were kept")
        return float(np.nextafter(self.impostor[-1 - allowed], np.inf))

    def tar(self, target_fmr: float) -> Interval:
        """The share of genuine comparisons that match at `target_fmr`, with the interval over people."""
        value = float((self.genuine >= self.threshold(target_fmr)).mean())
        return self._interval(value, [1 - float(resampled.miss(target_fmr)) for resampled in self._resampled()])

    def eer(self) -> Interval:
        """Where FMR and FNMR are equal, with the interval over people."""
        plain = _Weighted(self, np.ones(self._people()))
        return self._interval(plain.eer(), [resampled.eer() for resampled in self._resampled()])

    def miss_rate(self, threshold: float, chosen: NDArray[np.bool_] | None = None) -> Rate:
        """FNMR at a threshold, over the genuine comparisons `chosen`, all where not given."""
        scores = self.genuine if chosen is None else self.genuine[chosen]
        return rate(int((scores < threshold).sum()), scores.size)

    def curve(self, points: int = 400) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(FMR, FNMR) as far as the kept scores reach, at `points` places even on a logarithmic axis."""
        counts = np.unique(np.geomspace(1, len(self.impostor), points).astype(int))
        thresholds = self.impostor[-counts]
        return counts / self.impostors, np.searchsorted(self.genuine, thresholds, side="left") / len(self.genuine)

    def _people(self) -> int:
        return int(self.labels.max()) + 1

    def _resampled(self) -> list[_Weighted]:
        rng, people = np.random.default_rng(0), self._people()
        return [_Weighted(self, rng.multinomial(people, np.full(people, 1 / people)).astype(float)) for _ in range(RESAMPLES)]

    @staticmethod
    def _interval(value: float, resampled: list[float]) -> Interval:
        low, high = np.nanpercentile(resampled, [2.5, 97.5])
        return Interval(value, float(low), float(high))


class _Weighted:
    """The comparisons with each person counting `weight` times: a genuine one so often, an impostor one as both together."""

    def __init__(self, of: Comparisons, weight: NDArray[np.float64]) -> None:
        labels = of.labels
        self._genuine = np.concatenate([[0.0], np.cumsum(weight[labels[of.genuine_rows[:, 0]]])])
        kept = weight[labels[of.impostor_rows[:, 0]]] * weight[labels[of.impostor_rows[:, 1]]]
        self._above = np.cumsum(kept[::-1])  # [k]: weight of the k + 1 highest impostor scores
        per_person = np.bincount(labels, minlength=len(weight)) * weight
        own = np.bincount(labels, minlength=len(weight)) ** 2 * weight**2
        self._all = (per_person.sum() ** 2 - own.sum()) / 2
        self._of = of

    def miss(self, target_fmr: float) -> float:
        at = int(np.searchsorted(self._above, target_fmr * self._all, side="right"))
        if at >= len(self._above) or self._genuine[-1] == 0:
            return float("nan")
        below = np.searchsorted(self._of.genuine, self._of.impostor[-1 - at], side="right")
        return float(self._genuine[below] / self._genuine[-1])

    def eer(self) -> float:
        below = np.searchsorted(self._of.genuine, self._of.impostor[::-1], side="left")
        if self._genuine[-1] == 0 or self._all == 0:
            return float("nan")
        fnmr, fmr = self._genuine[below] / self._genuine[-1], self._above / self._all
        at = int(np.argmin(np.abs(fnmr - fmr)))
        return float((fnmr[at] + fmr[at]) / 2)


def compare_all(
    head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64], templates: NDArray[np.float32] | None = None
) -> Comparisons:
    """Every pair of the embeddings, float32 [n, D], with `labels`, int [n], counted from 0; the first of a pair as its template where
    `templates`, float32 [n, D], are given.

    Raises:
        ValueError: there is no genuine or no impostor comparison.
    """
    placed = place(head, embeddings)
    enrolled = placed if templates is None else place(head, templates)
    kind = "sqeuclidean" if head.squared else "cityblock"
    floor = _floor(head, embeddings, labels, templates)
    genuine, genuine_rows, impostor, impostor_rows, impostors = [], [], [], [], 0
    histogram = np.zeros((2, 100), np.int64)
    for at in range(0, len(labels), ROWS):
        mine, theirs = enrolled[at : at + ROWS], placed[at:]
        penalty = (mine.penalty[:, None] + theirs.penalty[None, :]) / 2
        scores = sigmoid(head.bias - cdist(mine.points, theirs.points, kind) - penalty)
        rows = np.arange(len(scores))
        later = np.arange(scores.shape[1])[None, :] > rows[:, None]
        same = labels[at : at + ROWS, None] == labels[None, at:]
        for mask, floor_of, values, places in ((same, -1.0, genuine, genuine_rows), (~same, floor, impostor, impostor_rows)):
            wanted = later & mask
            histogram[0 if floor_of < 0 else 1] += np.histogram(scores[wanted], 100, (0, 1))[0]
            left, right = np.nonzero(wanted & (scores >= floor_of))
            values.append(scores[left, right])
            places.append(np.column_stack([left, right]) + at)
        impostors += int((later & ~same).sum())
    kept = [np.concatenate(part) for part in (genuine, genuine_rows, impostor, impostor_rows)]
    if not len(kept[0]) or not impostors:
        raise ValueError(f"{len(kept[0])} genuine and {impostors} impostor comparisons: at least one of each is needed")
    first, second = np.argsort(kept[0], kind="stable"), np.argsort(kept[2], kind="stable")
    return Comparisons(kept[0][first], kept[1][first], kept[2][second], kept[3][second], impostors, labels, histogram)


def _floor(
    head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64], templates: NDArray[np.float32] | None
) -> float:
    """The score from which on impostor comparisons are kept: well below where FMR and FNMR are equal."""
    rows = np.sort(np.random.default_rng(0).permutation(len(labels))[:SAMPLE])
    genuine, impostor = score_all_pairs(head, embeddings[rows], labels[rows], None if templates is None else templates[rows])
    if not genuine.size or not impostor.size or len(rows) == len(labels) <= SAMPLE // 2:
        return 0.0
    missed = [np.mean(genuine < np.quantile(impostor, 1 - share)) for share in (0.01, 0.02, 0.05, 0.1, 0.2)]
    share = next((2 * s for s, m in zip((0.01, 0.02, 0.05, 0.1, 0.2), missed, strict=True) if m < s), 1.0)
    return float(np.quantile(impostor, 1 - share)) if share < 1 else 0.0


def pair_errors(
    genuine: NDArray[np.float64], impostor: NDArray[np.float64], *, folds: int = 10, pairs: int = 6000, seed: int = 0
) -> Rate:
    """Errors of balanced pair classification by the rule of LFW's View 2: in each fold the threshold that is best on the others.

    Draws `pairs` / 2 of each kind (fewer where there are fewer) without replacement.
    """
    rng = np.random.default_rng(seed)
    count = min(pairs // 2, genuine.size, impostor.size) // folds
    if count < 1:
        raise ValueError(f"{genuine.size} genuine and {impostor.size} impostor scores: too few for {folds} folds")
    same = rng.choice(genuine, (folds, count), replace=False)
    other = rng.choice(impostor, (folds, count), replace=False)
    return fold_errors(same, other)


def fold_errors(same: NDArray[np.float64], other: NDArray[np.float64]) -> Rate:
    """Errors over folds, float [folds, n] genuine and impostor scores, each fold judged by the best threshold of the others."""
    errors = 0
    for fold in range(len(same)):
        rest = np.arange(len(same)) != fold
        threshold = _best_threshold(same[rest].ravel(), other[rest].ravel())
        errors += int((same[fold] < threshold).sum() + (other[fold] >= threshold).sum())
    return rate(errors, same.size + other.size)


def _best_threshold(same: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    candidates = np.unique(np.concatenate([same, other]))
    wrong = np.searchsorted(np.sort(same), candidates) + other.size - np.searchsorted(np.sort(other), candidates)
    return float(candidates[np.argmin(wrong)])
