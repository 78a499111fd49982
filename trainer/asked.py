"""A teacher that is asked anew about what each step sees, as it is seen: in this light, at this place, one face laid over another.

What a teacher said of the pictures as they are is known by heart after some epochs, and then nobody unseen gains. Its answers about
whatever can be made of them are endless (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent").
"""

from __future__ import annotations

from edge.contract.errors import InputError
from trainer.backend import keras, tf
from trainer.networks import build_tower
from trainer.settings import Recipe
from trainer.start import Start, start_at

START = "start"


def asked_teacher(recipe: Recipe, start: Start | None) -> Start | None:
    """Whom a recipe asks anew; None where it asks nobody.

    Raises:
        InputError: there is none such, or the recipe asks its start and has none that can be asked.
    """
    named = recipe.loss.asked
    if named == START and start is None:
        raise InputError(
            f"loss.asked = {START!r} with init = {recipe.tower.init!r}: only a run or a model file can be asked; name one with --init, or "
            "with --teacher"
        )
    return start if named == START else start_at(named) if named else None


def check_teacher(teacher: Start, tower: keras.Model) -> None:
    """Refuses a teacher that cannot be asked about what `tower` sees, or that answers otherwise.

    Raises:
        InputError: it sees other squares, gives other vectors, or is not finished.
    """
    asked = teacher.verifier.tower
    for what, given, wanted in (
        ("sees", asked.input_shape[1:], tower.input_shape[1:]),
        ("gives", asked.output_shape[1:], tower.output_shape[1:]),
    ):
        if given != wanted:
            raise InputError(
                f"loss.asked = {str(teacher.path)!r}: it {what} {list(given)}, the tower that it teaches {list(wanted)}"
            )


def teaching_tower(teacher: Start, tower: keras.Model) -> keras.Model:
    """The teacher's tower, in the precision that is computed in here. Raises InputError as `check_teacher` does."""
    check_teacher(teacher, tower)
    _, side_px, _, channels = tower.input_shape
    asked = build_tower(teacher.tower(), side_px, tower.output_shape[-1], channels)
    asked.set_weights(teacher.verifier.tower.get_weights())
    asked.trainable = False
    return asked


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
