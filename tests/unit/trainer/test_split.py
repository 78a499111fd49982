"""Splits of people: kept by a training that starts from another one, and known for the model files that ship."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from edge.contract.errors import InputError
from edge.contract.modelfile import read_model
from edge.contract.spec import ChipSpec
from edge.models import model_names, model_path
from tests.conftest import MODEL
from trainer.dataset import Chips, Faces
from trainer.settings import Recipe
from trainer.split import FURTHER, FURTHER_COHORT, START, as_bytes, check_two_names, new_split, split_of_file, used_people

RECIPE = Recipe().changed(tower__cohort=2)


def people(names: list[str], pictures: int = 2) -> Faces:
    labels = np.arange(len(names)).repeat(pictures)
    pictured = [f"chips/{names[label]}/{at}.png" for at, label in enumerate(labels)]
    chips = Chips.whole(np.zeros((len(labels), 32, 32), np.uint8))
    return Faces(ChipSpec(side_px=32), chips, labels, names, hashlib.sha256(repr(names).encode()).hexdigest(), pictured)


def named(start: int, stop: int) -> list[str]:
    return [f"p{number:03d}" for number in range(start, stop)]


def pictured(names: list[str]) -> Faces:
    """Two chips of each person. Whom they show depends only on the number after the hyphen in the name, which sets their grey values."""
    faces = people(names)
    shown = [int(names[label].rpartition("-")[2]) * 2 + row % 2 for row, label in enumerate(faces.labels)]
    return replace(faces, chips=Chips.whole(np.array(shown, np.uint8)[:, None, None] * np.ones((1, 32, 32), np.uint8)))


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("other", ["train", FURTHER, FURTHER_COHORT, "cohort", "test", "validation"])
def test_nobody_is_kept_out_under_one_name_and_trained_on_under_another(part: str, other: str) -> None:
    """Accepted are people known from the errata to have two names, and anyone whose two names are in the same part."""
    split = {part: ["ada-1", "bob-2"]}
    split[other] = [*split.get(other, []), "copy-ada-1", "eve-3"]
    faces = pictured(["ada-1", "bob-2", "copy-ada-1", "eve-3", "nobody-2"])
    if part == other:
        check_two_names(faces, split)
        return
    with pytest.raises(
        InputError, match=r"2 pictures stand under two names.* chips/ada-1/0\.png and chips/copy-ada-1/4\.png: "
    ):
        check_two_names(faces, split)
    known = replace(faces, identities=["Joseph_Blatter", *faces.identities[1:]])
    check_two_names(known, {part: ["Joseph_Blatter", "bob-2"], other: ["copy-ada-1", "eve-3"]})


FIRST, OTHERS = people(named(0, 60)), people(named(50, 180))
BEFORE = new_split(RECIPE, FIRST, [OTHERS], FIRST.joined_with(OTHERS))


def test_on_the_same_data_everybody_keeps_the_part_whatever_the_seed() -> None:
    again = new_split(RECIPE.changed(seed=7), FIRST, [OTHERS], FIRST.joined_with(OTHERS), BEFORE)
    assert again.pop(START) == []
    assert {part: sorted(names) for part, names in BEFORE.items()} == again


@settings(deadline=None)
@given(st.sets(st.integers(0, 59), max_size=15), st.sets(st.integers(60, 260)), st.sets(st.integers(0, 260)), st.integers(0, 3))
def test_nobody_is_trained_on_who_was_kept_and_nobody_measured_on_who_was_used(
    gone: set[int], new: set[int], further: set[int], seed: int
) -> None:
    """The first set has most of the start's people, so that it is hardly ever refused: hypothesis complains if it is."""
    main = {*range(60)} - gone | new
    first, others = (people([f"p{number:03d}" for number in sorted(group)]) for group in (main, further))
    try:
        split = new_split(RECIPE.changed(seed=seed), first, [others], first.joined_with(others), BEFORE)
    except InputError:
        reject()
    parts = [set(names) for names in split.values()]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert {*split["train"], *split[FURTHER]}.isdisjoint(
        {name for part in ("test", "validation", "cohort", FURTHER_COHORT) for name in BEFORE[part]}
    )
    assert used_people(BEFORE).isdisjoint(split["test"])
    assert used_people(BEFORE) <= used_people(split)
    for part in ("test", "validation", "cohort", "train"):
        assert {*split[part]} <= {*first.identities}


