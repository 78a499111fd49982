"""The gallery on disk: one file a subject, bound to the model that made it. Written whole or not at all; no pictures.

<state>/gallery/<name>.faces = npz(record, templates) + SHA-256 of it    folder 0700, files 0600
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GalleryError, InputError, NameRejected, StorageError, TemplateMismatch
from edge.store import Store

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
SUFFIX = ".faces"
_DIGEST_BYTES = 32
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """An enrolled person: `templates` is float32 [n, D], made by the model of `model_id`. `created` is Unix time, seconds."""

    name: str
    model_id: str
    templates: NDArray[np.float32]
    created: int


def check_name(name: str) -> str:
    """The name itself. Raises NameRejected where it is not one a subject can have."""
    if not NAME_PATTERN.fullmatch(name):
        raise NameRejected(f"name {name!r}: use a-z, 0-9, '_', '.' and '-', at most 32, first a letter or digit")
    return name


class Gallery:
    """All subjects below one state folder. Safe to use from two processes at once."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "gallery"
        self._store = Store(self.folder, state)

    def names(self) -> list[str]:
        """The enrolled subjects, sorted, whether or not their files can be read."""
        try:
            return sorted(path.stem for path in self.folder.glob(f"*{SUFFIX}") if NAME_PATTERN.fullmatch(path.stem))
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot read: {error.strerror}") from error

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Changes whenever a subject is added, replaced or removed, by whatever process."""
        try:
            files = sorted(self.folder.glob(f"*{SUFFIX}"))
            return tuple((file.name, (status := file.stat()).st_mtime_ns, status.st_size) for file in files)
        except FileNotFoundError:
            return ()  # removed between the two calls: the next stamp differs again
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot read: {error.strerror}") from error

    def read(self, name: str) -> Subject:
        """One subject.

        Raises:
            InputError: nobody of this name is enrolled.
            GalleryError: the file is damaged.
            StorageError: it cannot be read.
        """
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"{name}: not enrolled; `edge list` shows who is") from None
        except OSError as error:
            raise StorageError(f"{path}: cannot read: {error.strerror}") from error
        body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            raise GalleryError(f"{path}: damaged (its digest does not fit); remove {name} and enrol again")
        try:
            with np.load(io.BytesIO(body), allow_pickle=False) as saved:
                record, templates = json.loads(str(saved["record"])), saved["templates"]
            subject = Subject(record["name"], record["model_id"], templates, int(record["created"]))
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise GalleryError(f"{path}: unreadable ({error}); remove {name} and enrol again") from error
        good = templates.dtype == np.float32 and templates.ndim == 2 and len(templates) > 0 and np.isfinite(templates).all()
        if record.get("version") != _VERSION or subject.name != name or not good:
            raise GalleryError(f"{path}: holds something else than templates of {name}; remove {name} and enrol again")
        return subject

    def read_own(self, name: str, model_id: str, size: int) -> Subject:
        """One subject whose templates a model made. Raises TemplateMismatch where another made them, else as `read` does."""
        subject = self.read(name)
        if subject.model_id != model_id or subject.templates.shape[1] != size:
            raise TemplateMismatch(
                f"{self._path(name)}: templates of {name} were made by model {subject.model_id[:12]}, "
                f"in use is {model_id[:12]}; enrol {name} again"
            )
        return subject

    def read_for(self, model_id: str, size: int) -> tuple[list[Subject], list[GalleryError | StorageError]]:
        """The subjects that can be matched with a model, and an error for each that cannot."""
        subjects: list[Subject] = []
        refused: list[GalleryError | StorageError] = []
        for name in self.names():
            try:
                subjects.append(self.read_own(name, model_id, size))
            except InputError:
                continue  # removed since its name was read
            except (GalleryError, StorageError) as error:
                refused.append(error)
        return subjects, refused

    def write(self, subject: Subject, *, replace: bool) -> None:
        """Adds a subject; with `replace`, in place of what is there.

        Raises:
            InputError: the name is taken and `replace` is not set.
            StorageError: the disk is full, read-only or not ours; the gallery is as it was.
        """
        path = self._path(subject.name)
        record = {"version": _VERSION, "name": subject.name, "model_id": subject.model_id, "created": subject.created}
        out = io.BytesIO()
        np.savez(out, record=np.array(json.dumps(record)), templates=subject.templates.astype(np.float32))
        body = out.getvalue()
        with self._store.locked() as folder:
            if path.exists() and not replace:
                raise InputError(f"{subject.name}: already enrolled; --replace enrols again, `edge remove` takes out")
            folder.replace(path.name, body + hashlib.sha256(body).digest())

    def remove(self, name: str, *, overwrite: bool = False) -> None:
        """Takes a subject out, readable or not; with `overwrite` its blocks are written over first, as far as the disk does that.

        Raises:
            InputError: nobody of this name is enrolled.
            StorageError: the file cannot be removed.
        """
        with self._store.locked() as folder:
            try:
                folder.remove(self._path(name).name, wipe=overwrite)
            except FileNotFoundError:
                raise InputError(f"{name}: not enrolled; `edge list` shows who is") from None

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}{SUFFIX}"


def new_subject(name: str, model_id: str, templates: NDArray[np.float32]) -> Subject:
    """A subject enrolled now."""
    return Subject(check_name(name), model_id, templates, int(time.time()))
