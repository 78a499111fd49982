"""Splits the people of a training into train, validation, test and cohort. By identity, never by picture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from edge.contract.modelfile import ModelFile
from trainer.dataset import FURTHER_COHORT, Faces, joined, load_faces
from trainer.errata import rightly_labelled
from trainer.layout import photograph_of
from trainer.settings import Recipe

SPLIT = "split.json"
# The splits of the model files that ship, named by the SHA-256 of split.json that each model file records.
SHIPPED = Path(__file__).parent / "splits"
# Further parts of a split: people of further sets, trained on but never evaluated on; and other people whom the training that this one
# started from had used.
FURTHER, START = "further", "start"
# Cohort and test are for the exporter and the report. Only "train" trains the tower; validation chooses the epoch and fits the head's
# scale and bias. The cohort has two entries, so that test and validation are the same as in trainings from before the second was added.
SPLIT_SHARES = (("test", 0.10), ("cohort", 0.05), ("validation", 0.10), ("cohort", 0.05), ("train", 0.70))
LEAST_PEOPLE = 10
# The share, and the maximum, of the people of a further set kept for the cohort: strangers from other cameras and places count too.
FURTHER_COHORT_SHARE, FURTHER_COHORT_MOST = 0.2, 96
# A further set with fewer people is taken to be a user's own, and all of them are trained on.
FURTHER_COHORT_LEAST_PEOPLE = 100


def new_split(
    recipe: Recipe, main: Faces, further: list[Faces], all_faces: Faces, start_split: dict[str, list[str]] | None = None
) -> dict[str, list[str]]:
    """The split of a new training: names by part. The people of `main` are split; `all_faces` also has those of the `further` sets. If the
    training starts from one with the split `start_split`, people known there keep their part.

    Raises:
        InputError: there are too few people to split, or too few in test or validation.
    """
    if start_split is not None:
        return _continued_split(recipe, main, all_faces, start_split)
    split = split_identities(main.labels, main.identities, recipe.seed)
    split[FURTHER_COHORT] = further_cohort(further, main, recipe.seed) if recipe.tower.cohort else []
    kept_out = {name for part, names in split.items() if part != "train" for name in names}
    split[FURTHER] = [name for name in all_faces.identities if name not in {*kept_out, *split["train"]}]
    return split


def check_two_names(all_faces: Faces, split: dict[str, list[str]]) -> None:
    """Refuses a training in which a test or validation person also appears under another name, as when a set was imported twice, once
    with a prefix, or folders were renamed.

    Raises:
        InputError: a chip of such a person is byte for byte that of someone in another part.
    """
    part_of = {name: part for part, names in split.items() for name in names}
    owners: dict[bytes, int] = {}
    duplicates = []
    for row, (label, name) in enumerate(zip(all_faces.labels, all_faces.names, strict=True)):
        person = all_faces.identities[label]
        # Pictures known to appear under two names (trainer/errata.py) are left out of all figures anyway.
        if person not in part_of or not rightly_labelled(person, photograph_of(name)):
            continue
        first = owners.setdefault(hashlib.blake2b(all_faces.chips.one(row).tobytes(), digest_size=16).digest(), row)
        parts = {part_of[person], part_of[all_faces.identities[all_faces.labels[first]]]}
        if len(parts) > 1 and parts & {"test", "validation"}:
            duplicates.append((all_faces.names[first], name))
    if duplicates:
        raise InputError(
            f"{len(duplicates)} pictures stand under two names, one of which is kept out or judged by, such as "
            f"{' and '.join(duplicates[0])}: its rates would be of people who were trained on. Give them one name "
            "(`trainer import --same-as`), or take one of the two away"
        )


def _continued_split(recipe: Recipe, main: Faces, all_faces: Faces, start_split: dict[str, list[str]]) -> dict[str, list[str]]:
    part_of = {name: part for part, names in start_split.items() for name in names}
    unknown = main.of([name for name in main.identities if name not in part_of])
    # Only a few new people are all trained on; LEAST_PEOPLE or more with several pictures are split as in a new training.
    several = np.bincount(unknown.labels, minlength=1) > 1
    parts = {"test": [], "cohort": [], "validation": [], "train": unknown.identities}
    if several.sum() >= LEAST_PEOPLE:
        parts = split_identities(unknown.labels, unknown.identities, recipe.seed)
    part_in_main = {FURTHER: "train", START: "train", FURTHER_COHORT: "cohort"}
    split: dict[str, list[str]] = {part: [*names] for part, names in parts.items()} | {FURTHER_COHORT: [], FURTHER: []}
    for name in main.identities:
        if name in part_of:
            split[part_in_main.get(part_of[name], part_of[name])].append(name)
    for name in {*all_faces.identities} - {*main.identities}:
        part = part_of.get(name, FURTHER)
        if part in ("train", FURTHER, START):
            split[FURTHER].append(name)
        elif part in ("cohort", FURTHER_COHORT) and recipe.tower.cohort:
            split[FURTHER_COHORT].append(name)
        # The start's validation and test people may not be trained on, and those outside `main` cannot be evaluated here: left out.
    split = {part: sorted(names) for part, names in split.items()}
    counts = dict(zip(main.identities, np.bincount(main.labels, minlength=len(main.identities)), strict=True))
    for part in ("test", "validation"):
        if sum(counts[name] > 1 for name in split[part]) < 2:
            raise InputError(
                f"the first --data has too few of the {part} people of the training that this one starts from: at least two with two "
                "pictures are needed; name first the set that was split there, or a set of the same kind"
            )
    split[START] = sorted(used_people(start_split) - {name for names in split.values() for name in names})
    return split


def used_people(split: dict[str, list[str]]) -> set[str]:
    """Everyone whom a training, or one that it started from, used: for the weights, the choice of epoch and head, or the cohort."""
    return {name for part, names in split.items() if part != "test" for name in names}


def as_bytes(split: dict[str, list[str]]) -> bytes:
    """The contents of split.json; a model file records their SHA-256."""
    return json.dumps(split, indent=1).encode()


def read_split(run: Path) -> dict[str, list[str]]:
    """split.json of a run folder.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        return _parse_split((run / SPLIT).read_bytes())
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{run / SPLIT}: missing or unreadable ({error}); train again in another --run folder") from error


