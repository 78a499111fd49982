"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from edge.contract.errors import StorageError


def unfinished(path: Path) -> Path:
    """What a file is called while it is written. No two writers share it, be they on two machines with one folder."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def write_atomically(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Writes `data` beside `path`, then renames: a reader or whoever comes after a kill sees the old file or the new one. So does who
    comes after a power cut, if it is `lasting`; what is quickly made anew need not wait for the disk.

    Raises:
        StorageError: the disk is full, read-only or not ours.
    """
    temporary = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        # After Ctrl-C nothing would ever write over it: no later write has this name.
        with suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise StorageError(f"{path}: cannot write: {error.strerror or error}") from error
