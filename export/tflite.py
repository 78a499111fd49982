"""One export from start to end: convert, measure the result in the installed runtime, pack, read back, write."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from edge.contract.align import shrink
from edge.contract.errors import GateMissed
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.modelfile import SCHEMA_VERSION, ModelFile, TensorSpec, model_id_of, parse_model
from edge.contract.quantise import quantise
from edge.contract.runtime import Embedder, runtime_name
from edge.contract.score import make_cohort, score_all_pairs
from export.convert import inspect, to_tflite
from export.measure import operating_points, parity
from export.package import array_entry, pack, write_file
from export.run import Run

HEAD_NAME, COHORT_NAME, ALIGNER_NAME = "arrays/head-weights.npy", "arrays/cohort.npy", "align.tflite"


class Converted(NamedTuple):
    """A network as TFLite has it, with its operators in order."""

    flatbuffer: bytes
    input: TensorSpec
    output: TensorSpec
    operators: list[str]


def export_tflite(run: Run, out: Path, *, quantize: bool, name: str, command: str) -> ModelFile:
    """Writes the model file and returns it as a device reads it.

    Raises:
        GateMissed: the result is not what was asked for; nothing is written.
        StorageError: the file cannot be written.
    """
    tower = _convert(run.tower, run.views(run.calibration), quantize)
    aligner = None
    if run.align:
        small = np.stack([shrink(chip, run.align.input_px) for chip in run.calibration])
        aligner = _convert(run.aligner, small, quantize)
    record = _record(run, tower, aligner, name, command)
    arrays = {HEAD_NAME: run.head.weights, COHORT_NAME: np.empty((0, run.head.size), tower.output.dtype)}
    more = {ALIGNER_NAME: aligner.flatbuffer} if aligner else {}

    # The file measures itself: without figures first, then again with them, read by the device's own reader each time.
    bare = parse_model(pack(tower.flatbuffer, _with_arrays(record, arrays), arrays, more), out)
    embedder = Embedder(bare)
    from_file = _embed(embedder, run.test, "measuring the file")
    strangers = _embed(embedder, run.cohort, "embedding the cohort")
    arrays[COHORT_NAME] = _as_output(strangers, tower.output)
    head = replace(run.head, cohort=None)
    if run.head.cohort:
        # The file's own embeddings of the same people, and their own nearness to each other.
        cohort = make_cohort(head, strangers, run.head.cohort.nearest)
        record["head"]["cohort"] = {"nearest": cohort.nearest, "ceiling": cohort.ceiling}
        head = replace(head, cohort=cohort)
    record["parity"] = parity((run.head, run.embed(run.test)), (head, from_file), run.test_labels)
    genuine, impostor = score_all_pairs(head, from_file, run.test_labels)
    record["operating_points"] = operating_points(genuine, impostor)
    if not record["operating_points"]:
        raise GateMissed(
            f"{impostor.size} impostor comparisons of held-out people support no operating point; train on more people"
        )
    data = pack(tower.flatbuffer, _with_arrays(record, arrays), arrays, more)
    model = parse_model(data, out)
    again = Embedder(model).embed(run.test[0])
    if not np.array_equal(again, from_file[0]):
        raise GateMissed(f"{out}: the packed file gives another embedding than the one that was measured")
    write_file(out, data)
    return replace(model, path=out)


def _convert(network: Any, seen: NDArray[np.uint8], quantize: bool) -> Converted:
    flatbuffer = to_tflite(network, seen.shape[1], seen if quantize else None)
    return Converted(flatbuffer, *inspect(flatbuffer, quantised=quantize))


def _embed(embedder: Embedder, chips: NDArray[np.uint8], what: str) -> NDArray[np.float32]:
    return np.stack([embedder.embed(chip) for chip in track(chips, what, console=Console(stderr=True))])


def _as_output(embeddings: NDArray[np.float32], output: TensorSpec) -> NDArray[Any]:
    return quantise(embeddings, output.scale, output.zero_point) if output.dtype == "int8" else embeddings


def _record(run: Run, tower: Converted, aligner: Converted | None, name: str, command: str) -> dict[str, Any]:
    align = None
    if run.align and aligner:
        digest = hashlib.sha256(aligner.flatbuffer).hexdigest()
        tensors = {"input": asdict(aligner.input), "output": asdict(aligner.output)}
        align = {"file": ALIGNER_NAME, "sha256": digest, "spec": run.align.to_json(), "tensors": tensors}
    return {
        "schema": SCHEMA_VERSION,
        "written_by": version("facelatch"),
        "model_id": model_id_of(tower.flatbuffer, aligner.flatbuffer if aligner else b""),
        "name": name,
        "chip": run.chip.to_json(),
        "fingerprint": chip_fingerprint(run.chip),
        "tensors": {"input": asdict(tower.input), "output": asdict(tower.output)},
        "align": align,
        "embedding_size": run.head.size,
        "operators": tower.operators,
        "operating_points": [],
        "parity": {},
        "evaluated_on": {"people": len(np.unique(run.test_labels)), "pictures": len(run.test)},
        "runtimes": [runtime_name()],
        "provenance": {
            "run": {key: run.record[key] for key in ("run", "command", "settings", "versions")},
            "data": {key: run.record["data"][key] for key in ("sha256", "people", "pictures")},
            "files": run.digests,
            "export": {
                "command": command,
                "versions": {key: version(key) for key in ("tensorflow-cpu", "keras", "numpy")}
                | {"python": platform.python_version()},
            },
        },
        "head": {
            "kind": "weighted-l2-sigmoid" if run.head.squared else "weighted-l1-sigmoid",
            "bias": run.head.bias,
            "normalise": run.head.normalise,
            "squared": run.head.squared,
        },
    }


def _with_arrays(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    head = record["head"] | {"weights": array_entry(HEAD_NAME, arrays[HEAD_NAME])}
    return record | {"head": head, "cohort": array_entry(COHORT_NAME, arrays[COHORT_NAME])}
