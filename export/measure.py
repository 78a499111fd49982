"""Measures an exported file on people the training never saw: its error rates, its distance to the float model, and the gates. No I/O."""

from __future__ import annotations

from dataclasses import asdict
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.contract.metrics import eer, fmr, fnmr, supports_fmr, threshold_at_fmr
from edge.contract.modelfile import Gate, OperatingPoint
from edge.contract.score import Head, score_all_pairs

TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
# Gates are measured at this FMR, or at the next looser target with this many false matches: a threshold that a dozen comparisons decide
# moves by chance, and on a steep curve the TAR moves with it.
GATE_FMR, GATE_FALSE_MATCHES = 1e-3, 100

MIN_MEDIAN_COSINE = 0.98
# The largest rise of the EER and loss of TAR. Two standard deviations of the number of changed decisions (McNemar 1947) are added, and no
# limit is below FEW_COMPARISONS: one or two comparisons say nothing, and a gate that fails by chance teaches people to use --force.
MAX_EER_CHANGE, MAX_TAR_LOSS, FEW_COMPARISONS = 0.005, 0.01, 3
# The largest FMR at the float model's threshold, as a multiple of the target: finds a shift of the scores, which a newly measured threshold
# would hide.
MAX_FMR_RATIO = 1.5
# Two runtimes round the same file differently, but do the same arithmetic.
MIN_RUNTIME_COSINE = 0.995


class Side(NamedTuple):
    """One model in a comparison: its head, whose cohort it embedded itself, and its embeddings and templates of the held-out chips, both
    float32 [n, D]."""

    head: Head
    embeddings: NDArray[np.float32]
    templates: NDArray[np.float32]

    def scores(self, labels: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(genuine, impostor) scores, float64, of all pairs: one face of each pair is enrolled, the other is the probe."""
        return score_all_pairs(self.head, self.embeddings, labels, self.templates)


def operating_points(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> list[dict[str, Any]]:
    """An operating point for every target FMR that the number of comparisons supports (rule of three), as plain values."""
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


def parity(in_float: Side, in_file: Side, labels: NDArray[np.int64]) -> dict[str, Any]:
    """How the file's answers and error rates differ from the float model's on the same chips.

    `threshold_fmr` is the file's FMR at the float model's threshold for `target_fmr`. `decisions` is the number of comparisons that the
    two models decide differently, each at its own threshold.
    """
    cosine = cosines(in_float.embeddings, in_file.embeddings)
    (genuine, impostor), (file_genuine, file_impostor) = (side.scores(labels) for side in (in_float, in_file))
    supported = [target for target in TARGETS if target >= GATE_FMR and supports_fmr(impostor.size, target)]
    steady = [target for target in supported if target * impostor.size >= GATE_FALSE_MATCHES]
    target = min(steady, default=TARGETS[0])
    figures: dict[str, Any] = {
        "chips": len(labels),
        "genuine": genuine.size,
        "impostor": impostor.size,
        "median_cosine": float(np.median(cosine)),
        "lowest_cosine": float(cosine.min()),
        "eer_float": eer(genuine, impostor)[0],
        "eer_file": eer(file_genuine, file_impostor)[0],
        "target_fmr": target,
    }
    if not supported:
        return figures
    threshold, file_threshold = threshold_at_fmr(impostor, target), threshold_at_fmr(file_impostor, target)
    matched, file_matched = genuine >= threshold, file_genuine >= file_threshold
    changed = (matched != file_matched).sum() + ((impostor >= threshold) != (file_impostor >= file_threshold)).sum()
    return figures | {
        "tar_float": float(matched.mean()),
        "tar_file": float(file_matched.mean()),
        "threshold_fmr": float((file_impostor >= threshold).mean()),
        "decisions": int(changed),
        "genuine_decisions": int((matched != file_matched).sum()),
    }


def gates(figures: dict[str, Any]) -> list[Gate]:
    """The gates on the figures of `parity`. A limit is only as wide as the counts require."""
    doubt = 2 * sqrt(figures.get("genuine_decisions", 0)) / figures["genuine"]
    few = FEW_COMPARISONS / figures["genuine"]
    eer_change = figures["eer_file"] - figures["eer_float"]
    checks = [
        Gate("median cosine to float", figures["median_cosine"], MIN_MEDIAN_COSINE, True),
        Gate("rise of the EER", eer_change, max(MAX_EER_CHANGE + doubt, few), False),
    ]
    if "tar_file" in figures:
        target = figures["target_fmr"]
        ratio = figures["threshold_fmr"] / target
        expected = target * figures["impostor"]
        checks += [
            Gate(
                f"loss of TAR at FMR {target:g}",
                figures["tar_float"] - figures["tar_file"],
                max(MAX_TAR_LOSS + doubt, few),
                False,
            ),
            Gate(f"FMR at the float threshold of {target:g}", ratio, max(MAX_FMR_RATIO, 1 + 3 / sqrt(expected)), False),
        ]
    return checks


def agreement(
    reference: Side, other: Side, labels: NDArray[np.int64], points: list[dict[str, Any]], step: float
) -> dict[str, Any]:
    """How another runtime's answers differ for the same file: in quantisation steps (of size `step`; None if it is 0), in scores, and in
    decisions on all comparisons at the file's own operating points."""
    cosine = cosines(reference.embeddings, other.embeddings)
    difference = np.abs(reference.embeddings - other.embeddings)
    genuine, _ = reference.scores(labels)
    scores = [np.concatenate(side.scores(labels)) for side in (reference, other)]
    figures: dict[str, Any] = {
        "chips": len(labels),
        "median_cosine": float(np.median(cosine)),
        "lowest_cosine": float(cosine.min()),
        "equal": float((difference == 0).mean()),
        "largest_steps": round(float(difference.max() / step)) if step else None,
        "largest_score_change": float(np.abs(scores[0] - scores[1]).max()),
        "comparisons": scores[0].size,
    }
    decisions = {}
    for point in points:
        matched, other_matched = (side >= point["threshold"] for side in scores)
        count = len(genuine)
        decisions[point["name"]] = {
            "changed": int((matched != other_matched).sum()),
            "false_matches": int(other_matched[count:].sum()),
            "false_non_matches": int((~other_matched[:count]).sum()),
        }
    return figures | {"decisions": decisions}


def agreement_gates(name: str, figures: dict[str, Any]) -> list[Gate]:
    """The gates on the figures of `agreement`."""
    return [Gate(f"median cosine of {name} to the runtime that measured", figures["median_cosine"], MIN_RUNTIME_COSINE, True)]


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine, float64 [n], of each pair of rows of two float32 [n, D]."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine: NDArray[np.float64] = (a * b).sum(1) / np.maximum(lengths, 1e-12)
    return cosine
