"""The store: files are complete, private and the owner's; one writer at a time; links are not followed."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from edge.contract.errors import StorageError
from edge.store import Store, read_file, write_new

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def written(state: Path, data: bytes = b"new", *, wipe: bool = False) -> Path:
    with Store(state / "box", state).locked() as folder:
        folder.replace("a", data, wipe=wipe)
    return state / "box" / "a"


def test_a_file_and_its_folder_are_the_owners_alone(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["a"]


def test_a_state_folder_that_is_missing_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    """A user's first enrolment makes it. Folders that exist keep their mode."""
    path = written(tmp_path / "above" / "state")
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in path.parents[:2]] == [0o700, 0o700]
    path.parents[1].chmod(0o750)
    written(path.parents[1])
    assert stat.S_IMODE(path.parents[1].stat().st_mode) == 0o750


@ONLY_ROOT
def test_what_root_writes_belongs_to_the_owner_of_the_state(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1235)
    path = written(tmp_path)
    with Store(tmp_path, tmp_path).locked() as folder:
        folder.replace("b", b"")
    for made in (path, path.parent, tmp_path / "b"):
        assert (made.stat().st_uid, made.stat().st_gid) == (1234, 1235)


def test_a_reader_keeps_the_old_file_whole(tmp_path: Path) -> None:
    path = written(tmp_path, b"old")
    with path.open("rb") as reader:
        written(tmp_path)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_a_wiped_file_is_zeros_for_whoever_still_holds_it(tmp_path: Path) -> None:
    """The old file is longer than one block of zeros. The file that replaces it is untouched."""
    old = os.urandom(200_000)
    path = written(tmp_path, old)
    with path.open("rb") as holder:
        written(tmp_path, b"new", wipe=True)
        assert holder.read() == bytes(len(old))
    assert path.read_bytes() == b"new"
    with path.open("rb") as holder, Store(tmp_path / "box", tmp_path).locked() as folder:
        folder.remove("a", wipe=True)
        assert holder.read() == bytes(3)
    assert not path.exists()


def test_the_zeros_reach_the_disk_before_the_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the kernel drops them with the file, and its blocks keep what they had."""
    path, order = written(tmp_path, b"old"), list[str]()

    def told(name: str) -> None:
        real = getattr(os, name)

        def call(of: int | str, **how: int) -> None:
            real(of, **how)
            if name != "fsync" or stat.S_ISREG(os.fstat(int(of)).st_mode):
                order.append(name)

        monkeypatch.setattr(f"edge.store.os.{name}", call)

    told("fsync")
    told("unlink")
    with Store(tmp_path / "box", tmp_path).locked() as folder:
        folder.remove("a", wipe=True)
    assert (order, path.exists()) == (["fsync", "unlink"], False)


def test_wiping_needs_nothing_to_be_there(tmp_path: Path) -> None:
    assert written(tmp_path, wipe=True).read_bytes() == b"new"


@pytest.mark.parametrize("wipe", [False, True])
def test_removing_what_is_not_there_is_told_apart(tmp_path: Path, wipe: bool) -> None:
    with Store(tmp_path, tmp_path).locked() as folder, pytest.raises(FileNotFoundError):
        folder.remove("a", wipe=wipe)


def test_removing_takes_what_a_killed_process_left_behind(tmp_path: Path) -> None:
    path = written(tmp_path)
    (path.parent / ".a.new").write_bytes(b"half")
    with Store(tmp_path / "box", tmp_path).locked() as folder:
        folder.remove("a")
    assert list(path.parent.iterdir()) == []


def test_a_left_over_of_a_killed_process_is_not_in_the_way(tmp_path: Path) -> None:
    """Not even if it may not be opened, like one of another user: owning the folder is enough."""
    path = written(tmp_path, b"old")
    left = path.parent / ".a.new"
    left.write_bytes(b"half, and longer than what is written now")
    left.chmod(0)
    assert written(tmp_path).read_bytes() == b"new"


def test_nor_is_it_in_the_state_folder_itself(tmp_path: Path) -> None:
    """Left-overs under other names stay there: a count must be written though the last one was cut off."""
    (tmp_path / ".a.new").write_bytes(b"half")
    with Store(tmp_path, tmp_path).locked() as folder:
        folder.replace("a", b"new")
        assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a", b"new")]
        (tmp_path / ".a.new").write_bytes(b"half")
        folder.remove("a")
    assert list(tmp_path.iterdir()) == []


def test_no_link_is_followed(tmp_path: Path) -> None:
    """The service's user could plant a link where root is going to write."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    state = tmp_path / "state"
    path = written(state, b"old")
    (path.parent / ".a.new").symlink_to(target)
    written(state)
    assert (target.read_bytes(), path.read_bytes()) == (b"precious", b"new")
    path.unlink()
    path.symlink_to(target)
    with Store(state / "box", state).locked() as folder, pytest.raises(StorageError, match="cannot remove"):
        folder.remove("a", wipe=True)
    with pytest.raises(StorageError, match="cannot write over"):
        written(state, wipe=True)
    assert target.read_bytes() == b"precious"
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "box").symlink_to(path.parent)
    with pytest.raises(StorageError, match="cannot open"):
        written(linked)


