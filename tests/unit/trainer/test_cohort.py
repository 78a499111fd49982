"""The cohort that faces are compared with: chosen to represent everybody, and without validation and test people."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from edge.contract.errors import InputError
from edge.contract.metrics import fnmr, threshold_at_fmr
from edge.contract.score import Head, compare, place, score_all_pairs
from edge.contract.spec import ChipSpec
from trainer import cohort
from trainer.cohort import Strangers, choose_strangers, cohort_chips, own_people, pool, write_cohort
from trainer.dataset import Chips, Faces
from trainer.head import calibrated, fnmr_at_target

RNG = np.random.default_rng(0)
PEOPLE = RNG.normal(size=(60, 8)).astype(np.float32)


def head_of(size: int = 8, *, squared: bool) -> Head:
    return Head(np.linspace(0.5, 2, size).astype(np.float32), 3.0, True, squared)


def nearness(head: Head, rows: np.ndarray, nearest: int) -> np.ndarray:
    """Each person's mean distance to the `nearest` people at `rows`, themselves excluded, from the head's scores one by one."""
    placed = place(head, PEOPLE)
    found = []
    for row in range(len(PEOPLE)):
        others = [other for other in rows if other != row]
        scores = np.array([compare(head, placed[row : row + 1], placed[other : other + 1])[0] for other in others])
        found.append(np.sort(head.bias - np.log(scores / (1 - scores)))[:nearest].mean())
    return np.array(found)


@pytest.mark.parametrize("squared", [True, False])
def test_the_first_choice_is_the_best_and_the_second_is_no_worse_than_promised(
    squared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = head_of(squared=squared)
    few = PEOPLE[:20]
    placed = place(head, few)
    scores = np.array([compare(head, placed[row : row + 1], placed) for row in range(20)])
    apart = head.bias - np.log(scores / (1 - scores))
    np.fill_diagonal(apart, np.inf)
    farthest = apart[np.isfinite(apart)].max()

    def gain(rows: tuple[int, ...]) -> float:
        return float((farthest - np.minimum(apart[list(rows)].min(0), farthest)).sum())

    first = _chosen(head, few, 1, monkeypatch)
    assert gain(first) == pytest.approx(max(gain((row,)) for row in range(20)), rel=1e-4)
    pair = _chosen(head, few, 2, monkeypatch)
    assert gain(pair) >= (1 - 1 / np.e) * max(gain(rows) for rows in combinations(range(20), 2))


@pytest.mark.parametrize("nearest", [2, 3])
def test_each_is_the_best_addition_to_those_before(nearest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody's distances to the nearest few, summed; whoever has fewer strangers so far counts the largest distance for each missing
    one, and for him- or herself."""
    head, few = head_of(squared=True), PEOPLE[:20]
    placed = place(head, few)
    scores = np.array([compare(head, placed[row : row + 1], placed) for row in range(20)])
    apart = head.bias - np.log(scores / (1 - scores))
    padding = np.full((nearest, 20), apart.max())
    np.fill_diagonal(apart, apart.max())
    rows: list[int] = []
    for _ in range(6):
        total = {
            row: np.sort(np.vstack([apart[[*rows, row]], padding]), axis=0)[:nearest].sum() for row in {*range(20)} - {*rows}
        }
        rows.append(min(total, key=lambda row: total[row]))
    monkeypatch.setattr(cohort, "COHORT_MOST", 6)
    assert choose_strangers(head, few, nearest).rows.tolist() == sorted(rows)


def _chosen(head: Head, people: np.ndarray, count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, ...]:
    monkeypatch.setattr(cohort, "COHORT_MOST", count)
    return tuple(int(row) for row in choose_strangers(head, people, 1).rows)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("nearest", [1, 3])
def test_those_chosen_stand_for_all_better_than_others_do(squared: bool, nearest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort, "COHORT_MOST", 12)
    head = head_of(squared=squared)
    strangers = choose_strangers(head, PEOPLE, nearest)
    assert len(set(strangers.rows.tolist())) == 12
    everybody = nearness(head, np.arange(60), nearest)
    off = (nearness(head, strangers.rows, nearest) - everybody).mean()
    others = [(nearness(head, RNG.permutation(60)[:12], nearest) - everybody).mean() for _ in range(8)]
    assert 0 <= off < min(others)


@pytest.mark.parametrize("squared", [True, False])
def test_half_of_everybody_pays_nothing(squared: bool) -> None:
    rows = np.arange(0, 60, 4)
    head = Strangers(PEOPLE, rows, 3).as_cohort_of(head_of(squared=squared))
    assert head.cohort is not None
    assert np.array_equal(head.cohort.embeddings, PEOPLE[rows])
    assert head.cohort.ceiling == pytest.approx(np.median(nearness(head_of(squared=squared), rows, 3)), rel=1e-4)


def test_too_few_are_told() -> None:
    with pytest.raises(ValueError, match="5 people: more than nearest = 5 are needed"):
        choose_strangers(head_of(squared=True), PEOPLE[:5], 5)


