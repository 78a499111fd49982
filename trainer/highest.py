"""Keeps the highest of many scores that arrive in parts: all that a threshold at a low FMR needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.contract.metrics import allowed_matches


class Highest:
    """The highest of `trials` impostor scores, float64, that determine the lowest threshold whose FMR is at most `target`. Holds about
    twice as many scores in memory."""

    def __init__(self, trials: int, target: float) -> None:
        self.trials = trials
        # The scores that may match, and the highest one that must not.
        self._count = allowed_matches(trials, target) + 1
        self._best = np.empty(0)
        self._lowest = -np.inf

    def add(self, scores: NDArray[np.float64]) -> None:
        """Adds scores, float64 [n]."""
        self._best = np.concatenate([self._best, scores[scores >= self._lowest]])
        if len(self._best) >= 2 * self._count:
            self._shorten()

    def threshold(self) -> float:
        """The lowest threshold whose FMR is at most `target`; valid once all scores were added."""
        self._shorten()
        return float(np.nextafter(self._lowest, np.inf))

    def matches(self) -> int:
        """How many scores reach `threshold()`."""
        return int((self._best >= self.threshold()).sum())

    def _shorten(self) -> None:
        self._best = np.partition(self._best, len(self._best) - self._count)[-self._count :]
        self._lowest = self._best.min()
