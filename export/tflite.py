"""One export from start to end: convert, measure in the installed runtimes, check the gates, pack, read back, write. Trains nothing."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from edge.contract.align import shrink
from edge.contract.errors import GateMissed
from edge.contract.fingerprint import chip_fingerprint, golden_chips
from edge.contract.modelfile import SCHEMA_VERSION, Gate, ModelFile, TensorSpec, model_id_of, parse_model
from edge.contract.runtime import Embedder
from edge.contract.score import Head
from export.convert import TENSORFLOW, check_graph, to_tflite
from export.elsewhere import Elsewhere, embed_elsewhere
from export.equalise import equalise
from export.graph import Graph, read_graph
from export.measure import Side, agreement, agreement_gates, gates, operating_points, parity
from export.package import array_entry, pack, write_file
from export.run import Run
from export.variant import Variant

HEAD_NAME, COHORT_NAME, GOLDEN_NAME = "arrays/head-weights.npy", "arrays/cohort.npy", "arrays/golden.npy"
ALIGNER_NAME = "align.tflite"


@dataclass(frozen=True, slots=True)
class Converted:
    """A network converted to TFLite. `network` is the Keras network, `calibration` the pixels that it was calibrated with, uint8."""

    network: Any
    calibration: NDArray[np.uint8]
    flatbuffer: bytes
    graph: Graph

    @property
    def input(self) -> TensorSpec:
        """The tensor that receives pixels."""
        return self.graph.tensors[self.graph.inputs[0]].spec

    @property
    def output(self) -> TensorSpec:
        """The tensor that holds the answer."""
        return self.graph.tensors[self.graph.outputs[0]].spec


class Exported(NamedTuple):
    """The model as a device reads it from the file, and its networks by name."""

    model: ModelFile
    networks: dict[str, Converted]


def export_tflite(
    run: Run,
    out: Path,
    *,
    variant: Variant,
    name: str,
    command: str,
    also_in: Sequence[Path] = (),
    force: bool = False,
) -> Exported:
    """Writes the model file. `also_in` are Python interpreters of other environments, in whose runtimes the file is measured as well.

    Raises:
        GateMissed: a check failed. Nothing is written; with `force`, the file is written if only the figure of a gate was missed.
        InputError: an interpreter of `also_in` cannot be used.
        StorageError: the file cannot be written.
    """
    views = run.views(run.calibration)
    # A tower trained with quantisation is adapted to the rounding of its maps as they are, so they are not equalised.
    networks = {"tower": convert(run.tower, views, variant, equal=not run.record["settings"]["tower"].get("quantised", False))}
    if run.align:
        small = np.stack([shrink(chip, run.align.input_px) for chip in run.calibration])
        networks["aligner"] = convert(run.aligner, small, variant)
    tower, aligner = networks["tower"], networks.get("aligner")
    record = _record(run, tower, aligner, variant, name, command)
    empty = np.empty((0, run.head.size), tower.output.dtype)
    arrays = {HEAD_NAME: run.head.weights, COHORT_NAME: empty, GOLDEN_NAME: empty}
    files = {ALIGNER_NAME: aligner.flatbuffer} if aligner else {}

    # The file is packed without figures and measured, then packed again with them, and read by the device's own reader each time.
    unmeasured = pack(tower.flatbuffer, with_arrays(record, arrays), arrays, files)
    embedder = Embedder(parse_model(unmeasured, out))
    # A training with only captured people has no strangers.
    if len(run.cohort):
        strangers = np.stack([embedder.embed(chip) for chip in _tracked(run.cohort, "embedding the cohort")])
        arrays[COHORT_NAME] = tower.output.to_raw(strangers)
    arrays[GOLDEN_NAME] = np.stack([embedder.answer(chip) for chip in golden_chips(run.chip)])
    head = replace(run.head, cohort=None)
    if run.head.cohort:
        cohort = replace(run.head.cohort, embeddings=strangers)  # as the file itself embeds them
        record["head"]["cohort"] = {"nearest": cohort.nearest, "ceiling": cohort.ceiling}
        head = replace(head, cohort=cohort)
    reference = side_of(embedder, head, run.test)
    if head.doubt:
        record["head"]["doubt"] = doubt_entry(head.doubt)
    record["parity"] = parity(side_in_float(run), reference, run.test_labels) | {"template": run.template.value}
    record["operating_points"] = operating_points(*reference.scores(run.test_labels))
    if not record["operating_points"]:
        raise GateMissed(
            f"{record['parity']['impostor']} impostor comparisons of held-out people support no operating point; "
            "train on more people"
        )
    checks = gates(record["parity"])
    record["runtimes"] = [{"runtime": embedder.runtime, "machine": platform.machine(), "chips": len(run.test)}]
    for python in also_in:
        other = embed_elsewhere(python, unmeasured, run.test, tower.output)
        figures = agreement(
            reference,
            Side(head, other.embeddings, other.templates),
            run.test_labels,
            record["operating_points"],
            tower.output.scale,
        )
        record["runtimes"].append(runtime_entry(other) | figures)
        checks += agreement_gates(other.environment["runtime"], figures)
    record["gates"] = [asdict(gate) | {"passed": gate.passed} for gate in checks]
    require(checks, force=force)
    data = pack(tower.flatbuffer, with_arrays(record, arrays), arrays, files)
    model = parse_model(data, out)
    packed_embedding = Embedder(model).embed(run.test[0])
    if not np.array_equal(packed_embedding, reference.embeddings[0]):
        raise GateMissed(f"{out}: the packed file gives another embedding than the one that was measured")
    write_file(out, data)
    return Exported(replace(model, path=out), networks)


def convert(network: Any, calibration: NDArray[np.uint8], variant: Variant, *, equal: bool = True) -> Converted:
    """Converts a network and checks the graph. For int8, `equal` first equalises its maps in place. Raises GateMissed as `check_graph`
    does."""
    if equal and variant is Variant.INT8:
        equalise(network, calibration)
    flatbuffer = to_tflite(network, calibration, variant)
    graph = read_graph(flatbuffer)
    check_graph(graph, variant)
    return Converted(network, calibration, flatbuffer, graph)


def doubt_entry(doubt: tuple[float, float]) -> dict[str, float]:
    """The record's entry for a head's doubt."""
    return {"from": doubt[0], "below": doubt[1]}


def side_of(embedder: Embedder, head: Head, chips: NDArray[np.uint8]) -> Side:
    """A model file's side of a comparison with this head, on chips, uint8 [n, side, side] or [n, side, side, 3]."""
    embeddings, templates = zip(*(embedder.both(chip) for chip in _tracked(chips, "measuring the file")), strict=True)
    return Side(head, np.stack(embeddings), np.stack(templates))


