"""The commands that fill and prepare a data set: import, capture, prepare, draw."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edge.contract.spec import ChipSpec
from trainer.choices import Several
from trainer.cli.shared import AsJson, Data, app, console
from trainer.layout import Layout, check_identity, chosen_layout, layout_of

importers = typer.Typer(help="Brings pictures from elsewhere into a data set.", no_args_is_help=True)
app.add_typer(importers, name="import")

LayoutOption = Annotated[
    Layout | None,
    typer.Option("--layout", help="The folders of a new data set; if not given, those that it has, or else identities."),
]


@importers.command("people", epilog="example: trainer import people celeba.tar --data data/celeba --prefix celeba-")
@importers.command("lfw", epilog="example: trainer import lfw lfw.tgz --data data")
def import_lfw(
    source: Annotated[Path, typer.Argument(help="LFW as downloaded, or any folder or .tgz of person folders.")],
    data: Data = Path("data"),
    layout: LayoutOption = None,
    prefix: Annotated[str, typer.Option(help="A prefix for each person's name, if sets would share names.")] = "",
    same_as: Annotated[
        Path | None, typer.Option(help="A table of people who are in another set, too: set, identity, name there, cosine.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copies a folder or archive with one folder for each person into a data set, as its negatives."""
    from trainer.importer import import_people, read_renaming

    summary = import_people(source, data, chosen_layout(data, layout), read_renaming(prefix, same_as))
    if as_json:
        fields = {
            "people": summary.people,
            "written": summary.pictures,
            "present": summary.present,
            "left_out": summary.left_out,
        }
        print(json.dumps(fields | {"several_folders": summary.several}))
        return
    console.print(f"{data}: {summary.people} people, {summary.pictures} pictures written, {summary.present} already there")
    for name, reason in summary.left_out:
        console.print(f"left out {name}: {reason}")
    if summary.several:
        name, folders = next(iter(summary.several.items()))
        console.print(
            f"warning: {len(summary.several)} names are those of several folders, such as {name} ({', '.join(folders)}): each was taken "
            "for one person. If a folder is not named as its person, import the person's own one by one"
        )


@importers.command("omniglot", epilog="example: trainer import omniglot images_background_small1.zip --data data/omniglot")
def import_omniglot(
    sources: Annotated[list[Path], typer.Argument(help="Omniglot's images_background*.zip, as downloaded.")],
    data: Data = Path("data/omniglot"),
    as_json: AsJson = False,
) -> None:
    """Makes a prepared set of Omniglot's drawings, for `--recipe koch-omniglot`."""
    from trainer.omniglot import import_omniglot as take

    characters, drawings = take(sources, data)
    if as_json:
        print(json.dumps({"characters": characters, "drawings": drawings}))
        return
    console.print(f"{data}: {characters} characters, {drawings} drawings")


@app.command(epilog="example: trainer capture ada --camera /dev/video0 --data data")
def capture(
    name: Annotated[str, typer.Argument(help="The person in front of the camera.")],
    camera: Annotated[str, typer.Option(help="A V4L2 device, its number, or a video file.")] = "0",
    data: Data = Path("data"),
    anchors: Annotated[int, typer.Option(min=1, max=1000, help="How many anchor pictures to take.")] = 20,
    positives: Annotated[int, typer.Option(min=1, max=1000, help="How many positive pictures to take.")] = 20,
    every: Annotated[int, typer.Option(min=1, help="Take one picture out of this many frames.")] = 10,
    layout: LayoutOption = None,
    as_json: AsJson = False,
) -> None:
    """Takes anchor and positive pictures of a person from a camera or a clip."""
    from trainer.capture import capture_pictures

    wanted = {"anchor": anchors, "positive": positives}
    counts = capture_pictures(check_identity(name), camera, data, chosen_layout(data, layout), wanted, every)
    if as_json:
        print(json.dumps({"person": name, "taken": counts}))
        return
    console.print(f"{data}: " + ", ".join(f"{count} {role} pictures" for role, count in counts.items()) + f" of {name}")


@app.command(epilog="example: trainer prepare data --side 64")
def prepare(
    folder: Annotated[Path, typer.Argument(help="A data set filled by `trainer capture` or `trainer import lfw`.")],
    recipe: Annotated[str, typer.Option(help="Cut the chips as this recipe of `trainer fit` takes them.")] = "",
    side: Annotated[int | None, typer.Option(min=32, max=256, help="Side of the chip in pixels.")] = None,
    scale: Annotated[
        float | None, typer.Option(min=0.5, max=3.0, help="Side of the square that is cut, in widths of the box.")
    ] = None,
    colour: Annotated[bool | None, typer.Option("--colour/--grey", help="Colour chips, or grey ones.")] = None,
    several: Annotated[
        Several,
        typer.Option(
            help="What to do with a picture that shows several faces: skip it, or take the largest or the most central face."
        ),
    ] = Several.SKIP,
    layout: Annotated[Layout | None, typer.Option(help="The folders of the data set; found out if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Finds the faces and cuts the chips, in grey or in colour. Pictures that give none are listed with the reason."""
    from trainer.prepare import prepare as prepare_pictures
    from trainer.prepare import reasons
    from trainer.settings import chip_of, read_recipe

    spec = chip_of(read_recipe(recipe)) if recipe else ChipSpec()
    channels = spec.channels if colour is None else 3 if colour else 1
    spec = replace(spec, side_px=side or spec.side_px, scale=scale or spec.scale, channels=channels)
    outcomes = prepare_pictures(folder, layout or layout_of(folder), spec, several)
    skipped = reasons(outcomes)
    made = sum(outcome.box is not None for outcome in outcomes)
    if as_json:
        print(json.dumps({"pictures": len(outcomes), "chips": made, "skipped": dict(skipped)}))
        return
    for outcome in [o for o in outcomes if o.reason][:50]:
        console.print(f"skipped {outcome.picture.path}: {outcome.reason}")
    table = Table("pictures", "number", title=f"{folder}, chips of {spec.side_px} px")
    for label, number in [("chips made", made), *skipped.most_common(10), ("in all", len(outcomes))]:
        table.add_row(label, str(number))
    console.print(table)
    console.print(f"every picture's outcome is in {folder / 'prepared.json'}")


@app.command(epilog="example: trainer draw people --people 300")
def draw(
    folder: Annotated[Path, typer.Argument(help="The folder in which the folders of people are made.")],
    people: Annotated[int, typer.Option(min=1, max=100_000, help="How many people to draw.")] = 300,
    pictures: Annotated[int, typer.Option(min=1, max=1000, help="Pictures of each person.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same people.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Draws synthetic people, to try the trainer without a data set; `trainer import lfw` takes the folder."""
    from trainer.synth.population import write_population

    write_population(folder, people=people, pictures=pictures, seed=seed)
    if as_json:
        print(json.dumps({"people": people, "pictures": people * pictures}))
        return
    console.print(f"{folder}: {people} people, {pictures} pictures each")
