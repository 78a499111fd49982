"""The Siamese head in NumPy: two embeddings in, one score out, where higher is always closer. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cohort:
    """Strangers with whom every face is compared, so that a face like many others needs a closer match (see `Head`).

    `embeddings` is float32 [n, D]. A face's nearness is its mean distance, as the head measures it, to the `nearest` of them; from
    `ceiling` on there is no penalty.

    Raises:
        ValueError: there are fewer than `nearest`, or a value is not finite.
    """

    embeddings: NDArray[np.float32]
    nearest: int
    ceiling: float

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or not 1 <= self.nearest <= len(self.embeddings):
            raise ValueError(f"cohort {self.embeddings.shape}, nearest {self.nearest}: expected [n, D] and 1 to n")
        if not np.isfinite(self.embeddings).all() or not np.isfinite(self.ceiling) or self.ceiling < 0:
            raise ValueError("the cohort and its ceiling must be finite, the ceiling not negative")


@dataclass(frozen=True, slots=True)
class Head:
    """The verification head of Koch et al. (2015), p = sigmoid(bias - sum_j w_j |a_j - b_j|).

    `weights` is float32 [D], none negative, so that no difference can make two faces more alike and identical embeddings are the
    closest (the paper leaves the sign free). `bias` is a float. With `normalise`, embeddings are first divided by their Euclidean
    norm: the direction identifies the person, the length says more about the picture. With `squared`, the differences are squared;
    for unit embeddings and equal weights this amounts to the cosine, which works better than the sum of differences for a tower that
    was trained with an angular loss.

    With a `cohort`, half of each face's penalty is subtracted from the logit. The penalty is how much nearer the face is to its
    nearest strangers than `ceiling`. This is symmetric score normalisation with the top of a cohort (Auckenthaler, Carey and
    Lloyd-Thomas 2000; Matejka et al. 2017) with two changes: there is no division by a deviation, and a face far from the cohort
    gains nothing, so that a score is never higher than without a cohort.

    A score in [doubt[0], doubt[1]) is in doubt: the probe is embedded a second time, mirrored, and the two embeddings merged (`merge`)
    are scored instead.

    Raises:
        ValueError: the weights are not a finite, non-negative vector, the bias is not finite, the cohort's embeddings have another
            size, or the doubt is not a range of scores.
    """

    weights: NDArray[np.float32]
    bias: float
    normalise: bool = False
    squared: bool = False
    cohort: Cohort | None = None
    doubt: tuple[float, float] | None = None
    _strangers: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    _stranger_squares: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.weights.ndim != 1 or self.weights.size == 0 or self.weights.dtype != np.float32:
            raise ValueError(f"head weights {self.weights.dtype} {self.weights.shape}: expected float32 [D]")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any() or not np.isfinite(self.bias):
            raise ValueError("head weights must be finite and not negative, the bias finite")
        if self.cohort and self.cohort.embeddings.shape[1] != self.size:
            raise ValueError(f"cohort {self.cohort.embeddings.shape}: expected [n, {self.size}]")
        if self.doubt and not 0 <= self.doubt[0] < self.doubt[1] <= 1:
            raise ValueError(f"doubt {self.doubt}: expected two scores from 0 to 1, the lower one first")
        strangers = self.cohort.embeddings if self.cohort else np.empty((0, self.size), np.float32)
        # Computed once, as every frame needs them.
        object.__setattr__(self, "_strangers", _points(self, strangers))
        object.__setattr__(self, "_stranger_squares", _squares(self._strangers))

    @property
    def size(self) -> int:
        """D, the length of an embedding."""
        return int(self.weights.size)

    def doubts(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of `scores` are in doubt, bool of the same shape."""
        if self.doubt is None:
            return np.zeros(scores.shape, bool)
        low, high = self.doubt
        return (scores >= low) & (scores < high)


@dataclass(frozen=True, slots=True)
class Placed:
    """n embeddings prepared for a head: `points`, float64 [n, D], scaled so that their plain L1 or squared L2 distance is the head's,
    and `penalty`, float64 [n], none negative. For probes, `again` holds the same for the second look: two embeddings merged."""

    points: NDArray[np.float64]
    penalty: NDArray[np.float64]
    again: Placed | None = None

    def __getitem__(self, rows: slice | NDArray[np.bool_]) -> Placed:
        """Only these rows."""
        return Placed(self.points[rows], self.penalty[rows], self.again[rows] if self.again else None)


def place(head: Head, embeddings: NDArray[np.float32], twice: NDArray[np.float32] | None = None) -> Placed:
    """Prepares embeddings, float32 [n, D], for `compare`: once for templates that many probes are compared with. For probes, `twice`,
    float32 [n, D], holds their second look (two embeddings merged), used where the head is in doubt.

    Raises:
        ValueError: a shape differs from the head's, or an embedding is not finite.
    """
    again = place(head, twice) if head.doubt and twice is not None else None
    if again and len(again.penalty) != len(embeddings):
        raise ValueError(f"{len(embeddings)} embeddings, {len(again.penalty)} of two looks: expected as many")
    if embeddings.ndim != 2 or embeddings.shape[1] != head.size:
        raise ValueError(f"embeddings {embeddings.shape}: expected [n, {head.size}]")
    if not np.isfinite(embeddings).all():
        raise ValueError("an embedding holds values that are not finite")
    points = _points(head, embeddings)
    if head.cohort is None:
        return Placed(points, np.zeros(len(points)), again)
    strangers, squares, nearest = head._strangers, head._stranger_squares, head.cohort.nearest
    near = np.array([_nearness(head, point, strangers, squares, nearest) for point in points])
    return Placed(points, np.maximum(head.cohort.ceiling - near, 0.0), again)


