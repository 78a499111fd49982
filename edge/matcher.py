"""Open-set matching: one probe against every template. Pure; an empty gallery never matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.contract.score import Head, compare, place, settled
from edge.gallery import Subject
from edge.reasons import Reason

Look = Callable[[], NDArray[np.float32]]
"""Looks at a face and returns an embedding of it, float32 [D]."""


@dataclass(frozen=True, slots=True)
class Match:
    """A probe that reaches the threshold for exactly one subject."""

    subject: str
    score: float


class Matcher:
    """The templates of all subjects as one matrix. A subject's score is that of his or her closest template; `thresholds` are subjects'
    own thresholds, by name."""

    def __init__(self, head: Head, subjects: list[Subject], thresholds: Mapping[str, float] | None = None) -> None:
        self._head = head
        self._names = [subject.name for subject in subjects]
        self._own_thresholds = np.array([(thresholds or {}).get(name, -np.inf) for name in self._names])
        sizes = [len(subject.templates) for subject in subjects]
        self._starts = np.cumsum([0, *sizes])[:-1]
        empty = np.empty((0, head.size), np.float32)
        self._templates = place(head, np.concatenate([empty, *(subject.templates for subject in subjects)]))

    def match(self, probe: NDArray[np.float32], threshold: float, twice: Look | None = None) -> Match | Reason:
        """The one subject whose score for `probe`, float32 [D], reaches `threshold` and his or her own, or the reason why there is none.

        `twice` returns two looks at the probe's face merged, float32 [D]. It is called if the highest score is in doubt (`Head.doubts`), or
        if those of all matching subjects are: the highest may belong to somebody whose own threshold it misses."""
        if not self._names:
            return Reason.EMPTY_GALLERY
        placed = place(self._head, probe[None])
        scores = compare(self._head, placed, self._templates)
        thresholds = np.maximum(self._own_thresholds, threshold)
        best = np.maximum.reduceat(scores, self._starts)
        matching = best[best >= thresholds]
        all_in_doubt = len(matching) > 0 and bool(self._head.doubts(matching).all())
        if twice and (all_in_doubt or self._head.doubts(scores.max(keepdims=True))):
            second_look = replace(placed, again=place(self._head, twice()[None]))
            scores = settled(self._head, scores, second_look, self._templates)
            best = np.maximum.reduceat(scores, self._starts)
        accepted = np.flatnonzero(best >= thresholds)
        if len(accepted) == 0:
            return Reason.NO_MATCH
        if len(accepted) > 1:
            return Reason.AMBIGUOUS
        return Match(self._names[accepted[0]], float(best[accepted[0]]))
