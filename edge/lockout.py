"""Failure counts over attempts, kept on disk: no restart, reboot or change of the clock clears them. One count for anyone who stands
there, one for each subject verified by name.

<state>/lockout.json, 0600. Rests are measured on the clock since boot, which nobody can set; a reboot restarts a rest.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.clock import seconds_since_boot
from edge.contract.errors import StorageError
from edge.settings import PolicySettings
from edge.store import LockedFolder, Store, read_file

ANYONE = ""
"""The key of attempts in which no subject was named. No subject has this name."""

# Enough for a hundred thousand subjects.
_MOST_BYTES = 16 << 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Failures:
    """`count` is the failures since the last accept, `rest_s` for how many seconds from now no attempt is judged."""

    count: int = 0
    rest_s: float = 0.0

    def locked_s(self, policy: PolicySettings) -> float:
        """For how many seconds nothing is judged; infinite if only clearing the failures ends it."""
        return math.inf if self.count >= policy.disable_failures else self.rest_s


class Lockout:
    """The counts below one state folder. Safe to use from two processes at once: a count is read and raised under one lock."""

    def __init__(self, state: Path) -> None:
        self._path = state / "lockout.json"
        self._store = Store(state, state)
        self._owed: Counter[str] = Counter()

    def stamp(self) -> tuple[int, int] | None:
        """A value that changes whenever any process changes a count; None if there is no file.

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
        """The failures counted under a subject's name, or ANYONE. `lockout_s` is the longest possible rest, seconds.

        Raises:
            StorageError: the file is damaged or cannot be read, so the number of failures is unknown.
        """
        return _failures(self._entries().get(key), lockout_s)

    def everyone(self) -> dict[str, int]:
        """All counts that are not zero, by key. Raises StorageError as `read` does."""
        return {key: entry["count"] for key, entry in self._entries().items()}

    def fail(self, key: str, policy: PolicySettings) -> Failures:
        """Counts one more failure under a key, whatever other processes count meanwhile, and starts the rest it brings.

        Raises:
            StorageError: the disk is full, read-only or not ours. The failure is owed: the next change that succeeds adds it.
        """
        self._owed[key] += 1
        with self._changed(policy) as entries:
            # Missing if another thread has cleared them since.
            return _failures(entries.get(key), policy.lockout_s)

    def succeed(self, key: str, policy: PolicySettings) -> Failures:
        """Clears the failures under a key after an accept.

        Returns: no failures; or those that locked the key out since the attempt began. These stay, and the accept does not count.

        Raises:
            StorageError: the disk is full, read-only or not ours; nothing is cleared.
        """
        with self._changed(policy) as entries:
            failures = _failures(entries.get(key), policy.lockout_s)
            if failures.rest_s or failures.count >= policy.disable_failures:
                return failures
            entries.pop(key, None)
        return Failures()

    def settle(self, policy: PolicySettings) -> None:
        """Adds the owed failures. Writes even if there are none: only writing shows whether a count can be stored.

        Raises:
            StorageError: the disk is still full, read-only or not ours.
        """
        with self._changed(policy):
            pass

    def clear(self, key: str | None = None) -> list[str]:
        """Clears the failures of one key, or of all, then even if the file is damaged. Returns the keys that had any.

        Raises:
            StorageError: the file cannot be written; or it is damaged, and one key was given.
        """
        with self._store.locked() as folder:
            try:
                entries = self._entries()
            except StorageError:
                if key is not None:
                    raise
                entries = {}
            cleared = [name for name in entries if key is None or name == key]
            if cleared or key is None:  # a full disk must not fail a key without failures
                self._replace(folder, {name: entry for name, entry in entries.items() if name not in cleared})
            for name in list(self._owed) if key is None else [key]:
                del self._owed[name]
        return cleared

    @contextmanager
    def _changed(self, policy: PolicySettings) -> Iterator[dict[str, Any]]:
        """Yields the entries under the lock, owed failures added, and writes them as the caller leaves them."""
        with self._store.locked() as folder:
            entries = self._entries()
            for key, times in self._owed.items():
                count = (entries[key]["count"] if key in entries else 0) + times
                rest_s = policy.rest_after(count)
                until = seconds_since_boot() + rest_s if rest_s else 0.0
                entries[key] = {"count": count, "boot": _boot(), "until": until}
            yield entries
            self._replace(folder, entries)
            self._owed.clear()

    def _entries(self) -> dict[str, Any]:
        try:
            data = read_file(self._path, _MOST_BYTES)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"{self._path}: cannot read: {error}") from error
        try:
            entries = json.loads(data)["failures"]
            for entry in entries.values():
                if not (isinstance(entry["count"], int) and entry["count"] > 0 and entry["until"] >= 0 and entry["boot"]):
                    raise ValueError(f"{entry}: no count of failures")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StorageError(
                f"{self._path}: damaged ({error}): nothing is judged until `edge unlock-out --all` begins anew"
            ) from error
        return dict(entries)

    def _replace(self, folder: LockedFolder, entries: dict[str, Any]) -> None:
        folder.replace(self._path.name, json.dumps({"version": 1, "failures": entries}).encode())


def _failures(entry: dict[str, Any] | None, lockout_s: float) -> Failures:
    if entry is None:
        return Failures()
    # A rest from before a reboot restarts at the boot, not at every read: then it would never end.
    until = entry["until"] if entry["boot"] == _boot() else lockout_s
    left_s = until - seconds_since_boot()
    return Failures(entry["count"], min(max(left_s, 0.0), lockout_s) if entry["until"] else 0.0)


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError as error:
        raise StorageError(f"{_BOOT_ID}: cannot read: {error.strerror}; whether a lock-out is over cannot be known") from error
