"""The gallery on disk: one file per subject, bound to the model that made it. Written whole or not at all; stores no pictures.

<state>/gallery/<name>.faces = npz(record, templates) + SHA-256 of it    folder 0700, files 0600

With encryption (edge/seal.py) the npz is sealed, and the digest is that of the sealed bytes. Files of both kinds can be mixed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GalleryError, InputError, NameRejected, StorageError, TemplateMismatch
from edge.keys import Key, Keys
from edge.seal import MAGIC, Sealed, seal, take_apart, unseal
from edge.settings import GallerySettings
from edge.settings.deciding import SUBJECT
from edge.store import Store, read_file

NAME_PATTERN = re.compile(SUBJECT)
SUFFIX = ".faces"
_DIGEST_BYTES = 32
_VERSION = 1
# Far more bytes than one subject's templates have, and far more seconds since 1970 than there will be.
_MOST_BYTES = 16 << 20
_MOST_SECONDS = 1 << 36


@dataclass(frozen=True, slots=True)
class Subject:
    """An enrolled person: `templates` is float32 [n, D], made by the model of `model_id`. `created` is Unix time, seconds."""

    name: str
    model_id: str
    templates: NDArray[np.float32]
    created: int


def check_name(name: str) -> str:
    """Returns the name. Raises NameRejected if no subject can have it."""
    if not NAME_PATTERN.fullmatch(name):
        raise NameRejected(f"name {name!r}: use a-z, 0-9, '_', '.' and '-', at most 32, first a letter or digit")
    return name


class Gallery:
    """All subjects below one state folder, written with the key in force if there is one. Safe to use from two processes at once."""

    def __init__(self, state: Path, keys: Keys | None = None) -> None:
        self.folder = state / "gallery"
        self._store = Store(self.folder, state)
        self._keys = keys or Keys(GallerySettings(), state)

    def names(self) -> list[str]:
        """The enrolled subjects, sorted, whether or not their files can be read.

        Raises:
            StorageError: the folder cannot be read, so it is unknown who is enrolled.
        """
        return sorted(stem for stem in (name.removesuffix(SUFFIX) for name in self._files()) if NAME_PATTERN.fullmatch(stem))

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """A value that changes whenever any process adds, replaces or removes a subject, or changes a file's owner or mode. Raises
        StorageError as `names` does."""
        return tuple((name, *self._dates(name)) for name in sorted(self._files()))

    def read(self, name: str) -> Subject:
        """One subject.

        Raises:
            InputError: nobody of this name is enrolled.
            GalleryError: the file is damaged.
            GalleryKeyError: it is encrypted, and the key is missing, unusable or another one.
            StorageError: it cannot be read.
        """
        path = self._path(name)
        body = self._body(name)
        if body.startswith(MAGIC):
            body = self._decrypted(name, body)
        try:
            with np.load(io.BytesIO(body), allow_pickle=False) as saved:
                record, templates = json.loads(str(saved["record"])), saved["templates"]
            subject = Subject(record["name"], record["model_id"], templates, int(record["created"]))
        except Exception as error:
            raise GalleryError(f"{path}: unreadable ({error}); remove {name} and enrol again") from error
        valid_templates = (
            templates.dtype == np.float32 and templates.ndim == 2 and len(templates) > 0 and np.isfinite(templates).all()
        )
        valid_record = _is_shown_safely(subject.model_id) and 0 <= subject.created < _MOST_SECONDS
        if record.get("version") != _VERSION or subject.name != name or not valid_templates or not valid_record:
            raise GalleryError(f"{path}: holds something else than templates of {name}; remove {name} and enrol again")
        return subject

    def key_id(self, name: str) -> str | None:
        """The id of the key with which a subject's file says it is encrypted; None if it is not encrypted. Raises as `read`."""
        body = self._body(name)
        return self._parts(name, body).head["key"] if body.startswith(MAGIC) else None

    def read_own(self, name: str, model_id: str, size: int) -> Subject:
        """One subject, whose templates must be of this model and `size`. Raises TemplateMismatch if they are not, else as `read` does."""
        subject = self.read(name)
        if subject.model_id != model_id or subject.templates.shape[1] != size:
            raise TemplateMismatch(
                f"{self._path(name)}: templates of {name} were made by model {subject.model_id[:12]}, "
                f"the model in use is {model_id[:12]}; enrol {name} again"
            )
        return subject

    def read_for(self, model_id: str, size: int) -> tuple[list[Subject], list[GalleryError | StorageError]]:
        """The subjects that can be matched with a model, and an error for each that cannot; equal errors, as of a missing key, once."""
        subjects: list[Subject] = []
        refused: list[GalleryError | StorageError] = []
        for name in self.names():
            try:
                subjects.append(self.read_own(name, model_id, size))
            except InputError:
                continue  # removed since its name was read
            except (GalleryError, StorageError) as error:
                if str(error) not in {str(earlier) for earlier in refused}:
                    refused.append(error)
        return subjects, refused

    def check_key(self) -> None:
        """Raises GalleryKeyError if no subject can be written for want of the key: to be known before anybody is looked at."""
        self._keys.current()

    def write(self, subject: Subject, *, replace: bool, after: Subject | None = None) -> None:
        """Adds a subject; with `replace`, replaces the existing one, whose templates must still be those of `after` if that is given.

        Raises:
            InputError: the name is taken and `replace` is not set, or what was there was removed or changed meanwhile.
            GalleryKeyError: it should be encrypted, and the key is missing or unusable.
            StorageError: the disk is full, read-only or not ours; the gallery is as it was.
        """
        path = self._path(subject.name)
        data = _packed(subject, self._keys.current())
        with self._store.locked() as folder:
            exists = os.path.lexists(path)
            if exists and not replace:
                raise InputError(f"{subject.name}: already enrolled; --replace enrols again, `edge remove` removes the person")
            if replace and not exists:
                raise InputError(f"{subject.name}: removed meanwhile; nothing was kept")
            if after is not None and not np.array_equal(self.read(after.name).templates, after.templates):
                raise InputError(f"{subject.name}: enrolled again meanwhile; nothing was added, begin again")
            folder.replace(path.name, data)

    def rewrite(self, name: str) -> bool:
        """Rewrites a subject's file as the settings ask, with the key in force or unencrypted, and overwrites the old file's blocks.

        Returns whether that was needed. Raises as `read` and `write`; the file is then as it was.
        """
        key = self._keys.current()
        with self._store.locked() as folder:
            if self.key_id(name) == (key and key.id):
                return False
            folder.replace(self._path(name).name, _packed(self.read(name), key), wipe=True)
        return True

    def remove(self, name: str, *, overwrite: bool = False) -> None:
        """Removes a subject, readable or not; `overwrite` overwrites its blocks first, as far as the disk does that.

        Raises:
            InputError: nobody of this name is enrolled.
            StorageError: the file cannot be removed.
        """
        with self._store.locked() as folder:
            try:
                folder.remove(self._path(name).name, wipe=overwrite)
            except FileNotFoundError:
                raise InputError(f"{name}: not enrolled; `edge list` shows who is") from None

    def _files(self) -> list[str]:
        # Not Path.glob, which silently yields nothing for a folder that may not be read.
        try:
            return [name for name in os.listdir(self.folder) if name.endswith(SUFFIX)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot read: {error.strerror}") from error

    def _dates(self, file: str) -> tuple[int, int]:
        try:
            status = (self.folder / file).lstat()
        except FileNotFoundError:
            # Removed since it was listed: the next stamp differs again. A stamp without any name would be that of an empty gallery.
            return 0, 0
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot read: {error.strerror}") from error
        return status.st_ctime_ns, status.st_size

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}{SUFFIX}"

    def _body(self, name: str, *, retry: bool = True) -> bytes:
        path = self._path(name)
        try:
            data = read_file(path, _MOST_BYTES)
        except FileNotFoundError:
            raise InputError(f"{name}: not enrolled; `edge list` shows who is") from None
        except OSError as error:
            raise StorageError(f"{path}: cannot read: {error.strerror}") from error
        body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            if retry:  # the opened file may have been overwritten since: then another is in its place, or none
                return self._body(name, retry=False)
            raise GalleryError(f"{path}: damaged (its digest does not fit); remove {name} and enrol again")
        return body

    def _parts(self, name: str, body: bytes) -> Sealed:
        try:
            sealed = take_apart(body)
            if not _is_shown_safely(sealed.head["key"]) or sealed.head["name"] != name:
                raise ValueError(f"its head is not of {name}")
        except (ValueError, KeyError, RecursionError) as error:
            raise GalleryError(f"{self._path(name)}: encrypted, unreadable ({error}); remove {name} and enrol again") from error
        return sealed

    def _decrypted(self, name: str, body: bytes) -> bytes:
        path, sealed = self._path(name), self._parts(name, body)
        key = self._keys.find(sealed.head["key"], path)
        try:
            return unseal(key.secret, sealed)
        except ValueError as error:
            raise GalleryError(f"{path}: forged or damaged ({error}); remove {name} and enrol again") from error


def _is_shown_safely(value: object) -> bool:
    """Whether a value of a file is text that an administrator's terminal shows, and does not obey like control characters."""
    return isinstance(value, str) and value.isprintable()


def _packed(subject: Subject, key: Key | None) -> bytes:
    record = {"version": _VERSION, "name": subject.name, "model_id": subject.model_id, "created": subject.created}
    buffer = io.BytesIO()
    np.savez(buffer, record=np.array(json.dumps(record)), templates=subject.templates.astype(np.float32))
    body = buffer.getvalue()
    if key is not None:
        # Binds them to their subject and model: copied into another person's file, they do not open.
        body = seal(key.secret, {"key": key.id, "name": subject.name, "model_id": subject.model_id}, body)
    return body + hashlib.sha256(body).digest()


def new_subject(name: str, model_id: str, templates: NDArray[np.float32]) -> Subject:
    """A subject enrolled now."""
    return Subject(check_name(name), model_id, templates, int(time.time()))
