"""Prepared data sets: chips on disk, read when they are needed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from edge.contract.spec import ChipSpec
from trainer.errata import rightly_labelled
from trainer.layout import is_captured, photograph_of
from trainer.pack import PACK, Pack, pack_chips
from trainer.prepare import read_manifest

# The part of a split with the people of further sets that are kept for the cohort.
FURTHER_COHORT = "further_cohort"
# People in a cohort at most: each takes an eighth of a kilobyte of the model file.
COHORT_MOST = 512
# Pictures of one person that are used at most where people are compared.
PICTURES_EACH = 10


class Chips:
    """Chips of one or more packed sets, as an array that is read from disk when indexed: uint8 [n, side, side] or [n, side, side, 3]."""

    def __init__(self, packs: list[NDArray[np.uint8] | Pack], pack: NDArray[np.int64], row: NDArray[np.int64]) -> None:
        self._packs, self._pack, self._row = packs, pack, row
        self.shape = (len(row), *packs[0].shape[1:])

    @classmethod
    def whole(cls, pack: NDArray[np.uint8] | Pack) -> Chips:
        """All chips of one array or pack."""
        return cls([pack], np.zeros(len(pack), np.int64), np.arange(len(pack)))

    def __len__(self) -> int:
        return len(self._row)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        packs, pack_rows = self._pack[rows], self._row[rows]
        out = np.empty((len(pack_rows), *self.shape[1:]), np.uint8)
        for number, pack in enumerate(self._packs):
            in_pack = packs == number
            out[in_pack] = pack[pack_rows[in_pack]]
        return out

    def one(self, row: int) -> NDArray[np.uint8]:
        """Chip `row`, uint8 [side, side] or [side, side, 3]."""
        return np.asarray(self._packs[self._pack[row]][self._row[row]])

    def only(self, rows: NDArray[np.int64]) -> Chips:
        """Only these rows."""
        return Chips(self._packs, self._pack[rows], self._row[rows])

    def joined_with(self, others: Chips) -> Chips:
        """These chips followed by the others."""
        pack = np.concatenate([self._pack, others._pack + len(self._packs)])
        return Chips(self._packs + others._packs, pack, np.concatenate([self._row, others._row]))


@dataclass(frozen=True, slots=True)
class Teaching:
    """A teacher's answers for n chips: `vectors`, float32 [n, T], and `placements`, where it looked, float32 [n, 4] as in
    `edge.contract.align`."""

    vectors: NDArray[np.float32]
    placements: NDArray[np.float32]

    def only(self, rows: NDArray[np.int64]) -> Teaching:
        """Only these rows."""
        return Teaching(self.vectors[rows], self.placements[rows])


@dataclass(frozen=True, slots=True)
class Faces:
    """Chips with their `labels`, int [n], indices into `identities`, their `names`, and a teacher's answers if there are any. `digest` is
    over chips and identities."""

    spec: ChipSpec
    chips: Chips
    labels: NDArray[np.int64]
    identities: list[str]
    digest: str
    names: list[str]
    teaching: Teaching | None = None

    def of(self, names: list[str]) -> Faces:
        """Only the faces of these identities, with labels renumbered in the order of `names`."""
        old_label = {name: number for number, name in enumerate(self.identities)}
        old_labels = [old_label[name] for name in names]
        new_label = np.full(len(self.identities), -1)
        new_label[old_labels] = np.arange(len(old_labels))
        labels = new_label[self.labels]
        rows = np.flatnonzero(labels >= 0)
        return replace(self.only(rows), labels=labels[rows], identities=names)

    def only(self, rows: NDArray[np.int64]) -> Faces:
        """Only these rows, with labels and identities unchanged."""
        return replace(
            self,
            chips=self.chips.only(rows),
            labels=self.labels[rows],
            names=[self.names[row] for row in rows],
            teaching=self.teaching.only(rows) if self.teaching else None,
        )

    def first_rows_per_person(self, count: int) -> NDArray[np.int64]:
        """The rows of each person's first `count` pictures, in the order of the set."""
        order = np.argsort(self.labels, kind="stable")
        labels = self.labels[order]
        return np.sort(order[np.arange(len(labels)) - np.searchsorted(labels, labels) < count])

    def measured(self, each: int = PICTURES_EACH) -> Faces:
        """The faces that figures are computed from: without pictures known to be mislabelled (trainer/errata.py), and the first `each` of a
        person. Someone with a hundred pictures would make half of all genuine comparisons."""
        correct = self.only(
            np.array(
                [
                    row
                    for row, (label, name) in enumerate(zip(self.labels, self.names, strict=True))
                    if rightly_labelled(self.identities[label], photograph_of(name))
                ],
                np.int64,
            )
        )
        few = correct.only(correct.first_rows_per_person(each))
        return few.of([few.identities[label] for label in np.unique(few.labels)])

    def joined_with(self, others: Faces) -> Faces:
        """The faces of both sets; people with the same name are one person. A photograph that both sets have of a person is taken once,
        because a duplicate would be the easiest genuine pair there is.

        Raises:
            InputError: the sets have different chips, or vectors of different teachers.
        """
        if others.spec != self.spec:
            raise InputError(f"two data sets with different chips: {self.spec} and {others.spec}; prepare both alike")
        row_of = {key: row for row, key in enumerate(self._photographs())}
        new_rows = [
            row
            for row, key in enumerate(others._photographs())
            if (match := row_of.get(key)) is None
            # Captured at two cameras: the same name, but different pictures.
            or (is_captured(key[1]) and not np.array_equal(self.chips.one(match), others.chips.one(row)))
        ]
        rows = np.array(new_rows, np.int64)
        identities = [
            *self.identities,
            *sorted({others.identities[label] for label in others.labels[rows]} - {*self.identities}),
        ]
        label_of = {name: label for label, name in enumerate(identities)}
        added = np.array([label_of[others.identities[label]] for label in others.labels[rows]], np.int64)
        teaching = None
        if self.teaching and others.teaching:
            other_teaching = others.teaching.only(rows)
            vector_size = self.teaching.vectors.shape[1]
            if other_teaching.vectors.shape[1] != vector_size:
                raise InputError(
                    f"two data sets of different teachers: vectors of {vector_size} and of {other_teaching.vectors.shape[1]} numbers; "
                    "run `trainer teach` on both alike"
                )
            teaching = Teaching(
                np.concatenate([self.teaching.vectors, other_teaching.vectors]),
                np.concatenate([self.teaching.placements, other_teaching.placements]),
            )
        return Faces(
            self.spec,
            self.chips.joined_with(others.chips.only(rows)),
            np.concatenate([self.labels, added]),
            identities,
            hashlib.sha256(f"{self.digest}{others.digest}".encode()).hexdigest(),
            self.names + [others.names[row] for row in new_rows],
            teaching,
        )

    def hidden(self, others: Faces) -> list[str]:
        """The names of the others' chips that `joined_with` leaves out as duplicates although their pixels differ: cut differently, or
        another photograph of the same name."""
        row_of = {key: row for row, key in enumerate(self._photographs())}
        return [
            others.names[row]
            for row, key in enumerate(others._photographs())
            if (match := row_of.get(key)) is not None
            and not is_captured(key[1])
            and not np.array_equal(self.chips.one(match), others.chips.one(row))
        ]

    def _photographs(self) -> list[tuple[str, str]]:
        """Person and picture name of each chip: pixels do not identify a photograph, which another set may cut differently."""
        return [(self.identities[label], photograph_of(name)) for label, name in zip(self.labels, self.names, strict=True)]


