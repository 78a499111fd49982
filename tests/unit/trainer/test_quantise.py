"""A tower that rounds as its int8 file will: where it rounds, by how much, its gradients and its ranges."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.errors import InputError
from trainer.backend import keras, tf
from trainer.quantise import RoundedValues, RoundedWeights, check_rounding, copy_ranges, measure_ranges, quantised, ranges

layers = keras.layers
SIDE = 16


@pytest.fixture
def tower() -> keras.Model:
    keras.utils.set_random_seed(1)
    pixels = keras.Input((SIDE, SIDE, 1))
    x = layers.Rescaling(1 / 255, name="rescale")(pixels)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="norm")(layers.Conv2D(8, 3, 2, name="conv1")(x)))
    y = layers.Conv2D(8, 3, padding="same", name="conv2")(x)
    x = layers.ReLU(name="relu2")(layers.Add(name="add")([x, y]))
    return keras.Model(pixels, layers.Dense(6, name="embedding")(layers.GlobalAveragePooling2D(name="pool")(x)))


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE), np.uint8)


def test_values_are_rounded_where_the_converter_stores_them(tower: keras.Model) -> None:
    """Not between a convolution, its normalisation and its ReLU, which the converter fuses, nor between an addition and its ReLU."""
    names = {layer.name for layer in quantised(tower).layers if isinstance(layer, RoundedValues)}
    assert names == {"relu1_values", "conv2_values", "relu2_values", "pool_values", "embedding_values"}


@pytest.mark.parametrize(
    "how", [{"dilation_rate": 2}, {"activation": "relu"}, {"strides": 2, "padding": "same"}], ids=lambda how: next(iter(how))
)
def test_a_convolution_rounds_as_it_computes(how: dict[str, object], pixels: np.ndarray) -> None:
    """It keeps its stride, padding, dilation and activation; outputs differ only by the rounding, about a percent of the largest."""
    keras.utils.set_random_seed(1)
    given = keras.Input((SIDE, SIDE, 1))
    tower = keras.Model(given, layers.Dense(6)(layers.Flatten()(layers.Conv2D(8, 3, **how)(given))))
    rounding = quantised(tower)
    assert sum(isinstance(layer, RoundedWeights) for layer in rounding.layers) == 2
    measure_ranges(rounding, tower, pixels)
    plain, rounded = (np.asarray(model(pixels[..., None].astype(np.float32), training=False)) for model in (tower, rounding))
    assert 0 < np.abs(plain - rounded).max() < 0.03 * np.abs(plain).max()


def test_layers_of_which_it_is_not_known_how_they_round_are_told() -> None:
    given = keras.Input((SIDE, SIDE, 1))
    tower = keras.Model(given, layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3, name="deep")(given)))
    with pytest.raises(InputError, match=r"tower.quantised: deep of .* is a DepthwiseConv2D"):
        check_rounding(tower)


def test_a_kernel_is_rounded_to_127_steps_a_filter_by_hand() -> None:
    """Filter 0 reaches 1.27, so its step is 0.01; filter 1 reaches 12.7, so its step is 0.1."""
    inner = layers.Dense(2, use_bias=False)
    inner.build((None, 2))
    inner.set_weights([np.array([[1.27, 12.7], [0.123, 0.123]], np.float32)])
    outputs = np.asarray(RoundedWeights(inner)(np.eye(2, dtype=np.float32)))
    assert outputs == pytest.approx(np.array([[1.27, 12.7], [0.12, 0.1]]), abs=1e-5)


def test_it_is_nearer_to_float_than_coarse_and_not_equal(tower: keras.Model, pixels: np.ndarray) -> None:
    rounding = quantised(tower)
    measure_ranges(rounding, tower, pixels)
    plain, rounded = (np.asarray(model(pixels[..., None].astype(np.float32), training=False)) for model in (tower, rounding))
    error = np.linalg.norm(plain - rounded) / np.linalg.norm(plain)
    assert 1e-4 < error < 0.05


def test_the_variables_are_the_towers_own(tower: keras.Model, pixels: np.ndarray) -> None:
    rounding = quantised(tower)
    measure_ranges(rounding, tower, pixels)
    assert {id(v) for v in rounding.trainable_variables} == {id(v) for v in tower.trainable_variables}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(rounding(pixels[..., None].astype(np.float32), training=True)))
    gradients = tape.gradient(loss, tower.trainable_variables)
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
    assert any(np.abs(gradient).max() > 0 for gradient in gradients)


def test_ranges_go_from_one_to_another(tower: keras.Model, pixels: np.ndarray) -> None:
    rounding = quantised(tower)
    measure_ranges(rounding, tower, pixels)
    assert all(float(low) <= 0 <= float(high) for low, high in zip(*[iter(ranges(rounding))] * 2, strict=True))
    other = keras.models.clone_model(tower)
    other.set_weights(tower.get_weights())
    again = quantised(other)
    copy_ranges(rounding, again)
    x = pixels[..., None].astype(np.float32)
    assert np.array_equal(rounding(x, training=False), again(x, training=False))


def test_ranges_go_over_where_nobody_named_the_layers(pixels: np.ndarray) -> None:
    """As in a user's own network: Keras goes on counting unnamed layers, so the same layer has another name in the next tower."""

    def tower() -> keras.Model:
        given = keras.Input((SIDE, SIDE, 1))
        x = layers.ReLU()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(given)))
        return keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Conv2D(4, 3)(x)))))

    first, second = tower(), tower()
    assert {layer.name for layer in first.layers} != {layer.name for layer in second.layers}
    second.set_weights(first.get_weights())
    rounding, again = quantised(first), quantised(second)
    measure_ranges(rounding, first, pixels)
    copy_ranges(rounding, again)
    x = pixels[..., None].astype(np.float32)
    assert np.array_equal(rounding(x, training=False), again(x, training=False))
