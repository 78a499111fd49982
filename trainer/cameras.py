"""The same-camera check: do strangers match more often if one camera took both pictures? If so, the network recognises the camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.metrics import rate, supports_fmr
from edge.contract.score import Head, Placed, compare, place_both
from trainer.highest import Highest

TARGET_FMR = 1e-3
# The report warns if strangers match more than this many times as often within one camera's pictures as across cameras.
LIMIT = 2.0


@dataclass(frozen=True, slots=True)
class CameraSet:
    """The pictures of one camera or set: templates and embeddings, float32 [n, D] both, and the `names` of the people, str [n]."""

    camera: str
    templates: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    names: NDArray[np.str_]


def compare_cameras(head: Head, sets: list[CameraSet]) -> list[dict[str, Any]]:
    """FMR within each set, at the lowest threshold whose FMR across sets is at most 1e-3; one row per set. Empty if there are too few
    comparisons across sets for that FMR."""
    enrolled, placed = zip(*(place_both(head, camera_set.embeddings, camera_set.templates) for camera_set in sets), strict=True)
    pairs = [(first, second) for first in range(len(sets)) for second in range(first + 1, len(sets))]
    total = sum(
        int((sets[second].names[None, :] != name).sum()) * int((sets[first].names == name).sum())
        for first, second in pairs
        for name in np.unique(sets[first].names)
    )
    if not supports_fmr(total, TARGET_FMR):
        return []
    across = (
        scores
        for first, second in pairs
        for scores in _stranger_scores(head, enrolled[first], sets[first].names, placed[second], sets[second].names)
    )
    highest = Highest(total, TARGET_FMR)
    for scores in across:
        highest.add(scores)
    threshold, fmr_across = highest.threshold(), rate(highest.matches(), total)
    rows = []
    for camera_set, templates, probes in zip(sets, enrolled, placed, strict=True):
        matched = trials = 0
        for row in range(len(camera_set.names) - 1):
            for scores in _stranger_scores(
                head, templates[row : row + 1], camera_set.names[row : row + 1], probes[row + 1 :], camera_set.names[row + 1 :]
            ):
                matched, trials = matched + int((scores >= threshold).sum()), trials + scores.size
        if not trials:
            continue
        within = rate(matched, trials)
        # If nobody matches across, at least as many times as often as if one had.
        ratio = within.value / max(fmr_across.value, 1 / total)
        rows.append(
            {
                "set": camera_set.camera, "impostor": trials, "fmr_within": within.value, "low": within.low, "high": within.high,
                "fmr_across": fmr_across.value, "across": total, "ratio": ratio, "gap": ratio > LIMIT and within.low > TARGET_FMR,
            }
        )  # fmt: skip
    return rows


def _stranger_scores(
    head: Head, enrolled: Placed, owners: NDArray[np.str_], probes: Placed, names: NDArray[np.str_]
) -> Iterator[NDArray[np.float64]]:
    """For each template, the scores, float64 [n], of the probes of other people."""
    for row, owner in enumerate(owners):
        yield compare(head, enrolled[row : row + 1], probes)[names != owner]
