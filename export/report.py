"""Writes the report of an export for people and machines: networks.json, layers.png and graph.svg in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.convert import to_tflite, unfolded
from export.drawing import draw_graph, draw_layers
from export.layers import LayerError, layer_errors
from export.package import write_file
from export.tflite import Converted
from export.variant import Variant


def write_report(networks: dict[str, Converted], folder: Path) -> dict[str, list[LayerError]]:
    """Writes the report of converted networks, by name, and returns the errors of their layers.

    Raises:
        GateMissed: a quantised network has other layers than its float version.
        StorageError: a file cannot be written.
    """
    errors = {
        name: layer_errors(
            to_tflite(network.network, network.calibration, Variant.NONE), network.flatbuffer, network.calibration
        )
        for name, network in networks.items()
    }
    report = {name: _network(networks[name], network_errors) for name, network_errors in errors.items()}
    write_file(folder / "networks.json", json.dumps(report, indent=1).encode())
    draw_layers(errors, folder / "layers.png")
    draw_graph({name: network.graph for name, network in networks.items()}, folder / "graph.svg")
    return errors


def worst_layers(errors: Iterable[LayerError], count: int = 3) -> list[LayerError]:
    """The layers furthest from the float network, the worst first."""
    return sorted(errors, key=lambda layer: -layer.error)[:count]


def _network(network: Converted, errors: list[LayerError]) -> dict[str, Any]:
    graph = network.graph
    ranges = [{"tensor": tensor.name, "dtype": tensor.dtype, "range": tensor.range} for tensor in graph.tensors if tensor.scale]
    return {
        "bytes": len(network.flatbuffer),
        "constant_bytes": graph.constant_bytes,
        "multiply_adds": graph.macs,
        "operators": graph.versions(),
        "unfolded": unfolded(graph),
        "layers": [asdict(layer) for layer in errors],
        "ranges": ranges,
    }
