"""Dequantises a model file's networks to float, so that a training can start from it when its run folder is gone.

The eight-bit weights are multiplied by the scale of their filter; the precision that rounding lost is not recovered. Activations are not
rounded any more.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edge.contract.errors import InputError
from edge.contract.fingerprint import golden_chips
from edge.contract.modelfile import ModelFile, TemplateKind, read_model
from trainer.aligner import Aligner, build_aligner
from trainer.backend import keras
from trainer.networks import build_tower
from trainer.settings import TowerSettings
from trainer.step import unit
from trainer.verifier import Verifier

layers = keras.layers

# The same figure as the export's gate on int8 against float (export/measure.py).
MIN_MEDIAN_COSINE = 0.98
_NUMBERED = re.compile(r"(.+?)(?:_([0-9]+))?")
_WEIGHTED = ("CONV_2D", "FULLY_CONNECTED")
_COMPUTED = ("convolution", "MatMul")


def verifier_of(path: Path) -> Verifier:
    """The verifier of a model file, in float.

    Raises:
        ModelError: `path` is no model file.
        InputError: a network has layers with weights other than convolutions, dense layers and what is folded into them, or the tower
            in float does not give the embeddings that the file does.
    """
    model = read_model(path)
    settings = tower_settings(model)
    side_px, channels = model.tower.input.shape[1], model.tower.input.shape[3]
    tower = build_tower(settings, side_px, model.tower.output.shape[1], channels)
    _fill(tower, model.tower.flatbuffer, path)
    aligner = None
    if model.aligner:
        network = build_aligner(model.aligner.spec.input_px)
        _fill(network, model.aligner.network.flatbuffer, path)
        aligner = Aligner(network, model.aligner.spec)
    verifier = Verifier(tower, model.head, aligner, model.template is TemplateKind.MIRRORED)
    _check(verifier, model)
    return verifier


def tower_settings(model: ModelFile) -> TowerSettings:
    """The `tower` table of the recipe that a model file was trained with."""
    return TowerSettings.model_validate(model.record["provenance"]["run"]["settings"]["tower"])


def _check(verifier: Verifier, model: ModelFile) -> None:
    """Compares the verifier's embeddings with the file's golden ones, for the chips of the generated frames."""
    embeddings, golden = verifier.embed(golden_chips(model.chip)), model.tower.output.to_real(model.golden)
    cosine = float(np.median((unit(embeddings) * unit(golden)).sum(1)))
    if not cosine >= MIN_MEDIAN_COSINE:
        raise InputError(
            f"{model.path}: its tower in float answers otherwise than the file (median cosine {cosine:.3f}, at least "
            f"{MIN_MEDIAN_COSINE} is taken); start from its run's folder"
        )


def _fill(network: keras.Model, flatbuffer: bytes, path: Path) -> None:
    weights, rescaled = _weights(flatbuffer)
    first = _names_in_first_network(network)
    for layer in network.layers:
        if not layer.weights:
            continue
        followed_by = [node.operation for node in layer._outbound_nodes]
        folded = followed_by[0] if len(followed_by) == 1 and isinstance(followed_by[0], layers.BatchNormalization) else None
        # The converter may name a dense kernel after the layer that it folded into it.
        candidates = [part.name for part in (layer, folded) if part]
        name = next((name for name in (*candidates, *map(first.get, candidates)) if name in weights), layer.name)
        match layer:
            case layers.BatchNormalization():
                continue  # handled with the layer it was folded into
            case layers.Conv2D() | layers.Dense() if name in weights:
                kernel, bias = weights[name]
                # The output axis is first in TFLite, last in Keras.
                kernel = np.moveaxis(kernel, 0, -1)
            case _:
                raise InputError(
                    f"{path}: holds no weights of {layer.name}, a {type(layer).__name__}; start from its run's folder"
                )
        before = [node.operation for node in layer._inbound_nodes[0].parent_nodes]
        if not rescaled and isinstance(before[0], layers.Rescaling):
            kernel = kernel / before[0].scale  # the converter folded its scale into the kernel, its offset into the bias
            bias = bias - before[0].offset * kernel.sum(tuple(range(kernel.ndim - 1)))
        if kernel.shape != layer.kernel.shape or (bias.any() and not (layer.use_bias or folded)):
            raise InputError(
                f"{path}: {layer.name} is {kernel.shape} in it, and {tuple(layer.kernel.shape)} in its recipe's tower"
            )
        layer.kernel.assign(kernel)
        if layer.use_bias:
            layer.bias.assign(bias)
        if folded:
            pass_through(folded, np.zeros_like(bias) if layer.use_bias else bias)


def _names_in_first_network(network: keras.Model) -> dict[str, str]:
    """Maps each layer's name to the one it would have in the first network of a process, as the network of a model file was: Keras goes on
    counting unnamed layers from one network to the next."""
    parts = {layer.name: _NUMBERED.fullmatch(layer.name).groups(default="0") for layer in network.layers}  # type: ignore[union-attr]
    lowest: dict[str, int] = {}
    for kind, number in parts.values():
        lowest[kind] = min(int(number), lowest.get(kind, int(number)))
    numbers = {name: (kind, int(number) - lowest[kind]) for name, (kind, number) in parts.items()}
    return {name: f"{kind}_{number}" if number else kind for name, (kind, number) in numbers.items()}


def pass_through(norm: Any, shift: NDArray[np.float32]) -> None:
    """Makes a batch normalisation only add `shift`: its scale is already in the kernel before it."""
    one = np.ones_like(shift)
    if norm.scale:
        norm.gamma.assign(one)
    norm.beta.assign(shift)
    norm.moving_mean.assign(0 * one)
    norm.moving_variance.assign(one - norm.epsilon)


def _weights(flatbuffer: bytes) -> tuple[dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]], bool]:
    """Kernel and bias of every convolution and dense layer, by layer name, with zeros for a missing bias; and whether an operator of its
    own rescales the pixels."""
    interpreter = Interpreter(
        model_content=flatbuffer, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}

    def dequantised(index: int) -> NDArray[np.float32]:
        values = interpreter.get_tensor(index)
        quantised = details[index]["quantization_parameters"]
        scales = quantised["scales"]
        if values.dtype.kind == "f" or not scales.size:
            return np.asarray(values, np.float32)
        shape = [1] * values.ndim
        if scales.size > 1:
            shape[quantised["quantized_dimension"]] = scales.size
        zeros = quantised["zero_points"].reshape(shape) if scales.size > 1 else quantised["zero_points"]
        scaled: NDArray[np.float32] = ((values.astype(np.float64) - zeros) * scales.reshape(shape)).astype(np.float32)
        return scaled

    operators, weights_by_layer = interpreter._get_ops_details(), {}
    for op in operators:
        if op["op_name"] not in _WEIGHTED:
            continue
        _, kernel, *bias = (int(index) for index in op["inputs"] if index >= 0)
        weights = dequantised(kernel)
        # .../<tower>/<layer>_1/convolution, or .../<layer>_1/batchnorm/mul: the converter appends _1, or the next free number, to the
        # names it is given. A kernel that includes the rescaling has the names of all operators folded into it, joined by ";".
        names = [name.split("/") for name in details[kernel]["name"].split(";")]
        path_parts = next((name for name in names if name[-1].rstrip("0123456789") in _COMPUTED), names[0])
        parts = [part for part in path_parts if part != "batchnorm"]
        weights_by_layer[re.sub(r"_[0-9]+$", "", parts[-2])] = (
            weights,
            dequantised(bias[0]) if bias else np.zeros(len(weights), np.float32),
        )
    return weights_by_layer, any(op["op_name"] == "MUL" for op in operators)
