"""The same-camera check on random embeddings: it warns about a network that recognises cameras, not about one that recognises people."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from edge.contract.metrics import fmr, threshold_at_fmr
from edge.contract.score import Head, score
from trainer.cameras import CameraSet, compare_cameras

HEAD = Head(np.full(16, 0.3, np.float32), 3.0)


def taken(camera: str, names: list[str], look: float, seed: int) -> CameraSet:
    """Embeddings of three pictures of each person; `look` scales an offset that all pictures of this camera share."""
    rng = np.random.default_rng(seed)
    person = {name: np.random.default_rng(int(name[1:])).normal(size=16) for name in names}
    of = np.repeat(names, 3)
    points = np.stack([person[name] for name in of]) + 0.2 * rng.normal(size=(len(of), 16)) + look * rng.normal(size=16)
    return CameraSet(camera, points.astype(np.float32), points.astype(np.float32), of)


def people(start: int, count: int) -> list[str]:
    return [f"p{n}" for n in range(start, start + count)]


def test_a_network_that_tells_cameras_is_told() -> None:
    first, other = compare_cameras(HEAD, [taken("a", people(0, 40), 1.5, 1), taken("b", people(40, 40), 1.5, 2)])
    assert first["gap"]
    assert other["gap"]
    assert first["ratio"] > 5
    assert (first["impostor"], first["across"]) == (120 * 117 // 2, 120 * 120)
    assert 0 < first["fmr_across"] <= 1e-3


def test_one_that_tells_people_is_not() -> None:
    rows = compare_cameras(HEAD, [taken("a", people(0, 40), 0.0, 1), taken("b", people(40, 40), 0.0, 2)])
    assert [row["gap"] for row in rows] == [False, False]


def test_a_person_of_both_sets_is_no_stranger() -> None:
    """Otherwise the threshold would lie among genuine scores, and no gap would show."""
    shared, _ = compare_cameras(HEAD, [taken("a", people(0, 40), 1.5, 1), taken("b", people(30, 50), 1.5, 2)])
    assert shared["across"] == 120 * 150 - 10 * 9
    assert shared["gap"]


def test_few_comparisons_show_nothing() -> None:
    assert compare_cameras(HEAD, [taken("a", people(0, 10), 1.5, 1), taken("b", people(10, 10), 1.5, 2)]) == []


def test_the_rates_are_those_of_templates_against_probes_one_by_one() -> None:
    """Three sets that share people; scores in doubt are of both looks."""
    sets, head = [], replace(HEAD, doubt=(0.001, 0.9))
    for camera, start in (("a", 0), ("b", 8), ("c", 12)):
        plain = taken(camera, people(start, 12), 0.3, start)
        noise = np.random.default_rng(start + 1).normal(0, 0.3, plain.embeddings.shape).astype(np.float32)
        sets.append(replace(plain, templates=plain.embeddings + noise))

    def scores(one: CameraSet, other: CameraSet, *, within: bool) -> list[float]:
        return [
            float(score(head, other.embeddings[b], one.templates[a][None], other.templates[b])[0])
            for a, name in enumerate(one.names)
            for b in range(a + 1 if within else 0, len(other.names))
            if other.names[b] != name
        ]

    across = [value for one, other in combinations(sets, 2) for value in scores(one, other, within=False)]
    threshold = threshold_at_fmr(across, 1e-3)
    rows = compare_cameras(head, sets)
    assert [(row["across"], row["fmr_across"]) for row in rows] == [(len(across), fmr(across, threshold).value)] * 3
    for camera_set, row in zip(sets, rows, strict=True):
        found = fmr(scores(camera_set, camera_set, within=True), threshold)
        assert (row["impostor"], row["fmr_within"], row["low"]) == (found.trials, found.value, found.low)


@pytest.mark.parametrize(
    ("across", "within", "ratio", "gap"),
    [
        (40, 39, 39 / 19.9, False),
        (40, 41, 41 / 19.9, True),
        (30, 29, 29 / 19.9 / 0.75, False),
        (30, 31, 31 / 19.9 / 0.75, True),
    ],
)
def test_a_gap_is_more_than_twice(across: int, within: int, ratio: float, gap: bool) -> None:
    """Two hundred people in each set, far apart, except for some in the same place as somebody of the other set, and some of the second
    set. 39 of 19,900 are surely more than 1e-3, but not twice as many as across."""
    first, second = 100.0 * np.arange(200), 100_000 + 100.0 * np.arange(200)
    second[:across] = first[:across]
    second[across : across + within] = second[across + within : across + 2 * within]
    row = compare_cameras(Head(np.ones(1, np.float32), 5.0), [alone("a", first, 0), alone("b", second, 200)])[1]
    assert (row["fmr_across"], row["ratio"], row["gap"]) == (across / 40_000, pytest.approx(ratio), gap)
    assert across == 30 or row["low"] > 1e-3


@pytest.mark.parametrize(("within", "gap"), [(3, False), (10, True)])
def test_a_gap_to_no_match_across_must_be_beyond_chance(within: int, gap: bool) -> None:
    """All across are equally far. Three of 1,770 within are more than twice as many, but may be chance."""
    second = 5 + 10.0 * np.arange(60)
    second[:within] = second[20 : 20 + within]
    row = compare_cameras(Head(np.ones(1, np.float32), 5.0), [alone("a", 10.0 * np.arange(60), 0), alone("b", second, 60)])[1]
    one_across = 1 / 60**2
    assert (row["fmr_across"], row["impostor"], row["gap"]) == (0.0, 1770, gap)
    assert row["ratio"] == pytest.approx(within / 1770 / one_across)


def alone(camera: str, where: np.ndarray, start: int) -> CameraSet:
    """One picture of each of the people from number `start` on, at these points on a line."""
    points = where[:, None].astype(np.float32)
    return CameraSet(camera, points, points, np.array(people(start, len(where))))
