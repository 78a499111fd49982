"""Converts a Keras network to TFLite bytes with a fixed input shape, and checks that nothing stays unquantised. Writes no file."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GateMissed
from export.graph import Graph
from export.quiet import quiet
from export.variant import Variant

with quiet():
    import keras
    import tensorflow as tf

# Asked of the module, because the package that brings it has another name on each kind of machine.
TENSORFLOW: str = tf.version.VERSION
# The vtable offset of a subgraph's outputs in TFLite's schema.
_OUTPUTS = 8
# Traces of an open input shape. Each splits the graph, so that fewer layers are fused.
_DYNAMIC_OPS = frozenset({"SHAPE", "STRIDED_SLICE", "PACK"})
# What remains of batch normalisation and activations that were not folded into the layer before. Each costs a pass over memory.
_UNFOLDED_OPS = frozenset({"MUL", "SUB", "RSQRT", "PRELU", "LEAKY_RELU", "RELU", "RELU6"})


def to_tflite(network: Any, calibration: NDArray[np.uint8], variant: Variant) -> bytes:
    """The flatbuffer of a network for pixels of the shape of `calibration`, uint8 [n, side, side] or [n, side, side, 3].

    Two pixels of one calibration chip are set to black and white, so that the input spans 0 to 255 and its quantisation is exactly
    pixel - 128. An all-black and an all-white chip would do that too, but widen the range of every later layer.
    """
    side_px, channels = calibration.shape[1], network.input_shape[-1]
    if variant is Variant.INT8:
        network = keras.Model(network.inputs[0], [*network.outputs, *_summed(network)], name=network.name)
    # A batch of one, fixed: an open batch leaves shape arithmetic in the graph, which the runtimes do not fuse.
    pixels = tf.TensorSpec((1, side_px, side_px, channels), tf.float32, name="pixels")
    graph = tf.function(lambda pixels: network(pixels, training=False), autograph=False).get_concrete_function(pixels)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], network)
    # Otherwise the converter goes through a saved model on disk: the same operators and weights in two to five times the time.
    converter.experimental_lower_to_saved_model = False
    if variant is not Variant.NONE:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant is Variant.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if variant.calibrated:
        chips = calibration.astype(np.float32).reshape(-1, 1, side_px, side_px, channels)
        chips[0, 0, 0, 0], chips[0, 0, 0, 1] = 0, 255
        converter.representative_dataset = lambda: ([chip] for chip in chips)
    if variant is Variant.INT8:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    elif variant is Variant.INT16X8:
        wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [wide]
    with quiet():
        return _with_one_output(bytes(converter.convert()))


def _summed(network: Any) -> list[Any]:
    """The tensors that only an addition reads. The converter computes such an addition in the summand's memory and then takes the sum's
    range for the summand, whose quantisation steps become up to four times as large. Tensors that are also outputs of the network keep
    their own memory."""
    tensors = [
        tensor
        for layer in network.layers
        if isinstance(layer, keras.layers.Add)
        for tensor in layer._inbound_nodes[0].input_tensors
    ]
    return [tensor for tensor in tensors if len(tensor._keras_history.operation._outbound_nodes) == 1]


def _with_one_output(flatbuffer: bytes) -> bytes:
    """The network with only the first of its outputs."""
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(flatbuffer)
    table = schema.Model.GetRootAs(changed).Subgraphs(0)._tab
    # Changed in place, because the schema's packer does not align weights as the converter does. A vector begins with its length.
    length_at = table.Vector(table.Offset(_OUTPUTS)) - 4
    changed[length_at : length_at + 4] = struct.pack("<I", 1)
    return bytes(changed)


def check_graph(graph: Graph, variant: Variant) -> None:
    """Checks that the runtimes can run the converted graph well.

    Raises:
        GateMissed: a shape is open, or an int8 network has a float tensor or an input other than pixel - 128.
    """
    names = {operator.name for operator in graph.operators}
    if dynamic := sorted(_DYNAMIC_OPS & names):
        raise GateMissed(f"the graph still holds {', '.join(dynamic)}: its input shape is not fixed")
    (first,), (last,) = graph.inputs, graph.outputs
    if graph.tensors[first].shape[0] != 1 or graph.tensors[last].shape[0] != 1:
        raise GateMissed(f"the batch is not 1: input {graph.tensors[first].shape}, output {graph.tensors[last].shape}")
    if variant is Variant.INT8:
        if floats := graph.floats():
            raise GateMissed(f"{len(floats)} tensors are still float, such as {floats[0]!r}: a layer has no int8 kernel")
        entry = graph.tensors[first]
        if (entry.scale, entry.zero_point) != (1.0, -128):
            raise GateMissed(f"the input is quantised as {(entry.scale, entry.zero_point)}, not scale 1, zero point -128")


def unfolded(graph: Graph) -> list[str]:
    """Names of the operators that could have been folded into the layer before them: not wrong, but slow."""
    return [operator.name for operator in graph.operators if operator.name in _UNFOLDED_OPS]
