"""The losses of one training step, recomputed pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.backend import keras
from trainer.choices import Strategy
from trainer.networks import SiameseHead
from trainer.pairs import Batch
from trainer.settings import LossSettings
from trainer.step import Siamese
from trainer.team import assemble

RNG = np.random.default_rng(0)
PEOPLE, STRANGERS, SIZE = 3, 2, 4
# Nine pictures of five people, and the rows of them that a batch shows: three anchors, their positives, two strangers.
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4])
ROWS = np.array([0, 3, 5, 1, 4, 6, 7, 8])
CHIPS = RNG.integers(0, 256, (len(ROWS), 6, 6), np.uint8)
TARGETS = RNG.normal(size=(len(LABELS), SIZE)).astype(np.float32)


def first_loss(loss: LossSettings) -> tuple[float, NDArray[np.float64], SiameseHead]:
    """The loss of a first step, the embeddings that it saw and the head."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((6, 6, 1))
    tower = keras.Model(pixels, keras.layers.Dense(SIZE)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))))
    head = SiameseHead(False, False, name="head")
    head.build((None, SIZE))
    embeddings = np.asarray(tower(CHIPS[..., None].astype(np.float32)), np.float64)
    model = Siamese(tower, head, keras.optimizers.Adam(1e-9), loss, LABELS, TARGETS, assemble(Strategy.AUTO))
    return model.step(Batch(CHIPS, ROWS, PEOPLE)), embeddings, head


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("hardest", [1.0, 0.4])
def test_every_anchor_is_held_against_its_positive_and_all_other_negatives(hardest: float) -> None:
    """Both kinds weigh alike. Of an anchor's positive and the others, all 3 * 5 pairs but the three of one person are of two."""
    found, embeddings, head = first_loss(LossSettings(pairs=2.0, hardest=hardest))
    anchors, others = embeddings[:PEOPLE], embeddings[PEOPLE:]
    same, apart = [], []
    for row, anchor in enumerate(anchors):
        for column, other in enumerate(others):
            (score,) = np.asarray(keras.ops.sigmoid(head(anchor[None].astype(np.float32), other[None].astype(np.float32))))[0]
            (same if row == column else apart).append(-np.log(score if row == column else 1 - score))
    assert (len(same), len(apart)) == (3, 12)
    kept = sorted(apart)[-int(np.ceil(hardest * 12)) :]
    assert found == pytest.approx(2.0 * (np.mean(same) + np.mean(kept)) / 2, rel=1e-4)


def test_the_teacher_is_followed_in_direction() -> None:
    found, embeddings, _ = first_loss(LossSettings(pairs=0.0, teacher=3.0))
    apart = unit(embeddings) - unit(TARGETS[ROWS].astype(np.float64))
    assert found == pytest.approx(3.0 * (apart**2).sum(1).mean(), rel=1e-4)


@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_a_partner_competes_with_every_picture_of_other_people(margin: float) -> None:
    """With those in memory, which are the teacher's vectors before the first step; not with other pictures of the person."""
    found, embeddings, _ = first_loss(LossSettings(pairs=0.0, contrast=0.5, contrast_scale=8.0, margin=margin))
    own, memory = unit(embeddings), unit(TARGETS.astype(np.float64))
    losses = []
    for side in range(2 * PEOPLE):
        partner = own[(side + PEOPLE) % (2 * PEOPLE)]
        strangers = memory[LABELS[ROWS[side]] != LABELS]
        against = np.log(np.exp(8.0 * strangers @ own[side]).sum())
        losses.append(np.log1p(np.exp(against - 8.0 * (own[side] @ partner - margin))))
    assert found == pytest.approx(0.5 * np.mean(losses), rel=1e-4)
