"""A model file dequantised to float: what it answers, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.contract.align import shrink
from edge.contract.errors import InputError
from edge.contract.fingerprint import golden_chips
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder
from edge.models import model_names, model_path
from tests.conftest import MODEL
from trainer import unquantised
from trainer.backend import keras, tf
from trainer.unquantised import _fill, verifier_of

layers = keras.layers


@pytest.mark.parametrize("path", [*map(model_path, model_names()), MODEL], ids=lambda path: path.stem)
def test_the_tower_in_float_answers_as_its_file(path: Path) -> None:
    model, verifier = read_model(path), verifier_of(path)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4, *golden_chips(model.chip).shape[1:]), np.uint8)
    chips, embedder = np.concatenate([golden_chips(model.chip), noise]), Embedder(model)
    said, wanted = verifier.embed(chips), np.stack([embedder.embed(chip) for chip in chips])
    cosine = (said * wanted).sum(1) / np.linalg.norm(said, axis=1) / np.linalg.norm(wanted, axis=1)
    assert np.median(cosine) > 0.995
    assert cosine.min() > 0.97  # noise is no face
    assert verifier.mirrored_templates == (model.template == "mirrored")
    assert verifier.head.bias == model.head.bias
    assert (verifier.aligner is None) == (model.aligner is None)
    if verifier.aligner and model.aligner:
        spec = model.aligner.spec
        theirs = [spec.placement(embedder._aligner.run(shrink(chip, spec.input_px))) for chip in chips]
        assert np.abs(np.array(verifier.aligner.placements(chips)) - np.array(theirs)).max(0) == pytest.approx(
            np.zeros(4), abs=1.0
        )


def test_layers_that_nobody_named_are_those_of_the_file() -> None:
    """Keras goes on counting them from tower to tower in a process, and the converter appends another number to the names it is given."""

    def build() -> keras.Model:
        given = x = keras.Input((32, 32, 1))
        x = layers.Rescaling(1 / 127.5, offset=-1)(x)
        x = layers.ReLU()(layers.Conv2D(4, 3, 2)(x))
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 3, use_bias=False)(x)))
        x = layers.ReLU()(layers.Conv2D(8, 3)(x))
        return keras.Model(given, layers.BatchNormalization()(layers.Dense(5)(layers.GlobalAveragePooling2D()(x))))

    keras.utils.set_random_seed(1)
    keras.backend.clear_session()
    first = build()
    flatbuffer = tf.lite.TFLiteConverter.from_keras_model(first).convert()
    second = build()
    assert {layer.name for layer in first.layers}.isdisjoint(layer.name for layer in second.layers)
    _fill(second, flatbuffer, Path("file"))
    pixels = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 1)).astype(np.float32)
    said, wanted = (np.asarray(tower(pixels, training=False)) for tower in (second, first))
    assert said == pytest.approx(wanted, abs=1e-4)


def test_a_tower_that_answers_otherwise_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = unquantised._weights

    def without_biases(flatbuffer: bytes) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], bool]:
        found, rescaled = whole(flatbuffer)
        return {name: (kernel, 0 * bias) for name, (kernel, bias) in found.items()}, rescaled

    monkeypatch.setattr("trainer.unquantised._weights", without_biases)
    with pytest.raises(InputError, match="its tower in float answers otherwise than the file"):
        verifier_of(MODEL)


def test_a_tower_of_other_layers_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = unquantised._weights

    def lacking(flatbuffer: bytes) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], bool]:
        found, rescaled = whole(flatbuffer)
        return dict(list(found.items())[1:]), rescaled

    monkeypatch.setattr("trainer.unquantised._weights", lacking)
    with pytest.raises(InputError, match="holds no weights of stem_conv, a Conv2D; start from its run's folder"):
        verifier_of(MODEL)
