"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from edge.contract.errors import StorageError


def write_atomically(path: Path, data: bytes) -> None:
    """Writes `data` beside `path`, then renames: a reader or a power cut sees the old file or the new one.

    Raises:
        StorageError: the disk is full, read-only or not ours.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StorageError(f"{path}: cannot write: {error.strerror or error}") from error
