"""How far each layer of a quantised network is from the same layer in float, and how it uses its range. Changes neither network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GateMissed
from export.graph import short_name
from export.quiet import quiet

with quiet():
    import tensorflow as tf

# Conversions between number formats, which have no counterpart in the float network.
_FORMATS = frozenset({"QUANTIZE", "DEQUANTIZE"})
# Enough chips for a mean, since each layer has thousands of values.
CHIPS = 24


@dataclass(frozen=True, slots=True)
class LayerError:
    """`error` is the root mean square of (quantised - float), relative to that of the float values; it includes the errors of the layers
    before. `clipped` is the fraction of float values outside the quantised tensor's range, `used` the fraction of that range in use."""

    layer: str
    operator: str
    error: float
    clipped: float
    used: float


def layer_errors(in_float: bytes, quantised: bytes, pixels: NDArray[np.uint8]) -> list[LayerError]:
    """The error of each layer, in the order they run, on the first CHIPS of `pixels`, uint8 [n, side, side] or [n, side, side, 3].

    Raises:
        GateMissed: the two networks do not consist of the same layers.
    """
    reference, other = _load(in_float), _load(quantised)
    layers, others = _layers(reference), _layers(other)
    if [name for name, _ in layers] != [name for name, _ in others]:
        raise GateMissed(
            "the converter made other layers of the quantised network than of the float one: no comparison a layer"
        )
    details = {tensor["index"]: tensor for tensor in other.get_tensor_details()}
    squared_error, power, clipped, count = (np.zeros(len(layers)) for _ in range(4))
    lowest, highest = np.full(len(layers), np.inf), np.full(len(layers), -np.inf)
    for chip in pixels[:CHIPS]:
        _run(reference, chip)
        _run(other, chip)
        for row, ((_, reference_index), (_, other_index)) in enumerate(zip(layers, others, strict=True)):
            expected = reference.get_tensor(reference_index).astype(np.float64)
            actual, low, high = _real(other.get_tensor(other_index), details[other_index]["quantization"])
            squared_error[row] += np.square(actual - expected).sum()
            power[row] += np.square(expected).sum()
            clipped[row] += ((expected < low) | (expected > high)).sum()
            count[row] += expected.size
            lowest[row], highest[row] = min(lowest[row], expected.min()), max(highest[row], expected.max())
    errors = []
    names = {tensor["index"]: tensor["name"] for tensor in reference.get_tensor_details()}
    for row, ((name, other_index), (_, reference_index)) in enumerate(zip(others, layers, strict=True)):
        _, low, high = _real(np.zeros(1, details[other_index]["dtype"]), details[other_index]["quantization"])
        used = (min(high, highest[row]) - max(low, lowest[row])) / (high - low) if np.isfinite(high - low) else 1.0
        error = float(np.sqrt(squared_error[row] / max(power[row], 1e-30)))
        layer = short_name(names[reference_index]) or "output"
        errors.append(LayerError(layer, name, error, float(clipped[row] / count[row]), float(used)))
    return errors


def _load(flatbuffer: bytes) -> Any:
    with quiet():
        interpreter = tf.lite.Interpreter(
            model_content=flatbuffer,
            experimental_preserve_all_tensors=True,
            # A delegate would hide the tensors between the operators that it takes over.
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    return interpreter


def _layers(interpreter: Any) -> list[tuple[str, int]]:
    operators = interpreter._get_ops_details()
    return [(op["op_name"], int(op["outputs"][0])) for op in operators if op["op_name"] not in _FORMATS]


def _run(interpreter: Any, chip: NDArray[np.uint8]) -> None:
    (entry,) = interpreter.get_input_details()
    pixels = chip.reshape(entry["shape"])
    interpreter.set_tensor(entry["index"], (pixels ^ 0x80).view(np.int8) if entry["dtype"] == np.int8 else np.float32(pixels))
    interpreter.invoke()


def _real(values: NDArray[Any], quantization: tuple[float, int]) -> tuple[NDArray[np.float64], float, float]:
    """(real values, lowest, highest): dequantised values, and the limits of what their tensor can represent."""
    scale, zero_point = quantization
    if not scale or values.dtype.kind == "f":
        return values.astype(np.float64), -np.inf, np.inf
    limits = np.iinfo(values.dtype)
    return (
        (values.astype(np.float64) - zero_point) * scale,
        (limits.min - zero_point) * scale,
        (limits.max - zero_point) * scale,
    )
