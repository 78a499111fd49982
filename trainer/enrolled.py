"""What a person at the door feels: several anchors against a probe, one frame or several, at a fixed FMR.

A trial enrols a person with some of his or her pictures and probes with others; impostor trials probe the same anchors with everybody
else's pictures. LFW's pictures stand for visits, years apart: frames of one visit are easier.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.metrics import rate, supports_fmr, threshold_at_fmr
from edge.contract.score import Head, Placed, compare, merge, place
from trainer.dataset import PICTURES_EACH

ANCHORS = (1, 5, 20)
FRAMES = ((1, 1), (2, 3))
RULES = ("best", "mean of the best three", "mean template")
TARGET_FMR = 1e-3
# Of each person as many pictures take part as count elsewhere, or with many anchors those and as many probes.
MOST_PICTURES = max(ANCHORS) + PICTURES_EACH


@dataclass(frozen=True, slots=True)
class EnrolledRate:
    """FNMR with so many anchors and k of n frames at FMR 1e-3, under the rule that makes one score of several anchors'."""

    anchors: int
    frames: str
    rule: str
    people: int
    genuine: int
    impostor: int
    fnmr: float
    low: float
    high: float


def evaluate_enrolled(
    head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64], templates: NDArray[np.float32]
) -> list[dict[str, Any]]:
    """A row for each number of anchors, frames and rule that the pictures of some person suffice for; embeddings and what would be
    kept of the same pictures, `templates`, float32 [n, D], labels, int [n]. Rates where the impostor trials cannot show FMR 1e-3 are
    left out."""
    found = []
    order = np.argsort(labels, kind="stable")
    number = np.empty(len(labels), np.int64)  # of a picture among its person's
    number[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    for anchors in ANCHORS:
        taken = number < (PICTURES_EACH if anchors < PICTURES_EACH else anchors + PICTURES_EACH)
        found += _with_anchors(anchors, head, embeddings[taken], labels[taken], templates[taken])
    return found


def _with_anchors(
    anchors: int, head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64], templates: NDArray[np.float32]
) -> list[dict[str, Any]]:
    found = []
    placed, enrolled = place(head, embeddings), place(head, templates)
    people = [rows for label in np.unique(labels) if len(rows := np.flatnonzero(labels == label)) > anchors]
    scores = [_scores(head, templates[rows[:anchors]], enrolled, placed, rows[:anchors]) for rows in people]
    for k, n in FRAMES:
        for rule in RULES[: 1 if anchors == 1 else len(RULES)]:
            genuine, impostor = [], []
            for rows, by_rule in zip(people, scores, strict=True):
                own = np.isin(np.arange(len(labels)), rows)
                genuine.append(_k_of_n(by_rule[rule][rows[anchors:]], labels[rows[anchors:]], k, n))
                impostor.append(_k_of_n(by_rule[rule][~own], labels[~own], k, n))
            same, other = (np.concatenate(part) if part else np.empty(0) for part in (genuine, impostor))
            if not same.size or not supports_fmr(other.size, TARGET_FMR):
                continue
            missed = rate(int((same < threshold_at_fmr(other, TARGET_FMR)).sum()), same.size)
            frames = "1 frame" if n == 1 else f"{k} of {n} frames"
            row = EnrolledRate(anchors, frames, rule, len(people), same.size, other.size, missed.value, missed.low, missed.high)
            found.append(asdict(row))
    return found


def _scores(
    head: Head, templates: NDArray[np.float32], enrolled: Placed, placed: Placed, anchors: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Scores of every embedding against the anchors, float64 [n], by rule."""
    each = np.stack([compare(head, enrolled[anchor : anchor + 1], placed) for anchor in anchors])
    mean = merge(head, templates)
    best = np.sort(each, axis=0)[::-1]
    return dict(zip(RULES, (best[0], best[:3].mean(0), compare(head, place(head, mean[None]), placed)), strict=True))


def _k_of_n(scores: NDArray[np.float64], labels: NDArray[np.int64], k: int, n: int) -> NDArray[np.float64]:
    """The k-th best score of each n pictures of a person: what k of n frames at a threshold come down to."""
    if n == 1:
        return scores
    found = []
    for label in np.unique(labels):
        mine = scores[labels == label]
        groups = mine[: len(mine) // n * n].reshape(-1, n)
        found.append(np.sort(groups, axis=1)[:, n - k])
    return np.concatenate(found) if found else np.empty(0)
