"""Damping of the dominant directions of embeddings, and folding it into a tower."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.errors import InputError
from trainer.backend import keras
from trainer.networks import build_tower
from trainer.settings import Network, TowerSettings
from trainer.spread import check_end, damping_matrix, fold


def _variances(embeddings: np.ndarray) -> np.ndarray:
    return np.linalg.eigvalsh(np.cov((embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).T))[::-1]


@pytest.fixture
def embeddings() -> np.ndarray:
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    # All faces share a large mean, and three directions dominate.
    lengths = np.concatenate([[6.0, 4.0, 3.0], np.ones(13)])
    return ((rng.normal(size=(4000, 16)) * lengths + 20 * np.eye(16)[5]) @ turned).astype(np.float32)


def test_what_leads_is_held_to_its_measure(embeddings: np.ndarray) -> None:
    before, after = _variances(embeddings), _variances(embeddings @ damping_matrix(embeddings, 2.0))
    assert before[0] > 4 * before.mean()
    assert after[:3] == pytest.approx(np.full(3, 2 * before.mean()), rel=0.25)  # normalising again makes them a little larger
    # The others keep their proportions. The last one is radial, where unit vectors hardly vary.
    assert after[3:15] / after[3:15].mean() == pytest.approx(before[3:15] / before[3:15].mean(), rel=0.1)


def test_what_leads_nowhere_stays(embeddings: np.ndarray) -> None:
    assert damping_matrix(embeddings, 16.0) == pytest.approx(np.eye(16), abs=1e-5)


def test_once_is_enough(embeddings: np.ndarray) -> None:
    """A tower that starts from a damped one is hardly damped further."""
    once = embeddings @ damping_matrix(embeddings, 3.0)
    twice = once @ damping_matrix(once, 3.0)
    cosines = (once * twice).sum(1) / np.linalg.norm(once, axis=1) / np.linalg.norm(twice, axis=1)
    assert cosines.min() > 0.99


@pytest.mark.parametrize("network", [Network.COMPACT, Network.RESNET])
def test_the_tower_gives_it(network: Network) -> None:
    tower = build_tower(TowerSettings(network=network), 64 if network is Network.COMPACT else 150)
    rng = np.random.default_rng(0)
    last = tower.layers[-1]
    if isinstance(last, keras.layers.BatchNormalization):
        last.set_weights([rng.uniform(0.5, 2, weights.shape) for weights in last.get_weights()])
    pixels = rng.uniform(0, 255, (3, *tower.input_shape[1:])).astype(np.float32)
    matrix = (np.eye(128) + 0.1 * rng.normal(size=(128, 128))).astype(np.float32)
    wanted = np.asarray(tower(pixels, training=False)) @ matrix
    check_end(tower)
    fold(tower, matrix)
    assert np.asarray(tower(pixels, training=False)) == pytest.approx(wanted, rel=1e-3, abs=1e-3 * float(np.abs(wanted).max()))


def test_a_tower_that_ends_otherwise_is_refused() -> None:
    with pytest.raises(InputError, match=r"koch network ends in embedding.*tower\.spread = 0"):
        check_end(build_tower(TowerSettings(network=Network.KOCH), 105))
