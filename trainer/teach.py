"""A teacher's answers for a prepared set, asked for once and stored: a vector for each picture, and where in the chip it looked.

    <data>/teacher.npz    names [n], vectors float16 [n, T], placements float32 [n, 4], made_by, asked_about, learned [m]

Any recogniser can be the teacher: a program that writes such a file can replace this module.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.progress import track

from edge.contract.align import Placement
from edge.contract.errors import InputError
from trainer.augment import WHOLE
from trainer.dataset import Faces, Teaching, load_faces
from trainer.files import write_atomically
from trainer.prepare import read_manifest
from trainer.verifier import Verifier, embed, weights_digest

TEACHER, UNFINISHED = "teacher.npz", "teacher.part.npz"
_BATCH = 64
_SAVE_EVERY_S = 30.0


class Teacher(Protocol):
    """A recogniser to learn from. `made_by` describes it for people; `learned` lists the identities it was trained on, as data sets name
    them."""

    made_by: str
    learned: Sequence[str]

    def ask(self, rows: range) -> Teaching:
        """Vectors and placements for these rows of the prepared set that the teacher was made for."""
        ...


class VerifierTeacher:
    """A trained verifier as the teacher for a prepared set: the mean of its embeddings of a face and of the mirror image.

    Raises:
        InputError: the set is not prepared, or its chips are not what the verifier takes.
    """

    def __init__(self, folder: Path, verifier: Verifier, name: str, learned: Collection[str]) -> None:
        self._chips, self._verifier, self.learned = load_faces(folder).chips, verifier, sorted(learned)
        aligner, side_px = verifier.aligner, verifier.tower.input_shape[1]
        unit_px, channels = aligner.spec.input_px if aligner else side_px, verifier.tower.input_shape[3]
        side, chip_channels = self._chips.shape[1], 3 if len(self._chips.shape) == 4 else 1
        if chip_channels != channels or (side % unit_px if aligner else side != side_px):
            raise InputError(
                f"{folder}: chips of {side} px with {chip_channels} channels are not what {name} takes; prepare with its recipe"
            )
        self.made_by = f"{name} (weights {weights_digest(verifier.tower)[:12]}), mean over a face and its mirror image"

    def ask(self, rows: range) -> Teaching:
        """Vectors and placements for these rows of the set; without an aligner, the whole chip is the placement."""
        chips, aligner = self._chips[np.array(rows)], self._verifier.aligner
        placements: list[Placement] | None = aligner.placements(chips) if aligner else None
        embeddings = [embed(self._verifier.tower, chips, placements, mirrored=mirrored) for mirrored in (False, True)]
        placement_rows = np.array(placements or [WHOLE] * len(rows), np.float32)
        return Teaching((embeddings[0] + embeddings[1]) / 2, placement_rows)


def teach(folder: Path, teacher: Teacher) -> Teaching:
    """Asks a teacher about every prepared picture of `folder` and writes teacher.npz there. An interrupted call is resumed and loses
    about half a minute of work at most.

    Raises:
        InputError: the set is not prepared.
        StorageError: the file cannot be written.
    """
    names = [entry["chip"] for entry in read_manifest(folder)["chips"]]
    parts, saved_at = _load_unfinished(folder, names, teacher.made_by), time.monotonic()
    done = sum(len(part.vectors) for part in parts)
    batches = range(done, len(names), _BATCH)
    for start in track(batches, f"asking the teacher, {folder.name}", console=Console(stderr=True)):
        parts.append(teacher.ask(range(start, min(start + _BATCH, len(names)))))
        if time.monotonic() - saved_at > _SAVE_EVERY_S:
            parts, saved_at = [_concatenated(parts)], time.monotonic()
            write_teaching(
                folder,
                names[: len(parts[0].vectors)],
                parts[0],
                made_by=teacher.made_by,
                learned=teacher.learned,
                into=UNFINISHED,
            )
    teaching = _concatenated(parts)
    write_teaching(folder, names, teaching, made_by=teacher.made_by, learned=teacher.learned)
    (folder / UNFINISHED).unlink(missing_ok=True)
    return teaching


def _load_unfinished(folder: Path, names: list[str], made_by: str) -> list[Teaching]:
    """The answers of the same teacher for the same pictures from an interrupted call, as one Teaching; empty if there are none."""
    path = folder / UNFINISHED
    if not path.exists():
        return []
    try:
        with np.load(path, allow_pickle=False) as saved:
            count = len(saved["names"])
            same = [str(saved["made_by"]), str(saved["asked_about"])] == [made_by, _preparation_digest(folder)]
            same = same and saved["names"].tolist() == names[:count]
            return [Teaching(saved["vectors"].astype(np.float32), saved["placements"])] if same else []
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return []  # the file only saves time, so an unreadable one is ignored


def _concatenated(parts: list[Teaching]) -> Teaching:
    vectors, placements = (np.concatenate([getattr(part, name) for part in parts]) for name in ("vectors", "placements"))
    return Teaching(vectors.astype(np.float32), placements.astype(np.float32))


def write_teaching(
    folder: Path, names: list[str], teaching: Teaching, *, made_by: str, learned: Sequence[str] = (), into: str = TEACHER
) -> None:
    """Writes teacher.npz. Raises StorageError if that fails."""
    out = io.BytesIO()
    np.savez(
        out,
        names=np.array(names),
        vectors=teaching.vectors.astype(np.float16),
        placements=teaching.placements.astype(np.float32),
        made_by=np.array(made_by),
        asked_about=np.array(_preparation_digest(folder)),
        learned=np.array(learned, str),
    )
    write_atomically(folder / into, out.getvalue())


def load_with_teaching(folder: Path) -> Faces:
    """A prepared set with the teacher's answers, in the order of its chips.

    Raises:
        InputError: the set is not prepared, or its teacher.npz is missing, unreadable, incomplete or of an earlier preparation.
    """
    faces = load_faces(folder)
    path, remedy = folder / TEACHER, f"run `trainer teach {folder}` again"
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as saved:
            names = [str(name) for name in saved["names"]]
            vectors, placements = (saved[key].astype(np.float32) for key in ("vectors", "placements"))
            # Older files, and files written by other programs, may lack it.
            preparation = str(saved["asked_about"]) if "asked_about" in saved else None
    except FileNotFoundError as error:
        raise InputError(f"{folder}: this recipe needs a teacher's vectors; run `trainer teach {folder}`") from error
    # TypeError: a lone .npy array is no archive. EOFError: an empty file.
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: unreadable ({error}); {remedy}") from error
    if vectors.ndim != 2 or len(vectors) != len(names) or placements.shape != (len(names), 4):
        raise InputError(f"{path}: vectors {vectors.shape} and placements {placements.shape} for {len(names)} names; {remedy}")
    row_of = {name: index for index, name in enumerate(names)}
    if unknown := [name for name in faces.names if name not in row_of]:
        raise InputError(f"{path}: nothing about {len(unknown)} of {len(faces.names)} pictures, such as {unknown[0]}; {remedy}")
    if preparation not in (None, _preparation_digest(folder)):
        raise InputError(f"{path}: {folder} was prepared anew since, with other boxes or chips; {remedy}")
    rows = [row_of[name] for name in faces.names]
    teaching = Teaching(vectors[rows], placements[rows])
    # Checked now, because a training would fail on NaN only an hour later. A vector of length 0 has no direction.
    usable = np.isfinite(teaching.vectors).all(1) & teaching.vectors.any(1) & np.isfinite(teaching.placements).all(1)
    usable &= teaching.placements[:, 2] > 0
    if not usable.all():
        raise InputError(f"{path}: {(~usable).sum()} of {len(usable)} rows hold no vector or no placement; {remedy}")
    return replace(faces, teaching=teaching)


def read_learned(folder: Path) -> set[str]:
    """The identities that the teacher of a set was trained on, from its teacher.npz; empty for older files, and for those of other
    programs, that do not say.

    Raises:
        InputError: the file cannot be read.
    """
    path = folder / TEACHER
    try:
        with np.load(path, allow_pickle=False) as saved:
            return {str(name) for name in saved["learned"]} if "learned" in saved else set()
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: unreadable ({error}); run `trainer teach {folder}` again") from error


def _preparation_digest(folder: Path) -> str:
    """A digest of how a set was prepared, because placements are only valid for chips that were cut the same way."""
    manifest = read_manifest(folder)
    return hashlib.sha256(json.dumps([manifest["chip"], manifest["chips"]], sort_keys=True).encode()).hexdigest()
