"""Every quantisation variant, and the checks of the converted graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.contract.errors import GateMissed, InputError
from export.convert import check_graph, to_tflite, unfolded
from export.graph import read_graph
from export.layers import layer_errors
from export.quiet import quiet
from export.variant import Variant

with quiet():
    import keras


@pytest.mark.parametrize("variant", Variant)
def test_every_variant_is_what_it_says(small, variant: Variant) -> None:
    graph = small.graphs[variant]
    check_graph(graph, variant)
    weights = {graph.tensors[op.inputs[1]].dtype for op in graph.operators if op.name == "CONV_2D"}
    entry, answer = graph.tensors[graph.inputs[0]].spec, graph.tensors[graph.outputs[0]].spec
    assert entry.shape == (1, 16, 16, 1)
    assert answer.shape == (1, 4)
    assert entry.dtype == answer.dtype == ("int8" if variant is Variant.INT8 else "float32")
    assert weights <= {"INT8"} if variant in (Variant.INT8, Variant.INT16X8) else True
    if variant is Variant.INT8:
        assert not graph.floats()
        assert (entry.scale, entry.zero_point) == (1.0, -128)
        assert graph.tensors[graph.inputs[0]].range == (0.0, 255.0)


def test_calibration_forces_both_ends_whatever_the_chips_span(small) -> None:
    """The chips span only 20 to 229; without the two forced pixels the input's scale would be 209 / 255."""
    assert small.chips.min() == 20
    assert small.chips.max() == 229
    assert small.graphs[Variant.INT8].tensors[small.graphs[Variant.INT8].inputs[0]].scale == 1.0


def test_what_is_added_has_the_range_of_its_own(small) -> None:
    """Only the addition reads conv2's output, and is computed in its memory: the converter would give conv2 the range of the sum."""
    watching = keras.Model(small.network.input, [small.network.get_layer(name).output for name in ("conv2", "relu2")])
    added, total = (np.asarray(maps) for maps in watching(small.chips[..., None].astype(np.float32)))
    graph = small.graphs[Variant.INT8]
    (conv2,) = (op for op in graph.operators if graph.layer(op) == "conv2")
    low, high = graph.tensors[conv2.outputs[0]].range
    step = (high - low) / 255
    assert total.max() > added.max() + 10 * step
    assert low == pytest.approx(min(added.min(), 0), abs=2 * step)
    assert high == pytest.approx(added.max(), abs=2 * step)


@pytest.mark.parametrize("variant", Variant)
def test_a_network_gives_one_answer_and_names_its_layers(small, variant: Variant) -> None:
    graph = small.graphs[variant]
    assert len(graph.outputs) == 1
    layers = {graph.layer(op) for op in graph.operators}
    assert {"conv2", "pool"} <= layers
    assert {"relu1", "conv1"} & layers


def test_conversion_is_deterministic(small) -> None:
    assert to_tflite(small.network, small.chips, Variant.INT8) == small.flatbuffers[Variant.INT8]


def test_a_graph_is_counted_by_hand(small) -> None:
    """Two convolutions over 16x16: 8 maps of 9 inputs each, then 8 maps of 72; the dense layer is 8x4."""
    graph = small.graphs[Variant.INT8]
    assert graph.macs == 16 * 16 * 8 * 9 + 16 * 16 * 8 * 72 + 8 * 4
    assert graph.versions()["CONV_2D"]["count"] == 2
    assert graph.constant_bytes < 1500 < small.graphs[Variant.NONE].constant_bytes


def test_an_open_shape_and_a_float_tensor_are_refused(small) -> None:
    graph = small.graphs[Variant.INT8]
    shape = replace(graph.operators[0], name="STRIDED_SLICE")
    with pytest.raises(GateMissed, match="STRIDED_SLICE: its input shape is not fixed"):
        check_graph(replace(graph, operators=(shape, *graph.operators)), Variant.INT8)
    with pytest.raises(GateMissed, match="tensors are still float"):
        check_graph(small.graphs[Variant.NONE], Variant.INT8)
    entry = replace(graph.tensors[graph.inputs[0]], scale=0.898)
    tensors = tuple(entry if number == graph.inputs[0] else tensor for number, tensor in enumerate(graph.tensors))
    with pytest.raises(GateMissed, match=r"0\.898.*not scale 1"):
        check_graph(replace(graph, tensors=tensors), Variant.INT8)


def test_what_was_not_folded_is_told(small) -> None:
    graph = small.graphs[Variant.INT8]
    alone = replace(graph.operators[0], name="PRELU")
    assert unfolded(replace(graph, operators=(alone, *graph.operators))) == [*unfolded(graph), "PRELU"]


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\0\0\0TFL3" + bytes(40)])
def test_what_is_no_network_is_named(data: bytes) -> None:
    with pytest.raises(InputError, match="no TFLite network"):
        read_graph(data)


def test_layer_errors_are_those_of_the_arithmetic(small) -> None:
    """A network compared with itself has no error; its int8 variant has some, but below 30 % in every layer."""
    reference = small.flatbuffers[Variant.NONE]
    same = layer_errors(reference, reference, small.chips)
    assert [layer.error for layer in same] == [0.0] * len(same)
    coarse = layer_errors(reference, small.flatbuffers[Variant.INT8], small.chips)
    assert 0.001 < max(layer.error for layer in coarse) < 0.3
    assert all(0 <= layer.clipped <= 0.05 for layer in coarse)
    assert all(0 < layer.used <= 1 for layer in coarse)
    assert {"conv2", "pool"} <= {layer.layer for layer in coarse}


def test_networks_of_other_layers_are_not_compared(small) -> None:
    pixels = keras.Input((16, 16, 1))
    other = keras.Model(pixels, keras.layers.Dense(4)(keras.layers.Flatten()(pixels)))
    with pytest.raises(GateMissed, match="no comparison a layer"):
        layer_errors(to_tflite(other, small.chips, Variant.NONE), small.flatbuffers[Variant.INT8], np.array(small.chips))
