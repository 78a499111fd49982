"""The Siamese head in numpy: two embeddings in, one score out. Higher is closer, always. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cohort:
    """Strangers whom every face is held against, so that a face like many others needs a closer match (see `Head`).

    `embeddings` is float32 [n, D]; a face's nearness to them is its mean distance to the `nearest`; from `ceiling` on, as
    the head measures distances, it costs nothing.

    Raises:
        ValueError: they are fewer than `nearest`, or a value is not finite.
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

    `weights` is float32 [D], none below zero: no component's distance can make two faces more alike, so that identical
    embeddings are nearest (the paper leaves the sign free). `bias` is a float. With `normalise`, embeddings are first divided
    by their Euclidean norm: their direction tells who it is, their length more of the picture. With `squared`, the
    differences are squared; on embeddings of unit length and with equal weights that is the cosine, which is better than the sum
    of differences for a tower that was trained to tell people by an angle.

    With a `cohort`, each of the two faces subtracts half of its penalty from the logit: by how much it lies nearer to its
    nearest strangers than `ceiling`. That is the symmetric normalisation by the top of a cohort (Auckenthaler, Carey and
    Lloyd-Thomas 2000; Matejka et al. 2017) with two changes: no division by a deviation, and a face far from the cohort gains
    nothing, so that no score is ever higher than it would be without one.

    A score from the first of `doubt` up to the second one is in doubt: there the probe is looked at a second time, and what both looks
    give together (`merge`) is scored instead.

    Raises:
        ValueError: the weights are not a finite, non-negative vector, the bias is not finite, the cohort's size is another, or the doubt
            is no range of scores.
    """

    weights: NDArray[np.float32]
    bias: float
    normalise: bool = False
    squared: bool = False
    cohort: Cohort | None = None
    doubt: tuple[float, float] | None = None
    _strangers: NDArray[np.float64] = field(init=False, repr=False, compare=False)

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
        object.__setattr__(self, "_strangers", _points(self, strangers))

    @property
    def size(self) -> int:
        """D, the length of an embedding."""
        return int(self.weights.size)

    def doubts(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of these scores are in doubt, bool of their shape."""
        if self.doubt is None:
            return np.zeros(scores.shape, bool)
        low, high = self.doubt
        return (scores >= low) & (scores < high)


@dataclass(frozen=True, slots=True)
class Placed:
    """n embeddings as a head compares them: `points`, float64 [n, D], whose plain L1 or squared L2 distance is the head's, and
    each one's `penalty`, float64 [n], none below zero. Of probes `again` is what two looks at each of them give."""

    points: NDArray[np.float64]
    penalty: NDArray[np.float64]
    again: Placed | None = None

    def __getitem__(self, rows: slice | NDArray[np.bool_]) -> Placed:
        """These rows alone."""
        return Placed(self.points[rows], self.penalty[rows], self.again[rows] if self.again else None)


