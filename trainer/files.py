"""Atomic writes: a file is written whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from edge.contract.errors import StorageError


def temporary_path(path: Path) -> Path:
    """A temporary name for a file while it is written, unique even among writers on several machines that share the folder."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def write_atomically(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Writes `data` beside `path`, then renames it, so that readers see the old file or the new one, even after a kill. With `lasting`
    that also holds after a power cut; files that are quick to make again need not wait for the disk.

    Raises:
        StorageError: the disk is full, or `path` is not writable.
    """
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        # Also after Ctrl-C: no later write uses this name, so it would stay for ever.
        with suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise StorageError(f"{path}: cannot write: {error.strerror or error}") from error
