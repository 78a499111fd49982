"""The towers are what they claim to be, and the head in Keras is the head in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.contract.errors import InputError
from edge.contract.score import Head, score
from trainer.judges import balanced_cross_entropy
from trainer.networks import SiameseHead, build_tower
from trainer.settings import Network, TowerSettings
from trainer.verifier import embed

OWN = """
from trainer.backend import keras


def small(side):
    pixels = keras.Input((side, side, 1))
    return keras.Model(pixels, keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(pixels)))


def wrong(side):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
"""


def test_a_network_of_ones_own_is_named_by_its_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owntower.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert build_tower(TowerSettings(network="owntower:small"), 40).output_shape == (None, 7)
    with pytest.raises(InputError, match="7 numbers, the teacher's vectors have 128"):
        build_tower(TowerSettings(network="owntower:small"), 40, 128)
    with pytest.raises(InputError, match="no attribute 'none'"):
        build_tower(TowerSettings(network="owntower:none"), 40)
    (tmp_path / "broken.py").write_text("def small(side):\n    raise ZeroDivisionError('of mine')\n")
    with pytest.raises(InputError, match="network = 'broken:small': ZeroDivisionError: of mine"):
        build_tower(TowerSettings(network="broken:small"), 40)
    with pytest.raises(InputError, match="No module named"):
        build_tower(TowerSettings(network="nowhere.at_all:small"), 40)
    with pytest.raises(InputError, match=r"expected a Keras model from \[n, 40, 40, 1\]"):
        build_tower(TowerSettings(network="owntower:wrong"), 40)
    with pytest.raises(ValueError, match="network"):
        TowerSettings(network="koala")


def test_the_compact_tower_fits_the_device() -> None:
    tower = build_tower(TowerSettings(network=Network.COMPACT), 64)
    assert tower.count_params() <= 3_000_000
    assert tower.output_shape == (None, 128)
    kinds = {type(layer).__name__ for layer in tower.layers}
    assert kinds == {
        "InputLayer", "Rescaling", "Conv2D", "BatchNormalization", "ReLU", "Add", "GlobalAveragePooling2D", "Dropout", "Dense"
    }  # fmt: skip


def test_a_convolution_that_is_narrow_is_one_of_the_networks() -> None:
    with pytest.raises(InputError, match="narrow names 's9b0_1': the resnet network has s0b0_1 to s4b0_2"):
        build_tower(TowerSettings(network=Network.RESNET, narrow={"s9b0_1": 8}), 118)


def test_the_koch_tower_is_the_papers() -> None:
    """Figure 4: 96, 42, 18 and 6 px of 64, 128, 128 and 256 maps, then 4096; parameters counted by hand.

    conv 10*10*1*64+64, 7*7*64*128+128, 4*4*128*128+128, 4*4*128*256+256; dense 6*6*256*4096+4096.
    """
    tower = build_tower(TowerSettings(network=Network.KOCH), 105)
    shapes = {layer.name: layer.output.shape[1:] for layer in tower.layers}
    assert shapes["conv1"] == (96, 96, 64)
    assert shapes["conv2"] == (42, 42, 128)
    assert shapes["conv3"] == (18, 18, 128)
    assert shapes["conv4"] == (6, 6, 256)
    assert shapes["embedding"] == (4096,)
    convolutions = 100 * 64 + 64 + 49 * 64 * 128 + 128 + 16 * 128 * 128 + 128 + 16 * 128 * 256 + 256
    assert tower.count_params() == convolutions + 9216 * 4096 + 4096


def test_the_koch_tower_names_the_chip_it_needs() -> None:
    with pytest.raises(InputError, match="prepare --side 105"):
        build_tower(TowerSettings(network=Network.KOCH), 64)


def test_the_head_in_keras_is_the_head_in_numpy() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(3, 6)).astype(np.float32), rng.normal(size=(5, 6)).astype(np.float32)
    head = SiameseHead()
    head.build((None, 6))
    head.distance_weights.assign(rng.uniform(0, 2, 6))
    head.bias.assign(1.25)
    logits = np.asarray(head(left, right))
    numpy_head = Head(np.asarray(head.distance_weights, np.float32), 1.25)
    expected = np.stack([score(numpy_head, probe, right) for probe in left])
    assert np.allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-6)


def test_a_head_starts_as_a_trained_one_of_its_kind() -> None:
    given = Head(np.array([1, 2, 3], np.float32), 5.0, True, True)
    for squared, wanted in ((True, (given.weights, 5.0)), (False, ([4.0] * 3, 24.0))):
        head = SiameseHead(normalise=True, squared=squared)
        head.build((None, 3))
        head.copy_from(given)
        assert head.to_numpy().weights == pytest.approx(wanted[0])
        assert head.to_numpy().bias == pytest.approx(wanted[1])


def test_embeddings_do_not_depend_on_the_batch() -> None:
    tower = build_tower(TowerSettings(network=Network.COMPACT), 64)
    chips = np.random.default_rng(0).integers(0, 256, (5, 64, 64), np.uint8)
    assert np.allclose(embed(tower, chips)[3], embed(tower, chips[3:4])[0], atol=1e-5)


def test_the_balanced_loss_by_hand() -> None:
    """(-ln 0.5 + -ln(1 - 0.2)) / 2 = (0.69315 + 0.22314) / 2, whatever the counts."""
    assert balanced_cross_entropy(np.array([0.5]), np.full(99, 0.2)) == pytest.approx(0.458145, abs=1e-5)
