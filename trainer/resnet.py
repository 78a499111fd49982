"""The residual tower of dlib's face recogniser in Keras, for one grey channel; takes its weights from `trainer.dlibfile`.

Structure (davisking/dlib-models): a 7x7 convolution, residual blocks in stages of 32, 64, 128, 256 and 256 maps, the average,
and a matrix to 128 numbers. Convolutions of stride 2 have no padding.
"""

from __future__ import annotations

import numpy as np

from edge.contract.errors import InputError
from trainer.backend import keras
from trainer.dlibfile import DlibNetwork

layers = keras.layers

SIDE_PX = 150
EMBEDDING = 128
# Maps and blocks of each stage; every stage but the first halves the resolution in its first block.
STAGES = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
# What dlib subtracts from R, G and B before it divides by 256.
MEANS, SCALE = np.array([122.782, 117.001, 104.298]), 256.0


def build_resnet(side_px: int, channels: int = 1, inner: float = 1.0) -> keras.Model:
    """A tower with fresh weights, for grey chips or, with three `channels`, for R, G, B as dlib has them.

    `inner` is the share of maps between the two convolutions of a block; what runs past the blocks stays as it is, so that
    a tower of fewer inner maps can be cut out of a trained one (trainer/prune.py).

    Raises:
        InputError: chips of this size would leave nothing of the last stage.
    """
    if not 118 <= side_px <= 256:
        raise InputError(
            f"the resnet network takes chips of 118 to 256 px, these have {side_px}: `trainer prepare --side {SIDE_PX}`"
        )
    pixels = keras.Input((side_px, side_px, channels), name="pixels")
    x = layers.Rescaling(1 / SCALE, name="rescale")(pixels)
    x = layers.ReLU(name="stem_relu")(_conv(x, STAGES[0][0], 7, 2, "stem"))
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for number, (maps, blocks) in enumerate(STAGES):
        for block in range(blocks):
            x = _residual(x, maps, inner_maps(maps, inner), number > 0 and block == 0, f"s{number}b{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, layers.Dense(EMBEDDING, use_bias=False, name="embedding")(x), name="resnet")


def load_dlib(tower: keras.Model, network: DlibNetwork) -> None:
    """Puts dlib's weights into a fresh tower. The means that dlib subtracts move into the first layer's bias (exact, for that
    layer has no padding). In a grey tower its three colours become one: for a grey picture R = G = B, so that its filters add up.

    Raises:
        InputError: it is another network.
    """
    names = [layer.name for layer in tower.layers if isinstance(layer, layers.Conv2D) and not layer.name.endswith("_skip")]
    wanted = [tower.get_layer(name).kernel.shape for name in names]
    first = network.convolutions[0]
    bias = (
        first.bias - np.tensordot(first.filters.sum((0, 1)), MEANS / SCALE, axes=(0, 0))
        if first.filters.shape[2] == 3
        else first.bias
    )
    filters = first.filters if tower.input_shape[-1] == first.filters.shape[2] else first.filters.sum(2, keepdims=True)
    given = [(filters, bias), *((c.filters, c.bias) for c in network.convolutions[1:])]
    if [tuple(shape) for shape in wanted] != [filters.shape for filters, _ in given] or network.matrix.shape != (
        256,
        EMBEDDING,
    ):
        raise InputError(f"these weights are of another network: {len(given)} convolutions, matrix {network.matrix.shape}")
    for name, (filters, bias) in zip(names, given, strict=True):
        tower.get_layer(name).set_weights([filters, bias])
    tower.get_layer("embedding").set_weights([network.matrix])


def inner_maps(maps: int, inner: float) -> int:
    """Maps inside a block: a share, in eights, which kernels like."""
    return max(8, 8 * round(maps * inner / 8))


def _conv(x: keras.KerasTensor, maps: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    padding = "same" if stride == 1 else "valid"
    return layers.Conv2D(maps, kernel, stride, padding, name=f"{name}_conv")(x)


def _residual(x: keras.KerasTensor, maps: int, inner: int, halve: bool, name: str) -> keras.KerasTensor:
    straight = x
    y = layers.ReLU(name=f"{name}_relu1")(_conv(x, inner, 3, 2 if halve else 1, f"{name}_1"))
    y = _conv(y, maps, 3, 1, f"{name}_2")
    if halve:
        straight = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
        before = x.shape[-1]
        if before != maps:
            # dlib appends maps of zeros. A 1x1 convolution that begins as that quantises alike, and may learn better.
            append = layers.Conv2D(maps, 1, use_bias=False, name=f"{name}_skip")
            straight = append(straight)
            append.set_weights([np.eye(before, maps, dtype=np.float32)[None, None]])
        # A side that is even leaves the convolution one pixel less than the average; dlib fills it with zeros.
        less = straight.shape[1] - y.shape[1]
        if less:
            y = layers.ZeroPadding2D(((0, less), (0, less)), name=f"{name}_pad")(y)
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([y, straight]))
