"""The one module that knows systemd: native journal fields, and READY and watchdog by sd_notify."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edge.contract.errors import PackageMissing

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")


def journal_sender() -> Any | None:
    """`journal.send` of systemd-python, or None where there is no journal or no systemd-python."""
    if not JOURNAL_SOCKET.exists():
        return None
    try:
        from systemd import journal
    except ImportError:
        return None
    return journal.send


def notify(state: str) -> None:
    """Tells the service manager `state`, such as READY=1; does nothing where none has asked.

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
