"""The highest of many scores that come in parts and are not kept: all that a threshold at a low FMR needs of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.contract.metrics import allowed_matches


class Highest:
    """Those of `trials` impostor scores, float64, that the lowest threshold whose FMR is at most `target` lies among, in memory for
    twice as many."""

    def __init__(self, trials: int, target: float) -> None:
        self.trials = trials
        # The first one that must not match, and those that may.
        self._wanted = allowed_matches(trials, target) + 1
        self._best = np.empty(0)
        self._least = -np.inf

    def add(self, scores: NDArray[np.float64]) -> None:
        """Takes scores, float64 [n], in."""
        self._best = np.concatenate([self._best, scores[scores >= self._least]])
        if len(self._best) >= 2 * self._wanted:
            self._shorten()

    def threshold(self) -> float:
        """The lowest threshold whose FMR is at most `target`, once all scores were taken in."""
        self._shorten()
        return float(np.nextafter(self._least, np.inf))

    def matches(self) -> int:
        """How many of all scores reach `threshold()`."""
        return int((self._best >= self.threshold()).sum())

    def _shorten(self) -> None:
        self._best = np.partition(self._best, len(self._best) - self._wanted)[-self._wanted :]
        self._least = self._best.min()
