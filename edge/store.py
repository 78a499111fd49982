"""Files that are written whole or not at all, in a folder that one process at a time changes. Knows nothing of their content.

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
    """A folder of mode 0700, like the `state` folder, with files of mode 0600. What root writes there is given to the owner of the state
    folder, who must read it.
    """

    def __init__(self, folder: Path, state: Path) -> None:
        self._folder = folder
        self._state = state

    @contextmanager
    def locked(self) -> Iterator[LockedFolder]:
        """Makes the folder if it is missing, and locks it: every other process that wants to change it waits.

        Raises:
            StorageError: it cannot be made or opened.
        """
        below = self._folder != self._state
        handle = None
        try:
            # Made one by one: mkdir(parents=True) gives the mode to the last folder only.
            self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.mkdir(exist_ok=True, mode=0o700)
            # The state folder may be a link (DynamicUser=), a folder in it must not.
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
    """What can be done to a locked folder. `Store.locked` yields one, valid only while the lock is held."""

    def __init__(self, folder: Path, handle: int, owner: tuple[int, int]) -> None:
        self._folder, self._handle, self._owner = folder, handle, owner

    def replace(self, name: str, data: bytes, *, wipe: bool = False) -> None:
        """Writes a file, replacing one of that name; `wipe` overwrites the old one's blocks afterwards.

        Raises:
            StorageError: the disk is full, read-only or not ours.
        """
        old = self._open_old(name) if wipe else None
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
        """Removes a file; `wipe` overwrites its blocks first, as far as the disk does that.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: it cannot be removed.
        """
        old, last, state = None, name, "it is there still"
        try:
            # What a killed process left behind is as sensitive as the file.
            self._clear(_temporary(name))
            if wipe:
                old, last = _open_to_wipe(name, self._handle), _temporary(name)
                # Renamed first: no reader sees it half overwritten, and if this process is killed, the next one finishes the removal.
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
        """Removes what killed processes began to write, under any name: it is as sensitive as a file, and no reader reports it."""
        for name in os.listdir(self._handle):
            if name.startswith(".") and name == _temporary(name[1 : -len(_NEW)]):
                self._clear(name)

    def hand_over(self, handle: int) -> None:
        """Gives an open file or folder to the owner of the state folder, if this process runs as root."""
        if os.geteuid() == 0:
            os.fchown(handle, *self._owner)

    def _open_old(self, name: str) -> int | None:
        try:
            return _open_to_wipe(name, self._handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self._folder / name}: cannot write over: {error.strerror}; nothing was changed") from error

    def _clear(self, name: str) -> None:
        # It may be another user's, or a link to somewhere else: then it is not overwritten.
        with suppress(OSError):
            handle = _open_to_wipe(name, self._handle)
            try:
                _wipe(handle)
            finally:
                os.close(handle)
        with suppress(OSError):
            os.unlink(name, dir_fd=self._handle)


def read_file(path: Path, max_bytes: int) -> bytes:
    """The content of a file. Follows no link, and is not blocked by a pipe or a device in its place.

    Raises:
        FileNotFoundError: there is none.
        OSError: it is not a regular file, is longer than `max_bytes`, or cannot be read.
    """
    handle = _open_file(path, os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"longer than {max_bytes} bytes")
    return data


def write_new(path: Path, text: str, *, mode: int = 0o600, owner: int | None = None, remedy: str = "nothing was kept") -> None:
    """Creates a file that only one user can read, whole or not at all; `owner` is that user's id if it is not the caller.

    Raises:
        StorageError: the file exists or cannot be made; or writing it fails, where the message ends with `remedy`.
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
                # The user alone: a FAT stick mounted for the service's user has no other group.
                os.fchown(file.fileno(), owner, -1)
            os.fsync(file.fileno())
        # The file's name must reach the disk as well: if a stick is pulled out, a key already in use must not be lost.
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


def _open_to_wipe(name: str, folder: int) -> int:
    handle = _open_file(name, os.O_WRONLY, folder)
    if os.fstat(handle).st_nlink > 1:
        os.close(handle)
        raise OSError(
            errno.EMLINK, "it has a second name (`find / -samefile`), so it may be a file from elsewhere: not written over"
        )
    return handle


def _sync_folder(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        # File systems that cannot sync folders, such as a shared folder of VirtualBox, say so: nothing more can be done there.
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
