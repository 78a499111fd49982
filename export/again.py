"""A file that is there, measured anew: with another kind of templates, in another runtime. Its networks stay as they are.

What the float model gave cannot be had from the file, so parity and its gates remain those of the export, with the templates named there.
"""

from __future__ import annotations

import copy
import json
import platform
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GateMissed, InputError
from edge.contract.modelfile import SCHEMA_VERSION, ModelFile, TemplateKind, model_id_of, parse_model
from edge.contract.runtime import Embedder
from export.elsewhere import embed_elsewhere
from export.measure import Side, agreement, agreement_gates, operating_points
from export.package import pack, write_file
from export.tflite import ALIGNER_NAME, COHORT_NAME, GOLDEN_NAME, HEAD_NAME, require, side_of, told_of, with_arrays


@dataclass(frozen=True, slots=True)
class HeldOut:
    """People whom a training never saw, by `trainer held-out`: chips, uint8 [n, side, side] or [n, side, side, 3], and int labels [n];
    `split` is the SHA-256 of that training's split.json."""

    chips: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split: str


def read_held_out(path: Path) -> HeldOut:
    """Reads what `trainer held-out` wrote.

    Raises:
        InputError: it is something else, or unreadable.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            told = json.loads(str(saved["told"]))
            return HeldOut(saved["test"], saved["test_labels"], str(told["split"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: no chips of held-out people ({error}); make them with `trainer held-out`") from error


def measure_again(
    model: ModelFile, held: HeldOut, out: Path, *, template: TemplateKind, command: str, also_in: Sequence[Path] = ()
) -> ModelFile:
    """Writes the file with operating points measured anew.

    Raises:
        InputError: the people are not those that this model's training held out.
        GateMissed: they support no operating point, or another runtime answers otherwise.
        StorageError: the file cannot be written.
    """
    split = model.record["provenance"]["files"]["split.json"]
    if held.split != split:
        raise InputError(
            f"{model.path}: its training had the split {split[:12]}, these people were held out by {held.split[:12]}: some may have been "
            f"trained on; make them with `trainer held-out {model.path}`"
        )
    output = model.tower.output
    arrays = {HEAD_NAME: model.head.weights, COHORT_NAME: output.to_raw(model.cohort), GOLDEN_NAME: model.golden}
    files = {ALIGNER_NAME: model.aligner.network.flatbuffer} if model.aligner else {}
    record = copy.deepcopy(model.record)
    model_id = model_id_of(model.tower.flatbuffer, files.get(ALIGNER_NAME, b""), template)
    record |= {"schema": SCHEMA_VERSION, "written_by": version("facelatch"), "template": template.value, "model_id": model_id}
    record["parity"].setdefault("template", TemplateKind.PLAIN.value)

    unmeasured = pack(model.tower.flatbuffer, with_arrays(record, arrays), arrays, files)
    embedder = Embedder(parse_model(unmeasured, out))
    here = side_of(embedder, model.head, held.chips)
    record["operating_points"] = operating_points(*here.scores(held.labels))
    if not record["operating_points"]:
        raise GateMissed(f"{len(held.chips)} pictures of held-out people support no operating point")
    record["evaluated_on"] = {"people": len(np.unique(held.labels)), "pictures": len(held.chips)}
    record["runtimes"] = [{"runtime": embedder.runtime, "machine": platform.machine(), "chips": len(held.chips)}]
    of_runtimes = {gate.name for entry in model.record["runtimes"][1:] for gate in agreement_gates(entry["runtime"], entry)}
    checks = [gate for gate in model.gates if gate.name not in of_runtimes]
    for python in also_in:
        there = embed_elsewhere(python, unmeasured, held.chips, output)
        figures = agreement(
            here, Side(model.head, there.embeddings, there.templates), held.labels, record["operating_points"], output.scale
        )
        record["runtimes"].append(told_of(there) | figures)
        found = agreement_gates(there.told["runtime"], figures)
        require(found, force=False)
        checks += found
    record["gates"] = [asdict(gate) | {"passed": gate.passed} for gate in checks]
    record["provenance"]["measured_again"] = {"command": command, "versions": {"numpy": version("numpy")}}
    data = pack(model.tower.flatbuffer, with_arrays(record, arrays), arrays, files)
    again = parse_model(data, out)
    write_file(out, data)
    return again