def side_in_float(run: Run) -> Side:
    """The float model's side of a comparison, on the run's held-out chips."""
    embeddings = run.embed(run.test)
    return Side(run.head, embeddings, run.templates(run.test, embeddings))


def _tracked(chips: NDArray[np.uint8], description: str) -> Iterable[NDArray[np.uint8]]:
    return track(chips, description, console=Console(stderr=True))


def require(checks: Sequence[Gate], *, force: bool) -> None:
    """Raises GateMissed if a gate was missed, unless `force`."""
    missed = [gate for gate in checks if not gate.passed]
    if missed and not force:
        raise GateMissed(
            f"the file is not the model that was trained: {'; '.join(map(str, missed))}. Nothing was written. "
            "Train it for int8 (`trainer fit --quantised --init RUN`), try `--quantize int16x8`, "
            "or write it all the same, with its report, with --force: a device then refuses it unless policy.allow_failed_gate is set"
        )


def runtime_entry(other: Elsewhere) -> dict[str, Any]:
    """The record's entry for another runtime."""
    return {key: other.environment[key] for key in ("runtime", "machine")}


def _record(run: Run, tower: Converted, aligner: Converted | None, variant: Variant, name: str, command: str) -> dict[str, Any]:
    align = None
    if run.align and aligner:
        digest = hashlib.sha256(aligner.flatbuffer).hexdigest()
        tensors = {"input": asdict(aligner.input), "output": asdict(aligner.output)}
        align = {"file": ALIGNER_NAME, "sha256": digest, "spec": run.align.to_json(), "tensors": tensors}
    return {
        "schema": SCHEMA_VERSION,
        "written_by": version("facelatch"),
        "model_id": model_id_of(tower.flatbuffer, aligner.flatbuffer if aligner else b"", run.template),
        "template": run.template.value,
        "name": name,
        "quantisation": variant.value,
        "chip": run.chip.to_json(),
        "fingerprint": chip_fingerprint(run.chip),
        "tensors": {"input": asdict(tower.input), "output": asdict(tower.output)},
        "align": align,
        "embedding_size": run.head.size,
        "operating_points": [],
        "gates": [],
        "parity": {},
        "evaluated_on": {"people": len(np.unique(run.test_labels)), "pictures": len(run.test)},
        "runtimes": [],
        "provenance": {
            "run": {key: run.record[key] for key in ("run", "command", "settings", "versions")},
            "data": {key: run.record["data"][key] for key in ("sha256", "people", "pictures")},
            "files": run.digests,
            "export": {
                "command": command,
                "versions": {"tensorflow": TENSORFLOW, "python": platform.python_version()}
                | {key: version(key) for key in ("keras", "numpy")},
            },
        },
        "head": {
            "kind": "weighted-l2-sigmoid" if run.head.squared else "weighted-l1-sigmoid",
            "bias": run.head.bias,
            "normalise": run.head.normalise,
            "squared": run.head.squared,
        },
    }


def with_arrays(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The record with the names and digests of its arrays."""
    head = record["head"] | {"weights": array_entry(HEAD_NAME, arrays[HEAD_NAME])}
    named = {key: array_entry(name, arrays[name]) for key, name in (("cohort", COHORT_NAME), ("golden", GOLDEN_NAME))}
    return record | {"head": head} | named
