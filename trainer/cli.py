"""The `trainer` command: reads arguments, calls one function, prints what it did."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from edge.contract.spec import ChipSpec
from trainer.importer import import_people, read_renaming
from trainer.layout import Layout, check_identity, chosen_layout, layout_of
from trainer.prepare import Several, reasons
from trainer.prepare import prepare as prepare_pictures
from trainer.settings import Network, Precision, Strategy, chip_of, read_recipe, recipe_names

app = typer.Typer(
    help="Data sets, training and evaluation of the face verifier.", no_args_is_help=True, pretty_exceptions_enable=False
)
importers = typer.Typer(help="Take in pictures from elsewhere.", no_args_is_help=True)
app.add_typer(importers, name="import")
console = Console(soft_wrap=True)

Data = Annotated[Path, typer.Option("--data", help="The data set's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
LayoutOption = Annotated[
    Layout | None, typer.Option("--layout", help="Folders of a new data set; those it has, else identities, where not given.")
]


@importers.command("people", epilog="example: trainer import people celeba.tar --data data/celeba --prefix celeba-")
@importers.command("lfw", epilog="example: trainer import lfw lfw.tgz --data data")
def import_lfw(
    source: Annotated[Path, typer.Argument(help="LFW as downloaded, or any folder or .tgz of person folders.")],
    data: Data = Path("data"),
    layout: LayoutOption = None,
    prefix: Annotated[str, typer.Option(help="Put before each person's name, where sets would share names.")] = "",
    same_as: Annotated[
        Path | None, typer.Option(help="Table of people who are in another set too: set, identity, name there, cosine.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Takes a folder or archive of person folders as the negatives of a data set."""
    done = import_people(source, data, chosen_layout(data, layout), read_renaming(prefix, same_as))
    if as_json:
        print(json.dumps({"people": done.people, "written": done.pictures, "present": done.present, "left_out": done.left_out}))
        return
    console.print(f"{data}: {done.people} people, {done.pictures} pictures written, {done.present} already there")
    for name, why in done.left_out:
        console.print(f"left out {name}: {why}")


@importers.command("omniglot", epilog="example: trainer import omniglot images_background_small1.zip --data data/omniglot")
def import_omniglot(
    sources: Annotated[list[Path], typer.Argument(help="Omniglot's images_background*.zip, as downloaded.")],
    data: Data = Path("data/omniglot"),
) -> None:
    """Takes Omniglot's drawings as a prepared set, for `--recipe koch-omniglot`."""
    from trainer.omniglot import import_omniglot as take

    characters, drawings = take(sources, data)
    console.print(f"{data}: {characters} characters, {drawings} drawings")


@app.command("one-shot", epilog="example: trainer one-shot runs/koch --runs all_runs.zip")
def one_shot(
    run: Annotated[Path, typer.Argument(help="A finished run of `--recipe koch-omniglot`.")],
    runs: Annotated[Path, typer.Option(help="Omniglot's all_runs.zip: the official trials.")] = Path("all_runs.zip"),
    as_json: AsJson = False,
) -> None:
    """The 20-way one-shot test of Koch et al. (2015) on Omniglot's official runs."""
    from trainer.omniglot import one_shot as measure
    from trainer.verifier import load_verifier

    wrong = measure(load_verifier(run), runs)
    if as_json:
        print(json.dumps({"trials": wrong.trials, "accuracy": [1 - wrong.value, 1 - wrong.high, 1 - wrong.low]}))
        return
    console.print(
        f"20-way one-shot: {1 - wrong.value:.1%} of {wrong.trials} trials right (95 % {1 - wrong.high:.1%}-{1 - wrong.low:.1%}); "
        "the paper, with 30 alphabets: 92.0 %"
    )


@app.command(epilog="example: trainer capture ada --camera /dev/video0 --data data")
def capture(
    name: Annotated[str, typer.Argument(help="The person in front of the camera.")],
    camera: Annotated[str, typer.Option(help="A V4L2 device, its number, or a video file.")] = "0",
    data: Data = Path("data"),
    anchors: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    positives: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    every: Annotated[int, typer.Option(min=1, help="Take one picture in so many frames.")] = 10,
    layout: LayoutOption = None,
) -> None:
    """Takes anchor and positive pictures of a person from a camera or a clip."""
    from trainer.capture import capture_pictures

    wanted = {"anchor": anchors, "positive": positives}
    counts = capture_pictures(check_identity(name), camera, data, chosen_layout(data, layout), wanted, every)
    console.print(f"{data}: " + ", ".join(f"{count} {role} pictures" for role, count in counts.items()) + f" of {name}")