def split_digest(model: ModelFile) -> str:
    """The SHA-256 of split.json of the training that a model file comes from."""
    return str(model.record["provenance"]["files"][SPLIT])


def split_of_file(model: ModelFile, folders: list[Path]) -> dict[str, list[str]]:
    """The split of the training that a model file comes from. It is stored here for the files that ship; for others it is recomputed from
    the prepared sets that they were trained on, in their order. Its digest must be the one that the file records.

    Raises:
        InputError: the file does not ship, and `folders` are not its training sets.
    """
    provenance = model.record["provenance"]
    digest = split_digest(model)
    shipped = SHIPPED / f"{digest}.json"
    if shipped.is_file():
        data = shipped.read_bytes()
    else:
        main, *further = (load_faces(folder) for folder in folders)
        settings = provenance["run"]["settings"]
        recipe = Recipe().changed(seed=settings["seed"], tower__cohort=settings["tower"].get("cohort"))
        try:
            data = as_bytes(new_split(recipe, main, further, joined(main, further)))
        except InputError:
            data = b""  # too few people for a split, so not the file's sets
    if hashlib.sha256(data).hexdigest() != digest:
        raise InputError(
            f"{model.path}: whom it was trained on is not known here; name with --data all the sets that it was trained on, in that order"
        )
    return _parse_split(data)


def _parse_split(data: bytes) -> dict[str, list[str]]:
    return {str(part): [str(name) for name in names] for part, names in json.loads(data).items()}


def split_identities(labels: NDArray[np.int64], identities: list[str], seed: int) -> dict[str, list[str]]:
    """Puts every identity, of pictures with `labels`, int [n], into train, validation, test or cohort, in the order of a hash of its name
    and the seed. People with one picture and people with several are split separately, so that each part has genuine pairs.

    Raises:
        InputError: fewer than LEAST_PEOPLE people have several pictures.
    """
    counts = np.bincount(labels, minlength=len(identities))
    several = [name for name, count in zip(identities, counts, strict=True) if count > 1]
    single = [name for name, count in zip(identities, counts, strict=True) if count == 1]
    if len(several) < LEAST_PEOPLE:
        raise InputError(
            f"{len(several)} people with two or more pictures: at least {LEAST_PEOPLE} are needed for a split by identity; "
            "add people with `trainer import lfw` or any folder of person folders"
        )
    split: dict[str, list[str]] = {part: [] for part, _ in SPLIT_SHARES}
    for group in (several, single):
        ordered = _shuffled(group, seed)
        taken = 0
        for part, share in SPLIT_SHARES:
            least = {"test": 2, "validation": 2, "cohort": 1}.get(part, 0) if group is several else 0
            count = len(ordered) - taken if part == "train" else max(least, round(share * len(ordered)))
            split[part] += ordered[taken : taken + count]
            taken += count
    return {part: sorted(names) for part, names in split.items()}


def further_cohort(further: list[Faces], main: Faces, seed: int) -> list[str]:
    """The people of further sets that are kept for the cohort, chosen by a hash of name and seed: a fifth of each set, at most
    FURTHER_COHORT_MOST, and nobody who is in `main`."""
    chosen: list[str] = []
    for faces in further:
        if len(faces.identities) < FURTHER_COHORT_LEAST_PEOPLE:
            continue
        free = sorted({*faces.identities} - {*main.identities, *chosen})
        chosen += _shuffled(free, seed)[: min(FURTHER_COHORT_MOST, round(FURTHER_COHORT_SHARE * len(faces.identities)))]
    return sorted(chosen)


def _shuffled(names: list[str], seed: int) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
