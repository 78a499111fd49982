"""Balanced pair classification, the figure that papers on LFW quote."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.contract.metrics import Rate, rate


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
    errors = 0
    for fold in range(folds):
        rest = np.arange(folds) != fold
        threshold = _best_threshold(same[rest].ravel(), other[rest].ravel())
        errors += int((same[fold] < threshold).sum() + (other[fold] >= threshold).sum())
    return rate(errors, 2 * folds * count)


def _best_threshold(same: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    candidates = np.unique(np.concatenate([same, other]))
    wrong = np.searchsorted(np.sort(same), candidates) + other.size - np.searchsorted(np.sort(other), candidates)
    return float(candidates[np.argmin(wrong)])
