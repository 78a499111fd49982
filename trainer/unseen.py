"""The people that a training used. Only other people are evaluated on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from edge.contract.errors import InputError
from edge.contract.modelfile import ModelFile, read_model
from trainer.dataset import PICTURES_EACH, Faces, load_faces
from trainer.run import read_run
from trainer.split import SPLIT, START, read_split, split_digest, split_of_file, used_people


def people_to_leave_out(models: list[Path], runs: list[Path], folders: list[Path], *, strangers: bool) -> set[str]:
    """Everyone whom the training of any of `models` (runs and model files) used. It is known from `runs`, or for other model files from
    `split_of_file`. With `strangers` the user asserts that model files without a run used nobody who is in the data.

    Raises:
        InputError: whom a file's training used cannot be determined, or no model, run or assertion is given.
    """
    runs = [*runs, *(model for model in models if model.is_dir())]
    files = [model for model in models if model.is_file()]
    if not (runs or files or strangers):
        raise InputError(
            "name the run or the model file whose people must be left out, or give --strangers if none of them is in the data"
        )
    seen = set().union(*(seen_people(run) for run in runs))
    for file in () if strangers else map(read_model, files):
        if not any(_made_from(file, run) for run in runs):
            try:
                seen |= used_people(split_of_file(file, folders))
            except InputError as error:
                raise InputError(
                    f"{error}; or give its own run with --run; or give --strangers if none of its people is in the data"
                ) from error
    return seen


def seen_people(run: Path) -> set[str]:
    """Everyone whom a run, or one that it started from, used: for training, for the choice of epoch and head, or as the cohort.

    Raises:
        InputError: `run` is not a run, or does not record whom its start used.
    """
    start, split = read_run(run)["settings"]["tower"]["init"], read_split(run)
    if start not in ("", "dlib") and START not in split:
        raise InputError(f"{run / SPLIT}: does not tell whom {start}, which it started from, used; train again")
    return used_people(split)


def _made_from(file: ModelFile, run: Path) -> bool:
    """Whether a model file comes from a training with this run's split."""
    return split_digest(file) == hashlib.sha256((run / SPLIT).read_bytes()).hexdigest()


def unseen_faces(folder: Path, seen: set[str], *, each: int = PICTURES_EACH) -> Faces:
    """The faces of a prepared set's people who are not in `seen`, by `Faces.measured`: at most `each` of a person.

    Raises:
        InputError: fewer than two people remain, or nobody with two pictures.
    """
    faces = load_faces(folder)
    unseen = [name for name in faces.identities if name not in seen]
    if not unseen:
        raise InputError(
            f"{folder}: all of its {len(faces.identities)} people were used in the training; nothing would be measured"
        )
    faces = faces.of(unseen).measured(each)
    if np.bincount(faces.labels, minlength=1).max() < 2:
        raise InputError(f"{folder}: not one of {len(unseen)} unseen people has two pictures")
    if len(faces.identities) < 2:
        raise InputError(f"{folder}: {faces.identities[0]} is its only unseen person; at least two are compared")
    return faces


def other_cameras(folders: list[Path], seen: set[str], *, may_be_trained_on: bool) -> dict[Path, Faces]:
    """`unseen_strangers` of each set, by folder. If the sets `may_be_trained_on`, because a model file's training sets must be named too,
    those without any unseen people are skipped.

    Raises:
        InputError: fewer than two people of a set remain.
    """
    return {
        folder: unseen_strangers(folder, seen)
        for folder in folders
        if not may_be_trained_on or not seen.issuperset(load_faces(folder).identities)
    }


def unseen_strangers(folder: Path, seen: set[str]) -> Faces:
    """The faces of people in another camera's set who are not in `seen`, for the same-camera check.

    Raises:
        InputError: fewer than two people remain.
    """
    faces = load_faces(folder)
    faces = faces.of([name for name in faces.identities if name not in seen]).measured()
    if len(faces.identities) < 2:
        raise InputError(
            f"{folder}: {len(faces.identities)} of its people are unseen; the same-camera check compares strangers, so add two people "
            "whom the training did not use, taken by that camera"
        )
    return faces
