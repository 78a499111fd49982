"""Rates of groups of people, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.contract.errors import InputError
from edge.contract.score import Head
from edge.contract.spec import ChipSpec
from trainer.comparisons import compare_all
from trainer.dataset import Chips, Faces
from trainer.slices import by_group, read_groups


def faces(labels: np.ndarray) -> Faces:
    people = [f"p{n}" for n in range(labels.max() + 1)]
    chips = Chips.whole(np.zeros((len(labels), 32, 32), np.uint8))
    return Faces(ChipSpec(side_px=32), chips, labels, people, "d", ["n"] * len(labels))


def test_groups_are_judged_at_the_common_threshold() -> None:
    """A hundred people, two pictures each, far apart on a line, but two of group b in one place: of the 4 * C(50, 2) = 4900
    comparisons of strangers in group b their four match, 0.08 %; in group a, whose people are as many, none does."""
    labels = np.repeat(np.arange(100), 2)
    where = np.arange(100.0) * 10
    where[99] = where[98]
    found = compare_all(Head(np.ones(1, np.float32), 5.0), where[labels].astype(np.float32)[:, None], labels)
    groups = {f"p{n}": "a" if n < 50 else "b" for n in range(100)}
    a, b = by_group(found, faces(labels), groups)
    assert (a["group"], a["people"], a["genuine"], a["fnmr"], a["impostor"], a["fmr"]) == ("a", 50, 50, 0.0, 4900, 0.0)
    assert (b["impostor"], b["fmr"]) == (4900, pytest.approx(4 / 4900))
    assert b["fmr_low"] < 4 / 4900 < b["fmr_high"]


def test_groups_are_read_for_those_who_are_there(tmp_path: Path) -> None:
    path = tmp_path / "groups.tsv"
    path.write_text("# person\tgroup\np0\tyoung\np1\told \nelse\told\n")
    assert read_groups(path, faces(np.array([0, 1, 2]))) == {"p0": "young", "p1": "old"}
    path.write_text("else\told\n")
    with pytest.raises(InputError, match="not one of its 1 people is among the 3"):
        read_groups(path, faces(np.array([0, 1, 2])))
    path.write_text("p0 young\n")
    with pytest.raises(InputError, match="expected a person's name, a tab and a group"):
        read_groups(path, faces(np.array([0, 1, 2])))
    with pytest.raises(InputError, match="unreadable"):
        read_groups(tmp_path / "none.tsv", faces(np.array([0, 1])))