@app.command(epilog="example: trainer prepare data --side 64")
def prepare(
    folder: Annotated[Path, typer.Argument(help="A data set filled by `trainer capture` or `trainer import lfw`.")],
    recipe: Annotated[str, typer.Option(help="Cut the chips as this recipe of `trainer fit` takes them.")] = "",
    side: Annotated[int | None, typer.Option(min=32, max=256, help="Side of the chip in pixels.")] = None,
    scale: Annotated[float | None, typer.Option(min=0.5, max=3.0, help="Side of what is cut, in widths of the box.")] = None,
    colour: Annotated[bool | None, typer.Option("--colour/--grey", help="Colour chips, or grey ones.")] = None,
    several: Annotated[Several, typer.Option(help="What to do with a picture of several faces.")] = Several.SKIP,
    layout: Annotated[Layout | None, typer.Option(help="Folders of the data set; found out where not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Finds the faces, greys them, cuts the chips; pictures that give none are listed with the reason."""
    spec = chip_of(read_recipe(recipe)) if recipe else ChipSpec()
    channels = spec.channels if colour is None else 3 if colour else 1
    spec = replace(spec, side_px=side or spec.side_px, scale=scale or spec.scale, channels=channels)
    outcomes = prepare_pictures(folder, layout or layout_of(folder), spec, several)
    counted = reasons(outcomes)
    made = sum(outcome.box is not None for outcome in outcomes)
    if as_json:
        print(json.dumps({"pictures": len(outcomes), "chips": made, "skipped": dict(counted)}))
        return
    for outcome in [o for o in outcomes if o.reason][:50]:
        console.print(f"skipped {outcome.picture.path}: {outcome.reason}")
    table = Table("pictures", "number", title=f"{folder}, chips of {spec.side_px} px")
    for label, number in [("chips made", made), *counted.most_common(10), ("in all", len(outcomes))]:
        table.add_row(label, str(number))
    console.print(table)
    console.print(f"every picture's outcome is in {folder / 'prepared.json'}")


@app.command(epilog="example: trainer teach data/lfw --teacher edge/models/accurate.tflite")
def teach(
    folder: Annotated[Path, typer.Argument(help="A prepared data set.")],
    teacher: Annotated[str, typer.Option(help="dlib, a finished run's folder, or a model file.")] = "dlib",
) -> None:
    """Asks a teacher about every picture once, for recipes that learn from one."""
    from trainer.dlibway import DlibTeacher
    from trainer.start import start_at
    from trainer.teach import VerifierTeacher
    from trainer.teach import teach as ask

    other = None if teacher == "dlib" else start_at(teacher)
    teaching = ask(folder, VerifierTeacher(folder, other.verifier, other.name) if other else DlibTeacher(folder))
    console.print(f"{folder}: {len(teaching.vectors)} vectors and placements in {folder / 'teacher.npz'}")


@app.command(epilog="example: trainer fit --data data --run runs/first --minutes 30")
def fit(
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="A prepared set. Further ones are trained on, never evaluated on.")
    ] = None,
    run: Annotated[Path, typer.Option(help="The run's folder; one that was broken off goes on.")] = Path("runs/first"),
    recipe: Annotated[str, typer.Option(help=f"{', '.join(recipe_names())}, or a file of one's own.")] = "siamese",
    network: Annotated[
        str | None, typer.Option(help=f"Instead of the recipe's tower: {', '.join(Network)}, or module:function of your own.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="Start from dlib's CC0 weights (dlib), a run's folder, or a model file.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=10000)] = None,
    steps: Annotated[int | None, typer.Option(min=1, max=100000, help="Steps an epoch.")] = None,
    quantised: Annotated[
        bool | None, typer.Option("--quantised/--plain", help="Train with the rounding of int8, from a finished one (--init).")
    ] = None,
    people: Annotated[int | None, typer.Option(min=2, max=1024, help="Anchor-positive pairs a batch.")] = None,
    strangers: Annotated[int | None, typer.Option(min=0, max=1024, help="Lone negatives a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=1e-7, max=1.0)] = None,
    patience: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="End after the epoch in which this time is over.")] = None,
    precision: Annotated[
        Precision, typer.Option(help="What the tower is trained in; auto: mixed where the GPU or processor has bfloat16.")
    ] = Precision.AUTO,
    strategy: Annotated[
        Strategy, typer.Option(help="auto: the workers of TF_CONFIG, else all GPUs, else this processor.")
    ] = Strategy.AUTO,
    as_json: AsJson = False,
) -> None:
    """Trains the Siamese network; writes curves, the split, the weights and a report into the run's folder."""
    from trainer.fit import fit as train

    settings = read_recipe(recipe).changed(
        tower__network=network, tower__init=init, tower__quantised=quantised,
        schedule__epochs=epochs, schedule__steps=steps, batch__people=people,
        batch__strangers=strangers, schedule__learning_rate=learning_rate, schedule__patience=patience, seed=seed,
    )  # fmt: skip
    folders = data or [Path("data")]
    try:
        record = train(
            folders, run, settings, minutes=minutes, command=shlex.join(["trainer", *sys.argv[1:]]), precision=precision,
            strategy=strategy,
        )  # fmt: skip
    except KeyboardInterrupt:
        Console(stderr=True).print(f"{run}: stopped; the same command goes on after the last whole epoch")
        raise
    if record is None:
        console.print(f"{run}: done; the first worker writes the run")
        return
    from trainer.report import write_run_report

    report = write_run_report(run, folders[0])
    if as_json:
        print(json.dumps(record | {"evaluation": report}))
        return
    console.print(f"{run}: {record['epochs_run']} epochs, best {record['best_epoch']}, validation EER {record['val_eer']:.2%}")
    if record["best_epoch"] == 0:
        console.print(f"no epoch was better for the validation people than what it started from: {run} holds that, unchanged")
    for line in report["lines"]:
        console.print(line)
    console.print(f"curves {run / 'loss.png'}, pairs {run / 'pairs.png'}, figures {run / 'report.html'}")


@app.command(epilog="example: trainer evaluate model.tflite --run runs/first --data data")
def evaluate(
    model: Annotated[Path, typer.Argument(help="A finished run's folder, or a model file.")],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="A prepared set; further ones are other cameras, for that check alone.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The run that a model file was made from: its people are left out.")] = None,
    strangers: Annotated[bool, typer.Option("--strangers", help="Nobody in the data was used for this model: I know.")] = False,
    protocol: Annotated[Path | None, typer.Option(help="Pairs in LFW's format, such as pairsDevTrain.txt.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help="Lines of a person's name, a tab and his or her group: rates by group.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of the report.")] = Path("evaluation"),
    as_json: AsJson = False,
) -> None:
    """Error rates on people whom the training never saw, with intervals, curves, slices and the hardest pairs."""
    from trainer.enrolled import MOST_PICTURES
    from trainer.evaluate import evaluate as measure
    from trainer.evaluate import load_subject
    from trainer.report import write_report
    from trainer.unseen import left_out, unseen_faces, unseen_strangers

    first, *others = data or [Path("data")]
    runs = [run] if run else []
    subject = load_subject(model)
    seen = left_out([model], runs, [first, *others], strangers=strangers)
    if not (runs or model.is_dir() or strangers):
        others = []  # everybody in them was trained on, or is in the cohort
    evaluation = measure(
        subject,
        first,
        unseen_faces(first, seen, each=MOST_PICTURES),
        [unseen_strangers(other, seen) for other in others],
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
            "--data", help="A prepared set that has them; of a file that does not ship all of its training, in its order."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file of chips to write; of faces, so keep it to yourself.")] = Path(
        "held-out.npz"
    ),
    as_json: AsJson = False,
) -> None:
    """Chips of the people whom a file's training kept out of everything: for `python -m export measure`, without its run."""
    from trainer.handover import write_held_out

    people = write_held_out(model, data or [Path("data")], out)
    console.print_json(data={"people": people, "file": str(out)}) if as_json else console.print(f"{out}: {people} people")


