"""Measures an existing model file again: with another kind of templates, another head or in another runtime. Never changes its networks.

The float model's answers cannot be recovered from the file. So parity and its gates remain those of the export, for the kind of
templates named there and the file's former head.
"""

from __future__ import annotations

import copy
import hashlib
import json
import platform
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GateMissed, InputError
from edge.contract.modelfile import SCHEMA_VERSION, ModelFile, TemplateKind, model_id_of, parse_model
from edge.contract.runtime import Embedder
from edge.contract.score import Head
from edge.contract.spec import ChipSpec
from export.elsewhere import embed_elsewhere
from export.measure import Side, agreement, agreement_gates, operating_points
from export.package import pack, write_file
from export.run import check_held_out, read_head
from export.tflite import (
    ALIGNER_NAME,
    COHORT_NAME,
    GOLDEN_NAME,
    HEAD_NAME,
    doubt_entry,
    require,
    runtime_entry,
    side_of,
    with_arrays,
)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """People whom a training never saw, from `trainer held-out`: chips, uint8 [n, side, side] or [n, side, side, 3], and int labels [n].
    `split` is the SHA-256 of that training's split.json, `spec` says how the chips were cut."""

    chips: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split: str
    spec: ChipSpec


def read_held_out(path: Path) -> HeldOut:
    """Reads a file written by `trainer held-out`.

    Raises:
        InputError: it is another kind of file, or unreadable.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            metadata = json.loads(str(saved["told"]))
            held = HeldOut(saved["test"], saved["test_labels"], str(metadata["split"]), ChipSpec.from_json(metadata["chip"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: no chips of held-out people ({error}); make them with `trainer held-out`") from error
    check_held_out(path, held.chips, held.labels)
    return held


def measure_again(
    model: ModelFile,
    held: HeldOut,
    out: Path,
    *,
    template: TemplateKind,
    command: str,
    head: Path | None = None,
    also_in: Sequence[Path] = (),
) -> ModelFile:
    """Writes the model to `out` with newly measured operating points and, if given, the head that `trainer cohort` wrote to `head`.

    Raises:
        InputError: the people are not those that this model's training held out, their chips are cut differently from the model's, or
            the head belongs to another model.
        GateMissed: the people support no operating point, or another runtime answers differently.
        StorageError: the file cannot be written.
    """
    split = model.record["provenance"]["files"]["split.json"]
    if held.split != split:
        raise InputError(
            f"{model.path}: its training had the split {split[:12]}, these people were held out by {held.split[:12]}: some may have been "
            f"trained on; make them with `trainer held-out {model.path}`"
        )
    if held.spec != model.chip:
        raise InputError(
            f"{model.path}: takes chips cut as {model.chip}, these are {held.spec}; make them with `trainer held-out {model.path}`"
        )
    output = model.tower.output
    used_head, cohort = (model.head, model.cohort) if head is None else _head(head, model)
    if template is TemplateKind.PLAIN:
        used_head = replace(used_head, doubt=None)  # plain templates have no second look
    arrays = {HEAD_NAME: used_head.weights, COHORT_NAME: output.to_raw(cohort), GOLDEN_NAME: model.golden}
    files = {ALIGNER_NAME: model.aligner.network.flatbuffer} if model.aligner else {}
    record = copy.deepcopy(model.record)
    model_id = model_id_of(model.tower.flatbuffer, files.get(ALIGNER_NAME, b""), template)
    record |= {"schema": SCHEMA_VERSION, "written_by": version("facelatch"), "template": template.value, "model_id": model_id}
    record["parity"].setdefault("template", TemplateKind.PLAIN.value)

    record["provenance"]["measured_again"] = {"command": command, "versions": {"numpy": version("numpy")}}
    if head is not None and used_head.cohort:
        record["head"] |= {
            "bias": used_head.bias,
            "cohort": {"nearest": used_head.cohort.nearest, "ceiling": used_head.cohort.ceiling},
        }
        record["provenance"]["files"][head.name] = hashlib.sha256(head.read_bytes()).hexdigest()

    record["head"].pop("doubt", None)
    if used_head.doubt:
        record["head"]["doubt"] = doubt_entry(used_head.doubt)
    unmeasured = pack(model.tower.flatbuffer, with_arrays(record, arrays), arrays, files)
    embedder = Embedder(parse_model(unmeasured, out))
    reference = side_of(embedder, used_head, held.chips)
    record["operating_points"] = operating_points(*reference.scores(held.labels))
    if not record["operating_points"]:
        raise GateMissed(f"{len(held.chips)} pictures of held-out people support no operating point")
    record["evaluated_on"] = {"people": len(np.unique(held.labels)), "pictures": len(held.chips)}
    record["runtimes"] = [{"runtime": embedder.runtime, "machine": platform.machine(), "chips": len(held.chips)}]
    runtime_gate_names = {
        gate.name for entry in model.record["runtimes"][1:] for gate in agreement_gates(entry["runtime"], entry)
    }
    checks = [gate for gate in model.gates if gate.name not in runtime_gate_names]
    for python in also_in:
        other = embed_elsewhere(python, unmeasured, held.chips, output)
        figures = agreement(
            reference, Side(used_head, other.embeddings, other.templates), held.labels, record["operating_points"], output.scale
        )
        record["runtimes"].append(runtime_entry(other) | figures)
        runtime_gates = agreement_gates(other.environment["runtime"], figures)
        require(runtime_gates, force=False)
        checks += runtime_gates
    record["gates"] = [asdict(gate) | {"passed": gate.passed} for gate in checks]
    data = pack(model.tower.flatbuffer, with_arrays(record, arrays), arrays, files)
    measured = parse_model(data, out)
    write_file(out, data)
    return measured


def _head(path: Path, model: ModelFile) -> tuple[Head, NDArray[np.float32]]:
    """Reads a head for this model: (head, its cohort, float32 [n, D], as this model's tower embedded it)."""
    try:
        head = read_head(path)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: no head ({error}); make one with `trainer cohort {model.path}`") from error
    output, kind = model.tower.output, (head.size, head.normalise, head.squared)
    if head.cohort is None or kind != (model.head.size, model.head.normalise, model.head.squared):
        raise InputError(f"{path}: the head of another model, or without a cohort; make one with `trainer cohort {model.path}`")
    cohort = head.cohort.embeddings
    # The tower's outputs are whole quantisation steps; any other values came from another tower.
    if not np.array_equal(output.to_real(output.to_raw(cohort)), cohort):
        raise InputError(f"{path}: its cohort was not embedded by {model.path}; make it with `trainer cohort {model.path}`")
    return head, cohort
