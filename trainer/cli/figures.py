"""The commands that measure a verifier: one-shot, evaluate, held-out, compare-models, compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from trainer.cli.shared import AsJson, app, console


@app.command("one-shot", epilog="example: trainer one-shot runs/koch --runs all_runs.zip")
def one_shot(
    run: Annotated[Path, typer.Argument(help="A finished run of `--recipe koch-omniglot`.")],
    runs: Annotated[Path, typer.Option(help="Omniglot's all_runs.zip: the official trials.")] = Path("all_runs.zip"),
    as_json: AsJson = False,
) -> None:
    """Runs the 20-way one-shot test of Koch et al. (2015) on Omniglot's official runs."""
    from trainer.omniglot import one_shot as measure
    from trainer.verifier import load_verifier

    errors = measure(load_verifier(run), runs)
    if as_json:
        print(json.dumps({"trials": errors.trials, "accuracy": [1 - errors.value, 1 - errors.high, 1 - errors.low]}))
        return
    console.print(
        f"20-way one-shot: {1 - errors.value:.1%} of {errors.trials} trials right (95 % {1 - errors.high:.1%}-{1 - errors.low:.1%}); "
        "the paper, with 30 alphabets: 92.0 %"
    )


@app.command(epilog="example: trainer evaluate model.tflite --run runs/first --data data")
def evaluate(
    model: Annotated[Path, typer.Argument(help="A finished run's folder, or a model file.")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="A prepared set. Further ones are other cameras, used only to compare cameras."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="The run that a model file was made from. The people it used are left out.")
    ] = None,
    strangers: Annotated[
        bool, typer.Option("--strangers", help="You know that nobody in the data was used for this model.")
    ] = False,
    protocol: Annotated[Path | None, typer.Option(help="Pairs in LFW's format, such as pairsDevTrain.txt.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help="A file of lines with a person's name, a tab and a group, for rates by group.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for the report.")] = Path("evaluation"),
    as_json: AsJson = False,
) -> None:
    """Measures error rates on people whom the training never saw, with intervals, curves, slices and the hardest pairs."""
    from trainer.enrolled import MOST_PICTURES
    from trainer.evaluate import evaluate as measure
    from trainer.evaluate import load_subject
    from trainer.report import write_report
    from trainer.unseen import other_cameras, people_to_leave_out, unseen_faces

    first, *others = data or [Path("data")]
    runs = [run] if run else []
    subject = load_subject(model)
    seen = people_to_leave_out([model], runs, [first, *others], strangers=strangers)
    evaluation = measure(
        subject,
        first,
        unseen_faces(first, seen, each=MOST_PICTURES),
        other_cameras(others, seen, may_be_trained_on=not (runs or model.is_dir() or strangers)),
        protocol,
        groups,
    )
    made_by = run or (model if model.is_dir() else None)
    figures = write_report(evaluation, out, made_by)
    if as_json:
        print(json.dumps(figures))
        return
    for line in figures["lines"]:
        console.print(line)
    console.print(f"curves, slices and faces: {out / 'report.html'}")


@app.command("held-out", epilog="example: trainer held-out edge/models/accurate.tflite --data data/lfw --out held-out.npz")
def held_out(
    model: Annotated[Path, typer.Argument(help="A model file.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="A prepared set with these people; for a file that is not included, all sets of its training, in their order.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write. It shows faces, so keep it to yourself.")] = Path(
        "held-out.npz"
    ),
    as_json: AsJson = False,
) -> None:
    """Writes the chips of the people whom a file's training kept out of everything, for `python -m export measure` without the run."""
    from trainer.handover import write_held_out

    people = write_held_out(model, data or [Path("data")], out)
    console.print_json(data={"people": people, "file": str(out)}) if as_json else console.print(f"{out}: {people} people")


@app.command("compare-models", epilog="example: trainer compare-models a.tflite runs/first dlib --run runs/first --data data")
def compare_models(
    models: Annotated[list[str], typer.Argument(help="Runs, model files, and `dlib` for dlib's own recogniser.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="A prepared set; for a file that is not included, without --run, then the further sets of its training.",
        ),
    ] = None,
    run: Annotated[
        list[Path] | None, typer.Option(help="The runs that the models were made from. The people they used are left out.")
    ] = None,
    strangers: Annotated[
        bool, typer.Option("--strangers", help="You know that nobody in the data was used for any of these models.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder for the table and the picture.")] = Path("comparison"),
    as_json: AsJson = False,
) -> None:
    """Compares models on the same pairs of unseen people: accuracy, size, time for a face."""
    from trainer.compare_models import compare_models as measure
    from trainer.unseen import people_to_leave_out

    folders = data or [Path("data")]
    seen = people_to_leave_out([Path(model) for model in models], run or [], folders, strangers=strangers)
    rows = measure(models, folders[0], seen, out)
    if as_json:
        print(json.dumps(rows))
        return
    keys = [key for key in rows[0] if key not in ("model", "genuine", "impostor", "more_than_first", "looked_at_twice")]
    titles = {"eer": "EER", "ms_a_face": "ms a face"}
    table = Table(Column("model", overflow="fold"), *(titles.get(key, key.replace("tar_", "TAR at FMR ")) for key in keys))
    for row in rows:
        values = [row.get(key, "") for key in keys]
        table.add_row(
            row["model"],
            *(
                f"{v[0]:.2%}\n{v[1]:.1%} to\n{v[2]:.1%}"
                if isinstance(v, list)
                else f"{v:.2f}"
                if isinstance(v, float)
                else str(v)
                for v in values
            ),
        )
    console.print(table)
    console.print(f"{rows[0]['genuine']} genuine and {rows[0]['impostor']} impostor comparisons, 95 % intervals over people")
    for row in rows[1:]:
        differences = ", ".join(
            f"{titles.get(key, key.replace('tar_', 'TAR at FMR '))} {100 * difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
            for key, (difference, low, high) in row["more_than_first"].items()
        )
        console.print(f"{row['model']} against {rows[0]['model']}, points: {differences}")
    console.print(f"curves: {out / 'models.png'}")


@app.command(epilog="example: trainer compare a.jpg b.jpg --run runs/first")
def compare(
    first: Annotated[Path, typer.Argument(help="A picture of one face.")],
    second: Annotated[Path, typer.Argument(help="Another picture of one face.")],
    run: Annotated[Path, typer.Option(help="A finished run.")] = Path("runs/first"),
    out: Annotated[Path, typer.Option(help="The file for the picture of both crops.")] = Path("compare.png"),
    as_json: AsJson = False,
) -> None:
    """Prints the probability that two pictures show one person, and shows both crops."""
    from trainer.compare import compare_pictures

    probability = compare_pictures(first, second, run, out)
    if as_json:
        print(json.dumps({"similarity": probability, "picture": str(out)}))
        return
    console.print(f"similarity {probability:.4f}; the crops are in {out}")
