"""Chooses the cohort, the strangers that every face is compared with: few enough for the model file, and representative of everyone whom
the training knew.

The head needs the likeness of a face to its nearest strangers (docs/decisions/0011), so those are chosen that preserve it best: facility
location (Cornuejols, Fisher and Nemhauser 1977) with the nearest few in place of the nearest one, by the lazy greedy algorithm (Minoux
1978), which is valid because the gain of adding a stranger never grows.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from edge.contract.score import Cohort, Head, place
from trainer.dataset import COHORT_MOST, FURTHER_COHORT, Chips, Faces, kept_chips
from trainer.files import write_atomically
from trainer.importer import captured_subjects
from trainer.split import FURTHER, FURTHER_COHORT_LEAST_PEOPLE

COHORT = "cohort.json"
# Candidates at most; from more people, this many are drawn. The choice is hardly worse, and takes a minute.
POOL_MOST = 12_000
_BLOCK = 512
DistancesFrom = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def own_people(data: list[Path], main: Faces, further: list[Faces]) -> set[str]:
    """People whom the model may have to recognise, and who therefore must not be in its cohort: those captured into one of the sets at
    `data`, and those of small further sets."""
    small = [
        {*faces.identities} - {*main.identities} for faces in further if len(faces.identities) < FURTHER_COHORT_LEAST_PEOPLE
    ]
    return set().union(*map(captured_subjects, data), *small)


def pool(all_faces: Faces, split: dict[str, list[str]], own: set[str]) -> Faces:
    """The candidates for a cohort: one picture of each person of a training, without its validation and test people and its
    `own_people`; at most POOL_MOST, drawn at random."""
    names = [name for part in ("cohort", FURTHER_COHORT, "train", FURTHER) for name in split.get(part, [])]
    present = {*all_faces.identities} - own
    names = [name for name in names if name in present]
    if len(names) > POOL_MOST:
        drawn = np.random.default_rng(0).permutation(len(names))[:POOL_MOST]
        names = [names[row] for row in np.sort(drawn)]
    faces = all_faces.of(names)
    return faces.only(faces.first_rows_per_person(1))


@dataclass(frozen=True, slots=True)
class Strangers:
    """The chosen `rows`, int64, of `people`, float32 [n, D] embeddings, one per person; a face's `nearest` strangers count."""

    people: NDArray[np.float32]
    rows: NDArray[np.int64]
    nearest: int

    def as_cohort_of(self, head: Head) -> Head:
        """The head with them as its cohort. The ceiling is the median nearness of all `people` to the chosen ones, themselves excluded:
        half of all people get no penalty."""
        distances_from = _distances(head, self.people)
        distances = np.concatenate(
            [distances_from(self.rows[start : start + _BLOCK]) for start in range(0, len(self.rows), _BLOCK)]
        )
        nearness = np.partition(distances, self.nearest - 1, axis=0)[: self.nearest].mean(0)
        ceiling = float(np.median(nearness[np.isfinite(nearness)]))
        return replace(head, cohort=Cohort(self.people[self.rows], self.nearest, ceiling))


def write_cohort(run: Path, people: Faces, strangers: Strangers) -> None:
    """Writes the names of the chosen people to the run folder. Raises StorageError if that fails."""
    names = sorted(people.identities[label] for label in people.labels[strangers.rows])
    write_atomically(run / COHORT, json.dumps(names, indent=1).encode())


def cohort_chips(run: Path, all_faces: Faces, split: dict[str, list[str]], own: set[str]) -> Chips:
    """One chip of each person of a finished run's cohort; if its recipe has no cohort, of the people kept for one, without `own`.

    Raises:
        InputError: cohort.json is unreadable.
    """
    path = run / COHORT
    if not path.exists():
        allowed = {part: [name for name in names if name not in own] for part, names in split.items()}
        return kept_chips(all_faces, allowed)
    try:
        faces = all_faces.of([str(name) for name in json.loads(path.read_text())])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: unreadable ({error}); train again in another --run folder") from error
    return faces.chips.only(faces.first_rows_per_person(1))


def choose_strangers(head: Head, people: NDArray[np.float32], nearest: int) -> Strangers:
    """Chooses at most COHORT_MOST of these people, float32 [n, D] embeddings, one per person, for heads that compare as this one does.

    Raises:
        ValueError: there are not more than `nearest` people.
    """
    if len(people) <= nearest:
        raise ValueError(f"{len(people)} people: more than nearest = {nearest} are needed")
    rows = _greedy(_distances(head, people), len(people), min(COHORT_MOST, len(people)), nearest)
    return Strangers(people, rows, nearest)


def _greedy(distances_from: DistancesFrom, people: int, count: int, nearest: int) -> NDArray[np.int64]:
    everybody = np.arange(people)
    # Each person's distances to the nearest chosen strangers, ascending; until there are enough, the largest distance of all.
    farthest = max(_largest(distances_from(everybody[start : start + _BLOCK])) for start in range(0, people, _BLOCK))
    near = np.full((people, nearest), farthest, np.float32)
    gains = np.concatenate(
        [
            np.maximum(farthest - distances_from(everybody[start : start + _BLOCK]), 0).sum(1)
            for start in range(0, people, _BLOCK)
        ]
    )
    heap = [(-float(gain), row) for row, gain in enumerate(gains)]
    heapq.heapify(heap)
    rows: list[int] = []
    while len(rows) < count:
        _, row = heapq.heappop(heap)
        distance = distances_from(everybody[row : row + 1])[0]
        gain = float(np.maximum(near[:, -1] - distance, 0).sum())
        if heap and -gain > heap[0][0]:
            heapq.heappush(heap, (-gain, row))
            continue
        rows.append(row)
        nearer = distance < near[:, -1]
        closest = near[nearer]
        closest[:, -1] = distance[nearer]
        near[nearer] = np.sort(closest, axis=1)
    return np.array(sorted(rows))


def _distances(head: Head, people: NDArray[np.float32]) -> DistancesFrom:
    """A function from rows, int [m], to the head's distances of these people to all, float32 [m, n]; infinite to themselves."""
    points = place(replace(head, cohort=None), people).points.astype(np.float32)
    lengths = np.einsum("nd,nd->n", points, points)

    def distances_from(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if head.squared:
            distances = np.maximum(lengths[rows][:, None] + lengths - 2 * points[rows] @ points.T, 0)
        else:
            distances = np.stack([np.abs(points - points[row]).sum(1) for row in rows])
        distances[np.arange(len(rows)), rows] = np.inf  # nobody is his or her own stranger
        return distances

    return distances_from


def _largest(distances: NDArray[np.float32]) -> float:
    return float(distances[np.isfinite(distances)].max())
