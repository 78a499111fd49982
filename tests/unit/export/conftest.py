"""A small network to convert, and chips for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from export.convert import to_tflite
from export.graph import Graph, read_graph
from export.quiet import quiet
from export.variant import Variant

with quiet():
    import keras

SIDE = 16


class Small(NamedTuple):
    """A tower of two convolutions with a skip, its calibration chips and its flatbuffers by variant."""

    network: Any
    chips: np.ndarray
    flatbuffers: dict[Variant, bytes]
    graphs: dict[Variant, Graph]


@pytest.fixture(scope="session")
def small() -> Small:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Rescaling(1 / 255, name="rescale")(pixels)
    x = keras.layers.ReLU(name="relu1")(keras.layers.Conv2D(8, 3, padding="same", name="conv1")(x))
    y = keras.layers.Conv2D(8, 3, padding="same", name="conv2")(x)
    x = keras.layers.ReLU(name="relu2")(keras.layers.Add(name="add")([x, y]))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    network = keras.Model(pixels, keras.layers.Dense(4, name="embedding")(x))
    chips = np.random.default_rng(0).integers(20, 230, (16, SIDE, SIDE), np.uint8)
    flatbuffers = {variant: to_tflite(network, chips, variant) for variant in Variant}
    return Small(network, chips, flatbuffers, {variant: read_graph(data) for variant, data in flatbuffers.items()})
