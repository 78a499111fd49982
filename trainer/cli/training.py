"""The commands that make a verifier: teach, fit, cohort, and the demo of the whole pipeline."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from trainer.choices import Network, Precision, Strategy, recipe_names
from trainer.cli.shared import AsJson, app, console


@app.command(epilog="example: trainer teach data/lfw --teacher edge/models/accurate.tflite")
def teach(
    folder: Annotated[Path, typer.Argument(help="A prepared data set.")],
    teacher: Annotated[str, typer.Option(help="dlib, a finished run's folder, or a model file.")] = "dlib",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="For a teacher that is a model file and not included: the sets that it was trained on, all, in their order.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Asks a teacher once about every picture, for recipes that learn from one."""
    from edge.contract.spec import ChipSpec
    from trainer.dlibway import DlibTeacher
    from trainer.prepare import read_manifest
    from trainer.start import open_start
    from trainer.teach import VerifierTeacher
    from trainer.teach import teach as ask
    from trainer.teacher import people_learned_by

    if teacher == "dlib":
        teaching = ask(folder, DlibTeacher(folder))
    else:
        source = open_start(teacher)
        source.check_chips(folder, ChipSpec.from_json(read_manifest(folder)["chip"]))
        teaching = ask(
            folder, VerifierTeacher(folder, source.verifier, source.name, people_learned_by(source, data or [folder]))
        )
    if as_json:
        print(json.dumps({"vectors": len(teaching.vectors), "file": str(folder / "teacher.npz")}))
        return
    console.print(f"{folder}: {len(teaching.vectors)} vectors and placements in {folder / 'teacher.npz'}")


@app.command(epilog="example: trainer fit --data data --run runs/first --minutes 30")
def fit(
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="A prepared set. Further ones are trained on, never evaluated on.")
    ] = None,
    run: Annotated[Path, typer.Option(help="The run's folder. A run that was interrupted continues.")] = Path("runs/first"),
    recipe: Annotated[str, typer.Option(help=f"{', '.join(recipe_names())}, or a file of your own.")] = "siamese",
    network: Annotated[
        str | None, typer.Option(help=f"Instead of the recipe's tower: {', '.join(Network)}, or module:function of your own.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="What to start from: dlib's CC0 weights (dlib), a run's folder, or a model file.")
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="The teacher that is asked about what each step sees: a run's folder, a model file, or what the run starts from (start)."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=10000, help="At most this many epochs.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, max=100000, help="Steps in each epoch.")] = None,
    quantised: Annotated[
        bool | None,
        typer.Option(
            "--quantised/--plain", help="Train with the rounding of int8, starting from a finished run or model file (--init)."
        ),
    ] = None,
    people: Annotated[int | None, typer.Option(min=2, max=1024, help="Anchor-positive pairs in each batch.")] = None,
    strangers: Annotated[int | None, typer.Option(min=0, max=1024, help="Lone negatives in each batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=1e-7, max=1.0, help="The highest learning rate.")] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="End after this many epochs without a better one.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The seed of the split and of everything random.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="End after the epoch in which this many minutes are over.")
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(help="How the tower computes; auto: mixed if the GPU or the processor has bfloat16, else float32."),
    ] = Precision.AUTO,
    strategy: Annotated[
        Strategy,
        typer.Option(help="Where it computes; auto: on the workers of TF_CONFIG, else on all GPUs, else on this processor."),
    ] = Strategy.AUTO,
    as_json: AsJson = False,
) -> None:
    """Trains a network by a recipe, whose values the options replace. Writes curves, the split, the weights and a report."""
    from trainer.fit import fit as train
    from trainer.settings import read_recipe

    settings = read_recipe(recipe).changed(
        tower__network=network, tower__init=init, tower__quantised=quantised, loss__asked=teacher,
        schedule__epochs=epochs, schedule__steps=steps, batch__people=people,
        batch__strangers=strangers, schedule__learning_rate=learning_rate, schedule__patience=patience, seed=seed,
    )  # fmt: skip
    folders = data or [Path("data")]
    record = train(
        folders, run, settings, minutes=minutes, command=shlex.join(["trainer", *sys.argv[1:]]), precision=precision,
        strategy=strategy,
    )  # fmt: skip
    if record is None:
        console.print(f"{run}: done; the first worker writes the run")
        return
    from trainer.report import write_run_report

    report = write_run_report(run, folders)
    if as_json:
        print(json.dumps(record | {"evaluation": report}))
        return
    console.print(f"{run}: {record['epochs_run']} epochs, best {record['best_epoch']}, validation EER {record['val_eer']:.2%}")
    if record["best_epoch"] == 0:
        console.print(f"no epoch was better for the validation people than what it started from: {run} holds that, unchanged")
    for line in report["lines"]:
        console.print(line)
    console.print(f"curves {run / 'loss.png'}, pairs {run / 'pairs.png'}, figures {run / 'report.html'}")


@app.command(epilog="example: trainer cohort edge/models/accurate.tflite --data data/lfw --out head.npz")
def cohort(
    model: Annotated[Path, typer.Argument(help="A model file that holds faces against a cohort.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", help="The prepared sets from which people are chosen; the first has those by whom the file was judged."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file for the new head.")] = Path("head.npz"),
    as_json: AsJson = False,
) -> None:
    """Chooses another cohort for a model file, and the scores that leave doubt, for `python -m export measure --head`."""
    from trainer.handover import write_head

    target, before, after = write_head(model, data or [Path("data")], out)
    if as_json:
        rates = {name: {"value": rate.value} | asdict(rate) for name, rate in (("before", before), ("after", after))}
        print(json.dumps({"file": str(out), "validation_fnmr": {"target_fmr": target} | rates}))
        return
    console.print(
        f"{out}: FNMR at FMR {target:g} of those whom the file was judged by {after}; with the cohort it has {before}"
    )


@app.command(epilog="example: trainer demo --folder demo")
def demo(
    folder: Annotated[Path, typer.Option(help="The folder for everything; what is there is replaced.")] = Path("demo"),
    people: Annotated[int, typer.Option(min=40, max=5000, help="Synthetic people to draw and train on.")] = 320,
    epochs: Annotated[
        int, typer.Option(min=1, max=200, help="How long to train; with only a few epochs it does not tell people apart.")
    ] = 14,
) -> None:
    """Does everything once on drawn people: training, export, enrolment, the daemon's decisions. No camera, no data set."""
    from trainer.demo import run_demo

    run_demo(folder, people=people, epochs=epochs, console=console)
