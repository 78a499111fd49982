"""The residual tower of dlib's face recogniser in Keras, for grey or colour chips; takes its weights from `trainer.dlibfile`.

Structure (davisking/dlib-models): a 7x7 convolution, residual blocks in stages of 32, 64, 128, 256 and 256 maps, global average pooling,
and a matrix to 128 numbers. Convolutions of stride 2 have no padding.

The 7x7 convolution of stride 2 is computed as a 4x4 one over squares of 2x2 pixels, which a layer before it rearranges into maps (space
to depth): the results are the same, and kernels that process maps in fours or eights take half the time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from trainer.backend import keras
from trainer.dlibfile import DlibNetwork

layers = keras.layers

SIDE_PX = 150
EMBEDDING = 128
# Maps and blocks of each stage; every stage but the first halves the resolution in its first block.
STAGES = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
# The last stage whose maps are trimmed, the pixels from one of their places to the next, and the layer that fills in what was trimmed.
LAST_TRIMMED, _CELL, TRIMMED = 2, 16, "trimmed"
# What dlib subtracts from R, G and B before it divides by 256.
MEANS, SCALE = np.array([122.782, 117.001, 104.298]), 256.0


def build_resnet(
    side_px: int,
    channels: int = 1,
    inner: tuple[int, ...] = (),
    narrow: Mapping[str, int] | None = None,
    fixed: int = 0,
    trim: int = 0,
) -> keras.Model:
    """A tower with fresh weights, for grey chips or, with three `channels`, for colour.

    `inner` has, for each stage, the number of maps between the two convolutions of its blocks; if empty, as many as in the shortcut. The
    shortcuts stay unchanged, so that a tower with fewer inner maps can be cut out of a trained one (trainer/prune.py). A convolution named
    in `narrow`, such as s3b0_1 for the first one of block 0 of stage 3, becomes a 3x3 to that many maps and a 1x1 from these to all. The
    first `fixed` stages, and the layers before them, are not trained.

    With `trim`, a multiple of 16, the tower sees the middle of a larger square without so many pixels on each side. What the third stage
    would give for these is zeros. The stages before it are spared the work, and all weights keep their place on the face.

    Raises:
        InputError: the side is odd, below 54 px, or with `trim` on both sides not from 118 to 256 px; `inner` does not have five stages;
            or `narrow` names an unknown layer.
    """
    if not 118 <= side_px + 2 * trim <= 256 or side_px < 54 or side_px % 2:
        raise InputError(
            f"the resnet network takes chips of an even side from 118 to 256 px, these have {side_px}"
            f"{f' and tower.trim = {trim}' if trim else ''}: `trainer prepare --side {SIDE_PX}`"
        )
    if inner and len(inner) != len(STAGES):
        raise InputError(f"inner = {list(inner)}: the resnet network has {len(STAGES)} stages")
    narrow = narrow or {}
    blocks_of = [f"s{number}b{block}" for number, (_, blocks) in enumerate(STAGES) for block in range(blocks)]
    if unknown := [*narrow.keys() - {f"{block}_{part}" for block in blocks_of for part in (1, 2)}]:
        raise InputError(f"narrow names {unknown[0]!r}: the resnet network has {blocks_of[0]}_1 to {blocks_of[-1]}_2")
    pixels = keras.Input((side_px, side_px, channels), name="pixels")
    x = layers.Rescaling(1 / SCALE, name="rescale")(pixels)
    x = layers.Conv2D(4 * channels, 2, 2, use_bias=False, trainable=False, name="stem_squares")(x)
    x = layers.ReLU(name="stem_relu")(layers.Conv2D(STAGES[0][0], 4, name="stem_conv")(x))
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for number, (maps, blocks) in enumerate(STAGES):
        for block in range(blocks):
            x = _residual(x, maps, inner[number] if inner else maps, number > 0 and block == 0, f"s{number}b{block}", narrow)
        if trim and number == LAST_TRIMMED:
            x = layers.ZeroPadding2D(trim // _CELL, name=TRIMMED)(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    tower = keras.Model(pixels, layers.Dense(EMBEDDING, use_bias=False, name="embedding")(x), name="resnet")
    side_by_side = np.eye(4 * channels, dtype=np.float32).reshape(2, 2, channels, 4 * channels)
    tower.get_layer("stem_squares").set_weights([side_by_side])
    for layer in tower.layers if fixed else []:
        layer.trainable &= not layer.name.startswith(("stem_", *(f"s{number}b" for number in range(fixed))))
    return tower


def load_dlib(tower: keras.Model, network: DlibNetwork, *, bgr: bool = False) -> None:
    """Puts dlib's weights into a fresh tower. The means that dlib subtracts move into the first layer's bias (exact, because that
    layer has no padding). For a grey tower the filters of the three colours are added up, since R = G = B in a grey picture. A colour
    tower takes R, G, B as dlib does, or B, G, R as OpenCV does with `bgr`.

    Raises:
        InputError: the weights are of another network.
    """
    names = [layer.name for layer in tower.layers if layer.name.endswith("_conv")]
    expected_shapes = [tower.get_layer(name).kernel.shape for name in names]
    first = network.convolutions[0]
    bias = (
        first.bias - np.tensordot(first.filters.sum((0, 1)), MEANS / SCALE, axes=(0, 0))
        if first.filters.shape[2] == 3
        else first.bias
    )
    filters = first.filters.sum(2, keepdims=True) if tower.input_shape[-1] == 1 else first.filters
    filters = _over_squares(filters[:, :, ::-1] if bgr else filters)
    weights = [(filters, bias), *((c.filters, c.bias) for c in network.convolutions[1:])]
    if [tuple(shape) for shape in expected_shapes] != [filters.shape for filters, _ in weights] or network.matrix.shape != (
        256,
        EMBEDDING,
    ):
        raise InputError(f"these weights are of another network: {len(weights)} convolutions, matrix {network.matrix.shape}")
    for name, (filters, bias) in zip(names, weights, strict=True):
        tower.get_layer(name).set_weights([filters, bias])
    tower.get_layer("embedding").set_weights([network.matrix])


def _over_squares(filters: NDArray[np.float32]) -> NDArray[np.float32]:
    """Converts filters of stride 2, [7, 7, c, n], to filters over squares of 2x2 pixels, [4, 4, 4c, n]; row and column 8 are zeros."""
    size, _, channels, count = filters.shape
    padded = np.pad(filters, ((0, 8 - size), (0, 8 - size), (0, 0), (0, 0)))
    return padded.reshape(4, 2, 4, 2, channels, count).transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, 4 * channels, count)


def _conv(x: keras.KerasTensor, maps: int, stride: int, name: str, narrow: Mapping[str, int]) -> keras.KerasTensor:
    padding = "same" if stride == 1 else "valid"
    if name in narrow:
        x = layers.Conv2D(narrow[name], 3, stride, padding, use_bias=False, name=f"{name}_narrow")(x)
        return layers.Conv2D(maps, 1, name=f"{name}_conv")(x)
    return layers.Conv2D(maps, 3, stride, padding, name=f"{name}_conv")(x)


def _residual(
    x: keras.KerasTensor, maps: int, inner: int, halve: bool, name: str, narrow: Mapping[str, int]
) -> keras.KerasTensor:
    shortcut = x
    y = layers.ReLU(name=f"{name}_relu1")(_conv(x, inner, 2 if halve else 1, f"{name}_1", narrow))
    y = _conv(y, maps, 1, f"{name}_2", narrow)
    if halve:
        shortcut = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
        maps_in = x.shape[-1]
        if maps_in != maps:
            # dlib appends maps of zeros. A 1x1 convolution that starts as just that quantises as well, and may learn something better.
            projection = layers.Conv2D(maps, 1, use_bias=False, name=f"{name}_skip")
            shortcut = projection(shortcut)
            projection.set_weights([np.eye(maps_in, maps, dtype=np.float32)[None, None]])
        # For an even side the convolution gives one pixel less than the average pooling; dlib pads it with zeros.
        padding = shortcut.shape[1] - y.shape[1]
        if padding:
            y = layers.ZeroPadding2D(((0, padding), (0, padding)), name=f"{name}_pad")(y)
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([y, shortcut]))
