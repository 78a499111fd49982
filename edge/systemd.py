"""The one module that imports systemd-python: writes and reads native journal fields, and sends READY and watchdog by sd_notify."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from edge.contract.errors import PackageMissing, StorageError

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
JOURNALS = (Path("/var/log/journal"), Path("/run/log/journal"))
MACHINE_ID = Path("/etc/machine-id")


def journal_sender() -> Any | None:
    """`journal.send` of systemd-python, or None if there is no journal or no systemd-python."""
    if not JOURNAL_SOCKET.exists():
        return None
    try:
        from systemd import journal
    except ImportError:
        return None
    return journal.send


def journal_entries(
    since: datetime | None, *, follow: bool, on_partial: Callable[[str], None] = lambda reason: None
) -> Iterator[dict[str, Any]]:
    """The journal's entries of facelatch from `since` on, oldest first; with `follow` those to come as well, for ever.

    If this user may read only his or her own entries, `on_partial` is called with the reason, and the others are missing.

    Raises:
        PackageMissing: systemd-python is not installed.
        StorageError: the journal cannot be read by this user, and holds nothing of his or her own.
    """
    try:
        from systemd import journal
    except ImportError as error:
        raise PackageMissing(
            "reading the journal needs systemd-python: apt install python3-systemd, or pip install 'facelatch[journal]'"
        ) from error
    unreadable, has_own = _unreadable_journal(), False
    reason = f"{unreadable}: the journal cannot be read by this user: with sudo, or add the user to the group systemd-journal"
    try:
        with journal.Reader() as reader:
            reader.add_match(SYSLOG_IDENTIFIER="facelatch")
            if since is not None:
                reader.seek_realtime(since)
            for entry in reader:
                if unreadable and not has_own:
                    on_partial(reason)
                has_own = True
                yield entry
            if unreadable and not has_own:
                raise StorageError(reason)
            while follow:
                if reader.wait(1.0) == journal.APPEND:
                    yield from reader
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"the journal cannot be read: {error.strerror}; add the user to the group systemd-journal"
        ) from error


def _unreadable_journal() -> Path | None:
    """The system's journal if this user may not read it, else None: libsystemd silently leaves it out."""
    with suppress(OSError):
        machine = MACHINE_ID.read_text().strip()
        for folder in (journals / machine for journals in JOURNALS if (journals / machine).is_dir()):
            if not os.access(folder, os.R_OK | os.X_OK):
                return folder
            file = folder / "system.journal"
            if file.exists() and not os.access(file, os.R_OK):
                return file
    return None


def notify(state: str) -> None:
    """Tells the service manager `state`, such as READY=1; does nothing if none has asked.

    Raises:
        PackageMissing: the manager waits for notifications and systemd-python is not installed.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    try:
        from systemd import daemon
    except ImportError as error:
        raise PackageMissing(
            "the service manager waits for notifications ($NOTIFY_SOCKET), which need systemd-python: "
            "apt install python3-systemd, or pip install 'facelatch[journal]'"
        ) from error
    daemon.notify(state)
