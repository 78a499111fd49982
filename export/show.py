"""Tables of what a model file contains, and of how two files differ. Changes no file."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from edge.contract.fingerprint import golden_chips
from edge.contract.modelfile import ModelFile
from edge.contract.runtime import Embedder
from export.graph import Graph, read_graph
from export.measure import cosines


def graphs_of(model: ModelFile) -> dict[str, Graph]:
    """The graphs of a model's networks by name, in the order in which they run."""
    networks = {"aligner": model.aligner.network} if model.aligner else {}
    return {name: read_graph(network.flatbuffer) for name, network in (networks | {"tower": model.tower}).items()}


def summary(model: ModelFile) -> dict[str, Any]:
    """Everything that `inspect` shows, as plain values: the file's record and its graphs."""
    networks = {
        name: {
            "constant_bytes": graph.constant_bytes,
            "multiply_adds": graph.macs,
            "operators": graph.versions(),
            "float_tensors": len(graph.floats()),
            "input": _tensor(graph, graph.inputs[0]),
            "output": _tensor(graph, graph.outputs[0]),
        }
        for name, graph in graphs_of(model).items()
    }
    return {"file": str(model.path), "record": model.record, "networks": networks}


def operator_table(name: str, graph: Graph) -> Table:
    """The operators in order, with version, output, weights and cost."""
    title = f"{name}: {graph.macs / 1e6:.1f} M multiply-adds, {graph.constant_bytes / 1024:.0f} KiB of weights"
    table = Table("#", "operator", "version", "layer", "gives", "range", "weights", "M multiply-adds", title=title)
    for number, operator in enumerate(graph.operators, start=1):
        output = graph.tensors[operator.outputs[0]]
        weights = sum(graph.tensors[index].constant_bytes for index in operator.inputs)
        table.add_row(
            str(number),
            operator.name,
            str(operator.version),
            graph.layer(operator),
            f"{output.dtype.lower()} {'x'.join(map(str, output.shape[1:]))}",
            f"{output.range[0]:.3g} to {output.range[1]:.3g}" if output.range else "",
            f"{weights / 1024:.1f} KiB" if weights else "",
            f"{operator.macs / 1e6:.2f}" if operator.macs else "",
        )
    return table


def gate_table(model: ModelFile) -> Table:
    """The gates of the export, with figures and limits."""
    table = Table("gate", "measured", "limit", "", title="gates, on people whom the training never saw")
    for gate in model.gates:
        table.add_row(
            gate.name,
            f"{gate.value:.4g}",
            f"{'at least' if gate.at_least else 'at most'} {gate.limit:.4g}",
            "passed" if gate.passed else "MISSED",
        )
    return table


def differences(first: ModelFile, second: ModelFile) -> dict[str, Any]:
    """How two model files differ: their records key by key, their operators, and their answers to the generated chips.

    `answers` is None if their chips or the sizes of their embeddings differ.
    """
    result: dict[str, Any] = {"record": list(_differ("", first.record, second.record))}
    versions = [{name: graph.versions() for name, graph in graphs_of(model).items()} for model in (first, second)]
    result["operators"] = None if versions[0] == versions[1] else versions
    # Not by the model's id, which also covers the kind of templates.
    result["same_network"] = _flatbuffers(first) == _flatbuffers(second)
    result["answers"] = None
    if first.chip == second.chip and first.head.size == second.head.size:
        chips = golden_chips(first.chip)
        embeddings = [np.stack([Embedder(model).embed(chip) for chip in chips]) for model in (first, second)]
        cosine = cosines(*embeddings)
        result["answers"] = {
            "chips": len(chips),
            "equal": bool(np.array_equal(embeddings[0], embeddings[1])),
            "median_cosine": float(np.median(cosine)),
            "lowest_cosine": float(cosine.min()),
        }
    return result


def _flatbuffers(model: ModelFile) -> tuple[bytes, bytes]:
    return model.tower.flatbuffer, model.aligner.network.flatbuffer if model.aligner else b""


def _tensor(graph: Graph, index: int) -> dict[str, Any]:
    tensor = graph.tensors[index]
    return {"dtype": tensor.dtype.lower(), "shape": tensor.shape, "range": tensor.range}


def _differ(path: str, first: Any, second: Any) -> Any:
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted({*first, *second}):
            yield from _differ(f"{path}.{key}" if path else key, first.get(key), second.get(key))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, pair in enumerate(zip(first, second, strict=True)):
            yield from _differ(f"{path}[{number}]", *pair)
    elif first != second:
        yield {"key": path, "first": first, "second": second}
