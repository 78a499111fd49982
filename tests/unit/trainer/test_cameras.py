"""The same-camera check on random embeddings: it warns about a network that recognises cameras, not about one that recognises people."""

from __future__ import annotations

import numpy as np

from edge.contract.score import Head
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
