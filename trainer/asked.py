"""A teacher that is asked anew about what each step sees, as it is seen: in this light, at this place, one face laid over another.

What a teacher said of the pictures as they are is known by heart after some epochs, and then nobody unseen gains. Its answers about
whatever can be made of them are endless (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent").
"""

from __future__ import annotations

from trainer.backend import keras, tf


def said(asked: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
    """What a teacher says of pictures, float32 [n, side, side, c]: the mean of a look at each and at its mirror image, as of a face that is
    enrolled; of unit length, float32 [n, D]."""
    looks = [tf.cast(asked(seen, training=False), tf.float32) for seen in (pixels, pixels[:, :, ::-1])]
    return tf.math.l2_normalize(tf.add_n([tf.math.l2_normalize(look, axis=-1) for look in looks]), axis=-1)


def mixed(pixels: tf.Tensor, chance: float, seed: tf.Tensor) -> tf.Tensor:
    """Pictures, float32 [n, side, side, c], of which each is with this chance laid over another of them, by up to a half. `seed`, two
    whole numbers, decides which."""
    n = tf.shape(pixels)[0]
    which, how_much, whom = (tf.random.experimental.stateless_fold_in(seed, number) for number in range(3))
    share = tf.random.stateless_uniform((n, 1, 1, 1), how_much, maxval=0.5)
    share *= tf.cast(tf.random.stateless_uniform((n, 1, 1, 1), which) < chance, tf.float32)
    other = tf.gather(pixels, tf.random.experimental.stateless_shuffle(tf.range(n), whom))
    return (1 - share) * pixels + share * other
