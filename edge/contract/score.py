"""The Siamese head in numpy: two embeddings in, one score out. Higher is closer, always. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Head:
    """The verification head of Koch et al. (2015), p = sigmoid(bias - sum_j w_j |a_j - b_j|).

    `weights` is float32 [D], none below zero: no component's distance can make two faces more alike, so that identical
    embeddings have the highest score there is (the paper leaves the sign free). `bias` is a float. With `normalise`, embeddings
    are first divided by their Euclidean norm: their direction tells who it is, their length more of the picture. With `squared`,
    the differences are squared; on embeddings of unit length and with equal weights that is the cosine, which is better than
    the sum of differences for a tower that was trained to tell people by an angle.

    Raises:
        ValueError: the weights are not a finite, non-negative vector, or the bias is not finite.
    """

    weights: NDArray[np.float32]
    bias: float
    normalise: bool = False
    squared: bool = False

    def __post_init__(self) -> None:
        if self.weights.ndim != 1 or self.weights.size == 0 or self.weights.dtype != np.float32:
            raise ValueError(f"head weights {self.weights.dtype} {self.weights.shape}: expected float32 [D]")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any() or not np.isfinite(self.bias):
            raise ValueError("head weights must be finite and not negative, the bias finite")

    @property
    def size(self) -> int:
        """D, the length of an embedding."""
        return int(self.weights.size)


def score(head: Head, probe: NDArray[np.float32], templates: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability in [0, 1], float64 [n], that `probe`, float32 [D], is the person of each of `templates`, float32 [n, D].

    Symmetric in its two embeddings. Float64, so that scores near 1 still differ at the thresholds in use.

    Raises:
        ValueError: a shape differs from the head's, or an embedding is not finite.
    """
    if probe.shape != (head.size,) or templates.ndim != 2 or templates.shape[1] != head.size:
        raise ValueError(f"probe {probe.shape}, templates {templates.shape}: expected [{head.size}] and [n, {head.size}]")
    if not np.isfinite(probe).all() or not np.isfinite(templates).all():
        raise ValueError("an embedding holds values that are not finite")
    a, b = templates.astype(np.float64), probe.astype(np.float64)
    if head.normalise:
        # An embedding of nothing but zeros stays that, and is far from every other.
        a, b = (x / np.maximum(np.sqrt((x * x).sum(axis=-1, keepdims=True)), 1e-12) for x in (a, b))
    distance = np.square(a - b) if head.squared else np.abs(a - b)
    return sigmoid(head.bias - distance @ head.weights.astype(np.float64))


def score_all_pairs(
    head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(genuine, impostor) scores, float64, of every pair of the n embeddings, float32 [n, D], with `labels`, int [n].

    Raises:
        ValueError: there are fewer than two embeddings, or a shape does not fit.
    """
    if len(labels) < 2 or len(labels) != len(embeddings):
        raise ValueError(f"{len(embeddings)} embeddings, {len(labels)} labels: need as many of both, at least two")
    genuine, impostor = [], []
    for row in range(len(labels) - 1):
        scores = score(head, embeddings[row], embeddings[row + 1 :])
        same = labels[row + 1 :] == labels[row]
        genuine.append(scores[same])
        impostor.append(scores[~same])
    return np.concatenate(genuine), np.concatenate(impostor)


def sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-logit)) without overflow at either end."""
    z = np.exp(-np.abs(logit))
    return np.where(logit >= 0, 1 / (1 + z), z / (1 + z))
