"""Several anchors against a probe: the same rates as a plain computation that keeps every score, in a fraction of its memory."""

from __future__ import annotations

import tracemalloc
from itertools import product
from typing import Any

import numpy as np
import pytest

from edge.contract.metrics import rate, supports_fmr, threshold_at_fmr
from edge.contract.score import Head, merge, score, with_cohort
from trainer.enrolled import evaluate_enrolled

HEAD = Head(np.linspace(0.1, 2, 16).astype(np.float32), 3.0, normalise=True, squared=True)


def people(counts: np.ndarray, seed: int = 0, noise: float = 0.9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, labels and templates of `counts` pictures of each person, in random order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    faces = rng.normal(size=(len(counts), 16))[labels]
    embeddings, templates = ((faces + noise * rng.normal(size=faces.shape)).astype(np.float32) for _ in range(2))
    return embeddings, labels, templates


def plainly(head: Head, embeddings: np.ndarray, labels: np.ndarray, templates: np.ndarray) -> list[dict[str, Any]]:
    """What `evaluate_enrolled` computes, trial by trial, from ten pictures of each person, or thirty for twenty anchors."""
    each = np.array([score(head, probe, templates) for probe in embeddings])
    found = []
    for anchors in (1, 5, 20):
        rows_of = {who: np.flatnonzero(labels == who)[: 10 if anchors < 10 else 30] for who in np.unique(labels)}
        enrolled = {who: rows[:anchors] for who, rows in rows_of.items() if len(rows) > anchors}
        scores = {
            "best": {who: each[:, kept].max(1) for who, kept in enrolled.items()},
            "mean of the best three": {who: np.sort(each[:, kept], axis=1)[:, -3:].mean(1) for who, kept in enrolled.items()},
            "mean template": {who: score(head, merge(head, templates[kept]), embeddings) for who, kept in enrolled.items()},
        }
        for k, n in ((1, 1), (2, 3)):
            for rule in [*scores][: 1 if anchors == 1 else 3]:
                same, other = [], []
                for who, probe in product(enrolled, rows_of):
                    seen = scores[rule][who][rows_of[probe][anchors if probe == who else 0 :]].tolist()
                    shown = [sorted(seen[at : at + n])[n - k] for at in range(0, len(seen) - n + 1, n)]
                    (same if probe == who else other).extend(shown)
                if not same or not supports_fmr(len(other), 1e-3):
                    continue
                missed = rate(sum(one < threshold_at_fmr(other, 1e-3) for one in same), len(same))
                row = (anchors, "1 frame" if n == 1 else "2 of 3 frames", rule, len(enrolled), len(same), len(other))
                keys = ("anchors", "frames", "rule", "people", "genuine", "impostor", "fnmr", "low", "high")
                found.append(dict(zip(keys, (*row, missed.value, missed.low, missed.high), strict=True)))
    return found


@pytest.mark.parametrize("head", [HEAD, with_cohort(HEAD, people(np.ones(40, int), seed=1)[0], 3)], ids=["plain", "cohort"])
def test_the_rates_are_those_of_every_score_kept(head: Head) -> None:
    """Includes people with one picture, with too few for two of three frames, and with more than are used."""
    faces = people(np.array([1] * 10 + [2, 3, 4, 5, 6, 7, 8] * 2 + [9] * 16 + [12] * 2 + [21, 24, 33] * 4))
    expected = plainly(head, *faces)
    # For two of three frames with twenty anchors there are too few trials.
    assert [sum(row["anchors"] == anchors for row in expected) for anchors in (1, 5, 20)] == [2, 6, 3]
    assert 0 < min(row["fnmr"] for row in expected) < max(row["fnmr"] for row in expected) < 1
    assert evaluate_enrolled(head, *faces) == expected


def test_scores_of_strangers_are_not_kept() -> None:
    """300 people against 1,200 pictures: every score of one rule alone would be 2.9 MB."""
    faces = people(np.full(300, 4))
    evaluate_enrolled(HEAD, *people(np.full(60, 4)))  # warms up: what is imported on first use is in memory afterwards
    tracemalloc.start()
    evaluate_enrolled(HEAD, *faces)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * 1200 * 8 / 2
