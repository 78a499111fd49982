"""The twin tower and the Siamese head. A tower takes float32 pixels 0..255, grey [n, side, side, 1] or BGR [n, side, side, 3], and gives
float32 [n, D]."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np

from edge.contract.errors import InputError
from edge.contract.score import Head
from trainer.backend import keras
from trainer.resnet import build_resnet
from trainer.settings import Network, TowerSettings

layers = keras.layers


KOCH_SIDE_PX = 105
COMPACT_EMBEDDING = 128


def build_tower(settings: TowerSettings, side_px: int, outputs: int | None = None, channels: int = 1) -> keras.Model:
    """A tower with fresh weights for chips of `side_px`. `outputs`, if given, is the length of a teacher's vectors, which the tower's
    embeddings must have.

    Raises:
        InputError: the network does not take chips of this size, or its embeddings have another length.
    """
    match settings.network:
        case Network.KOCH:
            tower = _koch(side_px, channels)
        case Network.RESNET:
            tower = build_resnet(side_px, channels, settings.inner, settings.narrow, settings.fixed, settings.trim)
        case Network.COMPACT:
            tower = _compact(side_px, channels)
        case _:
            tower = own_tower(settings.network, side_px, channels)
    if outputs and tower.output_shape[-1] != outputs:
        raise InputError(
            f"the {settings.network} network gives {tower.output_shape[-1]} numbers, the teacher's vectors have {outputs}"
        )
    return tower


def own_tower(network: str, side_px: int, channels: int = 1) -> keras.Model:
    """The Keras model that a user's function `module:function` builds for a side in pixels. The module may be in the working directory.

    The model takes float32 pixels 0..255, [n, side, side, 1] or BGR [n, side, side, 3], scales them itself and gives float32 [n, D]. To
    be exported it must consist of layers that have int8 kernels, and compute no shapes at run time.

    Raises:
        InputError: there is no such function, it fails, or it returns something else.
    """
    module, _, function = network.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        tower = getattr(importlib.import_module(module), function)(side_px)
    except Exception as error:  # whatever fails in the user's code is not our defect
        raise InputError(f"network = {network!r}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if (
        not isinstance(tower, keras.Model)
        or tower.input_shape[1:] != (side_px, side_px, channels)
        or len(tower.output_shape) != 2
    ):
        raise InputError(
            f"network = {network!r}: expected a Keras model from [n, {side_px}, {side_px}, {channels}] to [n, D], got {tower!r}"
        )
    return tower


def _pixels(side_px: int, channels: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    # Rescaling is a layer, so that trainer and device cannot disagree about it.
    pixels = keras.Input((side_px, side_px, channels), name="pixels")
    return pixels, layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(pixels)


def _compact(side_px: int, channels: int) -> keras.Model:
    """A residual tower of 1.6 M parameters for the device.

    Plain 3x3 convolutions, batch normalisation that folds into them, and ReLU: every layer has a fused int8 kernel, in XNNPACK too.
    Resolution is halved four times, early, which saves time. No activation after the embedding: the head's distance needs both signs,
    and an int8 output then uses its whole range.
    """
    pixels, x = _pixels(side_px, channels)
    x = _conv(x, 24, 3, 2, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for stage, width in enumerate((48, 96, 192)):
        for block in range(2):
            x = _residual(x, width, 2 if block == 0 else 1, f"s{stage}b{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = layers.Dense(COMPACT_EMBEDDING, use_bias=False, name="project")(x)
    # Unit variance gives the head distances of a known size from the first step; the layer folds into the one before.
    x = layers.BatchNormalization(scale=False, synchronized=True, name="embedding")(x)
    return keras.Model(pixels, x, name="compact")


def _conv(x: keras.KerasTensor, width: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(
        width, kernel, stride, "same", use_bias=False, kernel_regularizer=keras.regularizers.L2(1e-4), name=f"{name}_conv"
    )(x)
    return layers.BatchNormalization(momentum=0.95, synchronized=True, name=f"{name}_norm")(x)


def _residual(x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
    shortcut = x if stride == 1 else _conv(x, width, 1, stride, f"{name}_skip")
    x = layers.ReLU(name=f"{name}_relu1")(_conv(x, width, 3, stride, f"{name}_1"))
    x = layers.Add(name=f"{name}_add")([_conv(x, width, 3, 1, f"{name}_2"), shortcut])
    return layers.ReLU(name=f"{name}_relu2")(x)


def _koch(side_px: int, channels: int) -> keras.Model:
    """The network of Koch, Zemel and Salakhutdinov (2015), figure 4: 105x105 in, a 4096-unit sigmoid layer out.

    Initialisation as in section 3.3: convolutions N(0, 0.01), the fully connected layer N(0, 0.2), biases N(0.5, 0.01).
    Regularisation is layer-wise L2; the paper searches the values, and most reproductions use 2e-4.
    """
    if side_px != KOCH_SIDE_PX:
        raise InputError(
            f"the koch network takes chips of {KOCH_SIDE_PX} px, these have {side_px}: run `trainer prepare --side {KOCH_SIDE_PX}`"
        )

    def normal(deviation: float, mean: float = 0.0) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(mean, deviation)

    pixels, x = _pixels(side_px, channels)
    for number, (filters, kernel) in enumerate(((64, 10), (128, 7), (128, 4), (256, 4)), start=1):
        x = layers.Conv2D(
            filters,
            kernel,
            activation="relu",
            kernel_initializer=normal(0.01),
            bias_initializer=normal(0.01, 0.5),
            kernel_regularizer=keras.regularizers.L2(2e-4),
            name=f"conv{number}",
        )(x)
        if number < 4:
            x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(
        4096,
        activation="sigmoid",
        kernel_initializer=normal(0.2),
        bias_initializer=normal(0.01, 0.5),
        kernel_regularizer=keras.regularizers.L2(1e-4),
        name="embedding",
    )(x)
    return keras.Model(pixels, x, name="koch")


class SiameseHead(layers.Layer):
    """logit = bias - sum_j w_j |a_j - b_j| for every pair of rows: float32 [m, D] and [n, D] to [m, n].

    The sigmoid is in the loss. `w` is constrained to be non-negative (see edge.contract.score.Head). All weights start as 8 / D and the
    bias as 8: for embeddings of unit variance, strangers then have a logit near zero. With `normalise`, embeddings have unit length;
    pairs of 128 numbers from a trained tower are then about 4.5 (one person) and 8 (strangers) apart, and the weights start as 4 and the
    bias as 24. They are stored divided by 64, so that one learning rate suits tower and head.
    """

    def __init__(self, normalise: bool = False, squared: bool = False, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.normalise, self.squared = normalise, squared
        self.scale = 64.0 if normalise else 1.0

    def build(self, input_shape: tuple[int | None, int]) -> None:
        size = input_shape[-1]
        weight, bias = (8.0 / size, 8.0)
        if self.normalise:
            weight, bias = (64.0, 12.0) if self.squared else (4.0, 24.0)
        constant = keras.initializers.Constant
        self.distance_weights = self.add_weight(
            shape=(size,), initializer=constant(weight / self.scale), constraint="non_neg", name="weights"
        )
        self.bias = self.add_weight(shape=(), initializer=constant(bias / self.scale), name="bias")

    def call(self, left: keras.KerasTensor, right: keras.KerasTensor) -> keras.KerasTensor:
        if self.normalise:
            left, right = (keras.ops.normalize(side, axis=-1, order=2) for side in (left, right))
        difference = left[:, None, :] - right[None, :, :]
        distance = keras.ops.square(difference) if self.squared else keras.ops.abs(difference)
        return self.scale * (self.bias - keras.ops.tensordot(distance, self.distance_weights, axes=1))

    def copy_from(self, head: Head) -> None:
        """Takes over weights and bias of a trained head if it compares embeddings in the same way; otherwise does nothing."""
        if (head.normalise, head.squared, head.weights.shape) == (self.normalise, self.squared, self.distance_weights.shape):
            self.distance_weights.assign(head.weights / np.float32(self.scale))
            self.bias.assign(head.bias / self.scale)

    def to_numpy(self) -> Head:
        """The same head in NumPy, as the device computes it."""
        weights = np.asarray(self.distance_weights, np.float32) * np.float32(self.scale)
        return Head(weights, float(np.asarray(self.bias)) * self.scale, self.normalise, self.squared)
