"""Damps the dominant directions of the embeddings.

The directions in which people vary most are shared by whole groups; the first one of dlib's tower tells women from men
(docs/decisions/0025). They outweigh the many directions that tell one person from another of the same group. So directions in which
unit embeddings vary much more than in others are damped (after Mu and Viswanath 2018, who remove such directions from word vectors).
The damping is folded into the last layer of the tower, so it costs no time on the device.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from trainer.backend import keras
from trainer.judges import Judges
from trainer.networks import SiameseHead
from trainer.step import unit
from trainer.unquantised import pass_through

layers = keras.layers


def damp(
    tower: keras.Model, embeddings: NDArray[np.float32], limit: float, judges: Judges, head: SiameseHead
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Damps a finished tower if that improves the validation figures, and leaves it unchanged otherwise. Returns the `embeddings`,
    float32 [n, D], as the tower now gives them, and the figures before and after."""
    original_weights, (before, cost_before) = tower.get_weights(), judges.validate(head, tower)
    matrix = damping_matrix(embeddings, limit)
    fold(tower, matrix)
    after, cost_after = judges.validate(head, tower)
    damped = cost_after < cost_before
    if not damped:
        tower.set_weights(original_weights)
    # The teacher's vectors are not damped, so the distance to them says nothing here.
    figures = ({key: value for key, value in row.items() if key != "val_teacher"} for row in (before, after))
    return (embeddings @ matrix if damped else embeddings), {"damped": damped} | dict(
        zip(("before", "after"), figures, strict=True)
    )


def damping_matrix(embeddings: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
    """The symmetric matrix, float32 [D, D], by which embeddings, float32 [n, D], are multiplied so that as unit vectors their variance in
    no direction exceeds `limit` times the mean over directions. Damping a second time changes little."""
    variances, axes = np.linalg.eigh(np.cov(unit(embeddings).T.astype(np.float64)))
    allowed = limit * variances.mean()
    matrix: NDArray[np.float32] = ((axes * np.sqrt(allowed / np.maximum(variances, allowed))) @ axes.T).astype(np.float32)
    return matrix


def check_end(tower: keras.Model) -> None:
    """Raises InputError unless a tower ends in a dense layer without activation, with or without a batch normalisation after it: only there
    can a matrix be folded in."""
    if _last_dense(tower) is None:
        raise InputError(
            f"tower.spread: the {tower.name} network ends in {tower.layers[-1].name}, where a dense layer without an activation is needed; "
            "set tower.spread = 0 in the recipe"
        )


def fold(tower: keras.Model, matrix: NDArray[np.float32]) -> None:
    """Multiplies the embeddings of a tower by `matrix`, float32 [D, D], in its last layer."""
    dense, last = _last_dense(tower), tower.layers[-1]
    kernel, *bias = dense.get_weights()
    if isinstance(last, layers.BatchNormalization):
        factor = (np.asarray(last.gamma) if last.scale else 1) / np.sqrt(np.asarray(last.moving_variance) + last.epsilon)
        shift = (sum(bias) - np.asarray(last.moving_mean)) * factor + np.asarray(last.beta)
        dense.set_weights([kernel * factor @ matrix, *map(np.zeros_like, bias)])
        pass_through(last, shift @ matrix)
    else:
        dense.set_weights([kernel @ matrix, *(part @ matrix for part in bias)])


def _last_dense(tower: keras.Model) -> Any:
    last = tower.layers[-2 if isinstance(tower.layers[-1], layers.BatchNormalization) else -1]
    return last if isinstance(last, layers.Dense) and last.activation is keras.activations.linear else None
