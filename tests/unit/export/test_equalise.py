"""Equalised weights compute the same and quantise with less loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.convert import to_tflite
from export.equalise import equalise
from export.layers import layer_errors
from export.quiet import quiet
from export.variant import Variant

with quiet():
    import keras

layers = keras.layers
SIDE = 16


def _chips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE), np.uint8)


def _tower(*, trainable: bool = True, limit: float | None = None) -> Any:
    """Convolutions with and without normalisation, a skip, both kinds of pooling and a dense layer. Map sizes differ up to a thousandfold,
    and the layers that read the maps compensate for it, so that small maps matter as much as large ones."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    pixels = keras.Input((SIDE, SIDE, 1))
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.ReLU(name="relu1")(layers.Conv2D(8, 3, name="conv1")(x))
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, activation="relu", name="conv2")(x)
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv3")(y)
    x = layers.ReLU(limit, name="relu2")(layers.Add(name="add")([x, layers.BatchNormalization(name="norm")(y)]))
    x = layers.AveragePooling2D(2, name="halve")(layers.MaxPooling2D(2, name="most")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    tower = keras.Model(pixels, layers.Dense(4, name="embedding")(x), name="drawn")
    for made_by, read_by in ((("conv1", "norm"), ("conv2", "embedding")), (("conv2",), ("conv3",))):
        sizes = 10.0 ** rng.uniform(-1.5, 1.5, 8)
        for layer in map(tower.get_layer, made_by):
            layer.trainable = trainable
            layer.set_weights([weights * sizes for weights in layer.get_weights()[:2]] + layer.get_weights()[2:])
        for layer in map(tower.get_layer, read_by):
            kernel, *rest = layer.get_weights()
            layer.set_weights([kernel / sizes[:, None], *rest])
    return tower


def _said(tower: Any) -> np.ndarray:
    return np.asarray(tower(_chips()[..., None].astype(np.float32), training=False))


def _error(tower: Any) -> float:
    in_float, quantised = (to_tflite(tower, _chips(), variant) for variant in (Variant.NONE, Variant.INT8))
    return layer_errors(in_float, quantised, _chips())[-1].error


def test_it_computes_the_same_with_less_loss() -> None:
    tower = _tower()
    said, error = _said(tower), _error(tower)
    equalise(tower, _chips())
    np.testing.assert_allclose(_said(tower), said, rtol=1e-4, atol=1e-5 * np.abs(said).max())
    assert _error(tower) < 0.5 * error


def test_maps_come_nearer_to_one_size() -> None:
    """A ratio of sizes r shrinks to r to the quarter, times a factor from the filters that read the maps."""
    tower = _tower()
    watching = keras.Model(tower.input, tower.get_layer("conv2").output)

    def apart() -> float:
        sizes = np.asarray(watching(_chips()[..., None].astype(np.float32))).max((0, 1, 2))
        return float(sizes.max() / sizes.min())

    before = apart()
    equalise(tower, _chips())
    assert before > 50
    assert apart() < before**0.5


@pytest.mark.parametrize("given", [{"trainable": False}, {"limit": 6.0}])
def test_what_is_fixed_or_cares_for_size_stays(given: dict[str, Any]) -> None:
    """The maps of the skip end in a ReLU with a limit, or come from layers that are not trainable. Those between conv2 and conv3 are
    free, unless conv2 itself is not trainable."""
    tower = _tower(**given)
    said, held = _said(tower), {layer.name: layer.get_weights() for layer in tower.layers}
    equalise(tower, _chips())
    np.testing.assert_allclose(_said(tower), said, rtol=1e-4, atol=1e-5 * np.abs(said).max())
    kept = {"conv1", "norm", "embedding"} | ({"conv2", "conv3"} if "trainable" in given else set())
    for name in kept:
        for now, then in zip(tower.get_layer(name).get_weights(), held[name], strict=True):
            np.testing.assert_array_equal(now, then)
    if "limit" in given:
        assert np.abs(tower.get_layer("conv2").get_weights()[0] - held["conv2"][0]).max() > 0


class _Gate(layers.ReLU):
    """A layer of the user's own, which is not what it is derived from."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.sigmoid(inputs)


def _frozen(maps: Any) -> Any:
    return layers.Conv2D(8, 3, padding="same", activation="relu", trainable=False)(maps)


def _of_another_width(maps: Any) -> Any:
    return layers.Conv2D(12, 3, padding="same", trainable=False)(maps)


def _called_twice(maps: Any) -> Any:
    layer = layers.Conv2D(8, 3, padding="same", activation="relu")
    return layer(layer(maps))


def _beside_a_sum(maps: Any) -> Any:
    return layers.Conv2D(8, 3, padding="same")(maps) + maps


def _spread_over_all(maps: Any) -> Any:
    return layers.Add()([layers.Conv2D(1, 3, padding="same")(maps), maps])


@pytest.mark.parametrize(
    "middle",
    [
        _frozen,
        _of_another_width,
        _called_twice,
        _beside_a_sum,
        _spread_over_all,
        layers.DepthwiseConv2D(3, padding="same"),
        layers.SeparableConv2D(8, 3, padding="same"),
        layers.Conv2DTranspose(8, 3, padding="same"),
        layers.Conv2D(8, 3, padding="same", groups=2),
        layers.EinsumDense("bhwc,cd->bhwd", (SIDE, SIDE, 8)),
        _Gate(),
    ],
)
def test_what_is_no_plain_layer_is_left_alone(middle: Any) -> None:
    """A network of one's own: what is between two convolutions mixes maps, adds to them, or is read in more ways than one."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIDE, SIDE, 1))
    maps = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(pixels))
    maps = layers.Conv2D(8, 3, padding="same")(middle(maps))
    tower = keras.Model(pixels, layers.Dense(4)(layers.GlobalAveragePooling2D()(maps)))
    rng = np.random.default_rng(0)
    for weights in tower.weights:
        weights.assign(rng.normal(0, 0.3, weights.shape) * 10 ** rng.uniform(-1, 1, weights.shape[-1:]))
    said = _said(tower)
    equalise(tower, _chips())
    np.testing.assert_allclose(_said(tower), said, rtol=1e-4, atol=1e-5 * np.abs(said).max())


def test_a_sequential_is_taken() -> None:
    tower = keras.Sequential(
        [keras.Input((SIDE, SIDE, 1)), layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(4)]
    )
    said = _said(tower)
    equalise(tower, _chips())
    np.testing.assert_allclose(_said(tower), said, rtol=1e-4, atol=1e-5 * np.abs(said).max())
    assert to_tflite(tower, _chips(), Variant.INT8)


def test_maps_that_never_are_anything_are_survived() -> None:
    tower = _tower()
    kernel, bias = tower.get_layer("conv1").get_weights()
    kernel[..., 0], bias[0] = 0, -1
    tower.get_layer("conv1").set_weights([kernel, bias])
    said = _said(tower)
    equalise(tower, _chips())
    assert all(np.isfinite(weights).all() for layer in tower.layers for weights in layer.get_weights())
    np.testing.assert_allclose(_said(tower), said, rtol=1e-4, atol=1e-5 * np.abs(said).max())
