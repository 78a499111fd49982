"""Failures over attempts, kept on disk: a restart, a reboot or a set clock forgives nobody. One count for whoever stands there,
one for each subject who was asked for by name.

<state>/lockout.json, 0600. Rests are measured on the clock since boot, which nobody sets; after a reboot a rest begins anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.contract.errors import StorageError

ANYONE = ""
"""The key of attempts in which nobody was asked for by name. No subject has this name."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Failures:
    """`count` since the last accept, and for how many seconds from now no attempt is judged."""

    count: int = 0
    rest_s: float = 0.0


class Lockout:
    """The counts below one state folder. Safe to use from two processes at once."""

    def __init__(self, state: Path) -> None:
        self._path = state / "lockout.json"

    def stamp(self) -> tuple[int, int] | None:
        """Changes whenever a count does, by whatever process; None where there is no file.

        Raises:
            StorageError: the folder cannot be read.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self._path}: cannot read: {error.strerror}") from error
        return status.st_mtime_ns, status.st_ino

    def read(self, key: str, lockout_s: float) -> Failures:
        """The failures counted under a subject's name, or ANYONE. `lockout_s` is how long a rest is at most.

        Raises:
            StorageError: the file is damaged or cannot be read: nobody knows how many failures there were.
        """
        entry = self._entries().get(key)
        if entry is None:
            return Failures()
        same_boot = entry["boot"] == _boot()
        left = entry["until"] - time.clock_gettime(time.CLOCK_BOOTTIME) if same_boot else lockout_s
        return Failures(entry["count"], min(max(left, 0.0), lockout_s) if entry["until"] else 0.0)

    def everyone(self) -> dict[str, int]:
        """All counts that are not zero, by key. Raises StorageError as `read` does."""
        return {key: entry["count"] for key, entry in self._entries().items()}

    def write(self, key: str, failures: Failures) -> None:
        """Keeps what was counted under a key.

        Raises:
            StorageError: the disk is full, read-only or not ours; the counts are as they were.
        """
        until = time.clock_gettime(time.CLOCK_BOOTTIME) + failures.rest_s if failures.rest_s else 0.0
        with self._locked():
            entries = self._entries()
            entries.pop(key, None)
            if failures.count:
                entries[key] = {"count": failures.count, "boot": _boot(), "until": until}
            self._replace(entries)

    def clear(self, key: str | None = None) -> list[str]:
        """Forgives the failures of one key, or of all, also where the file is damaged. Returns whose they were.

        Raises:
            StorageError: the file cannot be written.
        """
        with self._locked():
            try:
                entries = self._entries()
            except StorageError:
                if key is not None:
                    raise
                entries = {}
            cleared = [name for name in entries if key is None or name == key]
            self._replace({name: entry for name, entry in entries.items() if name not in cleared})
        return cleared

    def _entries(self) -> dict[str, Any]:
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"{self._path}: cannot read: {error}") from error
        try:
            entries = json.loads(text)["failures"]
            for entry in entries.values():
                if not (isinstance(entry["count"], int) and entry["count"] > 0 and entry["until"] >= 0 and entry["boot"]):
                    raise ValueError(f"{entry}: no count of failures")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{self._path}: damaged ({error}): nothing is judged until `edge unlock-out --all` begins anew"
            ) from error
        return dict(entries)

    def _replace(self, entries: dict[str, Any]) -> None:
        temporary = self._path.with_name(f".{self._path.name}.new")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump({"version": 1, "failures": entries}, file)
                file.flush()
                if os.geteuid() == 0:
                    # What root forgives, the service's own user must be able to count on.
                    owner = self._path.parent.stat()
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                os.fsync(file.fileno())
            temporary.replace(self._path)
            handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise StorageError(f"{self._path}: cannot write: {error.strerror or error}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise StorageError(f"{self._path.parent}: cannot open: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError as error:
        raise StorageError(f"{_BOOT_ID}: cannot read: {error.strerror}; whether a lock-out is over cannot be known") from error
