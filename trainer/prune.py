"""Cuts a smaller tower out of a trained one, block by block, with the least loss on real chips.

Fewer maps inside a block: the maps that contribute most to the block's output are kept, and the second convolution is refitted (after
He, Zhang and Sun 2017, without their lasso). A convolution through fewer maps: it is split in two, and the maps between the halves hold
the directions in which its output varies most (after Zhang, Zou, He and Sun 2016, without the ReLU). Fewer pixels: a filter covers more
of the face in a smaller picture, so each is refitted to what the trained one gives for the larger picture, downsampled. Fewer
pixels at the same scale: the filters keep their size, and the trained one's maps are trimmed alike. Every fit takes
what the smaller tower computes so far as input and the trained block's output as target, and so makes up for earlier losses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.augment import middle
from trainer.backend import as_input, keras, tf
from trainer.resnet import LAST_TRIMMED, STAGES, TRIMMED

POSITIONS = 24_000  # rows of a least-squares problem, over chips and positions
CHIPS = 256  # at least; late stages, with few positions a chip, take more
RIDGE = 1e-3  # of the mean diagonal of the normal equations
BATCH = 64


def prune(
    source: keras.Model, tower: keras.Model, larger: NDArray[np.uint8], sample: NDArray[np.uint8], *, trimmed: bool = False
) -> None:
    """Sets the weights of `tower`, which has fewer pixels, fewer inner maps or narrower convolutions than `source`, from `source` and the
    outputs of both for the same faces: `larger` as the source sees them, `sample` as the tower does, uint8 [n, side, side] or
    [n, side, side, 3]. If `trimmed`, the tower sees the middle of what the source sees, at the same scale.

    Raises:
        ValueError: the towers differ in more than that.
    """
    rng = np.random.default_rng(0)
    trained = {layer.name: layer for layer in source.layers}
    for layer in tower.layers:
        trained_layer = trained.get(layer.name)
        if trained_layer and shapes(layer) == shapes(trained_layer):
            layer.set_weights(trained_layer.get_weights())
    resized = source.input_shape != tower.input_shape and not trimmed
    if resized:
        rows = slice(CHIPS)
        filters, _ = source.get_layer("stem_conv").get_weights()
        target = _downsampled(_outputs(source, "stem_conv", larger[rows]), tower.get_layer("stem_conv").output.shape[1])
        _fit(tower, "stem", filters, _outputs(tower, "stem_squares", sample[rows]), target, rng, refit=True)
    previous = "stem_pool"
    for number, (_, blocks) in enumerate(STAGES):
        for block in range(blocks):
            name = f"s{number}b{block}"
            if resized or _is_smaller(source, tower, name):
                _prune_block(source, tower, name, previous, larger, sample, rng, resized=resized)
            previous = f"{name}_relu2"
        if number == LAST_TRIMMED and TRIMMED in {layer.name for layer in tower.layers}:
            previous = TRIMMED
    if resized:
        (matrix,) = source.get_layer("embedding").get_weights()
        inputs, target = _outputs(tower, "pool", sample), _outputs(source, "embedding", larger)
        matrix = _ridge(inputs.astype(np.float64), target.astype(np.float64), matrix)
        tower.get_layer("embedding").set_weights([matrix.astype(np.float32)])


def _prune_block(
    source: keras.Model, tower: keras.Model, name: str, previous: str, larger: NDArray[np.uint8], sample: NDArray[np.uint8],
    rng: np.random.Generator, *, resized: bool,
) -> None:  # fmt: skip
    one, two, add, inside = f"{name}_1", f"{name}_2", f"{name}_add", f"{name}_relu1"
    side = tower.get_layer(add).output.shape[1]
    rows = slice(max(CHIPS, -(-POSITIONS // side**2)))
    larger, chips = larger[rows], sample[rows]
    matched = _downsampled if resized else _trimmed
    (filters, bias), (second, _) = (source.get_layer(f"{part}_conv").get_weights() for part in (one, two))
    kept_maps = np.arange(len(bias))
    if tower.get_layer(f"{one}_conv").filters < len(bias):
        # A map's contribution to the block's output: its RMS times the norm of the filters that read it.
        importance = np.sqrt((_outputs(source, inside, larger) ** 2).mean((0, 1, 2))) * np.sqrt((second**2).sum((0, 1, 3)))
        kept_maps = np.sort(np.argsort(-importance)[: tower.get_layer(f"{one}_conv").filters])
    if resized or _is_narrow(tower, one):
        target = matched(_outputs(source, f"{one}_conv", larger)[..., kept_maps], tower.get_layer(inside).output.shape[1])
        _fit(tower, one, filters[..., kept_maps], _outputs(tower, previous, chips), target, rng, refit=resized)
    else:
        tower.get_layer(f"{one}_conv").set_weights([filters[..., kept_maps], bias[kept_maps]])
    # The shortcut of the smaller block is given; its convolutions are fitted to the rest of the trained block's output.
    block_output = _outputs(tower, add, chips)
    conv_output = _outputs(tower, f"{two}_conv", chips)
    width = conv_output.shape[1]
    target = (matched(_outputs(source, add, larger), side) - block_output)[:, :width, :width] + conv_output
    if resized or _is_narrow(tower, two) or len(kept_maps) < len(bias):
        refit = resized or not _is_narrow(tower, two)
        _fit(tower, two, second[:, :, kept_maps], _outputs(tower, inside, chips), target, rng, refit=refit)


def _fit(
    tower: keras.Model, name: str, filters: NDArray[np.float32], inputs: NDArray[np.float32], target: NDArray[np.float32],
    rng: np.random.Generator, *, refit: bool,
) -> None:  # fmt: skip
    """Fits a convolution, or both halves of a narrow one, by regressing the output `target` on the input `inputs`. With `refit` every
    filter weight is refitted, pulled towards the trained `filters`; otherwise only a linear mix of the trained filters' outputs is. A
    narrow one keeps the directions in which the fitted output varies most (reduced-rank regression)."""
    narrow = _is_narrow(tower, name)
    layer = tower.get_layer(f"{name}_narrow" if narrow else f"{name}_conv")
    size, stride, padding, maps = filters.shape[0], layer.strides[0], layer.padding.upper(), filters.shape[-1]
    parts = []
    for start in range(0, len(inputs), BATCH):
        batch = inputs[start : start + BATCH]
        if refit:
            parts.append(
                tf.image.extract_patches(batch, (1, size, size, 1), (1, stride, stride, 1), (1, 1, 1, 1), padding).numpy()
            )
        else:
            parts.append(tf.nn.conv2d(batch, filters, stride, padding).numpy())
    regressors = np.concatenate(parts)
    x, y = _sample_positions(regressors, target, rng)
    x_mean, y_mean = x.mean(0), y.mean(0)
    # The ridge pulls towards the trained filters: many positions of few faces could not determine them.
    solution = _ridge(x - x_mean, y - y_mean, filters.reshape(-1, maps) if refit else np.eye(maps))
    kernel = solution.reshape(filters.shape) if refit else filters.astype(np.float64) @ solution
    bias = y_mean - x_mean @ solution
    if narrow:
        fitted = (x - x_mean) @ solution
        _, axes = np.linalg.eigh(fitted.T @ fitted)
        directions = axes[:, ::-1][:, : layer.filters]
        layer.set_weights([(kernel @ directions).astype(np.float32)])
        kernel, bias = directions.T[None, None], y_mean - x_mean @ solution @ directions @ directions.T
    tower.get_layer(f"{name}_conv").set_weights([kernel.astype(np.float32), bias.astype(np.float32)])


def _downsampled(maps: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Maps [n, wide, wide, c], downsampled with antialiasing to [n, side, side, c]."""
    return maps if maps.shape[1] == side else tf.image.resize(maps, (side, side), antialias=True).numpy()


