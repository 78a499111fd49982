"""The `export` command. `export` alone is a shell builtin: type `python -m export`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperCommand

from edge.contract.errors import ExitCode, ModelDamaged
from edge.contract.modelfile import ModelFile, TemplateKind, read_model
from export.variant import Variant

app = typer.Typer(
    help="Turns a trained run into one verified model file.", no_args_is_help=True, pretty_exceptions_enable=False
)
# The output contains file names and keys: "[gallery]" must not be taken for markup, nor ":key:" for an emoji.
console = Console(soft_wrap=True, markup=False, emoji=False)

INTERVALS = "intervals as if each comparison were independent, so too narrow: `trainer evaluate` has those over people"

_BEGINS_AGAIN = "begin again with"
KEPT = {
    "tflite": f"the model file is written whole, once it was measured, or not at all, and its report after it; {_BEGINS_AGAIN}",
    "measure": f"the model file is written whole, once it was measured, or not at all; {_BEGINS_AGAIN}",
    "verify": f"a file is only read; {_BEGINS_AGAIN}",
}
"""What a command leaves behind when Ctrl-C interrupts it. The command as it was typed is appended to these words."""

ModelFileArgument = Annotated[Path, typer.Argument(help="A model file.")]
AlsoIn = Annotated[
    list[Path] | None,
    typer.Option(
        "--also-in",
        metavar="PYTHON",
        help="The Python of another environment: run the file in its runtime, too, and record how that differs.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


class _QuantizeAlone(TyperCommand):
    """Takes `--quantize` without a variant as int8, even if the run's folder follows it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        variants = {variant.value for variant in Variant}
        expanded: list[str] = []
        for index, word in enumerate(args):
            alone = word == "--quantize" and (index + 1 == len(args) or args[index + 1] not in variants)
            expanded.append(f"--quantize={Variant.INT8.value}" if alone else word)
        return super().parse_args(ctx, expanded)


@app.callback()
def main() -> None:
    """Turns a trained run into one verified model file."""


@app.command(cls=_QuantizeAlone, epilog="example: python -m export tflite --quantize runs/first -o model.tflite")
def tflite(
    run: Annotated[Path, typer.Argument(help="The folder of a finished `trainer fit`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write.")] = Path("model.tflite"),
    quantize: Annotated[
        Variant, typer.Option("--quantize", help="The variant; --quantize alone is int8, without the option it is float32.")
    ] = Variant.NONE,
    name: Annotated[str | None, typer.Option(help="The model's name, if not that of the run.")] = None,
    also_in: AlsoIn = None,
    report: Annotated[
        Path | None, typer.Option(help="The folder for layers.png, graph.svg and networks.json, if not RUN/export-VARIANT.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write the file even if a gate is missed; the file says so.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metadata as JSON.")] = False,
) -> None:
    """Converts a run's networks, measures the file on held-out people in the installed runtimes, and writes it."""
    from export.report import worst_layers, write_report
    from export.run import read_run
    from export.tflite import export_tflite

    trained = read_run(run)
    command = shlex.join(["python", "-m", "export", *sys.argv[1:]])
    exported = export_tflite(
        trained,
        out,
        variant=quantize,
        name=name or trained.path.resolve().name,
        command=command,
        also_in=also_in or (),
        force=force,
    )
    folder = report or trained.path / f"export-{quantize}"
    errors = write_report(exported.networks, folder)
    model = exported.model
    if as_json:
        print(json.dumps(model.record))
        return
    console.print(f"{out}: {out.stat().st_size} bytes, {quantize}, model {model.model_id[:12]}; report in {folder}")
    _print_gates(model)
    for network, layers in errors.items():
        worst = ", ".join(f"{layer.layer} {layer.error:.1%}" for layer in worst_layers(layers))
        console.print(f"{network}: furthest from float are {worst}")
    _print_points(model)
    _print_runtimes(model)


