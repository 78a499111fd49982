"""Which scores leave doubt, so that a probe is looked at a second time: its mirror image, as in what is enrolled.

Two looks tell people apart better than one and cost a second run of the tower. Far below where thresholds lie and far above them the second
look would decide nothing, so a device takes it in between alone (docs/decisions/0026-second-look.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.contract.metrics import allowed_matches, supports_fmr
from edge.contract.score import Head, score_all_pairs

# From the score that so many strangers reach: an operating point is at an FMR of 1e-2 or below.
FROM_FMR = 3e-2
# Up to the score that so few comparisons with strangers reach that they show no FMR below it (the rule of three).
TO_MATCHES = 3


def with_doubt(head: Head, held: NDArray[np.float32], templates: NDArray[np.float32], labels: NDArray[np.int64]) -> Head:
    """The head, in doubt of the scores between these two among the comparisons of people that the tower was not trained on: embeddings
    `held` and what would be kept of the same faces, `templates`, float32 [n, D] both, labels, int [n]. Without doubt where there are
    too few comparisons to tell the two apart."""
    head = replace(head, doubt=None)
    _, impostor = score_all_pairs(head, held, labels, templates)
    if not supports_fmr(impostor.size, FROM_FMR):
        return head
    highest = np.sort(impostor)[::-1]
    low, last = (float(highest[at]) for at in (allowed_matches(impostor.size, FROM_FMR) - 1, TO_MATCHES))
    return replace(head, doubt=(low, float(np.nextafter(last, 2)))) if low < last < 1 else head
