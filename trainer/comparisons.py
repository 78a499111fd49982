"""All comparisons of a set of embeddings, and error rates with intervals from them.

Every genuine score is kept, but only the highest impostor scores, the range in which useful thresholds lie: one in fifty for a good
verifier, two in five or all for a bad one. For 13,000 pictures (84 million comparisons) that takes 0.3 GB in all for a good verifier
and 4.7 GB for one that tells nobody apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.spatial.distance import cdist

from edge.contract.metrics import Rate, allowed_matches, rate, supports_fmr
from edge.contract.score import Head, Placed, place_both, score_all_pairs, settled, sigmoid
from trainer.interval import Interval, interval_of

ROWS = 256  # embeddings compared with all others at a time
SAMPLE = 1500  # embeddings sampled to decide which impostor scores are kept
RESAMPLES = 400
# At most this many impostor scores are used in a resampling: the highest ones, and as many evenly spaced among all that are kept.
RESAMPLED = 2_000_000
# From this many pictures, or kept impostor scores, a progress bar is shown.
MANY_PICTURES, MANY_SCORES = 3000, 100_000


@dataclass(frozen=True, slots=True)
class Rates:
    """The EER, and the TAR (share of genuine comparisons that match) by target FMR."""

    eer: Interval
    tar: dict[float, Interval]


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Scores, float64 [n], in ascending order, and for each the two rows it compares, int32 [n, 2].

    `impostors` counts all impostor comparisons, of which only the highest scores are listed; `labels`, int64, is the person of each
    row. `histogram`, int64 [2, 100], counts all genuine and all impostor scores in equal bins of [0, 1]; `twice`, int64 [2], counts the
    genuine and the impostor comparisons whose probe was looked at twice.
    """

    genuine: NDArray[np.float64]
    genuine_rows: NDArray[np.int32]
    impostor: NDArray[np.float64]
    impostor_rows: NDArray[np.int32]
    impostors: int
    labels: NDArray[np.int64]
    histogram: NDArray[np.int64]
    twice: NDArray[np.int64]

    def threshold(self, target_fmr: float) -> float:
        """The lowest threshold whose FMR is at most `target_fmr`.

        Raises:
            ValueError: there are too few comparisons for it, or too few of the scores were kept.
        """
        allowed = allowed_matches(self.impostors, target_fmr)
        if not supports_fmr(self.impostors, target_fmr):
            raise ValueError(f"FMR {target_fmr}: {self.impostors} impostor comparisons cannot show it")
        if allowed >= len(self.impostor):
            raise ValueError(f"FMR {target_fmr}: only the {len(self.impostor)} highest of {self.impostors} scores were kept")
        return float(np.nextafter(self.impostor[-1 - allowed], np.inf))

    def rates(self, targets: Sequence[float]) -> Rates:
        """The EER, and the TAR at each target FMR that the comparisons support, with intervals from resampling people."""
        supported = [target for target in targets if self._supports(target)]
        estimates, resampled = (
            self._error_rates(supported, np.ones((1, self._people()))),
            self._error_rates(supported, self._weights()),
        )
        owners = self.labels[self.genuine_rows[:, 0]]
        counts = np.bincount(owners)

        def interval(column: int, upper_limit: float) -> Interval:
            value = float(estimates[0, column])
            missed = np.bincount(owners[: round(value * len(owners))], minlength=len(counts))
            return interval_of(value, missed[counts > 0], counts[counts > 0], resampled[:, column], upper_limit)

        tar, stricter = {}, 1.0
        for column, target in sorted(enumerate(supported, start=1), key=lambda entry: entry[1]):
            # FNMR does not increase with FMR, so the upper bound at a lower FMR holds here too.
            missed = interval(column, stricter)
            stricter = missed.high
            tar[target] = Interval(1 - missed.value, 1 - missed.high, 1 - missed.low, 1 - missed.resampled)
        return Rates(interval(0, 1.0), {target: tar[target] for target in supported})

    def miss_rate(self, threshold: float, chosen: NDArray[np.bool_] | None = None) -> Rate:
        """FNMR at a threshold, over the genuine comparisons `chosen`, by default all."""
        scores = self.genuine if chosen is None else self.genuine[chosen]
        return rate(int((scores < threshold).sum()), scores.size)

    def twice_shares(self) -> dict[str, float]:
        """The shares of genuine and of impostor comparisons whose probe was looked at twice."""
        genuine, impostor = (int(count) for count in self.twice)
        return {"genuine": genuine / len(self.genuine), "impostor": impostor / self.impostors}

    def curve(self, points: int = 400) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(FMR, FNMR), float64 [k] each, over the kept scores, at up to `points` places evenly spaced on a logarithmic axis."""
        counts = np.unique(np.geomspace(1, len(self.impostor), points).astype(int))
        thresholds = self.impostor[-counts]
        # Equal scores match together or not at all.
        matched = len(self.impostor) - np.searchsorted(self.impostor, thresholds, side="left")
        return matched / self.impostors, np.searchsorted(self.genuine, thresholds, side="left") / len(self.genuine)

    def _people(self) -> int:
        return int(self.labels.max()) + 1

    def _supports(self, target: float) -> bool:
        return supports_fmr(self.impostors, target) and allowed_matches(self.impostors, target) < len(self.impostor)

    def _weights(self) -> Iterable[NDArray[np.float64]]:
        rng, people = np.random.default_rng(0), self._people()
        drawn = (rng.multinomial(people, np.full(people, 1 / people)).astype(float) for _ in range(RESAMPLES))
        quick = len(self.impostor) < MANY_SCORES
        return track(drawn, "resampling people", RESAMPLES, console=Console(stderr=True), disable=quick)

    def _error_rates(self, targets: list[float], weights: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The EER, and the FNMR at each target FMR, float64 [number of weights, 1 + targets], with each person drawn `weight` times: a
        genuine comparison counts with its person's weight, an impostor one with the product of both people's."""
        step = -(-len(self.impostor) // RESAMPLED)
        even = _DescendingScores(self, np.arange(len(self.impostor) - step, -1, -step), step)
        top = (
            even
            if step == 1
            else _DescendingScores(self, np.arange(len(self.impostor) - 1, len(self.impostor) - 1 - RESAMPLED, -1), 1)
        )
        owner, pictures = self.labels[self.genuine_rows[:, 0]], np.bincount(self.labels, minlength=self._people())
        rows = []
        for weight in weights:
            missed = np.concatenate([[0.0], np.cumsum(weight[owner])])
            total = ((pictures * weight).sum() ** 2 - (pictures**2 * weight**2).sum()) / 2
            if missed[-1] == 0 or total == 0:
                rows.append([np.nan] * (1 + len(targets)))
                continue
            fnmr, above = missed / missed[-1], {scores: scores.above(weight) for scores in {even, top}}
            row = [even.eer(above[even] / total, fnmr)]
            for target in targets:
                scores = top if 2 * target * self.impostors < len(top) else even
                row.append(scores.miss(above[scores], target * total, fnmr))
            rows.append(row)
        return np.array(rows)


class _DescendingScores:
    """Impostor scores in descending order: the kept ones at `rows`, each standing for `multiplicity` scores."""

    def __init__(self, comparisons: Comparisons, rows: NDArray[np.int64], multiplicity: int) -> None:
        scores = comparisons.impostor[rows]
        self._one, self._other = comparisons.labels[comparisons.impostor_rows[rows]].T.astype(np.int32)
        self._multiplicity = multiplicity
        # How many genuine scores are at or below each.
        self._at_or_below = np.searchsorted(comparisons.genuine, scores, side="right")
        # The last of each run of equal scores, which match together or not at all; and how many genuine scores are below it.
        self._last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
        self._below = np.searchsorted(comparisons.genuine, scores[self._last], side="left")
        # The possible counts of genuine scores below a threshold.
        changes = np.flatnonzero(comparisons.genuine[1:] != comparisons.genuine[:-1]) + 1
        self._miss_counts = np.concatenate([[0], changes, [len(comparisons.genuine)]])

    def __len__(self) -> int:
        return len(self._one)

    def above(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """The total weight of the k + 1 highest scores, float64 [k]."""
        return self._multiplicity * np.cumsum(weight[self._one] * weight[self._other])

    def miss(self, above: NDArray[np.float64], allowed: float, fnmr: NDArray[np.float64]) -> float:
        """FNMR at the lowest threshold at which matching impostor comparisons weigh at most `allowed`; fnmr[k] is the FNMR at a
        threshold above the k lowest genuine scores. NaN if the scores do not reach that far."""
        index = int(np.searchsorted(above, allowed + 1e-9, side="right"))
        return float(fnmr[self._at_or_below[index]]) if index < len(above) else float("nan")

    def eer(self, fmr: NDArray[np.float64], fnmr: NDArray[np.float64]) -> float:
        """The mean of FMR and FNMR where they are closest: at the highest impostor score whose FMR is not below its FNMR, or at a threshold
        above that score, up to the next higher one."""
        fmr, missed = fmr[self._last], fnmr[self._below]
        index = min(int(np.searchsorted(fmr - missed, 0.0)), len(fmr) - 1)
        matched, most = (fmr[index - 1], self._below[index - 1]) if index else (0.0, len(fnmr) - 1)
        lost = fnmr[_between(self._miss_counts, self._at_or_below[self._last[index]], most)]
        above = lost[np.argmin(np.abs(lost - matched))]
        rates = min((missed[index], fmr[index]), (above, matched), key=lambda pair: abs(pair[0] - pair[1]))
        return float(sum(rates) / 2)


def _between(values: NDArray[np.int64], low: int, high: int) -> NDArray[np.int64]:
    """The part of ascending `values` from `low` to `high`, inclusive; both must be among them."""
    return values[np.searchsorted(values, low) : np.searchsorted(values, high, side="right")]


def compare_all(
    head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64], templates: NDArray[np.float32] | None = None
) -> Comparisons:
    """Compares every pair of the embeddings, float32 [n, D], of people `labels`, int [n], counted from 0. If `templates`, float32
    [n, D], are given, the first face of each pair is its template.

    Raises:
        ValueError: there is no genuine or no impostor comparison.
    """
    enrolled, placed = place_both(head, embeddings, templates)
    floor = _floor(head, embeddings, labels, templates)
    comparisons = _compare(head, enrolled, placed, labels, floor)
    # The sample behind the floor may have had few genuine comparisons. The EER threshold must lie well above the floor; if not, keep all.
    if floor and 2 * np.mean(comparisons.genuine < floor) > len(comparisons.impostor) / comparisons.impostors:
        comparisons = _compare(head, enrolled, placed, labels, 0.0)
    return comparisons


def _compare(head: Head, enrolled: Placed, placed: Placed, labels: NDArray[np.int64], floor: float) -> Comparisons:
    kind = "sqeuclidean" if head.squared else "cityblock"
    genuine, genuine_rows, impostor, impostor_rows, impostors = [], [], [], [], 0
    histogram, twice = np.zeros((2, 100), np.int64), np.zeros(2, np.int64)
    for start in track(
        range(0, len(labels), ROWS), "comparing", console=Console(stderr=True), disable=len(labels) < MANY_PICTURES
    ):
        templates, probes = enrolled[start : start + ROWS], placed[start:]
        penalty = (templates.penalty[:, None] + probes.penalty[None, :]) / 2
        scores = sigmoid(head.bias - cdist(templates.points, probes.points, kind) - penalty)
        rows = np.arange(len(scores))
        doubtful = np.zeros(scores.shape, bool)
        if probes.again:
            doubtful = head.doubts(scores)
            for row in np.flatnonzero(doubtful.any(axis=1)):
                settled(head, scores[row], templates[row : row + 1], probes)
        later = np.arange(scores.shape[1])[None, :] > rows[:, None]
        same = labels[start : start + ROWS, None] == labels[None, start:]
        for number, (mask, least, values, pair_rows) in enumerate(
            ((same, 0.0, genuine, genuine_rows), (~same, floor, impostor, impostor_rows))
        ):
            selected = later & mask
            twice[number] += int((selected & doubtful).sum())
            histogram[number] += np.histogram(scores[selected], 100, (0, 1))[0]
            left, right = np.nonzero(selected & (scores >= least))
            values.append(scores[left, right])
            pair_rows.append((np.column_stack([left, right]) + start).astype(np.int32))
        impostors += int((later & ~same).sum())
    arrays = [np.concatenate(part) for part in (genuine, genuine_rows, impostor, impostor_rows)]
    if not len(arrays[0]) or not impostors:
        raise ValueError(f"{len(arrays[0])} genuine and {impostors} impostor comparisons: at least one of each is needed")
    genuine_order, impostor_order = np.argsort(arrays[0], kind="stable"), np.argsort(arrays[2], kind="stable")
    return Comparisons(
        arrays[0][genuine_order],
        arrays[1][genuine_order],
        arrays[2][impostor_order],
        arrays[3][impostor_order],
        impostors,
        labels,
        histogram,
        twice,
    )


def _floor(
    head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64], templates: NDArray[np.float32] | None
) -> float:
    """The lowest impostor score that is kept: well below the EER threshold, or 0.0 to keep all."""
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
    """Errors of balanced pair classification as in LFW's View 2: each fold uses the threshold that is best on the other folds.

    Draws `pairs` / 2 genuine and as many impostor scores, fewer if there are not enough, without replacement.

    Raises:
        ValueError: there are fewer scores of a kind than `folds`.
    """
    rng = np.random.default_rng(seed)
    count = min(pairs // 2, genuine.size, impostor.size) // folds
    if count < 1:
        raise ValueError(f"{genuine.size} genuine and {impostor.size} impostor scores: too few for {folds} folds")
    genuine_folds = rng.choice(genuine, (folds, count), replace=False)
    impostor_folds = rng.choice(impostor, (folds, count), replace=False)
    return rate(sum(fold_errors([*genuine_folds], [*impostor_folds])), 2 * folds * count)


def fold_errors(genuine: Sequence[NDArray[np.float64]], impostor: Sequence[NDArray[np.float64]]) -> tuple[int, int]:
    """(missed, matched): the errors of each kind over all folds, given the `genuine` and `impostor` scores of each, at the best threshold
    of the other folds. These must have scores of both kinds."""
    missed = matched = 0
    for fold in range(len(genuine)):
        threshold = _best_threshold(*(np.concatenate([*kind[:fold], *kind[fold + 1 :]]) for kind in (genuine, impostor)))
        missed += int((genuine[fold] < threshold).sum())
        matched += int((impostor[fold] >= threshold).sum())
    return missed, matched


def _best_threshold(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> float:
    """The score at which FNMR and FMR have the smallest sum: where one kind is rarer, accepting all would otherwise be few errors."""
    candidates = np.unique(np.concatenate([genuine, impostor]))
    missed = np.searchsorted(np.sort(genuine), candidates)
    matched = impostor.size - np.searchsorted(np.sort(impostor), candidates)
    return float(candidates[np.argmin(missed * impostor.size + matched * genuine.size)])