@app.command(epilog="example: python -m export inspect edge/models/accurate.tflite --draw graph.svg")
def inspect(
    file: ModelFileArgument,
    draw: Annotated[Path | None, typer.Option(help="Draw the graph to this file: .svg, .png or .pdf.")] = None,
    operators: Annotated[bool, typer.Option("--operators", help="Show every operator of every network.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows what a model file holds: networks, gates, operating points, runtimes, origin."""
    from export.show import gate_table, graphs_of, operator_table, summary

    model = _read(file)
    graphs = graphs_of(model)
    if draw:
        from export.drawing import draw_graph

        draw_graph(graphs, draw)
    if as_json:
        print(json.dumps(summary(model)))
        return
    chip = "x".join(map(str, model.chip.shape))
    console.print(f"{file}: {model.name}, {model.record['quantisation']}, {file.stat().st_size} bytes, model {model.model_id}")
    console.print(f"chip {chip} ({model.chip.detector}), embedding of {model.head.size}, cohort of {len(model.cohort)}")
    if doubt := model.head.doubt:
        console.print(f"a probe is looked at twice where its best score is from {doubt[0]:.3f} to below {doubt[1]:.3f}")
    for name, graph in graphs.items():
        if operators:
            console.print(operator_table(name, graph))
        else:
            kinds = ", ".join(f"{entry['count']} {kind} v{entry['version']}" for kind, entry in graph.versions().items())
            console.print(
                f"{name}: {graph.macs / 1e6:.1f} M multiply-adds, {graph.constant_bytes / 1024:.0f} KiB of weights: {kinds}"
            )
    console.print(gate_table(model))
    _print_points(model)
    for entry in model.record["runtimes"]:
        console.print(f"measured in {entry['runtime']} on {entry['machine']}, {entry['chips']} chips")
    console.print(f"made by: {model.record['provenance']['export']['command']}")


@app.command(epilog="example: python -m export verify model.tflite --data runs/first")
def verify(
    file: ModelFileArgument,
    data: Annotated[
        Path | None, typer.Option(help="A finished run's folder, whose held-out people are compared again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks a file against its gates again. Exit code 0: all hold; 5: one does not."""
    from export.verify import verify_file, verify_on

    model = _read(file)
    checks = verify_file(model)
    if data:
        from export.run import read_run

        checks += verify_on(model, read_run(data))
    if as_json:
        print(json.dumps({"passed": all(check.passed for check in checks), "checks": [check._asdict() for check in checks]}))
    else:
        table = Table("check", "", "found", title=str(file), caption=INTERVALS if data else None)
        for check in checks:
            table.add_row(check.name, "holds" if check.passed else "FAILS", check.found)
        console.print(table)
    raise typer.Exit(ExitCode.OK if all(check.passed for check in checks) else ExitCode.MODEL)


@app.command(epilog="example: python -m export measure old.tflite --held-out held-out.npz --template mirrored -o new.tflite")
def measure(
    file: ModelFileArgument,
    held_out: Annotated[
        Path,
        typer.Option("--held-out", help="The file that `trainer held-out` wrote, from the data that the model was trained on."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write.")],
    template: Annotated[
        TemplateKind | None, typer.Option(help="What is kept of an enrolled face, if not what the file says.")
    ] = None,
    head: Annotated[Path | None, typer.Option(help="A head with another cohort, made by `trainer cohort`.")] = None,
    also_in: AlsoIn = None,
    as_json: AsJson = False,
) -> None:
    """Measures a file's operating points again, without the run that it came from, and writes the file with them."""
    from export.again import measure_again, read_held_out

    command = shlex.join(["python", "-m", "export", *sys.argv[1:]])
    model = _read(file)
    kind = template or model.template
    model = measure_again(model, read_held_out(held_out), out, template=kind, command=command, head=head, also_in=also_in or ())
    if as_json:
        print(json.dumps(model.record))
        return
    console.print(f"{out}: {out.stat().st_size} bytes, {model.template} templates, model {model.model_id[:12]}")
    _print_points(model)
    _print_runtimes(model)


@app.command(epilog="example: python -m export diff old.tflite new.tflite")
def diff(
    first: ModelFileArgument, second: Annotated[Path, typer.Argument(help="Another model file.")], as_json: AsJson = False
) -> None:
    """Shows how two model files differ. Exit code 0: not at all; 1: they do."""
    from export.show import differences

    first_model, second_model = read_model(first), read_model(second)
    result = differences(first_model, second_model)
    differ = bool(result["record"]) or not result["same_network"]
    if as_json:
        print(json.dumps(result))
    else:
        table = Table("key", str(first), str(second), title=f"{len(result['record'])} differences in the metadata")
        for entry in result["record"]:
            table.add_row(entry["key"], _short(entry["first"]), _short(entry["second"]))
        console.print(table if result["record"] else "the metadata are the same")
        console.print("the networks are the same" if result["same_network"] else "the networks differ")
        if result["answers"]:
            console.print(
                f"answers to {result['answers']['chips']} generated chips: median cosine {result['answers']['median_cosine']:.5f}"
            )
        else:
            console.print("their answers cannot be compared: other chips or another size of embedding")
    raise typer.Exit(1 if differ else ExitCode.OK)


def _read(file: Path) -> ModelFile:
    """Reads a model file, and also checks its record of origin, which no device looks at.

    Raises:
        ModelError: as `read_model` does; also ModelDamaged if a handmade file lacks that record.
    """
    model = read_model(file)
    try:
        Variant(model.record["quantisation"])
        origin = model.record["provenance"]
        required = [origin["export"]["command"], origin["files"]["split.json"]]
        required += [entry[key] for entry in model.record["runtimes"] for key in ("runtime", "machine", "chips")]
        if not all(required):
            raise ValueError("an entry is empty")
    except (LookupError, TypeError, ValueError) as error:
        raise ModelDamaged(
            f"{file}: what it says of its origin is not whole ({type(error).__name__}: {error}); export the model again"
        ) from error
    return model


def _short(value: Any) -> str:
    text = json.dumps(value) if value is not None else "-"
    return text if len(text) <= 60 else text[:57] + "..."


def _print_gates(model: ModelFile) -> None:
    for gate in model.gates:
        console.print(f"{'passed' if gate.passed else 'MISSED'}: {gate}")


def _print_points(model: ModelFile) -> None:
    for point in model.operating_points:
        low, high = point.fnmr_interval
        console.print(
            f"FMR {point.target_fmr:g}: threshold {point.threshold:.6f}, measured {point.false_matches}/{point.impostor_trials}, "
            f"FNMR {point.fnmr:.2%} ({point.false_non_matches}/{point.genuine_trials}, 95 % {low:.2%}-{high:.2%})"
        )
    console.print(INTERVALS)


def _print_runtimes(model: ModelFile) -> None:
    for entry in model.record["runtimes"][1:]:
        console.print(
            f"{entry['runtime']} on {entry['machine']}: median cosine {entry['median_cosine']:.5f}, largest difference "
            f"{entry['largest_steps']} steps and {entry['largest_score_change']:.4f} of a score; other decisions: "
            + ", ".join(
                f"{decision['changed']} of {entry['comparisons']} at {point}" for point, decision in entry["decisions"].items()
            )
        )
