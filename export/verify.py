"""Checks the gates of an export again, from the file alone or with the run that it came from. Changes no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GateMissed, InputError
from edge.contract.fingerprint import golden_chips
from edge.contract.metrics import Rate, fmr, fnmr
from edge.contract.modelfile import ModelFile, OperatingPoint
from edge.contract.runtime import Embedder
from export.convert import check_graph
from export.measure import MIN_RUNTIME_COSINE, cosines, gates, parity
from export.run import Run
from export.show import graphs_of
from export.tflite import side_in_float, side_of
from export.variant import Variant


class Check(NamedTuple):
    """One line of the verdict. `found` says what was measured, or why the check failed."""

    name: str
    passed: bool
    found: str


def verify_file(model: ModelFile) -> list[Check]:
    """The checks that need only the file. The reader has already checked seal, digests, schema and this machine's chips."""
    checks = [Check("seal, digests, schema, fingerprint of chips", True, f"model {model.model_id[:12]}")]
    variant = Variant(model.record["quantisation"])
    for name, graph in graphs_of(model).items():
        try:
            check_graph(graph, variant)
            checks.append(Check(f"graph of the {name}", True, f"{len(graph.operators)} operators, {variant}"))
        except GateMissed as error:
            checks.append(Check(f"graph of the {name}", False, str(error)))
    embedder = Embedder(model)
    answers = np.stack([embedder.answer(chip) for chip in golden_chips(model.chip)])
    if answers.shape != model.golden.shape:
        checks.append(Check("generated chips", False, f"the file has {len(model.golden)} answers, {len(answers)} are expected"))
    else:
        zero = model.tower.output.zero_point
        cosine = float(np.median(cosines(answers - np.float32(zero), model.golden - np.float32(zero))))
        steps = int(np.abs(answers.astype(np.float64) - model.golden).max()) if answers.dtype == np.int8 else 0
        summary = f"{embedder.runtime}: median cosine {cosine:.5f} to the recorded answers" + (
            f", {steps} steps at most" if steps else ""
        )
        checks.append(Check("generated chips", cosine >= MIN_RUNTIME_COSINE, summary))
    checks += [Check(f"recorded: {gate.name}", gate.passed, str(gate)) for gate in model.gates]
    return checks


def verify_on(model: ModelFile, run: Run) -> list[Check]:
    """The checks on the held-out people of a run: the operating points measured again and, if the file was made from this run, the gates.

    Raises:
        InputError: the run's chips or its split differ from the model's.
    """
    if run.chip != model.chip:
        raise InputError(
            f"{run.path}: its chips are {run.chip}, the model takes {model.chip}; give the run that it was made of"
        )
    split, held_out = model.record["provenance"]["files"]["split.json"], run.digests["split.json"]
    if split != held_out:
        raise InputError(
            f"{run.path}: {model.path}'s training had the split {split[:12]}, this one has {held_out[:12]}: who is held out here may "
            "have been trained on there; give the run that it was made of"
        )
    in_file = side_of(Embedder(model), model.head, run.test)
    checks = check_points(model.operating_points, *in_file.scores(run.test_labels))
    if model.record["provenance"]["files"] == run.digests:
        # A file that was measured again may have another kind of templates than the run: both sides use the file's.
        figures = parity(side_in_float(replace(run, template=model.template)), in_file, run.test_labels)
        checks += [Check(f"measured: {gate.name}", gate.passed, str(gate)) for gate in gates(figures)]
    return checks


def check_points(points: Sequence[OperatingPoint], genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> list[Check]:
    """Two checks of each operating point on newly measured scores, float64 [n]: its FMR against its target, its FNMR against the recorded
    one.

    The FMR check fails if the lower end of its 95 % interval is above the target. If comparisons were independent, this would happen by
    chance to one in forty files that are as good as they say. The FNMR check fails if its lower end is above the upper end of the recorded
    interval. This would happen by chance to one file in some hundreds, because both rates are uncertain. As each person has many
    comparisons, it happens more often on other people than those of the recorded rates. A rate lower than expected passes, and `found`
    says so.
    """
    checks = []
    for point in points:
        false_match, missed = fmr(impostor, point.threshold), fnmr(genuine, point.threshold)
        recorded = Rate(point.false_non_matches, point.genuine_trials, *point.fnmr_interval)
        comparison = _comparison(false_match, point.target_fmr, point.target_fmr, "strangers match", "its target allows")
        summary = f"{false_match}, target {point.target_fmr:.3%}: {comparison}"
        checks.append(Check(f"FMR at {point.name}", false_match.low <= point.target_fmr, summary))
        comparison = _comparison(missed, recorded.low, recorded.high, "are missed", "was recorded")
        summary = f"{missed}, recorded {recorded}: {comparison}"
        checks.append(Check(f"FNMR at {point.name}", missed.low <= recorded.high, summary))
    return checks


def _comparison(rate: Rate, low: float, high: float, what: str, than: str) -> str:
    """How a rate compares with the range from `low` to `high`, in words."""
    if rate.low > high:
        return f"more {what} than {than}, beyond chance"
    if rate.high < low:
        return f"fewer {what} than {than}, beyond chance: these people are easier than those it was measured on"
    return f"as many {what} as {than}, within chance"
