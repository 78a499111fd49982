"""All chips of a prepared set in one .npy file, read picture by picture: memory holds what is asked for, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import StorageError


class Pack:
    """A .npy file of uint8 [n, ...]; `pack[row]` and `pack[rows]` read. Threads may share it."""

    def __init__(self, path: Path) -> None:
        mapped = np.load(path, mmap_mode="r")
        # Not kept mapped: pages that were looked at would count as this process's memory until the system wants them.
        self.shape, self._offset = mapped.shape, int(mapped.offset)
        self._size = int(np.prod(self.shape[1:]))
        self._path, self._file = path, path.open("rb", buffering=0)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: int | np.integer | NDArray[np.int64]) -> NDArray[np.uint8]:
        if isinstance(rows, np.ndarray):
            out = np.empty((len(rows), *self.shape[1:]), np.uint8)
            for at, row in enumerate(rows):
                self._read(int(row), out[at])
            return out
        out = np.empty(self.shape[1:], np.uint8)
        self._read(int(rows), out)
        return out

    def _read(self, row: int, into: NDArray[np.uint8]) -> None:
        got = os.preadv(self._file.fileno(), [into.data], self._offset + row * self._size)
        if got != self._size:
            raise StorageError(f"{self._path}: cut off at picture {row} of {len(self)}; delete it, it is made anew")
