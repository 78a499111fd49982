"""Failures on disk: what a restart, a reboot, a damaged or full disk make of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edge.lockout
from edge.contract.errors import StorageError
from edge.lockout import ANYONE, Failures, Lockout


def test_counts_are_kept_by_name_and_a_restart_forgives_nobody(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    assert lockout.read(ANYONE, 30) == Failures()
    lockout.write(ANYONE, Failures(6, 30.0))
    lockout.write("ada", Failures(2))
    again = Lockout(tmp_path)
    found = again.read(ANYONE, 30)
    assert found.count == 6
    assert 29 < found.rest_s <= 30
    assert again.read("ada", 30) == Failures(2, 0.0)
    assert again.everyone() == {ANYONE: 6, "ada": 2}
    assert (tmp_path / "lockout.json").stat().st_mode & 0o777 == 0o600


def test_a_rest_is_over_on_the_clock_since_boot_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lockout = Lockout(tmp_path)
    lockout.write(ANYONE, Failures(5, 30.0))
    monkeypatch.setattr(edge.lockout.time, "time", lambda: 9e9)  # somebody set the clock
    assert lockout.read(ANYONE, 30).rest_s > 29
    later = edge.lockout.time.clock_gettime(edge.lockout.time.CLOCK_BOOTTIME) + 31
    monkeypatch.setattr(edge.lockout.time, "clock_gettime", lambda _: later)
    assert lockout.read(ANYONE, 30) == Failures(5, 0.0)


def test_after_a_reboot_a_rest_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lockout = Lockout(tmp_path)
    lockout.write(ANYONE, Failures(5, 0.1))
    monkeypatch.setattr(edge.lockout, "_boot", lambda: "another boot")
    assert lockout.read(ANYONE, 30) == Failures(5, 30.0)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"failures": {"": {"count": -1, "boot": "x", "until": 0}}}', '{"failures": {"": 3}}'],
)
def test_a_damaged_file_is_no_forgiveness(tmp_path: Path, text: str) -> None:
    (tmp_path / "lockout.json").write_text(text)
    lockout = Lockout(tmp_path)
    for use in (lambda: lockout.read(ANYONE, 30), lambda: lockout.write("ada", Failures(1)), lambda: lockout.clear("ada")):
        with pytest.raises(StorageError, match="unlock-out --all"):
            use()
    lockout.clear()
    assert lockout.read(ANYONE, 30) == Failures()


def test_clearing_one_leaves_the_others(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    lockout.write(ANYONE, Failures(3))
    lockout.write("ada", Failures(4))
    before = lockout.stamp()
    assert lockout.clear("ada") == ["ada"]
    assert lockout.stamp() != before
    assert lockout.everyone() == {ANYONE: 3}
    assert json.loads((tmp_path / "lockout.json").read_text())["version"] == 1


def test_a_folder_that_takes_nothing_is_an_error_and_the_counts_stay(tmp_path: Path) -> None:
    lockout = Lockout(tmp_path)
    lockout.write(ANYONE, Failures(3))
    (tmp_path / ".lockout.json.new").mkdir()  # what cannot be opened for writing, also by root
    with pytest.raises(StorageError, match="cannot write"):
        lockout.write(ANYONE, Failures())
    assert lockout.read(ANYONE, 30).count == 3
