"""One training step: the batch runs through the tower once, all its pairs through the head; the recipe weighs the losses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.asked import blend, teacher_embeddings
from trainer.backend import as_input, keras, tf
from trainer.networks import SiameseHead
from trainer.pairs import Batch
from trainer.quantise import ranges
from trainer.settings import LossSettings
from trainer.team import Team

CLIP = 1.0  # norm of each variable's gradient: a tower that starts as dlib's has no normalisation layers to absorb a large step


class Siamese:
    """A Siamese network and its training state. Both towers are one Keras model, called once on the pictures of both sides.

    With `loss.contrast`, a memory holds the latest unit embedding of every training picture, so that an anchor's partner competes
    with all other people and not with one batch alone (cross-batch memory, Wang et al. 2020). It starts as `targets`, the teacher's
    vectors, float32 [pictures, D].

    `rounding`, if given, runs in place of `tower`, to train for the rounding of its int8 file (trainer/quantise.py). `teacher` is a
    tower that is run on the pictures of each step (`Batch.larger`, or `Batch.chips`), in place of `targets`. `blend_chance` is the
    chance that a picture is blended with another one of the batch (trainer/asked.py).
    """

    def __init__(
        self,
        tower: keras.Model,
        head: SiameseHead,
        optimizer: keras.Optimizer,
        loss: LossSettings,
        labels: NDArray[np.int64],
        targets: NDArray[np.float32] | None,
        team: Team,
        rounding: keras.Model | None = None,
        teacher: keras.Model | None = None,
        blend_chance: float = 0.0,
    ) -> None:
        self._forward, self._ranges = rounding or tower, ranges(rounding) if rounding else []
        self.tower, self.head, self.optimizer, self._loss, self._team = tower, head, optimizer, loss, team
        self._teacher, self._blend_chance = teacher, blend_chance
        self.variables = tower.trainable_variables + (head.trainable_variables if loss.pairs else [])
        optimizer.build(self.variables)
        self._labels = tf.constant(labels)
        self._targets = None if targets is None else tf.constant(unit(targets), tf.float32)
        aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA  # all replicas write the same values
        self._memory = tf.Variable(self._targets, trainable=False, aggregation=aggregation) if loss.contrast else None
        self._traced = team.traced(self._step)

    def step(self, batch: Batch) -> float:
        """Trains on a batch and returns its loss."""
        views = (batch.chips,) if batch.larger is None else (batch.chips, batch.larger)
        return float(self._traced(views, tf.constant(batch.rows), tf.constant(batch.people)))

    def _step(self, views: tuple[tf.Tensor, ...], rows: tf.Tensor, people: tf.Tensor) -> tf.Tensor:
        pixels, *larger = (self._blended(chips) for chips in views)
        teacher_vectors = self._teacher_vectors(larger[0] if larger else pixels, rows) if self._loss.teacher else None
        with tf.GradientTape() as tape:
            own_embeddings = tf.cast(self._forward(pixels, training=True), tf.float32)
            embeddings = self._team.gather(own_embeddings, tf.shape(rows)[0])
            unit = tf.math.l2_normalize(embeddings, axis=-1)
            loss = tf.constant(0.0)
            if self._loss.pairs:
                loss += self._loss.pairs * self._cross_entropy(embeddings, people)
            if self._loss.teacher:
                off = tf.reduce_sum(tf.square(unit - teacher_vectors), axis=-1)
                loss += self._loss.teacher * tf.reduce_mean(off)
            if self._loss.contrast:
                loss += self._loss.contrast * self._contrast(unit, rows, people)
            total = loss + tf.add_n(self.tower.losses) if self.tower.losses else loss
            # Every replica computes the loss of the whole batch, and their gradients are summed.
            total /= self._team.replicas
        gradients = [tf.clip_by_norm(part, CLIP) for part in self._team.sum(tape.gradient(total, self.variables))]
        # The optimiser sums the gradients over the replicas once more.
        self.optimizer.apply([part / self._team.replicas for part in gradients], self.variables)
        if self._memory is not None:
            self._memory.assign(tf.tensor_scatter_nd_update(self._memory.read_value(), rows[:, None], unit))
        return loss

    def _blended(self, chips: tf.Tensor) -> tf.Tensor:
        pixels = as_input(chips)
        if not self._blend_chance:
            return pixels
        # Seeded by the step's number, so that a resumed run sees the same pictures as an uninterrupted one, and a teacher that sees
        # larger ones the same blends.
        iteration = tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.int32)
        return blend(pixels, self._blend_chance, tf.stack([0, iteration]))

    def _teacher_vectors(self, pixels: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        if self._teacher is None:
            return tf.gather(self._targets, rows)
        return self._team.gather(teacher_embeddings(self._teacher, pixels), tf.shape(rows)[0])

    def _cross_entropy(self, embeddings: tf.Tensor, people: tf.Tensor) -> tf.Tensor:
        logits = self.head(embeddings[:people], embeddings[people:])  # [p, p + n]
        same = tf.eye(people, tf.shape(logits)[1])
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=same, logits=logits)
        positive = tf.reduce_sum(losses * same) / tf.reduce_sum(same)
        others = tf.boolean_mask(losses, same < 0.5)
        if self._loss.hardest < 1:
            count = tf.cast(tf.math.ceil(self._loss.hardest * tf.cast(tf.size(others), tf.float32)), tf.int32)
            others = tf.math.top_k(others, count, sorted=False).values
        return (positive + tf.reduce_mean(others)) / 2

    def _contrast(self, unit: tf.Tensor, rows: tf.Tensor, people: tf.Tensor) -> tf.Tensor:
        scale, margin = self._loss.contrast_scale, self._loss.margin
        sides = unit[: 2 * people]
        partners = tf.concat([unit[people : 2 * people], unit[:people]], axis=0)
        partner_logits = scale * (tf.reduce_sum(sides * partners, axis=-1) - margin)
        cosines = tf.matmul(sides, self._memory.read_value(), transpose_b=True)
        same_person = self._labels[None, :] == tf.gather(self._labels, rows[: 2 * people])[:, None]
        others = tf.where(same_person, -1e9, scale * cosines)
        return tf.reduce_mean(tf.nn.softplus(tf.reduce_logsumexp(others, axis=-1) - partner_logits))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Replaces the weights within the context by their moving average, if the optimiser keeps one (Polyak and Juditsky 1992)."""
        if not self.optimizer.use_ema:
            yield
            return
        original = [np.asarray(variable) for variable in self.variables]
        self.optimizer.finalize_variable_values(self.variables)
        try:
            yield
        finally:
            for variable, value in zip(self.variables, original, strict=True):
                variable.assign(value)

    def weights(self) -> list[Any]:
        """The variables that the verifier needs."""
        return [*self.tower.variables, *self.head.variables]

    def state(self) -> list[Any]:
        """The variables that a resumed run needs."""
        memory = [] if self._memory is None else [self._memory]
        return [*self.weights(), *self.optimizer.variables, *memory, *self._ranges]


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divides vectors, float32 [n, D], by their Euclidean norms; zero vectors stay zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
