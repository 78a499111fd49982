"""Atomic writes: a file is written whole or not at all, even if writing is interrupted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.contract.errors import StorageError
from export.package import write_file
from trainer.files import write_atomically


@pytest.mark.parametrize("write", [write_atomically, write_file])
@pytest.mark.parametrize(("ends", "told"), [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "full"), StorageError)])
def test_what_is_broken_off_leaves_the_old_file_alone(
    write: Callable[[Path, bytes], None],
    ends: BaseException,
    told: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fsync(_: int) -> None:
        raise ends

    (tmp_path / "model").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(told):
        write(tmp_path / "model", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model", b"old")]
