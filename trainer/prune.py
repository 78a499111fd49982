"""A tower with fewer maps inside its residual blocks, cut out of a trained one, block by block, with the least loss.

In each block the maps that matter most to what leaves it are kept, and the second convolution is fitted anew to the trained block's
output by least squares on real chips (after He, Zhang and Sun 2017, without their lasso).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.backend import as_input, keras, tf
from trainer.resnet import STAGES

POSITIONS = 24_000  # rows of a least-squares problem, over chips and places
RIDGE = 1e-3


def prune(source: keras.Model, tower: keras.Model, sample: NDArray[np.uint8]) -> None:
    """Fills `tower`, of fewer inner maps, from `source` by what both give on `sample`, uint8 [n, side, side].

    Raises:
        ValueError: the towers differ in more than their inner maps.
    """
    rng = np.random.default_rng(0)
    chips = np.asarray(as_input(sample))
    for layer in tower.layers:
        same = source.get_layer(layer.name)
        if [w.shape for w in layer.weights] == [w.shape for w in same.weights]:
            layer.set_weights(same.get_weights())
    for number, (_, blocks) in enumerate(STAGES):
        for block in range(blocks):
            _prune_block(source, tower, f"s{number}b{block}", chips, rng)


def _prune_block(
    source: keras.Model, tower: keras.Model, name: str, chips: NDArray[np.float32], rng: np.random.Generator
) -> None:
    first, second = (source.get_layer(f"{name}_{part}_conv") for part in (1, 2))
    keep = tower.get_layer(f"{name}_1_conv").filters
    filters, bias = first.get_weights()
    inside = _outputs(source, f"{name}_relu1", chips)
    # What a map adds to the block's output: its own size, times that of the filters that read it.
    weight = np.sqrt((inside**2).mean((0, 1, 2))) * np.sqrt((second.get_weights()[0] ** 2).sum((0, 1, 3)))
    kept = np.sort(np.argsort(-weight)[:keep])
    tower.get_layer(f"{name}_1_conv").set_weights([filters[..., kept], bias[kept]])
    wanted = _outputs(source, f"{name}_2_conv", chips)
    # Inputs from the pruned blocks before, so that this one makes up for what they lost.
    patches = tf.image.extract_patches(
        _outputs(tower, f"{name}_relu1", chips), (1, 3, 3, 1), (1, 1, 1, 1), (1, 1, 1, 1), "SAME"
    ).numpy()
    rows = rng.permutation(wanted[..., 0].size)[:POSITIONS]
    a = np.column_stack([patches.reshape(-1, patches.shape[-1])[rows], np.ones(len(rows), np.float32)]).astype(np.float64)
    b = wanted.reshape(-1, wanted.shape[-1])[rows].astype(np.float64)
    square = a.T @ a
    # The ridge pulls towards the trained filters, which many positions of few faces could not give.
    old = np.concatenate([second.get_weights()[0][:, :, kept].reshape(-1, b.shape[1]), second.get_weights()[1][None]])
    pull = RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    new = np.linalg.solve(square + pull, a.T @ b + pull @ old)
    tower.get_layer(f"{name}_2_conv").set_weights(
        [new[:-1].reshape(3, 3, len(kept), -1).astype(np.float32), new[-1].astype(np.float32)]
    )


def _outputs(tower: keras.Model, layer: str, chips: NDArray[np.float32]) -> NDArray[np.float32]:
    part = keras.Model(tower.input, tower.get_layer(layer).output)
    return np.concatenate([np.asarray(part(chips[at : at + 64], training=False)) for at in range(0, len(chips), 64)])
