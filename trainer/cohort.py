"""Which strangers a face is held against: as few as fit into the file, standing for everybody whom the training knew.

The likeness of a face to its nearest strangers is what the head needs of them (docs/decisions/0011). Chosen are those by whom that is kept
best: facility location (Cornuejols, Fisher and Nemhauser 1977) with the nearest few instead of the nearest, by the greedy algorithm, which
is lazy (Minoux 1978): what a stranger adds only ever falls.
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
# People who are asked; of more, as many are drawn: a choice among them is hardly worse, and takes a minute.
POOL_MOST = 12_000
_BLOCK = 512
Apart = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def own_people(data: list[Path], main: Faces, further: list[Faces]) -> set[str]:
    """Those whom a model may have to recognise, and who must be nobody's stranger, least of all their own: who was captured into one of
    the sets at `data`, and the people of small further ones."""
    small = [
        {*faces.identities} - {*main.identities} for faces in further if len(faces.identities) < FURTHER_COHORT_LEAST_PEOPLE
    ]
    return set().union(*map(captured_subjects, data), *small)


def pool(together: Faces, split: dict[str, list[str]], own: set[str]) -> Faces:
    """One picture each of everybody of a training but those whom it is judged by and measured on, and its `own_people`."""
    names = [name for part in ("cohort", FURTHER_COHORT, "train", FURTHER) for name in split.get(part, [])]
    present = {*together.identities} - own
    names = [name for name in names if name in present]
    if len(names) > POOL_MOST:
        drawn = np.random.default_rng(0).permutation(len(names))[:POOL_MOST]
        names = [names[row] for row in np.sort(drawn)]
    faces = together.of(names)
    return faces.only(faces.rows_few_each(1))


@dataclass(frozen=True, slots=True)
class Strangers:
    """Those of `people`, embeddings float32 [n, D] no two of one person, at the `rows` that were chosen; `nearest` of them count."""

    people: NDArray[np.float32]
    rows: NDArray[np.int64]
    nearest: int

    def beside(self, head: Head) -> Head:
        """The head with them as its cohort. The ceiling is the median nearness of all the people to those who were chosen, nobody being
        his or her own stranger: half of everybody pays nothing."""
        apart = _distances(head, self.people)
        distances = np.concatenate([apart(self.rows[at : at + _BLOCK]) for at in range(0, len(self.rows), _BLOCK)])
        nearness = np.partition(distances, self.nearest - 1, axis=0)[: self.nearest].mean(0)
        ceiling = float(np.median(nearness[np.isfinite(nearness)]))
        return replace(head, cohort=Cohort(self.people[self.rows], self.nearest, ceiling))


def write_cohort(run: Path, people: Faces, strangers: Strangers) -> None:
    """Keeps the names of those who were chosen in the run's folder. Raises StorageError where that fails."""
    names = sorted(people.identities[label] for label in people.labels[strangers.rows])
    write_atomically(run / COHORT, json.dumps(names, indent=1).encode())


def cohort_chips(run: Path, together: Faces, split: dict[str, list[str]], own: set[str]) -> Chips:
    """One chip of each person of a finished run's cohort; of one whose recipe has none, of those kept for it but its `own_people`.

    Raises:
        InputError: cohort.json is unreadable.
    """
    path = run / COHORT
    if not path.exists():
        kept = {part: [name for name in names if name not in own] for part, names in split.items()}
        return kept_chips(together, kept)
    try:
        faces = together.of([str(name) for name in json.loads(path.read_text())])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: unreadable ({error}); train again in another --run folder") from error
    return faces.chips.only(faces.rows_few_each(1))


def choose_strangers(head: Head, people: NDArray[np.float32], nearest: int) -> Strangers:
    """At most COHORT_MOST of these people, embeddings float32 [n, D] no two of one person, for heads like this one.

    Raises:
        ValueError: they are not more than `nearest`.
    """
    if len(people) <= nearest:
        raise ValueError(f"{len(people)} people: more than nearest = {nearest} are needed")
    rows = _greedy(_distances(head, people), len(people), min(COHORT_MOST, len(people)), nearest)
    return Strangers(people, rows, nearest)


def _greedy(apart: Apart, people: int, count: int, nearest: int) -> NDArray[np.int64]:
    everybody = np.arange(people)
    # What each person's nearest are at, ascending; before there are so many, further than anybody is.
    farthest = max(_largest(apart(everybody[at : at + _BLOCK])) for at in range(0, people, _BLOCK))
    near = np.full((people, nearest), farthest, np.float32)
    gains = np.concatenate(
        [np.maximum(farthest - apart(everybody[at : at + _BLOCK]), 0).sum(1) for at in range(0, people, _BLOCK)]
    )
    best = [(-float(gain), row) for row, gain in enumerate(gains)]
    heapq.heapify(best)
    rows: list[int] = []
    while len(rows) < count:
        _, row = heapq.heappop(best)
        distance = apart(everybody[row : row + 1])[0]
        gain = float(np.maximum(near[:, -1] - distance, 0).sum())
        if best and -gain > best[0][0]:
            heapq.heappush(best, (-gain, row))
            continue
        rows.append(row)
        nearer = distance < near[:, -1]
        kept = near[nearer]
        kept[:, -1] = distance[nearer]
        near[nearer] = np.sort(kept, axis=1)
    return np.array(sorted(rows))


def _distances(head: Head, people: NDArray[np.float32]) -> Apart:
    """What gives the head's distances, float32 [m, n], of people at rows, int [m], to everybody."""
    points = place(replace(head, cohort=None), people).points.astype(np.float32)
    lengths = np.einsum("nd,nd->n", points, points)

    def apart(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if head.squared:
            found = np.maximum(lengths[rows][:, None] + lengths - 2 * points[rows] @ points.T, 0)
        else:
            found = np.stack([np.abs(points - points[row]).sum(1) for row in rows])
        found[np.arange(len(rows)), rows] = np.inf  # nobody is his or her own stranger
        return found

    return apart


def _largest(distances: NDArray[np.float32]) -> float:
    return float(distances[np.isfinite(distances)].max())
