"""Reading the journal: a user who may not, or not all of it, is told so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import systemd
from edge.contract.errors import StorageError


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_whoever_may_not_read_the_journal_is_told_so(closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libsystemd skips what it cannot open, and an empty answer would look as if nothing had happened."""
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


def test_whoever_may_read_her_own_entries_alone_gets_them_and_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """journald keeps a file per user, which contains what the user ran by hand."""
    journal = pytest.importorskip("systemd.journal")

    class Own:
        """A reader that finds two entries."""

        def __enter__(self) -> Own:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __iter__(self) -> Iterator[dict[str, str]]:
            return iter([{"MESSAGE": "one"}, {"MESSAGE": "two"}])

        def add_match(self, **_: str) -> None:
            pass

    monkeypatch.setattr(journal, "Reader", Own)
    monkeypatch.setattr(systemd, "_unreadable_journal", lambda: Path("/var/log/journal/0123/system.journal"))
    told: list[str] = []
    entries = systemd.journal_entries(None, follow=False, on_partial=told.append)
    assert [entry["MESSAGE"] for entry in entries] == ["one", "two"]
    assert len(told) == 1
    assert "add the user to the group systemd-journal" in told[0]
