"""Files that are there whole or not at all, in a folder that one process at a time changes. Knows nothing of what they hold.

Everything is done relative to the open folder and follows no link: root writes where the service's own user could plant one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.contract.errors import StorageError

_NEW = ".new"


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
            if below:
                locked.clear_left_overs()
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
            self._clear(temporary)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=self._handle)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                self.hand_over(file.fileno())
                os.fsync(file.fileno())
            os.replace(temporary, name, src_dir_fd=self._handle, dst_dir_fd=self._handle)
            state = "it is new, unless the power fails"
            # The rename itself must reach the disk, or a power cut brings the old file back.
            _sync_folder(self._handle)
            state = "it is new, but what was there is not written over"
            if old is not None:
                _wipe(old)
        except OSError as error:
            self._clear(temporary)
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
        old, last, state = None, name, "it is there still"
        try:
            # What a killed process left behind holds as much as the file.
            self._clear(_temporary(name))
            if wipe:
                old, last = _open_file(name, os.O_WRONLY, self._handle), _temporary(name)
                # No reader sees it half written over, and where this process is killed the next one goes on.
                os.rename(name, last, src_dir_fd=self._handle, dst_dir_fd=self._handle)
                state = "it is taken out, but not written over"
                _wipe(old)
            os.unlink(last, dir_fd=self._handle)
            state = "it is gone, unless the power fails"
            _sync_folder(self._handle)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"{self._folder / name}: cannot remove: {error.strerror or error}; {state}") from error
        finally:
            if old is not None:
                os.close(old)

    def clear_left_overs(self) -> None:
        """Takes out what killed processes began to write, under whatever names: it holds as much as a file, and no reader tells of it."""
        for name in os.listdir(self._handle):
            if name.startswith(".") and name == _temporary(name[1 : -len(_NEW)]):
                self._clear(name)

    def hand_over(self, handle: int) -> None:
        """Gives an open file or folder to the owner of the state folder, where this is root."""
        if os.geteuid() == 0:
            os.fchown(handle, *self._owner)

    def _open_to_wipe(self, name: str) -> int | None:
        try:
            return _open_file(name, os.O_WRONLY, self._handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self._folder / name}: cannot write over: {error.strerror}; nothing was changed") from error

    def _clear(self, name: str) -> None:
        # It may be another user's, or a link to somewhere else: then it is not written over.
        with suppress(OSError):
            handle = _open_file(name, os.O_WRONLY, self._handle)
            try:
                _wipe(handle)
            finally:
                os.close(handle)
        with suppress(OSError):
            os.unlink(name, dir_fd=self._handle)


def read_file(path: Path, most: int) -> bytes:
    """The content of a file. Follows no link, and is held up by no pipe and no device in its place.

    Raises:
        FileNotFoundError: there is none.
        OSError: it is none, is longer than `most` bytes, or cannot be read.
    """
    handle = _open_file(path, os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"longer than {most} bytes")
    return data


def write_new(path: Path, text: str, *, mode: int = 0o600, owner: int | None = None, remedy: str = "nothing was kept") -> None:
    """Writes a file for one user alone to read, whole or not at all; `owner` is that user's number where it is somebody else.

    Raises:
        StorageError: there is one of that name, or the disk does not take it, which `remedy` says more of.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot write: {error.strerror}; name a file that is not there yet, in a folder that you may write to"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode(errors="backslashreplace"))
            file.flush()
            if owner is not None:
                # The user alone: a stick with FAT, mounted for the service's user, knows of no other group.
                os.fchown(file.fileno(), owner, -1)
            os.fsync(file.fileno())
        # Its name as well: of a stick that is pulled out a key must not be gone that templates are encrypted with already.
        _sync_folder_of(path)
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise StorageError(f"{path}: cannot write: {error.strerror}; {remedy}") from error
        raise


def _temporary(name: str) -> str:
    return f".{name}{_NEW}"


def _open_file(path: str | Path, flags: int, folder: int | None = None) -> int:
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a file")
    return handle


def _sync_folder(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        # So say file systems that know of no such thing for folders, as a shared folder of VirtualBox: nothing more can be done there.
        if error.errno != errno.EINVAL:
            raise


def _sync_folder_of(path: Path) -> None:
    try:
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return  # one may write to a folder that one may not list
    try:
        _sync_folder(handle)
    finally:
        os.close(handle)


def _wipe(handle: int) -> None:
    left = os.fstat(handle).st_size
    while left:
        left -= os.write(handle, bytes(min(left, 1 << 16)))
    os.fsync(handle)
