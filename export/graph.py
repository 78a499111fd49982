"""Reads the graph in a flatbuffer with the runtime's own schema: operators in order, tensors, ranges, cost. Runs nothing."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edge.contract.errors import InputError
from edge.contract.modelfile import TensorSpec

# The schema's names of integer types, as far as this project's networks use them.
_FULLY_QUANTISED = frozenset({"INT8", "INT16", "INT32", "INT64"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """`scale` is 0 for a tensor that has none, or one for each filter; `constant_bytes` is 0 for activations."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    constant_bytes: int

    @property
    def spec(self) -> TensorSpec:
        """The tensor as the model file records it."""
        return TensorSpec(self.shape, self.dtype.lower(), self.scale, self.zero_point)

    @property
    def range(self) -> tuple[float, float] | None:
        """The lowest and highest real value that its quantisation can represent; None if it has no scale."""
        if not self.scale:
            return None
        limits = np.iinfo(self.dtype.lower())
        return self.scale * (limits.min - self.zero_point), self.scale * (limits.max - self.zero_point)


@dataclass(frozen=True, slots=True)
class Operator:
    """`inputs` and `outputs` are indices into `Graph.tensors`; `macs` are multiply-adds, 0 for all but convolutions and dense layers."""

    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int


@dataclass(frozen=True, slots=True)
class Graph:
    """The one subgraph of a network."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def constant_bytes(self) -> int:
        """Bytes of weights and other constants."""
        return sum(tensor.constant_bytes for tensor in self.tensors)

    @property
    def macs(self) -> int:
        """Multiply-adds of one run."""
        return sum(operator.macs for operator in self.operators)

    def layer(self, operator: Operator) -> str:
        """The layer that an operator was made from. Its output is named after the layer, unless that was also an output of the network
        during calibration; then its weights, or its inputs, carry the name."""
        read = sorted(operator.inputs, key=lambda index: not self.tensors[index].constant_bytes)
        names = (short_name(self.tensors[index].name) for index in (*operator.outputs, *read) if index >= 0)
        return next((name for name in names if name), "output")

    def versions(self) -> dict[str, dict[str, int]]:
        """The count of each operator in the graph, and its highest version, which an old runtime may not know."""
        entries: dict[str, dict[str, int]] = {}
        for operator in self.operators:
            entry = entries.setdefault(operator.name, {"count": 0, "version": 0})
            entry["count"] += 1
            entry["version"] = max(entry["version"], operator.version)
        return dict(sorted(entries.items()))

    def floats(self) -> list[str]:
        """Names of the tensors that hold neither integers nor booleans."""
        return [tensor.name for tensor in self.tensors if tensor.dtype not in _FULLY_QUANTISED | {"BOOL"}]


def short_name(tensor: str) -> str:
    """The layer in a tensor's name, which also holds the model, the operation and what was fused into it; empty if it names no layer."""
    parts = tensor.split(";")[0].split("/")
    return parts[-2].removesuffix("_1") if len(parts) > 1 else ""


def read_graph(flatbuffer: bytes) -> Graph:
    """Reads a network.

    Raises:
        InputError: it is not a TFLite flatbuffer, or has more than one subgraph.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        model: Any = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
        types = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
        operators = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
        (subgraph,) = model.subgraphs
        tensors = tuple(_tensor(tensor, model.buffers, types) for tensor in subgraph.tensors)
        return Graph(
            tensors,
            tuple(_operator(op, model.operatorCodes[op.opcodeIndex], operators, tensors) for op in subgraph.operators),
            tuple(int(index) for index in subgraph.inputs),
            tuple(int(index) for index in subgraph.outputs),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, struct.error) as error:
        raise InputError(f"no TFLite network with one subgraph: {type(error).__name__}: {error}") from error


def _tensor(tensor: Any, buffers: Any, types: dict[int, str]) -> Tensor:
    data = buffers[tensor.buffer].data
    scales = [] if tensor.quantization is None or tensor.quantization.scale is None else tensor.quantization.scale
    scale, zero_point = (float(scales[0]), int(tensor.quantization.zeroPoint[0])) if len(scales) == 1 else (0.0, 0)
    shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
    return Tensor(tensor.name.decode(), types[tensor.type], shape, scale, zero_point, 0 if data is None else len(data))


def _operator(op: Any, code: Any, names: dict[int, str], tensors: tuple[Tensor, ...]) -> Operator:
    # Codes up to 127 are in the older field, which older runtimes read.
    name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
    inputs, outputs = (tuple(int(index) for index in edge if index >= 0) for edge in (op.inputs, op.outputs))
    macs = 0
    if name in ("CONV_2D", "FULLY_CONNECTED"):
        macs = prod(tensors[outputs[0]].shape) * prod(tensors[inputs[1]].shape[1:])
    elif name == "DEPTHWISE_CONV_2D":
        macs = prod(tensors[outputs[0]].shape) * prod(tensors[inputs[1]].shape[1:3])
    return Operator(name, int(code.version), inputs, outputs, macs)