def place_both(head: Head, embeddings: NDArray[np.float32], templates: NDArray[np.float32] | None) -> tuple[Placed, Placed]:
    """(enrolled, probes): the same n faces prepared in both roles, from their embeddings and their templates, both float32 [n, D].

    A probe's second look equals its template. Without templates, a face is its plain embedding in both roles, without a second look.

    Raises:
        ValueError: as `place` does.
    """
    probes = place(head, embeddings, templates)
    if templates is None:
        return probes, probes
    return probes.again or place(head, templates), probes


def compare(head: Head, one: Placed, others: Placed) -> NDArray[np.float64]:
    """Scores in [0, 1], float64 [n]: the probability that one face belongs to the same person as each of n others. Compares a probe with
    templates, or a template with probes. Symmetric; scores in doubt are computed again with the second look of the side that has one.

    float64, so that scores near 1 still differ at the thresholds in use.
    """
    return settled(head, _compare_once(head, one, others), one, others)


def settled(head: Head, scores: NDArray[np.float64], one: Placed, others: Placed) -> NDArray[np.float64]:
    """First-look scores, float64 [n], with those in doubt replaced by second-look scores, where a side has them. Changes `scores`."""
    if (one.again or others.again) and (doubtful := head.doubts(scores)).any():
        scores[doubtful] = _compare_once(head, one.again or one, (others.again or others)[doubtful])
    return scores


def _compare_once(head: Head, one: Placed, others: Placed) -> NDArray[np.float64]:
    distance = _distance(head, one.points[0], others.points)
    return sigmoid(head.bias - distance - (one.penalty[0] + others.penalty) / 2)


def score(
    head: Head, probe: NDArray[np.float32], templates: NDArray[np.float32], twice: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """`compare` for the embeddings of a probe, float32 [D], and templates, float32 [n, D]; `twice`, float32 [D], is the probe's second
    look. Raises ValueError as `place` does."""
    return compare(head, place(head, probe[None], None if twice is None else twice[None]), place(head, templates))


def merge(head: Head, looks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Merges k embeddings of one face, float32 [..., k, D], into their mean, float32 [..., D]. A head with `normalise` averages
    directions."""
    points = looks.astype(np.float64)
    if head.normalise:
        points /= np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), 1e-12)
    merged: NDArray[np.float32] = points.mean(axis=-2).astype(np.float32)
    return merged


def score_all_pairs(
    head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64], templates: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(genuine, impostor) scores, float64, of every pair of the n embeddings, float32 [n, D], with `labels`, int [n].

    With `templates`, float32 [n, D], of the same n faces, the first face of each pair is enrolled and the second is the probe; where
    the head is in doubt, the probe's second look is used, which equals its template.

    Raises:
        ValueError: there are fewer than two embeddings, or a shape is wrong.
    """
    if len(labels) < 2 or len(labels) != len(embeddings):
        raise ValueError(f"{len(embeddings)} embeddings, {len(labels)} labels: need as many of both, at least two")
    enrolled, placed = place_both(head, embeddings, templates)
    genuine, impostor = [], []
    for row in range(len(labels) - 1):
        scores = compare(head, enrolled[row : row + 1], placed[row + 1 :])
        same = labels[row + 1 :] == labels[row]
        genuine.append(scores[same])
        impostor.append(scores[~same])
    return np.concatenate(genuine), np.concatenate(impostor)


def make_cohort(head: Head, embeddings: NDArray[np.float32], nearest: int) -> Cohort:
    """Makes a cohort of strangers' embeddings, float32 [n, D], one for each person. The ceiling is the median of their nearness to each
    other, so that half of all people have no penalty.

    Raises:
        ValueError: n is not above `nearest`.
    """
    if len(embeddings) <= nearest:
        raise ValueError(f"a cohort of {len(embeddings)}: more than nearest = {nearest} are needed")
    points = _points(head, embeddings)
    squares = _squares(points)
    near = [
        _nearness(head, point, np.delete(points, row, axis=0), np.delete(squares, row), nearest)
        for row, point in enumerate(points)
    ]
    return Cohort(embeddings, nearest, float(np.median(near)))


def with_cohort(head: Head, embeddings: NDArray[np.float32], nearest: int) -> Head:
    """The head with a cohort by `make_cohort`. Raises ValueError as that does."""
    return replace(head, cohort=make_cohort(head, embeddings, nearest))


def sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-logit)) without overflow at either end."""
    z = np.exp(-np.abs(logit))
    return np.where(logit >= 0, 1 / (1 + z), z / (1 + z))


def _points(head: Head, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    # Weights are not negative, so a weighted distance is a plain distance between scaled points.
    points = embeddings.astype(np.float64)
    if head.normalise:
        # An all-zero embedding stays all-zero, and far from every other.
        points /= np.maximum(np.sqrt((points * points).sum(axis=1, keepdims=True)), 1e-12)
    weights = head.weights.astype(np.float64)
    return points * (np.sqrt(weights) if head.squared else weights)


def _distance(head: Head, point: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = others - point
    distance: NDArray[np.float64] = np.einsum("nd,nd->n", apart, apart) if head.squared else np.abs(apart).sum(axis=1)
    return distance


def _squares(points: NDArray[np.float64]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("nd,nd->n", points, points)
    return squares


def _nearness(
    head: Head, point: NDArray[np.float64], strangers: NDArray[np.float64], squares: NDArray[np.float64], nearest: int
) -> float:
    # |a|^2 + |b|^2 - 2ab: half a megabyte of differences in each frame would cost more than all the rest.
    distance = squares + point @ point - 2 * (strangers @ point) if head.squared else _distance(head, point, strangers)
    return max(0.0, float(np.partition(distance, nearest - 1)[:nearest].mean()))
