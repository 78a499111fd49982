"""The gates of an export once more, from the file alone or with the run that it came from; says what holds here and what does not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge.contract.errors import GateMissed, InputError
from edge.contract.fingerprint import golden_chips
from edge.contract.metrics import clopper_pearson
from edge.contract.modelfile import ModelFile
from edge.contract.runtime import Embedder
from export.convert import check_graph
from export.measure import MIN_RUNTIME_COSINE, cosines, gates, parity
from export.run import Run
from export.show import graphs_of
from export.tflite import side_in_float, side_of
from export.variant import Variant


class Check(NamedTuple):
    """One line of the verdict. `found` says what was measured; a check that did not hold says it there."""

    name: str
    passed: bool
    found: str


def verify_file(model: ModelFile) -> list[Check]:
    """What a file can show by itself; the reader has checked seal, digests, schema and this machine's chips already."""
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
        told = f"{embedder.runtime}: median cosine {cosine:.5f} to the recorded answers" + (
            f", {steps} steps at most" if steps else ""
        )
        checks.append(Check("generated chips", cosine >= MIN_RUNTIME_COSINE, told))
    checks += [Check(f"recorded: {gate.name}", gate.passed, str(gate)) for gate in model.gates]
    return checks


def verify_on(model: ModelFile, run: Run) -> list[Check]:
    """What it shows on the held-out people of a run: its operating points measured again, and, where the run is the one that it
    was made of, its gates.

    A point does not hold where its FMR, by the lower end of the 95 % interval, is above its target: by chance that happens to
    one in forty of files that are as good as they say.

    Raises:
        InputError: the run's chips are not the model's.
    """
    if run.chip != model.chip:
        raise InputError(
            f"{run.path}: its chips are {run.chip}, the model takes {model.chip}; give the run that it was made of"
        )
    in_file = side_of(Embedder(model), model.head, run.test)
    genuine, impostor = in_file.scores(run.test_labels)
    checks = []
    for point in model.operating_points:
        false, missed = int((impostor >= point.threshold).sum()), int((genuine < point.threshold).sum())
        low, _ = clopper_pearson(false, impostor.size)
        told = f"FMR {false / impostor.size:.3g} ({false}/{impostor.size}), FNMR {missed / genuine.size:.2%} ({missed}/{genuine.size})"
        checks.append(Check(f"operating point {point.name}", low <= point.target_fmr, told))
    if model.record["provenance"]["files"] == run.digests:
        figures = parity(side_in_float(run), in_file, run.test_labels)
        checks += [Check(f"measured: {gate.name}", gate.passed, str(gate)) for gate in gates(figures)]
    return checks
