"""One export from start to end: convert, measure the result in the installed runtime, pack, read back, write."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from edge.contract.errors import GateMissed
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.modelfile import SCHEMA_VERSION, ModelFile, TensorSpec, parse_model
from edge.contract.runtime import Tower, runtime_name
from edge.contract.score import score_all_pairs
from export.convert import inspect, to_tflite
from export.measure import operating_points, parity
from export.package import array_entry, pack, write_file
from export.run import Run

HEAD_NAME, COHORT_NAME = "arrays/head-weights.npy", "arrays/cohort.npy"


def export_tflite(run: Run, out: Path, *, quantize: bool, name: str, command: str) -> ModelFile:
    """Writes the model file and returns it as a device reads it.

    Raises:
        GateMissed: the result is not what was asked for; nothing is written.
        StorageError: the file cannot be written.
    """
    flatbuffer = to_tflite(run.tower, run.chip.side_px, run.calibration if quantize else None)
    first, last, operators = inspect(flatbuffer, quantised=quantize)
    record = _record(run, flatbuffer, first, last, operators, name, command)
    arrays = {HEAD_NAME: run.head.weights, COHORT_NAME: np.empty((0, run.head.size), np.float32)}

    # The file measures itself: without figures first, then again with them, read by the device's own reader each time.
    bare = parse_model(pack(flatbuffer, _with_arrays(record, arrays), arrays), out)
    tower = Tower(bare)
    from_file = _embed(tower, run.test, "measuring the file")
    from_float = np.concatenate(
        [np.asarray(run.tower(part[..., None].astype(np.float32), training=False)) for part in np.array_split(run.test, 16)]
    )
    record["parity"] = parity(run.head, from_float, from_file, run.test_labels)
    genuine, impostor = score_all_pairs(run.head, from_file, run.test_labels)
    record["operating_points"] = operating_points(genuine, impostor)
    if not record["operating_points"]:
        raise GateMissed(
            f"{impostor.size} impostor comparisons of held-out people support no operating point; train on more people"
        )
    arrays[COHORT_NAME] = _embed(tower, run.cohort, "embedding the cohort")
    data = pack(flatbuffer, _with_arrays(record, arrays), arrays)
    model = parse_model(data, out)
    again = Tower(model).embed(run.test[0])
    if not np.array_equal(again, from_file[0]):
        raise GateMissed(f"{out}: the packed file gives another embedding than the one that was measured")
    write_file(out, data)
    return replace(model, path=out)


def _embed(tower: Tower, chips: NDArray[np.uint8], what: str) -> NDArray[np.float32]:
    return np.stack([tower.embed(chip) for chip in track(chips, what, console=Console(stderr=True))])


def _record(
    run: Run, flatbuffer: bytes, first: TensorSpec, last: TensorSpec, operators: list[str], name: str, command: str
) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "written_by": version("facelatch"),
        "model_id": hashlib.sha256(flatbuffer).hexdigest(),
        "name": name,
        "chip": run.chip.to_json(),
        "fingerprint": chip_fingerprint(run.chip),
        "tensors": {"input": asdict(first), "output": asdict(last)},
        "embedding_size": run.head.size,
        "operators": operators,
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
        "head": {"kind": "weighted-l1-sigmoid", "bias": run.head.bias, "normalise": run.head.normalise},
    }


def _with_arrays(record: dict[str, Any], arrays: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
    head = record["head"] | {"weights": array_entry(HEAD_NAME, arrays[HEAD_NAME])}
    return record | {"head": head, "cohort": array_entry(COHORT_NAME, arrays[COHORT_NAME])}
