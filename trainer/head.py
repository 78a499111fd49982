"""Fits the Siamese head to a finished tower: its weights on mined pairs of training people, scale and bias on people unseen in training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from edge.contract.errors import InputError
from edge.contract.metrics import Rate, fnmr, supports_fmr, threshold_at_fmr
from edge.contract.score import Head, score_all_pairs
from trainer.cohort import Strangers
from trainer.judges import rates_and_cost
from trainer.step import unit

# The FMR at which `fnmr_at_target` measures: a door's working range.
TARGET_FMR = 1e-3
HARDEST_PER_FACE = 20
# Pulls the weights towards their mean: the larger, the closer to equal weights, with `squared` the plain cosine.
RIDGE = 1e-1


def fit_head(
    train: NDArray[np.float32],
    train_labels: NDArray[np.int64],
    validation: NDArray[np.float32],
    validation_labels: NDArray[np.int64],
    strangers: Strangers | None = None,
    *,
    squared: bool,
) -> tuple[Head, dict[str, Any]]:
    """The better of two heads over normalised embeddings, float32 [n, D], and the record of the choice: one with equal weights, and one
    with weights fitted by binary cross-entropy to each training face's genuine and closest impostor pairs.

    They are compared on `validation`, embeddings of people that the tower was not trained on, by the same figures as epochs are. Scale and
    bias are fitted there too, so that the score is a probability if genuine and impostor comparisons are equally likely. With
    `strangers`, both heads have them as their cohort, and the record also has the figures without it.
    """
    heads = {
        "equal": Head(np.ones(train.shape[1], np.float32), 0.0, True, squared),
        "fitted": Head(_fit_weights(unit(train), train_labels, squared).astype(np.float32), 0.0, True, squared),
    }
    record: dict[str, Any] = {}
    if strangers is not None:
        record["validation_without_cohort"] = _rates(heads, validation, validation_labels)[0]
        heads = {name: strangers.as_cohort_of(head) for name, head in heads.items()}
    rates, costs = _rates(heads, validation, validation_labels)
    chosen = "fitted" if costs["fitted"] < costs["equal"] else "equal"
    return calibrated(heads[chosen], validation, validation_labels), {"chosen": chosen, "validation": rates, **record}


def _rates(
    heads: dict[str, Head], embeddings: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The validation figures of each head, and their mean."""
    results = {name: rates_and_cost(*score_all_pairs(head, embeddings, labels)) for name, head in heads.items()}
    return {name: rates for name, (rates, _) in results.items()}, {name: cost for name, (_, cost) in results.items()}


def calibrated(head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> Head:
    """The head with the scale and bias that make its score a probability for equally likely genuine and impostor comparisons of
    `embeddings`, float32 [n, D]. The order of scores does not change.

    The targets for n comparisons are not 1 and 0 but (n + 1) / (n + 2) and 1 / (n + 2) (Platt 1999, "Probabilistic outputs for support
    vector machines"). Otherwise a few people that are told apart without error would drive the scale to infinity, and strangers could
    score exactly 1, above which there is no threshold.
    """
    head = replace(head, bias=0.0)
    # With a bias of 0, minus the logit of a score is the weighted distance plus the penalties.
    genuine, impostor = (-np.log(scores / (1 - scores)) for scores in score_all_pairs(head, embeddings, labels))

    def loss(parameters: NDArray[np.float64]) -> float:
        bias, scale = parameters[0], np.exp(parameters[1])
        # How far, as a logit, each comparison is on the wrong side.
        excesses = scale * genuine - bias, bias - scale * impostor
        return float(sum((np.logaddexp(0, excess) - excess / (excess.size + 2)).mean() for excess in excesses))

    middle = (genuine.mean() + impostor.mean()) / 2
    start = np.log(8 / max(impostor.mean() - genuine.mean(), 1e-6))
    optimum = minimize(loss, np.array([middle * np.exp(start), start]), method="Nelder-Mead", options={"maxiter": 400})
    bias, scale = float(optimum.x[0]), float(np.exp(optimum.x[1]))
    # Distances scale with the weights, so the ceiling does too.
    cohort = replace(head.cohort, ceiling=head.cohort.ceiling * scale) if head.cohort else None
    return replace(head, weights=(head.weights * scale).astype(np.float32), bias=bias, cohort=cohort)


def _fit_weights(embeddings: NDArray[np.float32], labels: NDArray[np.int64], squared: bool) -> NDArray[np.float64]:
    genuine, impostor = _mine_pairs(embeddings, labels)
    pairs = np.concatenate([genuine, impostor])
    same = np.arange(len(pairs)) < len(genuine)
    distance = np.abs(embeddings[pairs[:, 0]] - embeddings[pairs[:, 1]]).astype(np.float64)
    distance = distance**2 if squared else distance
    distance /= distance.sum(1).mean() / distance.shape[1]
    share = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        bias, weights = parameters[0], parameters[1:]
        logit = bias - distance @ weights
        signed = np.where(same, -logit, logit)
        slope = share * np.where(same, -1, 1) * expit(signed)
        deviations = weights - weights.mean()
        value = (share * np.logaddexp(0, signed)).sum() + RIDGE * (deviations**2).sum()
        return float(value), np.concatenate([[slope.sum()], -(slope @ distance) + 2 * RIDGE * deviations])

    size = distance.shape[1]
    start = np.concatenate([[8.0], np.full(size, 8.0 / size)])
    optimum = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None)] + [(0, None)] * size, options={"maxiter": 300}
    )
    weights = np.maximum(optimum.x[1:], 0)
    return weights / max(weights.mean(), 1e-12)


def _mine_pairs(embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    genuine, impostor = [], []
    for row in range(len(labels)):
        cosines = embeddings @ embeddings[row]
        same = labels == labels[row]
        partners = np.flatnonzero(same[:row])[-10:]  # few a face, or one person with many pictures makes half of all pairs
        genuine += [(row, partner) for partner in partners]
        cosines[same] = -2
        count = min(HARDEST_PER_FACE, int((~same).sum()))
        impostor += [(row, other) for other in np.argpartition(-cosines, count - 1)[:count]] if count else []
    return np.array(genuine, np.int64).reshape(-1, 2), np.array(impostor, np.int64).reshape(-1, 2)


def fnmr_at_target(head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, Rate]:
    """TARGET_FMR, or the lowest FMR above it that so few comparisons support, and the FNMR there, over all pairs of `embeddings`,
    float32 [n, D].

    Raises:
        InputError: there are too few comparisons for any.
    """
    genuine, impostor = score_all_pairs(head, embeddings, labels)
    target = next((target for target in (TARGET_FMR, 1e-2, 1e-1, 0.5) if supports_fmr(impostor.size, target)), None)
    if target is None or not genuine.size:
        raise InputError(
            f"those whom the model was judged by give {genuine.size} genuine and {impostor.size} impostor comparisons here, too few for a "
            "rate; name first the set that they are all in"
        )
    return target, fnmr(genuine, threshold_at_fmr(impostor, target))
