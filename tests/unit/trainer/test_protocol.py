"""Pairs of a file in LFW's format: its folds, pairs that are left out, and files that are no such list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.contract.errors import InputError
from edge.contract.metrics import clopper_pearson
from edge.contract.score import Head
from edge.contract.spec import ChipSpec
from trainer.dataset import Chips, Faces
from trainer.protocol import protocol_accuracy, read_pairs

HEAD = Head(np.ones(1, np.float32), 5.0)


def faces(people: int) -> tuple[Faces, np.ndarray]:
    """People with two pictures each, and their embeddings: points on a line, people ten apart."""
    labels = np.repeat(np.arange(people), 2)
    names = [f"chips/p{label}/p{label}_{1 + row % 2:04d}.png" for row, label in enumerate(labels)]
    identities = [f"p{n}" for n in range(people)]
    made = Faces(ChipSpec(side_px=32), Chips.whole(np.zeros((len(labels), 32, 32), np.uint8)), labels, identities, "d", names)
    return made, (10.0 * labels[:, None]).astype(np.float32)


def written(path: Path, folds: int, each: int) -> Path:
    lines = [f"{folds}\t{each}"]
    for fold in range(folds):
        lines += [f"p{fold * each + n}\t1\t2" for n in range(each)]
        lines += [f"p{fold * each + n}\t1\tp{fold * each + (n + 1) % each}\t2" for n in range(each)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_folds_are_the_files(tmp_path: Path) -> None:
    """In the last of five folds, strangers are nearer to each other than two pictures of one person are elsewhere, so the threshold of
    the other folds accepts its four impostor pairs. Random folds would spread its pairs over all folds."""
    made, where = faces(20)
    where[::2] += 3  # the two pictures of a person are 3 apart
    where[32:40] = np.repeat(where[32], 8)[:, None]
    found = protocol_accuracy(HEAD, made, where, where, written(tmp_path / "pairs.txt", 5, 4))
    assert (found["folds"], found["folds_of_the_file"], found["pairs"], found["left_out"]) == (5, True, 40, 0)
    assert round(40 * (1 - found["value"])) == 4
    assert found["low"] < found["value"] < found["high"]


def test_pairs_of_others_are_left_out_and_counted(tmp_path: Path) -> None:
    made, where = faces(15)
    found = protocol_accuracy(HEAD, made, where, where, written(tmp_path / "pairs.txt", 5, 4))
    assert (found["pairs"], found["left_out"]) == (15 + 14, 11)
    with pytest.raises(InputError, match="of 40 pairs only 9 are of unseen people"):
        protocol_accuracy(HEAD, *faces(5)[:1], where, where, tmp_path / "pairs.txt")


def test_nine_pairs_of_a_kind_are_too_few_for_ten_folds(tmp_path: Path) -> None:
    made, where = faces(20)
    same, other = [f"p{n}\t1\t2" for n in range(20)], [f"p{n}\t1\tp{n + 1}\t2" for n in range(19)]
    for lines, usable in (([*same, *other[:9]], 29), ([*same[:9], *other], 28)):
        (tmp_path / "pairs.txt").write_text("\n".join(lines))
        with pytest.raises(InputError, match=f"of {usable} pairs only {usable}"):
            protocol_accuracy(HEAD, made, where, where, tmp_path / "pairs.txt")


def test_a_network_that_tells_nobody_apart_is_right_half_the_time(tmp_path: Path) -> None:
    """Few pairs of two people are left where only some people are unseen. To accept all would be right in 190 of 200 pairs."""
    made, _ = faces(200)
    path, alike = tmp_path / "pairs.txt", np.zeros((400, 1), np.float32)
    strangers = [f"p{n}\t1\tp{n + 1}\t2" for n in range(10)]
    path.write_text("\n".join(["300", *(f"p{n}\t1\t2" for n in range(190)), *strangers]))
    found = protocol_accuracy(HEAD, made, alike, alike, path)
    assert (found["pairs"], found["genuine"], found["missed"], found["matched"], found["value"]) == (200, 190, 0, 10, 0.5)
    assert (found["low"], found["high"]) == pytest.approx(clopper_pearson(10, 20)), "as of ten pairs of each kind"


def test_a_fold_is_judged_by_others_with_both_kinds(tmp_path: Path) -> None:
    """All usable pairs of two people are in the first of two folds: the second alone would give it no threshold."""
    made, where = faces(40)
    lines = ["2\t20", *(f"p{n}\t1\t2" for n in range(20)), *(f"p{n}\t1\tp{n + 1}\t2" for n in range(20))]
    lines += [*(f"p{n}\t1\t2" for n in range(20, 40)), *(f"gone\t1\tp{n}\t2" for n in range(20))]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    found = protocol_accuracy(HEAD, made, where, where, tmp_path / "pairs.txt")
    assert (found["folds"], found["folds_of_the_file"], found["pairs"], found["left_out"]) == (10, False, 60, 20)
    assert found["value"] == 1.0


def test_the_first_of_a_pair_is_enrolled_and_the_second_looked_at_twice(tmp_path: Path) -> None:
    """At first everybody looks like the person before. The second look is where the person is."""
    made, templates = faces(20)
    head = Head(np.ones(1, np.float32), 5.0, doubt=(1e-9, 1 - 1e-9))
    path = written(tmp_path / "pairs.txt", 5, 4)
    assert protocol_accuracy(head, made, templates, templates - 10, path)["value"] == 1.0
    assert protocol_accuracy(HEAD, made, templates, templates - 10, path)["value"] < 0.7


def test_a_list_without_folds_is_drawn_into_ten(tmp_path: Path) -> None:
    made, where = faces(20)
    path = written(tmp_path / "pairs.txt", 5, 4)
    path.write_text(path.read_text().replace("5\t4\n", "20\n"))
    found = protocol_accuracy(HEAD, made, where, where, path)
    assert (found["folds"], found["folds_of_the_file"], found["pairs"]) == (10, False, 40)
    where = where + np.random.default_rng(0).normal(0, 8, where.shape).astype(np.float32)
    values = {protocol_accuracy(HEAD, made, where, where, path)["value"] for _ in range(6)}
    assert len(values) == 1, "always the same ten"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\t1\nada\t1\n", "line 2: 'ada 1': expected a person"),
        ("ada\t1\tx\n", "line 1"),
        ("1\t1\nada\t1\t2\nada 1 bob 2 3\n", "line 3"),
        ("2\t2\nada\t1\t2\n", "1 pairs, its first line tells of 8; it is cut off"),
    ],
)
def test_another_file_is_refused_by_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        read_pairs(tmp_path / "pairs.txt")


def test_a_missing_or_binary_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("none", "binary"):
        with pytest.raises(InputError, match="not a list of pairs"):
            read_pairs(tmp_path / name)


def test_folds_of_which_one_alone_can_be_used_are_drawn(tmp_path: Path) -> None:
    """No other fold would be left to find a threshold on: with one fold, and with two if the second one's people are not in the set."""
    made, where = faces(20)
    found = protocol_accuracy(HEAD, made, where, where, written(tmp_path / "pairs.txt", 1, 20))
    assert (found["folds"], found["folds_of_the_file"], found["pairs"], found["left_out"]) == (10, False, 40, 0)
    found = protocol_accuracy(HEAD, made, where, where, written(tmp_path / "pairs.txt", 2, 20))
    assert (found["folds"], found["folds_of_the_file"], found["pairs"], found["left_out"]) == (10, False, 40, 40)
