"""All chips of a prepared set in one .npy file, read picture by picture: memory holds only the chips that are asked for."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from edge.contract.errors import InputError, StorageError
from edge.contract.spec import ChipSpec
from trainer.files import write_atomically
from trainer.prepare import MANIFEST

# The chips, the record of what they were packed from, and the lock that keeps two processes from packing them at once.
PACK, PACK_RECORD, PACK_LOCK = "chips.npy", "chips.json", ".chips.lock"


class Pack:
    """A .npy file of uint8 [n, ...]; `pack[row]` and `pack[rows]` read from disk. Threads may share it.

    Raises:
        StorageError: the file is unreadable or truncated, on opening or on reading a row.
    """

    def __init__(self, path: Path) -> None:
        try:
            mapped = np.load(path, mmap_mode="r")
        # EOFError: an empty file. ValueError: shorter than its header says, or no .npy file.
        except (EOFError, OSError, ValueError) as error:
            raise StorageError(f"{path}: unreadable or cut off ({error}); delete it, it is made anew") from error
        # Not kept mapped: pages that were read would count as this process's memory until the system reclaims them.
        self.shape, self._offset = mapped.shape, int(mapped.offset)
        self._size = int(np.prod(self.shape[1:]))
        self._path, self._file = path, path.open("rb", buffering=0)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: int | np.integer | NDArray[np.int64]) -> NDArray[np.uint8]:
        if isinstance(rows, np.ndarray):
            out = np.empty((len(rows), *self.shape[1:]), np.uint8)
            for index, row in enumerate(rows):
                self._read(int(row), out[index])
            return out
        out = np.empty(self.shape[1:], np.uint8)
        self._read(int(rows), out)
        return out

    def _read(self, row: int, into: NDArray[np.uint8]) -> None:
        count = os.preadv(self._file.fileno(), [into.data], self._offset + row * self._size)
        if count != self._size:
            raise StorageError(f"{self._path}: cut off at picture {row} of {len(self)}; delete it, it is made anew")


def pack_chips(folder: Path, entries: list[dict[str, str]], spec: ChipSpec) -> str:
    """Packs a set's chips, unless its pack is up to date with the chip files. Returns the digest of chips and identities.

    Raises:
        InputError: a chip is missing or of another size.
        StorageError: the pack cannot be written.
    """
    stamp = _stamp(folder, entries, spec)
    if digest := _digest_of(folder, stamp):
        return digest
    # The workers of a training may start at once and share the data folder.
    with _locked(folder):
        return _digest_of(folder, stamp) or _write_pack(folder, entries, spec, stamp)


def _stamp(folder: Path, entries: list[dict[str, str]], spec: ChipSpec) -> str:
    stamp = hashlib.sha256((folder / MANIFEST).read_bytes())
    for entry in entries:
        try:
            status = (folder / entry["chip"]).stat()
        except OSError as error:
            raise _bad_chip(folder, entry, spec) from error
        stamp.update(f"{status.st_size} {status.st_mtime_ns};".encode())
    return stamp.hexdigest()


def _digest_of(folder: Path, stamp: str) -> str:
    """The digest of the pack with this stamp; empty if there is none, and it must be made."""
    try:
        record = json.loads((folder / PACK_RECORD).read_text())
        return str(record["digest"]) if record["stamp"] == stamp and (folder / PACK).exists() else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        with (folder / PACK_LOCK).open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{folder}: another process packs its chips; waiting for it", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{folder / PACK}: cannot write: {error.strerror or error}") from error


def _write_pack(folder: Path, entries: list[dict[str, str]], spec: ChipSpec, stamp: str) -> str:
    digest = hashlib.sha256()
    unfinished = folder / f".{PACK}.part"
    shape = (len(entries), *spec.shape)
    flags = cv2.IMREAD_GRAYSCALE if spec.channels == 1 else cv2.IMREAD_COLOR
    progress = track(entries, f"packing {folder.name}", console=Console(stderr=True), disable=not sys.stderr.isatty())
    try:
        with unfinished.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for entry in progress:
                # Not cv2.imread: a file name that is not UTF-8 ends the process there.
                data = np.frombuffer((folder / entry["chip"]).read_bytes(), np.uint8)
                chip = cv2.imdecode(data, flags) if data.size else None
                if chip is None or chip.shape != shape[1:]:
                    raise _bad_chip(folder, entry, spec)
                file.write(chip.data)
                digest.update(os.fsencode(entry["identity"]) + b"\0" + chip.tobytes())
        (folder / PACK_RECORD).unlink(missing_ok=True)
        unfinished.replace(folder / PACK)
    finally:
        unfinished.unlink(missing_ok=True)
    record = {"stamp": stamp, "digest": digest.hexdigest()}
    write_atomically(folder / PACK_RECORD, json.dumps(record).encode())
    return digest.hexdigest()


def _bad_chip(folder: Path, entry: dict[str, str], spec: ChipSpec) -> InputError:
    return InputError(f"{folder / entry['chip']}: missing or not {spec.side_px} px; run `trainer prepare {folder}` again")
