"""Reading the journal: who may not is told so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge import systemd
from edge.contract.errors import StorageError


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_whoever_may_not_read_the_journal_is_told_so(closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libsystemd leaves out what it cannot open: an empty answer would say that nothing happened."""
    pytest.importorskip("systemd.journal")
    folder = tmp_path / "journal" / "0123"
    folder.mkdir(parents=True)
    (folder / "system.journal").touch()
    (tmp_path / "machine-id").write_text("0123\n")
    monkeypatch.setattr(systemd, "JOURNALS", (tmp_path / "none", tmp_path / "journal"))
    monkeypatch.setattr(systemd, "MACHINE_ID", tmp_path / "machine-id")
    assert list(systemd.journal_entries(None, follow=False)) is not None
    shut = folder if closed == "folder" else folder / "system.journal"
    monkeypatch.setattr(os, "access", lambda path, _: path != shut)
    with pytest.raises(StorageError, match="add the user to the group systemd-journal"):
        list(systemd.journal_entries(None, follow=False))
