"""Writes the model file: flatbuffer, zip of metadata and arrays, seal. The same input gives the same bytes; no clock, no randomness."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import StorageError
from edge.contract.modelfile import METADATA_NAME, SEAL_SIZE, seal

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold, so that the file depends on no clock
_END_RECORD = b"PK\x05\x06"


def pack(
    flatbuffer: bytes, record: dict[str, Any], arrays: dict[str, NDArray[Any]], files: dict[str, bytes] | None = None
) -> bytes:
    """The bytes of a model file. `record` names its arrays and files as {"file": ..., "sha256": ...}, see `array_entry`."""
    out = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(out, "a") as archive:
        _add(archive, METADATA_NAME, json.dumps(record, sort_keys=True, separators=(",", ":")).encode())
        for name, array in sorted(arrays.items()):
            _add(archive, name, array_bytes(array))
        for name, content in sorted((files or {}).items()):
            _add(archive, name, content)
    data = out.getvalue()
    # The end record's last field is the comment's length. The seal is that comment, and covers everything before it.
    end = data.rindex(_END_RECORD)
    unsealed = data[: end + 20] + struct.pack("<H", SEAL_SIZE)
    return unsealed + seal(unsealed)


def array_bytes(array: NDArray[Any]) -> bytes:
    """An array in the .npy format, version 1.0."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return out.getvalue()


def array_entry(name: str, array: NDArray[Any]) -> dict[str, str]:
    """The metadata's reference to an array: its file name and digest."""
    return {"file": name, "sha256": hashlib.sha256(array_bytes(array)).hexdigest()}


def write_file(path: Path, data: bytes) -> None:
    """Writes the whole file or nothing.

    Raises:
        StorageError: the disk is full, read-only or not writable for this user.
    """
    if not path.name:
        raise StorageError(f"{path}: cannot write: a folder; name a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:  # Ctrl-C leaves nothing either
        with suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise StorageError(f"{path}: cannot write: {error.strerror or error}") from error


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # Unix, wherever the export runs
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)
