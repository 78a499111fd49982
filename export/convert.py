"""A Keras tower to TFLite bytes with one fixed input shape, and the checks that nothing was left unquantised."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GateMissed
from edge.contract.modelfile import TensorSpec
from export.quiet import quiet

with quiet():
    import keras
    import tensorflow as tf

# Traces of an input shape left open; each cuts the graph into pieces, so that fewer layers are fused.
_DYNAMIC_OPS = frozenset({"SHAPE", "STRIDED_SLICE", "PACK"})


def to_tflite(tower: Any, side_px: int, calibration: NDArray[np.uint8] | None) -> bytes:
    """The flatbuffer: full int8 with `calibration` chips, uint8 [n, side, side], or float32 without.

    Two pixels of one chip are made black and white: with them the input spans 0 to 255 and its quantisation is exactly
    pixel - 128. Chips all black and all white would do that too, and widen the range of every layer behind.
    """

    # A batch of one, fixed: an open batch leaves shape arithmetic in the graph, which the runtimes do not fuse.
    pixels = keras.Input(batch_shape=(1, side_px, side_px, tower.input_shape[-1]), dtype="float32", name="pixels")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, tower(pixels, training=False)))
    if calibration is not None:
        chips = calibration.astype(np.float32).reshape(-1, 1, side_px, side_px, tower.input_shape[-1])
        chips[0, 0, 0, 0], chips[0, 0, 0, 1] = 0, 255
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([chip] for chip in chips)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet():
        return bytes(converter.convert())


def inspect(flatbuffer: bytes, *, quantised: bool) -> tuple[TensorSpec, TensorSpec, list[str]]:
    """Input, output and the operators in order.

    Raises:
        GateMissed: a shape was left open, or an int8 model holds a float tensor or another input than pixel - 128.
    """
    with quiet():
        interpreter = tf.lite.Interpreter(
            model_content=flatbuffer,
            # A delegate would hide the operators that it has taken over.
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    operators = [str(op["op_name"]) for op in interpreter._get_ops_details()]
    left = sorted(_DYNAMIC_OPS & set(operators))
    if left:
        raise GateMissed(f"the graph still holds {', '.join(left)}: its input shape is not fixed")
    (first,), (last,) = interpreter.get_input_details(), interpreter.get_output_details()
    if quantised:
        floats = [t["name"] for t in interpreter.get_tensor_details() if np.dtype(t["dtype"]).kind == "f"]
        if floats:
            raise GateMissed(f"{len(floats)} tensors are still float, such as {floats[0]!r}: a layer has no int8 kernel")
        if tuple(first["quantization"]) != (1.0, -128):
            raise GateMissed(f"the input is quantised as {first['quantization']}, not scale 1, zero point -128")
    return _spec(first), _spec(last), operators


def _spec(details: dict[str, Any]) -> TensorSpec:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return TensorSpec(shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))
