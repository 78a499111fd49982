"""What the exported file is worth: its error rates on people the training never saw, and how far it is from the float model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GateMissed
from edge.contract.metrics import eer, fmr, fnmr, supports_fmr, threshold_at_fmr
from edge.contract.modelfile import OperatingPoint
from edge.contract.score import Head, score_all_pairs

TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
# Below these the file is not the model that was trained, whatever the reason.
MIN_MEDIAN_COSINE = 0.97
MAX_EER_CHANGE = 0.01


def operating_points(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Every target FMR that the counts can support (rule of three), with what was measured there."""
    points = []
    for target in TARGETS:
        if not supports_fmr(impostor.size, target):
            continue
        threshold = threshold_at_fmr(impostor, target)
        if threshold > 1:
            continue  # the highest impostor score is 1 itself: nothing lies above it
        false_match, missed = fmr(impostor, threshold), fnmr(genuine, threshold)
        point = OperatingPoint(
            name=f"fmr-{target:g}",
            target_fmr=target,
            threshold=threshold,
            fmr=false_match.value,
            fmr_interval=(false_match.low, false_match.high),
            false_matches=false_match.errors,
            impostor_trials=false_match.trials,
            fnmr=missed.value,
            fnmr_interval=(missed.low, missed.high),
            false_non_matches=missed.errors,
            genuine_trials=missed.trials,
        )
        points.append(asdict(point))
    return points


def parity(
    in_float: tuple[Head, NDArray[np.float32]], in_file: tuple[Head, NDArray[np.float32]], labels: NDArray[np.int64]
) -> dict[str, Any]:
    """How the file's embeddings and EER differ from the float model's, on the same chips; each with its head, whose cohorts are
    embedded by the one and by the other.

    Raises:
        GateMissed: they differ by more than a quantised model may.
    """
    from_float, from_file = in_float[1], in_file[1]
    cosine = (from_float * from_file).sum(1) / (np.linalg.norm(from_float, axis=1) * np.linalg.norm(from_file, axis=1) + 1e-12)
    eer_float, eer_file = (eer(*score_all_pairs(*side, labels))[0] for side in (in_float, in_file))
    figures = {
        "chips": len(labels),
        "median_cosine": float(np.median(cosine)),
        "lowest_cosine": float(cosine.min()),
        "eer_float": eer_float,
        "eer_file": eer_file,
        "eer_change": eer_file - eer_float,
    }
    if figures["median_cosine"] < MIN_MEDIAN_COSINE or figures["eer_change"] > MAX_EER_CHANGE:
        raise GateMissed(
            f"the file differs from the float model: median cosine {figures['median_cosine']:.4f} (at least {MIN_MEDIAN_COSINE}), "
            f"EER {eer_float:.2%} to {eer_file:.2%} (at most {MAX_EER_CHANGE:.0%} more). Nothing was written; "
            "export without --quantize to see whether quantisation is the cause"
        )
    return figures