def test_what_is_planted_after_the_clearing_is_not_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, real = tmp_path / "target", os.unlink
    target.write_bytes(b"precious")
    path = written(tmp_path, b"old")

    def planted(name: str, *, dir_fd: int) -> None:
        with suppress(FileNotFoundError):
            real(name, dir_fd=dir_fd)
        os.link(target, name, dst_dir_fd=dir_fd)

    monkeypatch.setattr("edge.store.os.unlink", planted)
    with pytest.raises(StorageError, match=r"cannot write: File exists.*nothing was changed"):
        written(tmp_path)
    assert (target.read_bytes(), path.read_bytes()) == (b"precious", b"old")


def test_a_file_that_lies_here_under_a_second_name_is_not_written_over(tmp_path: Path) -> None:
    """Where the kernel lets the service's user plant such a one (fs.protected_hardlinks = 0), root is about to clear left-overs."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    path = written(tmp_path, b"old")
    for name in (".a.new", ".b.new"):
        (path.parent / name).hardlink_to(target)
    assert written(tmp_path).read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["a"]
    path.unlink()
    path.hardlink_to(target)
    open_files = os.listdir("/proc/self/fd")
    with (
        Store(tmp_path / "box", tmp_path).locked() as folder,
        pytest.raises(StorageError, match=r"second name.*is there still"),
    ):
        folder.remove("a", wipe=True)
    with pytest.raises(StorageError, match=r"second name.*nothing was changed"):
        written(tmp_path, wipe=True)
    assert os.listdir("/proc/self/fd") == open_files
    with Store(tmp_path / "box", tmp_path).locked() as folder:
        folder.remove("a")
    assert target.read_bytes() == b"precious"


def test_a_state_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "private")
    with Store(tmp_path / "state", tmp_path / "state").locked() as folder:
        folder.replace("a", b"new")
    assert (tmp_path / "private" / "a").read_bytes() == b"new"


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = written(tmp_path, b"old")
    (path.parent / ".a.new").mkdir()  # not even root can open or unlink it
    with pytest.raises(StorageError, match=r"box/a: cannot write: .*nothing was changed"):
        written(tmp_path)
    assert path.read_bytes() == b"old"


def test_what_is_synced_is_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are still in Python's buffer would not reach the disk before the name does: a power cut would leave an empty file."""
    real, synced = os.fsync, list[int]()

    def looked_at(handle: int) -> None:
        if stat.S_ISREG((status := os.fstat(handle)).st_mode):
            synced.append(status.st_size)
        real(handle)

    monkeypatch.setattr("edge.store.os.fsync", looked_at)
    written(tmp_path, b"new")
    write_new(tmp_path / "key", "digits")
    assert synced == [3, 6]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_at_a_step_leaves_one_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = written(tmp_path, b"old")

    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(f"edge.store.os.{step}", broken)
        with pytest.raises(StorageError, match="Input/output error; nothing was changed"):
            written(tmp_path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["a"]


def test_a_folder_that_does_not_sync_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, b"old")
    real, calls = os.fsync, []

    def second_fails(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        real(handle)

    monkeypatch.setattr("edge.store.os.fsync", second_fails)
    with pytest.raises(StorageError, match="it is new, unless the power fails"):
        written(tmp_path)
    assert path.read_bytes() == b"new"


def test_whoever_else_wants_to_change_it_has_to_wait(tmp_path: Path) -> None:
    """The lock belongs to the opened folder, not to the process, so a second descriptor here stands for another process."""
    handle = os.open(tmp_path, os.O_RDONLY)

    def taken() -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(handle, fcntl.LOCK_UN)
        return True

    def change_and_break() -> None:
        with Store(tmp_path, tmp_path).locked():
            assert not taken()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_break()
    assert taken()
    os.close(handle)


def test_what_another_process_is_writing_is_no_left_over(tmp_path: Path) -> None:
    with Store(tmp_path / "box", tmp_path).locked():
        writing = tmp_path / "box" / ".b.new"
        writing.write_bytes(b"half")
        other = threading.Thread(target=written, args=(tmp_path,))
        other.start()
        other.join(0.2)
        assert writing.read_bytes() == b"half"
    other.join()
    assert [entry.name for entry in writing.parent.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_opened_costs_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon tries again for as long as it runs."""
    written(tmp_path)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patched:
        patched.setattr("edge.store.fcntl.flock", broken)
        with pytest.raises(StorageError, match="cannot open: Input/output error"):
            written(tmp_path)
    assert os.listdir("/proc/self/fd") == before


def test_a_new_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ada.json"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("edge.store.os.fsync", full)
        with pytest.raises(StorageError, match=r"ada\.json: cannot write: No space left on device; nothing was kept"):
            write_new(path, "half")
    assert not path.exists()
    write_new(path, "whole")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("whole", 0o600)
    with pytest.raises(StorageError, match="File exists; name a file that is not there yet"):
        write_new(path, "another")
    assert path.read_text() == "whole"


def test_a_new_file_is_not_left_behind_by_ctrl_c_and_holds_every_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.txt"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("edge.store.os.fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_new(path, "half")
    assert not path.exists()
    write_new(path, "→ \udcff")  # a lone surrogate, from a name that is not UTF-8, is escaped, whatever the locale's encoding
    assert path.read_bytes() == "→ \\udcff".encode()


def test_what_a_killed_process_began_is_written_over_whatever_its_name(tmp_path: Path) -> None:
    """Eve may never be enrolled, so nothing would write or remove a file of that name again: any write removes it."""
    left = written(tmp_path).parent / ".eve.new"
    left.write_bytes(b"eve's templates")
    with left.open("rb") as holder:
        written(tmp_path)
        assert holder.read() == bytes(15)
    assert [entry.name for entry in left.parent.iterdir()] == ["a"]
    ours = tmp_path / ".bashrc.new"  # the state folder itself may contain unrelated files
    ours.write_text("precious")
    with Store(tmp_path, tmp_path).locked() as folder:
        folder.replace("b", b"")
    assert ours.read_text() == "precious"


def test_nobody_reads_a_file_that_is_being_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = written(tmp_path), os.write

    def looked_at(handle: int, data: bytes) -> int:
        assert not path.exists()
        return real(handle, data)

    monkeypatch.setattr("edge.store.os.write", looked_at)
    with Store(tmp_path / "box", tmp_path).locked() as folder:
        folder.remove("a", wipe=True)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "wipe", "told", "there"),
    [
        ("unlink", False, "it is there still", ["a"]),
        ("write", True, "it is taken out, but not written over", [".a.new"]),
        ("fsync", False, "it is gone, unless the power fails", []),
    ],
)
def test_what_could_not_be_removed_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, wipe: bool, told: str, there: list[str]
) -> None:
    path = written(tmp_path)

    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched, Store(tmp_path / "box", tmp_path).locked() as folder:
        patched.setattr(f"edge.store.os.{call}", broken)
        with pytest.raises(StorageError, match=f"cannot remove: Input/output error; {told}"):
            folder.remove("a", wipe=wipe)
    assert [entry.name for entry in path.parent.iterdir()] == there


def test_a_file_system_that_syncs_no_folders_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a shared folder of VirtualBox, on which nobody could be enrolled, removed or counted. Other errors are still raised."""
    real, folders = os.fsync, []

    def of_files_alone(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            folders.append(handle)
            raise OSError(22, "Invalid argument")
        real(handle)

    monkeypatch.setattr("edge.store.os.fsync", of_files_alone)
    path = written(tmp_path)
    with Store(tmp_path / "box", tmp_path).locked() as folder:
        folder.remove("a")
    write_new(tmp_path / "key", "digits")
    assert (path.exists(), (tmp_path / "key").read_text()) == (False, "digits")
    assert len(folders) == 3  # for the new file, too: a key must not be lost once templates are encrypted with it


def test_a_new_file_may_lie_in_a_folder_that_one_may_not_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name cannot be synced there, because that needs the folder opened. Root, who runs these tests, may open every folder."""
    real = os.open

    def closed(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECTORY:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode)

    monkeypatch.setattr("edge.store.os.open", closed)
    write_new(tmp_path / "key", "digits")
    assert (tmp_path / "key").read_text() == "digits"


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would block a reader for ever, a device would fill its memory, and a link would lead elsewhere."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "zero").symlink_to("/dev/zero")
    open_files = os.listdir("/proc/self/fd")
    for name, told in (("pipe", "not a file"), ("", "not a file"), ("link", "symbolic links"), ("zero", "symbolic links")):
        with pytest.raises(OSError, match=told):
            read_file(tmp_path / name, 5)
    with pytest.raises(OSError, match="not a file"):
        read_file(Path("/dev/zero"), 5)
    assert os.listdir("/proc/self/fd") == open_files, "a door reads such a file again every half minute"
    assert read_file(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="longer than 4 bytes"):
        read_file(tmp_path / "file", 4)
