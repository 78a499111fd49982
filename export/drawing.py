"""Pictures of an export: the graph with the size of each operator's weights, and the error of each layer. Measures nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.contract.errors import StorageError
from export.graph import Graph
from export.layers import LayerError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"CONV_2D": "#4c78a8", "DEPTHWISE_CONV_2D": "#72b7b2", "FULLY_CONNECTED": "#f58518", "ADD": "#54a24b"}
_OTHER = "#bab0ac"
_ROWS = 40


def draw_graph(graphs: dict[str, Graph], path: Path) -> None:
    """Draws each network in columns of forty operators, with arcs for connections that skip operators. The suffix of `path` sets the
    format. Raises StorageError if the file cannot be written."""
    from matplotlib.figure import Figure

    columns = sum(-(-len(graph.operators) // _ROWS) for graph in graphs.values())
    figure = Figure(
        figsize=(4.6 * columns, 0.33 * min(_ROWS, max(len(g.operators) for g in graphs.values())) + 1.2), layout="constrained"
    )
    axes = figure.subplots(1, columns, squeeze=False)[0]
    column = 0
    for name, graph in graphs.items():
        made_by = {output: row for row, operator in enumerate(graph.operators) for output in operator.outputs}
        for start in range(0, len(graph.operators), _ROWS):
            axis = axes[column]
            column += 1
            axis.set_title(
                f"{name}, {start + 1} to {min(start + _ROWS, len(graph.operators))} of {len(graph.operators)}", fontsize=9
            )
            axis.set(xlim=(-0.1, 6.2), ylim=(_ROWS - 0.3, -0.7))
            axis.axis("off")
            for row in range(start, min(start + _ROWS, len(graph.operators))):
                _box(axis, graph, row, row - start)
                for entry in graph.operators[row].inputs:
                    before = made_by.get(entry)
                    if before is not None and before < row - 1:
                        _arc(axis, max(before - start, -0.6), row - start)
    _save(figure, path)


def draw_layers(errors: dict[str, list[LayerError]], path: Path) -> None:
    """Draws the relative error of each layer of each network, from left to right in the order they run. Raises StorageError as
    `draw_graph` does."""
    from matplotlib.figure import Figure

    widest = max(len(layers) for layers in errors.values())
    figure = Figure(figsize=(max(8, 0.22 * widest), 3.6 * len(errors)), layout="constrained")
    for axis, (name, layers) in zip(figure.subplots(len(errors), 1, squeeze=False)[:, 0], errors.items(), strict=True):
        axis.bar(
            range(len(layers)),
            [100 * layer.error for layer in layers],
            color=[_COLOURS.get(f.operator, _OTHER) for f in layers],
        )
        axis.set_xticks(range(len(layers)), [layer.layer for layer in layers], rotation=90, fontsize=6)
        axis.set(ylabel="error, % of the layer's values", title=f"{name}: quantised against float")
        axis.margins(x=0.01)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:  # ValueError: the suffix is not a picture format
        raise StorageError(f"{path}: cannot write the picture: {error}") from error


def _box(axis: Any, graph: Graph, row: int, y: int) -> None:
    operator = graph.operators[row]
    output = graph.tensors[operator.outputs[0]]
    weights = sum(graph.tensors[index].constant_bytes for index in operator.inputs)
    axis.barh(y, 4.9, height=0.72, color=_COLOURS.get(operator.name, _OTHER), alpha=0.85)
    ink = "white" if operator.name in _COLOURS else "black"
    shape = "x".join(map(str, output.shape[1:]))
    label = f"{operator.name.lower()}  {graph.layer(operator)}  {shape}"
    axis.text(0.08, y, label, va="center", fontsize=6.5, color=ink)
    if weights >= 1024:
        axis.text(4.82, y, f"{weights / 1024:.0f} KiB", va="center", ha="right", fontsize=6.5, color=ink)


def _arc(axis: Any, first: float, last: float) -> None:
    reach = 5.15 + 0.18 * (last % 3)  # side by side where one ends and the next begins
    axis.plot([4.9, reach, reach, 4.95], [first, first, last, last], color="#666", linewidth=0.9, solid_joinstyle="round")
    axis.annotate("", (4.9, last), (5.05, last), arrowprops={"arrowstyle": "-|>", "color": "#666", "linewidth": 0.9})
