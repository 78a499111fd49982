"""A smaller tower, cut out of a trained one, block by block, with the least loss on real chips.

Fewer maps inside a block: those that matter most to what leaves it are kept, and the second convolution is fitted anew (after He, Zhang
and Sun 2017, without their lasso). A convolution through fewer maps: what it gives varies in some directions more than in others, and
those are what the maps between its two halves hold (after Zhang, Zou, He and Sun 2016, without the ReLU). Both are fitted to what the
trained block gives, from what the smaller tower sees so far, and so make up for what was lost before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.backend import as_input, keras, tf
from trainer.resnet import STAGES

POSITIONS = 24_000  # rows of a least-squares problem, over chips and places
CHIPS = 256  # at least; a late stage, of few places a chip, takes more
RIDGE = 1e-3
BATCH = 64


def prune(source: keras.Model, tower: keras.Model, sample: NDArray[np.uint8]) -> None:
    """Fills `tower`, of fewer inner maps or of convolutions through fewer, from `source` by what both give on `sample`, uint8
    [n, side, side] or [n, side, side, 3].

    Raises:
        ValueError: the towers differ in more than that.
    """
    rng = np.random.default_rng(0)
    trained = {layer.name: layer for layer in source.layers}
    for layer in tower.layers:
        same = trained.get(layer.name)
        if same and shapes(layer) == shapes(same):
            layer.set_weights(same.get_weights())
    before = "stem_pool"
    for number, (_, blocks) in enumerate(STAGES):
        for block in range(blocks):
            name = f"s{number}b{block}"
            if _smaller(source, tower, name):
                _prune_block(source, tower, name, before, sample, rng)
            before = f"{name}_relu2"


def _prune_block(
    source: keras.Model, tower: keras.Model, name: str, before: str, sample: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    one, two, add, inside = f"{name}_1", f"{name}_2", f"{name}_add", f"{name}_relu1"
    side = tower.get_layer(add).output.shape[1]
    chips = sample[: max(CHIPS, -(-POSITIONS // side**2))]
    (filters, bias), (second, second_bias) = (source.get_layer(f"{part}_conv").get_weights() for part in (one, two))
    kept = np.arange(len(bias))
    if tower.get_layer(f"{one}_conv").filters < len(bias):
        # What a map adds to the block's output: its own size, times that of the filters that read it.
        weight = np.sqrt((_outputs(source, inside, chips) ** 2).mean((0, 1, 2))) * np.sqrt((second**2).sum((0, 1, 3)))
        kept = np.sort(np.argsort(-weight)[: tower.get_layer(f"{one}_conv").filters])
    if _is_narrow(tower, one):
        wanted = _outputs(source, f"{one}_conv", chips)[..., kept]
        _fit_narrow(tower, one, filters[..., kept], _outputs(tower, before, chips), wanted, rng)
    else:
        tower.get_layer(f"{one}_conv").set_weights([filters[..., kept], bias[kept]])
    # What runs past the smaller block is given: its convolutions are to make up for the rest.
    past = _outputs(tower, add, chips)
    given = _outputs(tower, f"{two}_conv", chips)
    wide = given.shape[1]
    wanted = (_outputs(source, add, chips) - past)[:, :wide, :wide] + given
    seen = _outputs(tower, inside, chips)
    if _is_narrow(tower, two):
        _fit_narrow(tower, two, second[:, :, kept], seen, wanted, rng)
    elif len(kept) < len(bias):
        patches = tf.image.extract_patches(seen, (1, 3, 3, 1), (1, 1, 1, 1), (1, 1, 1, 1), "SAME").numpy()
        x, y = _some(patches, wanted, rng)
        # The ridge pulls towards the trained filters, which many positions of few faces could not give.
        old = np.concatenate([second[:, :, kept].reshape(-1, y.shape[1]), second_bias[None]])
        new = _ridge(np.column_stack([x, np.ones(len(x))]), y, old)
        tower.get_layer(f"{two}_conv").set_weights(
            [new[:-1].reshape(3, 3, len(kept), -1).astype(np.float32), new[-1].astype(np.float32)]
        )


def _fit_narrow(
    tower: keras.Model, name: str, filters: NDArray[np.float32], seen: NDArray[np.float32], wanted: NDArray[np.float32],
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Both halves of a convolution, of the rank that its fewer maps leave, from the trained one's filters: what it would give for what is
    seen, as a regression takes it to what is wanted, in the directions in which that varies most (reduced-rank regression)."""
    to_few, to_all = tower.get_layer(f"{name}_narrow"), tower.get_layer(f"{name}_conv")
    whole = [
        tf.nn.conv2d(seen[at : at + BATCH], filters, to_few.strides, to_few.padding.upper()).numpy()
        for at in range(0, len(seen), BATCH)
    ]
    x, y = _some(np.concatenate(whole), wanted, rng)
    centre, level = x.mean(0), y.mean(0)
    towards = _ridge(x - centre, y - level, np.eye(y.shape[1]))
    fitted = (x - centre) @ towards
    _, axes = np.linalg.eigh(fitted.T @ fitted)
    most = axes[:, ::-1][:, : to_few.filters]
    to_few.set_weights([(filters.astype(np.float64) @ (towards @ most)).astype(np.float32)])
    to_all.set_weights([most.T[None, None].astype(np.float32), (level - centre @ towards @ most @ most.T).astype(np.float32)])


def _ridge(x: NDArray[np.float64], y: NDArray[np.float64], old: NDArray[np.floating]) -> NDArray[np.float64]:
    """The matrix [n, m] that takes `x` [p, n] nearest to `y` [p, m], drawn a little towards `old`."""
    square = x.T @ x
    pull = RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    return np.linalg.solve(square + pull, x.T @ y + pull @ old)


def _some(
    x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values [p, maps] of both at the same positions."""
    rows = rng.permutation(y[..., 0].size)[:POSITIONS]
    return x.reshape(-1, x.shape[-1])[rows].astype(np.float64), y.reshape(-1, y.shape[-1])[rows].astype(np.float64)


def _smaller(source: keras.Model, tower: keras.Model, name: str) -> bool:
    fewer = shapes(tower.get_layer(f"{name}_1_conv")) != shapes(source.get_layer(f"{name}_1_conv"))
    return fewer or any(_is_narrow(tower, f"{name}_{part}") for part in (1, 2))


def _is_narrow(tower: keras.Model, name: str) -> bool:
    return any(layer.name == f"{name}_narrow" for layer in tower.layers)


def shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    """Of the weights of a layer, or of a whole tower, which is one."""
    return [tuple(weights.shape) for weights in layer.weights]


def _outputs(tower: keras.Model, layer: str, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
    part = keras.Model(tower.input, tower.get_layer(layer).output)
    return np.concatenate(
        [np.asarray(part(as_input(chips[at : at + BATCH]), training=False)) for at in range(0, len(chips), BATCH)]
    )
