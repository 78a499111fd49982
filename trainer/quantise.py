"""Quantisation-aware training (Jacob et al. 2018): the tower in float, with the rounding that its int8 file will have.

Weights are rounded to eight bits per filter and activations to eight bits per layer, where the converter rounds them; gradients pass
straight through. The rounding model shares the tower's variables, so training it trains the tower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from trainer.backend import as_input, keras, tf

layers = keras.layers

BATCH = 32
# Layers whose outputs the converter stores with their own range. Other pooling keeps its input's range.
_STORED = (layers.Conv2D, layers.Dense, layers.BatchNormalization, layers.ReLU, layers.Add, layers.GlobalAveragePooling2D)
# Layers whose kernels are rounded.
_WEIGHTED = (layers.Conv2D, layers.Dense)
# Layers that the converter folds into the layer before them, with no rounding in between.
_FOLDED = (layers.BatchNormalization, layers.ReLU)


class RoundedWeights(layers.Layer):
    """A Conv2D or Dense layer with its kernel rounded to int8 per filter, symmetric, -127 to 127; shares the layer's variables."""

    def __init__(self, inner: Any, **kwargs: Any) -> None:
        super().__init__(name=f"{inner.name}_rounded", **kwargs)
        self.inner = inner

    def call(self, x: Any) -> Any:
        """The inner layer's output with the rounded kernel."""
        kernel = tf.cast(tf.convert_to_tensor(self.inner.kernel), tf.float32)
        reach = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=list(range(len(kernel.shape) - 1))), 1e-9)
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -reach, reach, narrow_range=True)
        kernel = tf.cast(kernel, x.dtype)
        # convolution_op applies the layer's own strides, padding, dilation and groups.
        y = tf.matmul(x, kernel) if isinstance(self.inner, layers.Dense) else self.inner.convolution_op(x, kernel)
        if self.inner.bias is not None:
            y += tf.cast(tf.convert_to_tensor(self.inner.bias), x.dtype)
        return self.inner.activation(y)


class RoundedValues(layers.Layer):
    """Rounds activations to 256 levels from `low` to `high`, a range that contains zero, and clips them to it."""

    def build(self, _: Any) -> None:
        """Adds the two ends of the range, both 0 until they are measured."""
        self.low = self.add_weight(name="low", shape=(), initializer="zeros", trainable=False, dtype="float32")
        self.high = self.add_weight(name="high", shape=(), initializer="zeros", trainable=False, dtype="float32")

    def call(self, x: Any) -> Any:
        """The rounded activations, in the dtype of `x`."""
        low, high = tf.convert_to_tensor(self.low), tf.convert_to_tensor(self.high)
        return tf.cast(tf.quantization.fake_quant_with_min_max_vars(tf.cast(x, tf.float32), low, high), x.dtype)


def check_rounding(tower: keras.Model) -> None:
    """Raises InputError if a tower has a layer with weights for which no rounding is implemented here."""
    for layer in tower.layers:
        if layer.weights and not isinstance(layer, (*_WEIGHTED, layers.BatchNormalization)):
            raise InputError(
                f"tower.quantised: {layer.name} of the {tower.name} network is a {type(layer).__name__}; only Conv2D, "
                "Dense and BatchNormalization can be trained for int8: build the network of these, or leave --quantised out"
            )


def quantised(tower: keras.Model) -> keras.Model:
    """A rounding model that shares the tower's variables. Its ranges must still be measured or copied."""
    return keras.models.clone_model(tower, clone_function=lambda layer: layer, call_function=_rounding_values)


def measure_ranges(rounding: keras.Model, tower: keras.Model, pixels: NDArray[np.uint8]) -> None:
    """Sets each range to that of the layer's output in `tower` for `pixels`, uint8 [n, side, side] or [n, side, side, 3], extended to
    contain zero, as the converter does."""
    rounded_layers = [layer for layer in rounding.layers if isinstance(layer, RoundedValues)]
    outputs_model = keras.Model(
        tower.inputs, [tower.get_layer(layer.name.removesuffix("_values")).output for layer in rounded_layers]
    )
    low, high = np.zeros(len(rounded_layers)), np.zeros(len(rounded_layers))
    for start in range(0, len(pixels), BATCH):
        for row, values in enumerate(outputs_model(as_input(pixels[start : start + BATCH]), training=False)):
            low[row] = min(low[row], float(tf.reduce_min(values)))
            high[row] = max(high[row], float(tf.reduce_max(values)))
    for layer, bottom, top in zip(rounded_layers, low, high, strict=True):
        layer.low.assign(bottom)
        layer.high.assign(max(top, bottom + 1e-6))


def copy_ranges(source: keras.Model, target: keras.Model) -> None:
    """Copies the ranges of one rounding model to another of the same architecture."""
    # By order, not by name: Keras numbers unnamed layers differently in every tower.
    for variable, value in zip(ranges(target), ranges(source), strict=True):
        variable.assign(value)


def ranges(rounding: keras.Model) -> list[Any]:
    """The range variables, which a resumed training needs in addition to the tower's."""
    return [variable for layer in rounding.layers if isinstance(layer, RoundedValues) for variable in (layer.low, layer.high)]


def _rounding_values(layer: Any, *inputs: Any, **options: Any) -> Any:
    outputs = RoundedWeights(layer)(*inputs) if isinstance(layer, _WEIGHTED) else layer(*inputs, **options)
    consumers = [node.operation for node in layer._outbound_nodes]
    folded = consumers and all(isinstance(consumer, _FOLDED) for consumer in consumers)
    if folded or not isinstance(layer, _STORED):
        return outputs
    return RoundedValues(name=f"{layer.name}_values")(outputs)
