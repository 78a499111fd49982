"""Sets the range of scores that are in doubt, for which a probe is looked at twice: also its mirror image, as in enrolment.

Two looks tell people apart better than one but cost a second run of the tower. Far below or above the useful thresholds the second look
would decide nothing, so a device takes it only in between (docs/decisions/0026-second-look.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.contract.metrics import allowed_matches, supports_fmr
from edge.contract.score import Head, score_all_pairs

# Lower end: the score that this share of impostor comparisons reach. Operating points are at an FMR of 1e-2 or below.
FROM_FMR = 3e-2
# Upper end: the score that only this many impostor comparisons exceed, too few to support a lower FMR (the rule of three).
TO_MATCHES = 3


def with_doubt(head: Head, embeddings: NDArray[np.float32], templates: NDArray[np.float32], labels: NDArray[np.int64]) -> Head:
    """The head with its range of doubt set from the comparisons of people that the tower was not trained on: their `embeddings` and
    the `templates` of the same faces, float32 [n, D] both, with `labels`, int [n]. Without a range if there are too few comparisons to
    find its two ends."""
    head = replace(head, doubt=None)
    _, impostor = score_all_pairs(head, embeddings, labels, templates)
    if not supports_fmr(impostor.size, FROM_FMR):
        return head
    highest = np.sort(impostor)[::-1]
    low, last = (float(highest[at]) for at in (allowed_matches(impostor.size, FROM_FMR) - 1, TO_MATCHES))
    return replace(head, doubt=(low, float(np.nextafter(last, 2)))) if low < last < 1 else head
