"""Error rates as a person at the door experiences them: several enrolled anchors, a probe of one or several frames, a fixed FMR.

A trial enrols a person with some pictures and probes with others; impostor trials probe the same anchors with everyone else's pictures.
LFW's pictures were taken years apart, like separate visits; frames of one visit are easier.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.metrics import rate, supports_fmr
from edge.contract.score import Head, Placed, compare, merge, place, place_both
from trainer.dataset import PICTURES_EACH
from trainer.highest import Highest

ANCHORS = (1, 5, 20)
FRAMES = ((1, 1), (2, 3))
RULES = ("best", "mean of the best three", "mean template")
TARGET_FMR = 1e-3
# The pictures that one person needs at most: the largest number of anchors, and PICTURES_EACH probes.
MOST_PICTURES = max(ANCHORS) + PICTURES_EACH


@dataclass(frozen=True, slots=True)
class EnrolledRate:
    """FNMR at FMR 1e-3 for a number of anchors, k of n `frames`, and the `rule` that combines the scores of several anchors."""

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
    """A row for each number of anchors, frames and rule for which some person has enough pictures and the impostor trials support FMR
    1e-3. Takes the embeddings and `templates` of the same pictures, float32 [n, D] both, with labels, int [n]."""
    table = []
    order = np.argsort(labels, kind="stable")
    number = np.empty(len(labels), np.int64)  # of a picture among those of its person
    number[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    for anchors in ANCHORS:
        used = number < (PICTURES_EACH if anchors < PICTURES_EACH else anchors + PICTURES_EACH)
        table += _with_anchors(anchors, head, embeddings[used], labels[used], templates[used])
    return table


def _with_anchors(
    anchors: int, head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64], templates: NDArray[np.float32]
) -> list[dict[str, Any]]:
    enrolled, placed = place_both(head, embeddings, templates)
    people = [rows for label in np.unique(labels) if len(rows := np.flatnonzero(labels == label)) > anchors]
    # Probes as rows of pictures, by number of frames. The number of impostor trials is known before any score, so only as many of the
    # highest scores are kept as the threshold needs.
    probe_groups = {n: _in_groups(np.arange(len(labels)), labels, n) for _, n in FRAMES}
    owners = {n: labels[rows[:, 0]] for n, rows in probe_groups.items()}
    cases = [
        _Case(k, n, rule, Highest(total, TARGET_FMR))
        for k, n in FRAMES
        for total in [sum(int((owners[n] != labels[rows[0]]).sum()) for rows in people)]
        if supports_fmr(total, TARGET_FMR)
        for rule in RULES[: 1 if anchors == 1 else len(RULES)]
    ]
    for rows in people:
        scores = _scores(head, templates[rows[:anchors]], enrolled, placed, rows[:anchors])
        for case in cases:
            rule_scores, probes = scores[case.rule], rows[anchors:]
            case.genuine.append(_kth_best(rule_scores[_in_groups(probes, labels[probes], case.n)], case.k))
            case.impostor.add(_kth_best(rule_scores[probe_groups[case.n][owners[case.n] != labels[rows[0]]]], case.k))
    table = []
    for case in cases:
        genuine = np.concatenate(case.genuine)
        if not genuine.size:
            continue
        missed = rate(int((genuine < case.impostor.threshold()).sum()), genuine.size)
        frames = "1 frame" if case.n == 1 else f"{case.k} of {case.n} frames"
        row = EnrolledRate(
            anchors, frames, case.rule, len(people), genuine.size, case.impostor.trials, missed.value, missed.low, missed.high
        )
        table.append(asdict(row))
    return table


@dataclass(frozen=True, slots=True)
class _Case:
    """The scores behind one row of the result: k of n frames, under a rule."""

    k: int
    n: int
    rule: str
    impostor: Highest
    genuine: list[NDArray[np.float64]] = field(default_factory=list)


def _scores(
    head: Head, templates: NDArray[np.float32], enrolled: Placed, placed: Placed, anchors: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """The score of every embedding against the anchors, float64 [n], by rule."""
    scores = np.stack([compare(head, enrolled[anchor : anchor + 1], placed) for anchor in anchors])
    mean = merge(head, templates)
    best = np.sort(scores, axis=0)[::-1]
    return dict(zip(RULES, (best[0], best[:3].mean(0), compare(head, place(head, mean[None]), placed)), strict=True))


def _in_groups(rows: NDArray[np.int64], labels: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Groups `rows`, int [m] with their `labels`, into probes of n consecutive pictures of one person, int [groups, n]."""
    groups = [
        own_rows[: len(own_rows) // n * n].reshape(-1, n) for label in np.unique(labels) for own_rows in [rows[labels == label]]
    ]
    return np.concatenate([np.empty((0, n), np.int64), *groups])


def _kth_best(scores: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """The k-th best score of each group, float64 [groups, n] to [groups]: k of n frames match if and only if it reaches the threshold."""
    return np.sort(scores, axis=1)[:, scores.shape[1] - k]
