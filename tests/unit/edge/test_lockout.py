"""Failure counts on disk, over a restart, a reboot, and a damaged file or full disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edge.lockout
from edge.clock import seconds_since_boot
from edge.contract.errors import StorageError
from edge.lockout import ANYONE, Failures, Lockout
from edge.settings import PolicySettings

HOW = PolicySettings()
LOCKED = HOW.lockout_failures


def failed(lockout: Lockout, key: str, times: int) -> Failures:
    for _ in range(times):
        found = lockout.fail(key, HOW)
    return found


def test_counts_are_kept_by_name_and_a_restart_forgives_nobody(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    assert lockout.read(ANYONE, 30) == Failures()
    assert failed(lockout, ANYONE, 4) == Failures(4, 0.0)
    assert failed(lockout, ANYONE, 2).rest_s > 29
    assert failed(lockout, "ada", 2) == Failures(2, 0.0)
    again = Lockout(tmp_path)
    found = again.read(ANYONE, 30)
    assert found.count == 6
    assert 29 < found.rest_s <= 30
    assert again.read("ada", 30) == Failures(2, 0.0)
    assert again.everyone() == {ANYONE: 6, "ada": 2}
    assert (tmp_path / "lockout.json").stat().st_mode & 0o777 == 0o600


def test_an_accept_forgives_its_own_failures_alone(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    failed(lockout, ANYONE, 3)
    failed(lockout, "ada", 2)
    assert lockout.succeed("ada", HOW) == Failures()
    assert lockout.everyone() == {ANYONE: 3}


def test_an_accept_that_a_lock_out_overtook_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process failed five times during this attempt; later fifty times, and the lock-out's rest is over."""
    lockout, other = Lockout(tmp_path), Lockout(tmp_path)
    failed(other, "ada", LOCKED)
    assert lockout.succeed("ada", HOW).count == LOCKED
    assert lockout.everyone() == {"ada": LOCKED}
    failed(other, "ada", HOW.disable_failures - LOCKED)
    later = seconds_since_boot() + 31
    monkeypatch.setattr("edge.lockout.seconds_since_boot", lambda: later)
    assert lockout.succeed("ada", HOW) == Failures(HOW.disable_failures, 0.0)
    assert lockout.everyone() == {"ada": HOW.disable_failures}


def test_two_processes_that_fail_at_once_are_counted_twice(tmp_path: Path) -> None:
    """Each process waits until both are ready, then fails forty times as fast as it can."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom edge.lockout import Lockout\nfrom edge.settings import PolicySettings\n"
        "lockout = Lockout(Path(sys.argv[1]))\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "for _ in range(40): lockout.fail('ada', PolicySettings())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert Lockout(tmp_path).everyone() == {"ada": 80}


def test_a_rest_is_over_on_the_clock_since_boot_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lockout = Lockout(tmp_path)
    failed(lockout, ANYONE, LOCKED)
    monkeypatch.setattr("time.time", lambda: 9e9)  # somebody set the clock
    assert lockout.read(ANYONE, 30).rest_s > 29
    later = seconds_since_boot() + 31
    monkeypatch.setattr("edge.lockout.seconds_since_boot", lambda: later)
    assert lockout.read(ANYONE, 30) == Failures(LOCKED, 0.0)


def test_after_a_reboot_a_rest_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lockout = Lockout(tmp_path)
    failed(lockout, ANYONE, LOCKED)
    failed(lockout, "ada", 2)
    monkeypatch.setattr(edge.lockout, "_boot", lambda: "another boot")
    # Reading the count must not restart the rest: nobody rewrites the file, and a rest restarted at each read would never end.
    for since_boot, left in ((0.0, 30.0), (12.0, 18.0), (30.0, 0.0), (86400.0, 0.0)):
        monkeypatch.setattr(edge.lockout, "seconds_since_boot", lambda since_boot=since_boot: since_boot)
        assert lockout.read(ANYONE, 30) == Failures(LOCKED, left)
        assert lockout.read("ada", 30) == Failures(2, 0.0), "whoever was not resting does not begin to"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff\xfe\xfd",
        b'{"failures": {"": 3}}',
        b'{"failures": {"": {}}}',
        b'{"failures": {"": {"count": -1, "boot": "x", "until": 0}}}',
        b'{"failures": {"": {"count": 0, "boot": "x", "until": 0}}}',
        b'{"failures": {"": {"count": 2.5, "boot": "x", "until": 0}}}',
        b'{"failures": {"": {"count": 5, "boot": "x", "until": -9}}}',
        b'{"failures": {"": {"count": 5, "boot": "x", "until": NaN}}}',
        b'{"failures": {"": {"count": 5, "boot": "", "until": 9}}}',
    ],
)
def test_a_damaged_file_is_no_forgiveness(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "lockout.json").write_bytes(text)
    lockout = Lockout(tmp_path)
    for use in (
        lambda: lockout.read(ANYONE, 30),
        lambda: lockout.fail("ada", HOW),
        lambda: lockout.succeed(ANYONE, HOW),
        lambda: lockout.settle(HOW),
        lambda: lockout.clear("ada"),
    ):
        with pytest.raises(StorageError, match="unlock-out --all"):
            use()
    lockout.clear()
    assert lockout.read(ANYONE, 30) == Failures()
    lockout.settle(HOW)
    assert lockout.everyone() == {}  # unwritten failures are forgiven, too


def test_clearing_one_leaves_the_others(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    for key, times in ((ANYONE, 3), ("ada", 4), ("bob", 2)):
        failed(lockout, key, times)
    before = lockout.stamp()
    assert lockout.clear("ada") == ["ada"]
    assert lockout.stamp() != before
    assert lockout.everyone() == {ANYONE: 3, "bob": 2}
    assert lockout.clear(ANYONE) == [ANYONE]
    assert lockout.everyone() == {"bob": 2}
    assert json.loads((tmp_path / "lockout.json").read_text())["version"] == 1


def test_failures_that_cannot_be_written_are_owed(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    failed(lockout, ANYONE, 3)
    blocker = tmp_path / ".lockout.json.new"
    blocker.mkdir()  # a folder in place of the temporary file: not even root can write it
    for use in (lambda: lockout.fail(ANYONE, HOW), lambda: lockout.fail("ada", HOW), lambda: lockout.settle(HOW)):
        with pytest.raises(StorageError, match="cannot write"):
            use()
    with pytest.raises(StorageError, match="cannot write"):
        lockout.succeed("bob", HOW)
    assert Lockout(tmp_path).everyone() == {ANYONE: 3}
    blocker.rmdir()
    lockout.settle(HOW)
    assert lockout.everyone() == {ANYONE: 4, "ada": 1}
    lockout.settle(HOW)
    assert lockout.everyone() == {ANYONE: 4, "ada": 1}  # they are written only once


def test_who_is_forgiven_owes_no_more_and_the_others_do(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    (tmp_path / ".lockout.json.new").mkdir()
    for key in ("ada", "bob"):
        with pytest.raises(StorageError, match="cannot write"):
            lockout.fail(key, HOW)
    (tmp_path / ".lockout.json.new").rmdir()
    assert lockout.clear("ada") == []
    lockout.settle(HOW)
    assert lockout.everyone() == {"bob": 1}


def test_an_owed_failure_locks_out_when_it_is_written(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    failed(lockout, ANYONE, LOCKED - 1)
    (tmp_path / ".lockout.json.new").mkdir()
    with pytest.raises(StorageError):
        lockout.fail(ANYONE, HOW)
    (tmp_path / ".lockout.json.new").rmdir()
    assert lockout.succeed(ANYONE, HOW).count == LOCKED
    assert lockout.read(ANYONE, 30).rest_s > 29


def test_settling_what_is_not_owed_changes_no_rest(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    failed(lockout, ANYONE, LOCKED)
    before = (tmp_path / "lockout.json").read_text()
    lockout.settle(HOW)
    assert (tmp_path / "lockout.json").read_text() == before


def test_a_disk_that_is_full_fails_nobody_against_whom_nothing_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lockout = Lockout(tmp_path)
    failed(lockout, "ada", 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.store.os.replace", full)
    assert lockout.clear("bob") == []
    with pytest.raises(StorageError, match="No space left"):
        lockout.clear("ada")


def test_who_is_forgiven_in_the_moment_of_a_failure_is_forgiven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subject is removed while a verification ends: the thread that answers on the bus gets the lock first."""
    lockout = Lockout(tmp_path)
    failed(lockout, "ada", LOCKED)
    real = lockout._store.locked

    def taken() -> object:
        monkeypatch.undo()
        lockout.clear("ada")
        return real()

    monkeypatch.setattr(lockout._store, "locked", taken)
    assert lockout.fail("ada", HOW) == Failures()
    assert lockout.everyone() == {}


