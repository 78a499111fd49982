"""Runs a teacher on the pictures of each step, after augmentation: the light, position and blended faces that the student sees.

Stored vectors of the original pictures are memorised after some epochs, and unseen people gain nothing more. Answers to augmented
pictures never run out (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent").
"""

from __future__ import annotations

from trainer.backend import keras, tf


def teacher_embeddings(teacher: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
    """A teacher's unit embeddings, float32 [n, D], of pictures, float32 [n, side, side, c]: the mean of each picture's and its mirror
    image's, as for enrolled faces."""
    embeddings = [tf.cast(teacher(view, training=False), tf.float32) for view in (pixels, pixels[:, :, ::-1])]
    return tf.math.l2_normalize(tf.add_n([tf.math.l2_normalize(embedding, axis=-1) for embedding in embeddings]), axis=-1)


def blend(pixels: tf.Tensor, chance: float, seed: tf.Tensor) -> tf.Tensor:
    """Blends each picture, float32 [n, side, side, c], with this chance with another one of them, whose share is at most a half. `seed`,
    two integers, decides which."""
    n = tf.shape(pixels)[0]
    chance_seed, share_seed, partner_seed = (tf.random.experimental.stateless_fold_in(seed, number) for number in range(3))
    share = tf.random.stateless_uniform((n, 1, 1, 1), share_seed, maxval=0.5)
    share *= tf.cast(tf.random.stateless_uniform((n, 1, 1, 1), chance_seed) < chance, tf.float32)
    other = tf.gather(pixels, tf.random.experimental.stateless_shuffle(tf.range(n), partner_seed))
    return (1 - share) * pixels + share * other
