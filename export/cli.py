"""The `export` command. `export` alone is a word of the shell: type `python -m export`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="A trained run to one verified model file.", no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(soft_wrap=True)


@app.callback()
def main() -> None:
    """A trained run to one verified model file."""


@app.command(epilog="example: python -m export tflite --quantize runs/first -o model.tflite")
def tflite(
    run: Annotated[Path, typer.Argument(help="The folder of a finished `trainer fit`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write.")] = Path("model.tflite"),
    quantize: Annotated[bool, typer.Option("--quantize", help="Full int8; without it, float32.")] = False,
    name: Annotated[str | None, typer.Option(help="The model's name; the run's where not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metadata as JSON.")] = False,
) -> None:
    """Converts the tower, measures the file on held-out people in the installed runtime, and writes it."""
    from export.run import read_run
    from export.tflite import export_tflite

    trained = read_run(run)
    command = shlex.join(["python", "-m", "export", *sys.argv[1:]])
    model = export_tflite(trained, out, quantize=quantize, name=name or trained.path.resolve().name, command=command)
    if as_json:
        print(json.dumps(model.record))
        return
    parity = model.record["parity"]
    console.print(f"{out}: {out.stat().st_size} bytes, {model.tower.input.dtype}, model {model.model_id[:12]}")
    console.print(
        f"against float on {parity['chips']} held-out chips: median cosine {parity['median_cosine']:.4f}, "
        f"EER {parity['eer_float']:.2%} -> {parity['eer_file']:.2%}"
    )
    for point in model.operating_points:
        low, high = point.fnmr_interval
        console.print(
            f"FMR {point.target_fmr:g}: threshold {point.threshold:.6f}, measured {point.false_matches}/{point.impostor_trials}, "
            f"FNMR {point.fnmr:.2%} ({point.false_non_matches}/{point.genuine_trials}, 95 % {low:.2%}-{high:.2%})"
        )