def test_what_is_no_file_of_counts_is_an_error_that_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "lockout.json"
    path.write_text("[" * 100_000)
    with pytest.raises(StorageError, match=r"damaged .*unlock-out --all"):
        Lockout(tmp_path).everyone()
    path.unlink()
    os.mkfifo(path)  # would block whoever counts
    with pytest.raises(StorageError, match=r"cannot read: .*not a file"):
        Lockout(tmp_path).everyone()
    Lockout(tmp_path).clear()
    assert Lockout(tmp_path).everyone() == {}


def test_the_stamp_tells_every_change_of_a_count(tmp_path: Path) -> None:
    """Two counts of one length in one moment, and one file that is written over in its place."""
    lockout, path = Lockout(tmp_path), tmp_path / "lockout.json"
    assert lockout.stamp() is None
    stamps = []
    for _ in range(2):
        failed(lockout, "ada", 1)
        os.utime(path, ns=(0, 1_000_000))
        stamps.append(lockout.stamp())
    os.utime(path, ns=(0, 2_000_000))
    assert len({*stamps, lockout.stamp()}) == 3


def test_a_count_that_cannot_be_looked_for_is_no_missing_one(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    for look in (Lockout(tmp_path / "state").stamp, Lockout(tmp_path / "state").everyone):
        with pytest.raises(StorageError, match=r"cannot read: .*Not a directory"):
            look()


@pytest.mark.parametrize("there", ["", "none"])
def test_without_the_name_of_the_boot_nobody_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str) -> None:
    """A folder is in its place, or nothing. Without it a rest from another boot could be taken for one of this boot that is over."""
    lockout = Lockout(tmp_path)
    failed(lockout, ANYONE, LOCKED)
    monkeypatch.setattr(edge.lockout, "_BOOT_ID", tmp_path / there)
    for use in (lambda: lockout.read(ANYONE, 30), lambda: lockout.succeed(ANYONE, HOW), lambda: lockout.fail(ANYONE, HOW)):
        with pytest.raises(StorageError, match="whether a lock-out is over cannot be known"):
            use()


def test_no_rest_is_longer_than_the_settings_say_now(tmp_path: Path) -> None:
    """The setting was lowered meanwhile, or the file says far too much."""
    lockout = Lockout(tmp_path)
    failed(lockout, ANYONE, LOCKED)
    assert lockout.read(ANYONE, 10) == Failures(LOCKED, 10.0)
