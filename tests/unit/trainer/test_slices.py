"""Rates of groups of people, counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.errors import InputError
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.metrics import clopper_pearson
from edge.contract.score import Head
from edge.contract.spec import ChipSpec
from trainer.comparisons import compare_all
from trainer.dataset import Chips, Faces
from trainer.slices import by_group, read_groups, slices


def faces(labels: np.ndarray) -> Faces:
    people = [f"p{n}" for n in range(labels.max() + 1)]
    chips = Chips.whole(np.zeros((len(labels), 32, 32), np.uint8))
    return Faces(ChipSpec(side_px=32), chips, labels, people, "d", ["n"] * len(labels))


def test_groups_are_judged_at_the_common_threshold() -> None:
    """A hundred people with two pictures each, far apart on a line, except for two of group b in the same place: their four comparisons
    match, of 4 * C(50, 2) = 4900 between strangers in group b, 0.08 %. In group a, which is as large, none does."""
    labels = np.repeat(np.arange(100), 2)
    where = np.arange(100.0) * 10
    where[99] = where[98]
    found = compare_all(Head(np.ones(1, np.float32), 5.0), where[labels].astype(np.float32)[:, None], labels)
    groups = {f"p{n}": "a" if n < 50 else "b" for n in range(100)}
    a, b = by_group(found, faces(labels), groups)
    assert (a["group"], a["people"], a["genuine"], a["fnmr"], a["impostor"], a["fmr"]) == ("a", 50, 50, 0.0, 4900, 0.0)
    assert (b["impostor"], b["fmr"]) == (4900, pytest.approx(4 / 4900))
    assert (b["fmr_low"], b["fmr_high"]) == clopper_pearson(4, 4900)
    assert (b["low"], b["high"]) == clopper_pearson(0, 50)


def test_strangers_of_two_groups_count_in_neither() -> None:
    """As above, and somebody of group a is where somebody of group b is: they match, but are strangers within no group. A group of one
    person has no strangers, and one of people with a single picture no genuine comparison: both are left out. Those whose group is not
    known are in none."""
    labels = np.append(np.repeat(np.arange(101), 2), [101, 102, 103, 104])
    where = np.arange(105.0) * 10
    where[99], where[0], where[104] = where[98], where[50], where[103]
    found = compare_all(Head(np.ones(1, np.float32), 5.0), where[labels].astype(np.float32)[:, None], labels)
    assert (found.impostor >= found.threshold(1e-3)).sum() == 9
    groups = {f"p{n}": "a" if n < 50 else "b" if n < 100 else "c" if n < 101 else "d" for n in range(103)}
    rows = by_group(found, faces(labels), groups)
    assert [(row["group"], row["people"], row["fmr"] * row["impostor"]) for row in rows] == [("a", 50, 0), ("b", 50, 4)]


def test_too_few_comparisons_for_the_threshold_have_no_rows(tmp_path: Path) -> None:
    """38 people with two pictures have 2,812 comparisons of strangers; 1e-3 takes 3,000."""
    labels = np.repeat(np.arange(38), 2)
    found = compare_all(Head(np.ones(1, np.float32), 5.0), 10 * labels[:, None].astype(np.float32), labels)
    assert found.impostors == 2812
    assert by_group(found, faces(labels), {f"p{n}": "a" for n in range(38)}) == []
    assert slices(found, faces(labels), tmp_path) == []


def test_thirds_add_up_to_all_comparisons(tmp_path: Path) -> None:
    """Every comparison belongs to one third, that of its worse picture; they are counted here one by one."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 3)
    people = rng.normal(size=(60, 8))[labels] + 0.5 * rng.normal(size=(180, 8))
    found = compare_all(Head(np.ones(8, np.float32), 5.0), people.astype(np.float32), labels)
    spec = ChipSpec(side_px=32, scale=1.6)  # the face is the middle, 20 pixels wide
    chips = Chips.whole(rng.integers(0, rng.integers(50, 256, (180, 1, 1)), (180, 32, 32)).astype(np.uint8))
    names = [f"{row}.png" for row in range(180)]
    boxes = rng.integers(50, 150, 180)
    entries = [{"chip": name, "identity": "x", "box": [0, 0, int(side), 99]} for name, side in zip(names, boxes, strict=True)]
    told = {"chip": spec.to_json(), "fingerprint": chip_fingerprint(spec), "chips": entries, "skipped": []}
    (tmp_path / "prepared.json").write_text(json.dumps(told))
    pictured = Faces(spec, chips, labels, [f"p{n}" for n in range(60)], "d", names)
    rows = slices(found, pictured, tmp_path)
    grey = [chips.one(row)[6:26, 6:26] for row in range(180)]
    one, other = np.triu_indices(180, 1)
    same, threshold = labels[one] == labels[other], found.threshold(1e-3)
    matched = np.zeros((180, 180), bool)
    for scores, pairs in ((found.genuine, found.genuine_rows), (found.impostor, found.impostor_rows)):
        matched[tuple(pairs[scores >= threshold].T)] = True
    measured = {
        "light": [face.mean() for face in grey],
        "sharpness": [cv2.Laplacian(face, cv2.CV_32F).var() for face in grey],
        "size of the face": boxes,
    }
    assert [row["slice"] for row in rows[::3]] == [*measured]
    for name, values in measured.items():
        third = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3]))
        worse = np.minimum(third[one], third[other])
        mine = [row for row in rows if row["slice"] == name]
        for key, counted in (("impostor", ~same), ("genuine", same), ("false_matches", ~same & matched[one, other])):
            assert [row[key] for row in mine] == [int((worse[counted] == n).sum()) for n in range(3)]
        missed = [row["fnmr"] * row["genuine"] for row in mine]
        assert missed == pytest.approx([(worse[same & ~matched[one, other]] == n).sum() for n in range(3)])
        for row in mine:
            assert (row["low"], row["high"]) == clopper_pearson(round(row["fnmr"] * row["genuine"]), row["genuine"])
            assert (row["fmr_low"], row["fmr_high"]) == clopper_pearson(row["false_matches"], row["impostor"])
        lower, upper = (f"{cut:.0f}" for cut in np.quantile(values, [1 / 3, 2 / 3]))
        assert [row["range"] for row in mine] == [f"below {lower}", f"{lower} to {upper}", f"above {upper}"]
        assert sum(row["genuine"] for row in mine) == len(found.genuine)
        assert sum(row["impostor"] for row in mine) <= found.impostors
        assert sum(row["false_matches"] for row in mine) <= found.impostors * 1e-3
    assert sum(row["impostor"] for row in rows[-3:]) == found.impostors
    alike = {**told, "chips": [entry | {"box": [0, 0, 99, 99]} for entry in entries]}
    (tmp_path / "prepared.json").write_text(json.dumps(alike))
    (row,) = (row for row in slices(found, pictured, tmp_path) if row["slice"] == "size of the face")
    assert (row["genuine"], row["impostor"]) == (len(found.genuine), found.impostors), "faces of one size are all in one third"


def test_groups_are_read_for_those_who_are_there(tmp_path: Path) -> None:
    path = tmp_path / "groups.tsv"
    path.write_text("# people and their groups\np0\tyoung\np1\told \nelse\told\n")
    assert read_groups(path, faces(np.array([0, 1, 2]))) == {"p0": "young", "p1": "old"}
    path.write_text("else\told\n")
    with pytest.raises(InputError, match="not one of its 1 people is among the 3"):
        read_groups(path, faces(np.array([0, 1, 2])))
    path.write_text("p0\ta\np0\tb\n")
    with pytest.raises(InputError, match="p0 is in the groups 'a' and 'b'"):
        read_groups(path, faces(np.array([0, 1, 2])))
    path.write_text("p0 young\n")
    with pytest.raises(InputError, match="expected a person's name, a tab and a group"):
        read_groups(path, faces(np.array([0, 1, 2])))
    with pytest.raises(InputError, match="unreadable"):
        read_groups(tmp_path / "none.tsv", faces(np.array([0, 1])))