def joined(main: Faces, further: list[Faces]) -> Faces:
    """The faces of a first set and further ones, joined by `Faces.joined_with`."""
    return reduce(Faces.joined_with, further, main)


def load_faces(folder: Path) -> Faces:
    """The chips that prepared.json lists. The first call packs them into one file.

    Raises:
        InputError: the set is not prepared, or a chip is missing or of another size.
        StorageError: the pack cannot be written.
    """
    manifest = read_manifest(folder)
    spec = ChipSpec.from_json(manifest["chip"])
    entries = manifest["chips"]
    digest = pack_chips(folder, entries, spec)
    identities = sorted({entry["identity"] for entry in entries})
    label_of = {name: label for label, name in enumerate(identities)}
    labels = np.array([label_of[entry["identity"]] for entry in entries], np.int64)
    chips = Chips.whole(Pack(folder / PACK))
    return Faces(spec, chips, labels, identities, digest, [entry["chip"] for entry in entries])


def kept_chips(all_faces: Faces, split: dict[str, list[str]]) -> Chips:
    """One chip of each person who is kept for the cohort only: all of the further sets, then people of the first set up to
    COHORT_MOST."""
    from_further = split.get(FURTHER_COHORT, [])
    from_main = split["cohort"][: max(0, COHORT_MOST - len(from_further))]
    faces = all_faces.of([*from_further, *from_main])
    return faces.chips.only(faces.first_rows_per_person(1))
