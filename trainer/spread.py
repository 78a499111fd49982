"""No direction of the embeddings counts for more than it tells.

The directions in which people vary most are what whole groups of them share, the first of dlib's tower whether somebody is a woman or
a man (docs/decisions/0025): they outweigh the many by which one person is told from another of the same kind. Where embeddings of unit
length vary much more in some directions than in others they are damped there (after Mu and Viswanath 2018, who take such directions out
of word vectors). The last layer of the tower does it: nothing of it costs a frame.
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
    tower: keras.Model, seen: NDArray[np.float32], most: float, judges: Judges, head: SiameseHead
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Damps a finished tower by its `damping`, where the validation people are told apart the better for it. Returns what has become of
    the embeddings `seen`, float32 [n, D], and the figures of both."""
    kept, (before, cost_before) = tower.get_weights(), judges.validate(head, tower)
    matrix = damping(seen, most)
    fold(tower, matrix)
    after, cost_after = judges.validate(head, tower)
    damped = cost_after < cost_before
    if not damped:
        tower.set_weights(kept)
    # The teacher's vectors are not damped: how far off they are says nothing of what is.
    figures = ({key: value for key, value in row.items() if key != "val_teacher"} for row in (before, after))
    return (seen @ matrix if damped else seen), {"damped": damped} | dict(zip(("before", "after"), figures, strict=True))


def damping(embeddings: NDArray[np.float32], most: float) -> NDArray[np.float32]:
    """What embeddings, float32 [n, D], are to be multiplied by, symmetric float32 [D, D], so that as unit vectors they vary in no
    direction more than `most` times the mean of all directions. What it has damped it leaves nearly as it is."""
    variances, axes = np.linalg.eigh(np.cov(unit(embeddings).T.astype(np.float64)))
    allowed = most * variances.mean()
    matrix: NDArray[np.float32] = ((axes * np.sqrt(allowed / np.maximum(variances, allowed))) @ axes.T).astype(np.float32)
    return matrix


def check_end(tower: keras.Model) -> None:
    """Raises InputError where a tower does not end in a dense layer without an activation, normalised or not: only that can be multiplied
    out."""
    if _dense(tower) is None:
        raise InputError(
            f"tower.spread: the {tower.name} network ends in {tower.layers[-1].name}, where a dense layer without an activation is needed; "
            "set tower.spread = 0 in the recipe"
        )


def fold(tower: keras.Model, matrix: NDArray[np.float32]) -> None:
    """Multiplies the embeddings of a tower by `matrix`, float32 [D, D], in its last layer."""
    dense, last = _dense(tower), tower.layers[-1]
    kernel, *bias = dense.get_weights()
    if isinstance(last, layers.BatchNormalization):
        factor = (np.asarray(last.gamma) if last.scale else 1) / np.sqrt(np.asarray(last.moving_variance) + last.epsilon)
        shift = (sum(bias) - np.asarray(last.moving_mean)) * factor + np.asarray(last.beta)
        dense.set_weights([kernel * factor @ matrix, *map(np.zeros_like, bias)])
        pass_through(last, shift @ matrix)
    else:
        dense.set_weights([kernel @ matrix, *(part @ matrix for part in bias)])


def _dense(tower: keras.Model) -> Any:
    last = tower.layers[-2 if isinstance(tower.layers[-1], layers.BatchNormalization) else -1]
    return last if isinstance(last, layers.Dense) and last.activation is keras.activations.linear else None