def test_people_of_the_start_who_are_in_a_further_set_alone() -> None:
    """Whom the start trained on may be trained on, and whom it kept for the cohort is kept. Whom it measured or judged by is in no part,
    but who judged counts as used."""
    start = BEFORE | {START: ["p900", "p901"]}
    away = {part: BEFORE[part][0] for part in ("train", "test", "validation", "cohort")}
    main = people([*sorted({*named(0, 60)} - {*away.values()}), "p900"])
    others = people(sorted([*away.values(), "p500", "p901"]))
    split = new_split(RECIPE, main, [others], main.joined_with(others), start)
    assert split[FURTHER] == sorted([away["train"], "p500", "p901"])
    assert split[FURTHER_COHORT] == [away["cohort"]]
    assert "p900" in split["train"]
    assert split[START] == sorted(({*BEFORE[FURTHER], *BEFORE[FURTHER_COHORT]} - {*named(0, 60)}) | {away["validation"]})
    assert away["test"] not in {name for names in split.values() for name in names}
    without = new_split(RECIPE.changed(tower__cohort=0), main, [others], main.joined_with(others), start)
    assert without[FURTHER_COHORT] == []
    assert away["cohort"] in without[START]


def test_ten_new_people_are_shared_out() -> None:
    split = new_split(RECIPE, people([*named(0, 60), *named(200, 210)]), [], FIRST, BEFORE)
    assert {*named(200, 210)} & {*split["test"]}


def test_people_that_the_start_never_saw_are_shared_out_where_they_are_many() -> None:
    few = new_split(RECIPE, people([*named(0, 60), *named(200, 209)]), [], FIRST, BEFORE)
    assert {*named(200, 209)} <= {*few["train"]}
    many = new_split(RECIPE, people([*named(0, 60), *named(200, 260)]), [], FIRST, BEFORE)
    for part in ("train", "test", "validation", "cohort"):
        assert {*many[part]} & {*named(200, 260)}
    assert many["test"] != few["test"]
    assert {*BEFORE["test"]} <= {*many["test"]}


def test_a_set_without_those_who_judge_is_refused() -> None:
    with pytest.raises(InputError, match="too few of the test people of the training that this one starts from"):
        new_split(RECIPE, people(BEFORE["train"]), [], FIRST, BEFORE)
    with pytest.raises(InputError, match="too few of the validation people"):
        new_split(RECIPE, people(sorted(BEFORE["train"] + BEFORE["test"])), [], FIRST, BEFORE)


@pytest.mark.parametrize("name", model_names())
def test_whom_a_file_that_ships_was_trained_on_is_known_without_its_data(name: str) -> None:
    model = read_model(model_path(name))
    split = split_of_file(model, [])
    assert len(split["test"]) == 476
    assert len(used_people(split)) == model.record["provenance"]["data"]["people"] - 476
    assert {*split["test"]}.isdisjoint(used_people(split))


def test_of_another_file_the_sets_tell_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_model(MODEL)
    folders = {"first": FIRST, "others": OTHERS}
    monkeypatch.setattr("trainer.split.load_faces", lambda folder: folders[folder.name])
    settings = model.record["provenance"]["run"]["settings"]
    settings["tower"]["cohort"] = 2
    recipe = RECIPE.changed(seed=settings["seed"])
    split = new_split(recipe, FIRST, [OTHERS], FIRST.joined_with(OTHERS))
    model.record["provenance"]["files"]["split.json"] = hashlib.sha256(as_bytes(split)).hexdigest()
    assert split_of_file(model, [Path("first"), Path("others")]) == split
    for wrong in (["first"], ["others", "first"]):
        with pytest.raises(InputError, match="whom it was trained on is not known here; name with --data"):
            split_of_file(model, [Path(name) for name in wrong])
    folders["first"] = replace(FIRST, identities=FIRST.identities[:5], labels=FIRST.labels % 5)
    with pytest.raises(InputError, match="whom it was trained on is not known here"):
        split_of_file(model, [Path("first")])