def _trimmed(maps: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The middle [n, side, side, c] of maps [n, wide, wide, c]."""
    return middle(maps, (maps.shape[1] - side) // 2)


def _ridge(x: NDArray[np.float64], y: NDArray[np.float64], prior: NDArray[np.floating]) -> NDArray[np.float64]:
    """The least-squares matrix [n, m] from `x` [p, n] to `y` [p, m], pulled a little towards `prior` [n, m]."""
    gram = x.T @ x
    pull = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram + pull, x.T @ y + pull @ prior)


def _sample_positions(
    x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values [p, maps] of both maps at the same random positions, at most POSITIONS of them."""
    rows = rng.permutation(y[..., 0].size)[:POSITIONS]
    return x.reshape(-1, x.shape[-1])[rows].astype(np.float64), y.reshape(-1, y.shape[-1])[rows].astype(np.float64)


def _is_smaller(source: keras.Model, tower: keras.Model, name: str) -> bool:
    fewer = shapes(tower.get_layer(f"{name}_1_conv")) != shapes(source.get_layer(f"{name}_1_conv"))
    return fewer or any(_is_narrow(tower, f"{name}_{part}") for part in (1, 2))


def _is_narrow(tower: keras.Model, name: str) -> bool:
    return any(layer.name == f"{name}_narrow" for layer in tower.layers)


def shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    """The shapes of the weights of a layer or of a whole tower."""
    return [tuple(weights.shape) for weights in layer.weights]


def _outputs(tower: keras.Model, layer: str, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
    part = keras.Model(tower.input, tower.get_layer(layer).output)
    return np.concatenate(
        [np.asarray(part(as_input(chips[start : start + BATCH]), training=False)) for start in range(0, len(chips), BATCH)]
    )