def place(head: Head, embeddings: NDArray[np.float32], twice: NDArray[np.float32] | None = None) -> Placed:
    """What `compare` takes, of embeddings, float32 [n, D]: done once for templates that many probes are compared with. Of probes `twice`,
    float32 [n, D], is what two looks at them give, which counts where the head is in doubt.

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
    near = np.array([_nearness(head, point, head._strangers, head.cohort.nearest) for point in points])
    return Placed(points, np.maximum(head.cohort.ceiling - near, 0.0), again)


def place_both(head: Head, embeddings: NDArray[np.float32], templates: NDArray[np.float32] | None) -> tuple[Placed, Placed]:
    """n faces as they would be enrolled and as probes, from their embeddings and what would be kept of them, `templates`, float32 [n, D]
    both: two looks at a probe give what would be kept of it. Without templates a face is its embedding either way, and has one look.

    Raises:
        ValueError: as `place` does.
    """
    probes = place(head, embeddings, templates)
    if templates is None:
        return probes, probes
    return probes.again or place(head, templates), probes


def compare(head: Head, one: Placed, others: Placed) -> NDArray[np.float64]:
    """Probability in [0, 1], float64 [n], that one face is the person of each of n others: a probe and templates, or a template and
    probes. Symmetric; what is in doubt is scored by the second look of whichever side has one.

    Float64, so that scores near 1 still differ at the thresholds in use.
    """
    return settled(head, _compare_once(head, one, others), one, others)


def settled(head: Head, scores: NDArray[np.float64], one: Placed, others: Placed) -> NDArray[np.float64]:
    """Scores of first looks, float64 [n], with those that are in doubt scored by both looks, where a side has them. Changes `scores`."""
    if (one.again or others.again) and (doubtful := head.doubts(scores)).any():
        scores[doubtful] = _compare_once(head, one.again or one, (others.again or others)[doubtful])
    return scores


def _compare_once(head: Head, one: Placed, others: Placed) -> NDArray[np.float64]:
    distance = _distance(head, one.points[0], others.points)
    return sigmoid(head.bias - distance - (one.penalty[0] + others.penalty) / 2)


def score(
    head: Head, probe: NDArray[np.float32], templates: NDArray[np.float32], twice: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """`compare` for a probe, float32 [D], and templates, float32 [n, D], as embeddings; `twice`, float32 [D], is what two looks at the
    probe give. Raises ValueError as `place` does."""
    return compare(head, place(head, probe[None], None if twice is None else twice[None]), place(head, templates))


def merge(head: Head, looks: NDArray[np.float32]) -> NDArray[np.float32]:
    """One embedding of several looks at a face, float32 [..., k, D] to [..., D]: the mean, of their directions where the head
    compares these."""
    points = looks.astype(np.float64)
    if head.normalise:
        points /= np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), 1e-12)
    merged: NDArray[np.float32] = points.mean(axis=-2).astype(np.float32)
    return merged


def score_all_pairs(
    head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64], templates: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(genuine, impostor) scores, float64, of every pair of the n embeddings, float32 [n, D], with `labels`, int [n].

    With `templates`, float32 [n, D], what would be kept of the same n faces, the first face of each pair is enrolled and the
    second one the probe; where the head is in doubt, the probe is looked at twice, as what is kept was.

    Raises:
        ValueError: there are fewer than two embeddings, or a shape does not fit.
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
    """A cohort of these strangers, float32 [n, D], no two of one person. The ceiling is the median of their own nearness to each
    other: half of all people pay nothing.

    Raises:
        ValueError: they are not more than `nearest`.
    """
    if len(embeddings) <= nearest:
        raise ValueError(f"a cohort of {len(embeddings)}: more than nearest = {nearest} are needed")
    points = _points(head, embeddings)
    near = [_nearness(head, point, np.delete(points, row, axis=0), nearest) for row, point in enumerate(points)]
    return Cohort(embeddings, nearest, float(np.median(near)))


def with_cohort(head: Head, embeddings: NDArray[np.float32], nearest: int) -> Head:
    """The head with `make_cohort` of these strangers. Raises ValueError as that does."""
    return replace(head, cohort=make_cohort(head, embeddings, nearest))


def sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-logit)) without overflow at either end."""
    z = np.exp(-np.abs(logit))
    return np.where(logit >= 0, 1 / (1 + z), z / (1 + z))


def _points(head: Head, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    # Weights are not negative, so that a weighted distance is a plain one between scaled points.
    points = embeddings.astype(np.float64)
    if head.normalise:
        # An embedding of nothing but zeros stays that, and is far from every other.
        points /= np.maximum(np.sqrt((points * points).sum(axis=1, keepdims=True)), 1e-12)
    weights = head.weights.astype(np.float64)
    return points * (np.sqrt(weights) if head.squared else weights)


def _distance(head: Head, point: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = others - point
    distance: NDArray[np.float64] = np.einsum("nd,nd->n", apart, apart) if head.squared else np.abs(apart).sum(axis=1)
    return distance


def _nearness(head: Head, point: NDArray[np.float64], strangers: NDArray[np.float64], nearest: int) -> float:
    if head.squared:
        # By the product: half a megabyte of differences a frame would cost more than all the rest.
        distance = np.einsum("nd,nd->n", strangers, strangers) + point @ point - 2 * (strangers @ point)
    else:
        distance = _distance(head, point, strangers)
    return max(0.0, float(np.partition(distance, nearest - 1)[:nearest].mean()))
