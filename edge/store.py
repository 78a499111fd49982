"""Files that are there whole or not at all, in a folder that one process at a time changes. Knows nothing of what they hold.

Everything is done relative to the open folder and follows no link: root writes where the service's own user could plant one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.contract.errors import StorageError


class Store:
    """A folder, 0700 as the `state` folder is, of files, 0600. What root writes there belongs to the owner of the state folder, who
    must read it.
    """

    def __init__(self, folder: Path, state: Path) -> None:
        self._folder = folder
        self._state = state

    @contextmanager
    def locked(self) -> Iterator[LockedFolder]:
        """The folder, made where it is missing, with every other process that wants to change it waiting.

        Raises:
            StorageError: it cannot be made or opened.
        """
        below = self._folder != self._state
        handle = None
        try:
            # Of what mkdir makes at once only the last has the mode.
            self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.mkdir(exist_ok=True, mode=0o700)
            # The state folder may be a link (DynamicUser=), what is in it may not.
            handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if below else 0))
            owner = self._state.stat()
            locked = LockedFolder(self._folder, handle, (owner.st_uid, owner.st_gid))
            if below:
                locked.hand_over(handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if handle is not None:
                os.close(handle)
            raise StorageError(f"{self._folder}: cannot open: {error.strerror}") from error
        try:
            yield locked
        finally:
            os.close(handle)


class LockedFolder:
    """What can be done to a folder while it is locked: `Store.locked` gives one, and it ends with the lock."""

    def __init__(self, folder: Path, handle: int, owner: tuple[int, int]) -> None:
        self._folder, self._handle, self._owner = folder, handle, owner

    def replace(self, name: str, data: bytes, *, wipe: bool = False) -> None:
        """Writes a file, in place of the one of that name if there is one; with `wipe` that one is written over afterwards.

        Raises:
            StorageError: the disk is full, read-only or not ours.
        """
        old = self._open_to_wipe(name) if wipe else None
        temporary, state = _temporary(name), "nothing was changed"
        try:
            # One that a killed process left behind may be another user's, or a link to somewhere else.
            self._unlink_if_there(temporary)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=self._handle)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                self.hand_over(file.fileno())
                os.fsync(file.fileno())
            os.replace(temporary, name, src_dir_fd=self._handle, dst_dir_fd=self._handle)
            state = "it is new, unless the power fails"
            # The rename itself must reach the disk, or a power cut brings the old file back.
            os.fsync(self._handle)
            state = "it is new, but what was there is not written over"
            if old is not None:
                _wipe(old)
        except OSError as error:
            with suppress(OSError):
                self._unlink_if_there(temporary)
            raise StorageError(f"{self._folder / name}: cannot write: {error.strerror or error}; {state}") from error
        finally:
            if old is not None:
                os.close(old)

    def remove(self, name: str, *, wipe: bool = False) -> None:
        """Takes a file out; with `wipe` its blocks are written over first, as far as the disk does that.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: it cannot be removed.
        """
        old = None
        try:
            # What a killed process left behind holds as much as the file.
            self._unlink_if_there(_temporary(name))
            if wipe:
                old = os.open(name, os.O_WRONLY | os.O_NOFOLLOW, dir_fd=self._handle)
                _wipe(old)
            os.unlink(name, dir_fd=self._handle)
            os.fsync(self._handle)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"{self._folder / name}: cannot remove: {error.strerror or error}") from error
        finally:
            if old is not None:
                os.close(old)

    def hand_over(self, handle: int) -> None:
        """Gives an open file or folder to the owner of the state folder, where this is root."""
        if os.geteuid() == 0:
            os.fchown(handle, *self._owner)

    def _open_to_wipe(self, name: str) -> int | None:
        try:
            return os.open(name, os.O_WRONLY | os.O_NOFOLLOW, dir_fd=self._handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self._folder / name}: cannot write over: {error.strerror}; nothing was changed") from error

    def _unlink_if_there(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._handle)


def write_new(path: Path, text: str, *, mode: int = 0o600, owner: int | None = None, remedy: str = "nothing was kept") -> None:
    """Writes a file for one user alone to read, whole or not at all; `owner` is that user's number where it is somebody else.

    Raises:
        StorageError: there is one of that name, or the disk does not take it, which `remedy` says more of.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise StorageError(f"{path}: cannot write: {error.strerror}; name a file that is not there yet") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode(errors="backslashreplace"))
            file.flush()
            if owner is not None:
                # The user alone: a stick with FAT, mounted for the service's user, knows of no other group.
                os.fchown(file.fileno(), owner, -1)
            os.fsync(file.fileno())
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise StorageError(f"{path}: cannot write: {error.strerror}; {remedy}") from error
        raise


def _temporary(name: str) -> str:
    return f".{name}.new"


def _wipe(handle: int) -> None:
    left = os.fstat(handle).st_size
    while left:
        left -= os.write(handle, bytes(min(left, 1 << 16)))
    os.fsync(handle)