@app.command(epilog="example: trainer cohort edge/models/accurate.tflite --data data/lfw --out head.npz")
def cohort(
    model: Annotated[Path, typer.Argument(help="A model file that holds faces against a cohort.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", help="The prepared sets whose people are chosen among; the first has those whom the file was judged by."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The head to write.")] = Path("head.npz"),
    as_json: AsJson = False,
) -> None:
    """Chooses a file's cohort anew, by the file's own embeddings: for `python -m export measure --head`, without its run."""
    from trainer.handover import write_head

    before, after = write_head(model, data or [Path("data")], out)
    if as_json:
        print(json.dumps({"file": str(out), "validation_fnmr": {"before": before, "after": after}}))
        return
    console.print(
        f"{out}: FNMR at FMR 1e-3 of those whom the file was judged by {after:.2%}, {before:.2%} with the cohort it has"
    )


@app.command("compare-models", epilog="example: trainer compare-models a.tflite runs/first dlib --run runs/first --data data")
def compare_models(
    models: Annotated[list[str], typer.Argument(help="Runs, model files, and `dlib` for the peer.")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="A prepared set; without --run, then the further sets that the files were trained on."),
    ] = None,
    run: Annotated[
        list[Path] | None, typer.Option(help="Runs whose people are left out: those that the models were made from.")
    ] = None,
    strangers: Annotated[
        bool, typer.Option("--strangers", help="Nobody in the data was used for any of them: I know.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the table and the picture go.")] = Path("comparison"),
    as_json: AsJson = False,
) -> None:
    """Several models on the same comparisons of unseen people: accuracy, size, time a face."""
    from trainer.compare_models import compare_models as measure
    from trainer.unseen import left_out

    folders = data or [Path("data")]
    seen = left_out([Path(model) for model in models], run or [], folders, strangers=strangers)
    rows = measure(models, folders[0], seen, out)
    if as_json:
        print(json.dumps(rows))
        return
    keys = [key for key in rows[0] if key not in ("model", "genuine", "impostor", "more_than_first")]
    titles = {"eer": "EER", "ms_a_face": "ms a face"}
    table = Table(Column("model", overflow="fold"), *(titles.get(key, key.replace("tar_", "TAR at FMR ")) for key in keys))
    for row in rows:
        shown = [row.get(key, "") for key in keys]
        table.add_row(
            row["model"],
            *(
                f"{v[0]:.2%}\n{v[1]:.1%} to\n{v[2]:.1%}"
                if isinstance(v, list)
                else f"{v:.2f}"
                if isinstance(v, float)
                else str(v)
                for v in shown
            ),
        )
    console.print(table)
    console.print(f"{rows[0]['genuine']} genuine and {rows[0]['impostor']} impostor comparisons, 95 % intervals over people")
    for row in rows[1:]:
        told = ", ".join(
            f"{titles.get(key, key.replace('tar_', 'TAR at FMR '))} {100 * more:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
            for key, (more, low, high) in row["more_than_first"].items()
        )
        console.print(f"{row['model']} against {rows[0]['model']}, points: {told}")
    console.print(f"curves: {out / 'models.png'}")


@app.command(epilog="example: trainer draw people --people 300")
def draw(
    folder: Annotated[Path, typer.Argument(help="Where the person folders go.")],
    people: Annotated[int, typer.Option(min=1, max=100_000)] = 300,
    pictures: Annotated[int, typer.Option(min=1, max=1000, help="Pictures a person.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same people.")] = 1,
) -> None:
    """Draws synthetic people, to try the trainer without a data set; `trainer import lfw` takes the folder."""
    from trainer.synth.population import write_population

    write_population(folder, people=people, pictures=pictures, seed=seed)
    console.print(f"{folder}: {people} people, {pictures} pictures each")


@app.command(epilog="example: trainer demo --folder demo")
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything goes; what is there is made anew.")] = Path("demo"),
    people: Annotated[int, typer.Option(min=40, max=5000, help="Synthetic people to draw and train on.")] = 320,
    epochs: Annotated[int, typer.Option(min=1, max=200, help="How long to train; a few do not tell people apart.")] = 14,
) -> None:
    """The whole line on drawn people: training, export, enrolment, and the daemon's decisions. No camera, no data set."""
    from trainer.demo import run_demo

    run_demo(folder, people=people, epochs=epochs, console=console)


@app.command(epilog="example: trainer compare a.jpg b.jpg --run runs/first")
def compare(
    first: Annotated[Path, typer.Argument(help="A picture of one face.")],
    second: Annotated[Path, typer.Argument(help="Another picture of one face.")],
    run: Annotated[Path, typer.Option(help="A finished run.")] = Path("runs/first"),
    out: Annotated[Path, typer.Option(help="Where the picture of both crops goes.")] = Path("compare.png"),
    as_json: AsJson = False,
) -> None:
    """Prints the probability that two pictures show one person, and shows both crops."""
    from trainer.compare import compare_pictures

    probability = compare_pictures(first, second, run, out)
    if as_json:
        print(json.dumps({"similarity": probability, "picture": str(out)}))
        return
    console.print(f"similarity {probability:.4f}; the crops are in {out}")
