"""Rescales weights so that feature maps are of similar size: they quantise with less loss and compute the same (after Nagel et al. 2019,
"Data-free quantization through weight equalization and bias correction", with the trade of ranges of Xiao et al. 2023, "SmoothQuant").

In int8 all maps of a tensor share one scale, which leaves a map of small values only a few of the 256 steps. Operations that commute with
scaling, such as ReLU, pooling and addition, let each map be divided by a factor where it is made and multiplied by it where it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.quiet import quiet

with quiet():
    import keras

layers = keras.layers

# How far the maps are equalised, 0 to 1. The rest equalises the filters that read them, where all maps share a scale as well.
SHARE = 0.75
# Maps and filters below this fraction of the largest count as this large: those near zero would be scaled up without limit.
LEAST = 1e-3
BATCH = 32
_PASS_THROUGH = (
    layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.ZeroPadding2D, layers.Dropout, layers.Add,
)  # fmt: skip
# Activations that commute with scaling: a map twice as large stays twice as large.
_KEEP_SHARES = (keras.activations.linear, keras.activations.relu)
_FOLDED = (layers.ReLU, layers.BatchNormalization)


@dataclass(slots=True)
class _Maps:
    """Feature maps that must be scaled alike, because they are added or passed through: the layers that make and read them, and the
    tensors that hold them. `fixed` if anything other than a multiplication by weights makes or reads them."""

    made_by: list[Any] = field(default_factory=list)
    read_by: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)
    fixed: bool = False


def equalise(network: Any, pixels: NDArray[np.uint8]) -> None:
    """Changes the weights of a functional Keras network in place. Its outputs stay the same, up to float32 rounding. The sizes of its maps
    are measured on `pixels`, uint8 [n, side, side] or [n, side, side, 3]. Layers that are not trainable stay as they are."""
    # A Sequential does not show its operations.
    network = keras.Model(network.inputs[0], network.outputs)
    groups = [maps for maps in _maps_of(network) if maps.made_by and maps.read_by and not maps.fixed]
    if not groups:
        return
    stored = [[tensor for tensor in maps.tensors if _is_stored(tensor)] for maps in groups]
    largest = iter(_largest_activations(keras.Model(network.inputs[0], [*chain.from_iterable(stored)]), pixels))
    for maps, tensors in zip(groups, stored, strict=True):
        size = _relative(np.max([next(largest) for _ in tensors], axis=0))
        weight = _relative(np.max([_largest_weights(layer) for layer in maps.read_by], axis=0))
        factors = size**SHARE / weight ** (1 - SHARE)
        factors /= np.exp(np.log(factors).mean())
        for layer in maps.made_by:
            last = [layer.gamma, layer.beta] if isinstance(layer, layers.BatchNormalization) else [layer.kernel, layer.bias]
            for weights in last:
                if weights is not None:
                    weights.assign(weights.numpy() / factors)
        for layer in maps.read_by:
            layer.kernel.assign(layer.kernel.numpy() * factors[:, None])


def _maps_of(network: Any) -> list[_Maps]:
    """Groups the tensors of the network; every tensor belongs to exactly one group."""
    groups: dict[int, _Maps] = {}

    def join(tensors: Iterable[Any]) -> _Maps:
        parts = {id(maps): maps for maps in (groups.setdefault(id(tensor), _Maps(tensors=[tensor])) for tensor in tensors)}
        joined = _Maps(
            [layer for maps in parts.values() for layer in maps.made_by],
            [layer for maps in parts.values() for layer in maps.read_by],
            [tensor for maps in parts.values() for tensor in maps.tensors],
            any(maps.fixed for maps in parts.values()),
        )
        groups.update(dict.fromkeys(map(id, joined.tensors), joined))
        return joined

    # Not its layers alone: a sum may be written `a + b`.
    for layer in network.operations:
        # One of the user's own may compute anything, whatever it is derived from.
        known = type(layer).__module__.startswith("keras.")
        once = known and len(layer._inbound_nodes) == 1 and getattr(layer, "trainable", False)
        for node in layer._inbound_nodes:
            match layer:
                case layers.Conv2D(groups=1) | layers.Dense() if once and layer.activation in _KEEP_SHARES:
                    join(node.input_tensors).read_by.append(layer)
                    join(node.outputs).made_by.append(layer)
                case layers.BatchNormalization(scale=True, center=True) if once:
                    join(node.input_tensors).fixed = True
                    join(node.outputs).made_by.append(layer)
                case layers.ReLU(max_value=None, threshold=0) if known:
                    join([*node.input_tensors, *node.outputs])
                case layers.Activation() if known and layer.activation in _KEEP_SHARES:
                    join([*node.input_tensors, *node.outputs])
                case _ if known and isinstance(layer, _PASS_THROUGH) and _keeps_map_count(node):
                    join([*node.input_tensors, *node.outputs])
                case _:
                    join([*node.input_tensors, *node.outputs]).fixed = True
    join(network.outputs).fixed = True
    return list({id(maps): maps for maps in groups.values()}.values())


def _keeps_map_count(node: Any) -> bool:
    """Whether a call gives as many maps as each that it reads has: a sum may spread one map over all."""
    return len({tensor.shape[-1] for tensor in (*node.input_tensors, *node.outputs)}) == 1


def _largest_activations(model: Any, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """The largest absolute value in each map of each watched tensor, float32 [maps]."""
    largest: list[NDArray[np.float32]] = []
    for start in range(0, len(pixels), BATCH):
        batch = pixels[start : start + BATCH].astype(np.float32)
        outputs = model(batch.reshape(*batch.shape[:3], -1), training=False)
        sizes = [np.abs(np.asarray(maps)).reshape(-1, maps.shape[-1]).max(0) for maps in outputs]
        largest = [np.maximum(*pair) for pair in zip(largest, sizes, strict=True)] if largest else sizes
    return largest


def _is_stored(tensor: Any) -> bool:
    """Whether the int8 network stores the tensor: not if it is fused into the layer after it."""
    readers = [node.operation for node in tensor._keras_history.operation._outbound_nodes]
    return not readers or not all(isinstance(reader, _FOLDED) for reader in readers)


def _largest_weights(layer: Any) -> NDArray[np.float32]:
    """The largest absolute weight with which a layer reads each map, float32 [maps]."""
    kernel = np.abs(layer.kernel.numpy())
    largest: NDArray[np.float32] = kernel.max(axis=(*range(kernel.ndim - 2), kernel.ndim - 1))
    return largest


def _relative(sizes: NDArray[np.float32]) -> NDArray[np.float64]:
    largest = sizes.max().astype(np.float64)
    return np.maximum(sizes, LEAST * largest) / largest if largest else np.ones(len(sizes))