def test_calibration_moves_no_comparison_past_another() -> None:
    head = Strangers(PEOPLE, np.arange(0, 60, 2), 3).as_cohort_of(head_of(squared=True))
    held, labels = RNG.normal(size=(24, 8)).astype(np.float32), np.arange(12).repeat(2)
    held[1::2] = held[::2] + 0.3 * held[1::2]
    scaled = calibrated(head, held, labels)
    before, after = (np.concatenate(score_all_pairs(one, held, labels)) for one in (head, scaled))
    assert np.array_equal(np.argsort(before, kind="stable"), np.argsort(after, kind="stable"))
    genuine, impostor = score_all_pairs(scaled, held, labels)
    assert genuine.mean() > 0.5 > impostor.mean()


def test_a_few_people_who_are_told_apart_leave_room_above_every_stranger() -> None:
    """Calibrated on 40 pictures of two people, all of whose genuine scores exceed their impostor scores: an unbounded scale would give
    many strangers among other people a score of exactly 1, and no threshold would separate them."""
    rng = np.random.default_rng(1)

    def drawn(count: int, each: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count).repeat(each)
        middles = rng.normal(size=(count, 32))
        return (middles[labels] + 0.5 * rng.normal(size=(len(labels), 32))).astype(np.float32), labels

    head = calibrated(Head(np.ones(32, np.float32), 0.0, True, True), *drawn(2, 20))
    genuine, impostor = score_all_pairs(head, *drawn(60, 4))
    assert max(genuine.max(), impostor.max()) < 1
    assert fnmr(genuine, threshold_at_fmr(impostor, 1e-3)).value < 0.02
    assert genuine.mean() > 0.9 > 0.1 > impostor.mean()


def test_too_few_to_judge_by_are_told() -> None:
    head = head_of(squared=True)
    for labels in ([0, 0, 1], [0, 1, 2, 3, 4, 5]):
        with pytest.raises(InputError, match=r"[01] genuine and \d+ impostor comparisons here, too few"):
            fnmr_at_target(head, PEOPLE[: len(labels)], np.array(labels))
    assert fnmr_at_target(head, PEOPLE[:6], np.array([0, 0, 0, 1, 1, 1]))[0] == 0.5


def people(names: list[str]) -> Faces:
    labels = np.arange(len(names)).repeat(2)
    chips = Chips.whole(np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((1, 32, 32), np.uint8))
    return Faces(
        ChipSpec(side_px=32), chips, labels, names, "digest", [f"chips/{names[row]}/{at}.png" for at, row in enumerate(labels)]
    )


def test_nobody_who_judges_or_is_measured_is_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"p{number}" for number in range(9)]
    split = {
        "test": ["p0"], "validation": ["p1"], "cohort": ["p2", "gone"], "further_cohort": ["p3"], "train": ["p4", "p5"],
        "further": ["p6"], "start": ["p8"],
    }  # fmt: skip
    found = pool(people(names), split, set())
    assert sorted(found.identities) == ["p2", "p3", "p4", "p5", "p6"]
    assert len(found.labels) == 5
    monkeypatch.setattr(cohort, "POOL_MOST", 3)
    assert len(pool(people(names), split, set()).labels) == 3
    assert len({tuple(pool(people(names), split, set()).identities) for _ in range(8)}) == 1, "always the same"


def test_nobody_of_ones_own_is_a_stranger(tmp_path: Path) -> None:
    """Someone in the cohort would be penalised for looking like him- or herself."""
    (tmp_path / "main/pictures/ada").mkdir(parents=True)
    (tmp_path / "main/pictures/ada/captured").touch()
    main, mine, many = (
        people(["ada", "bob", "eve"]),
        people(["bob", "kim"]),
        people([f"p{number:03d}" for number in range(100)]),
    )
    own = own_people([tmp_path / "main", tmp_path / "mine", tmp_path / "many"], main, [mine, many])
    assert own == {"ada", "kim"}
    split = {"train": ["ada", "bob"], "cohort": ["eve"], "further": ["kim", "p000"]}
    found = pool(main.joined_with(mine).joined_with(many), split, own)
    assert sorted(found.identities) == ["bob", "eve", "p000"]


def test_a_run_keeps_whom_it_chose(tmp_path: Path) -> None:
    faces = people(["ada", "bob", "eve", "kim"])
    first = faces.only(faces.first_rows_per_person(1))
    write_cohort(tmp_path, first, Strangers(np.zeros((4, 8), np.float32), np.array([1, 3]), 1))
    assert json.loads((tmp_path / "cohort.json").read_text()) == ["bob", "kim"]
    assert cohort_chips(tmp_path, faces, {}, set())[:][:, 0, 0].tolist() == [2, 6]
    (tmp_path / "cohort.json").write_text('["nobody"]')
    with pytest.raises(InputError, match=r"cohort\.json: unreadable .*train again"):
        cohort_chips(tmp_path, faces, {}, set())
    (tmp_path / "cohort.json").unlink()
    assert cohort_chips(tmp_path, faces, {"cohort": ["bob", "eve"]}, {"bob"})[:][:, 0, 0].tolist() == [4]
