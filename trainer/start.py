"""What a training starts from, checked before its folder is begun: a folder that was begun with what cannot be keeps nothing but it."""

from __future__ import annotations

from pathlib import Path

from edge.contract.errors import InputError
from trainer.backend import keras
from trainer.dataset import FURTHER_COHORT, Faces, load_faces
from trainer.networks import starting_tower
from trainer.run import FURTHER, RECORD, START, read_run, read_split, used_people
from trainer.settings import Recipe, chip_of
from trainer.teach import load_taught


def load_sets(data: list[Path], recipe: Recipe) -> tuple[Faces, list[Faces]]:
    """The first set, whose people are split, and the further ones, with what a teacher said where the recipe needs it.

    Raises:
        InputError: a set is not prepared, not taught, or not as the recipe takes it.
    """
    taught = bool(recipe.loss.teacher or recipe.loss.contrast or recipe.tower.align)
    main, *further = (load_taught(folder) if taught else load_faces(folder) for folder in data)
    wanted, seen = chip_of(recipe), recipe.tower.side
    for folder, faces in zip(data, (main, *further), strict=True):
        if recipe.tower.align and faces.spec != wanted:
            raise InputError(
                f"{folder}: chips of {faces.spec.side_px} px and {faces.spec.scale} boxes, the recipe takes {wanted.side_px} px "
                f"and {wanted.scale}; run `trainer prepare {folder} --recipe` with that recipe"
            )
        if not recipe.tower.align and seen not in (0, faces.spec.side_px):
            raise InputError(
                f"{folder}: chips of {faces.spec.side_px} px, and a tower that sees {seen} px (tower.side) without tower.align sees whole "
                f"chips; run `trainer prepare {folder} --side {seen}`, or leave tower.side out"
            )
    return main, further


def started_from(recipe: Recipe) -> Path | None:
    """The run that a recipe starts from.

    Raises:
        InputError: it is no run.
    """
    if recipe.tower.init in ("", "dlib"):
        return None
    start = Path(recipe.tower.init)
    # What is wrong with a recipe is told before the run's folder is begun with it.
    if not (start / RECORD).is_file():
        raise InputError(f"init = {recipe.tower.init!r}: neither 'dlib' nor the folder of a finished run")
    return start


def check_start(start: Path | None, recipe: Recipe, tower: keras.Model, split: dict[str, list[str]]) -> None:
    """Refuses a start that the recipe's tower cannot take, or that knows people whom `split` keeps out; adds the others whom it knows to
    `split`: a model that goes on from it has seen them too.

    Raises:
        InputError: the start is another tower, not finished, or was trained on people who are kept.
        PackageMissing: dlib's weights are not installed.
    """
    starting_tower(recipe.tower, tower)
    if start is None:
        return
    if read_run(start)["state"] != "finished":
        raise InputError(f"init = {str(start)!r}: that run is not finished")
    check_kept(start, split)
    known = {name for names in split.values() for name in names}
    split[START] = sorted(used_people(read_split(start)) - known)


def check_cohort(recipe: Recipe, split: dict[str, list[str]]) -> None:
    """Refuses a recipe whose `tower.cohort` nearest strangers are not fewer than there are.

    Raises:
        InputError: they are not.
    """
    nearest, strangers = recipe.tower.cohort, len(split["cohort"]) + len(split[FURTHER_COHORT])
    if nearest and strangers <= nearest:
        raise InputError(
            f"tower.cohort = {nearest}: this data lends {strangers} people to the cohort, more than {nearest} are needed; add people with "
            "`trainer import lfw` or any folder of person folders, or set a smaller one in a recipe of your own"
        )


def check_kept(start: Path, split: dict[str, list[str]]) -> None:
    """Refuses to go on from a run that was trained on people whom `split` keeps out, or chosen by those whom it is to be measured on.

    Raises:
        InputError: it was.
    """
    before = read_split(start)
    trained = {name for part in ("train", FURTHER, START) for name in before.get(part, [])}
    kept = {name for part in ("validation", "test", "cohort", FURTHER_COHORT) for name in split.get(part, [])}
    bad = (trained & kept) | (used_people(before) & {*split["test"]})
    if bad:
        raise InputError(
            f"init = {str(start)!r}: that run used {len(bad)} people whom this one keeps for its figures; "
            "use its --seed and its first --data"
        )
