"""Unit, sandbox and journal, according to systemd's tools and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.doctor import Machine, examine, service

Make = Callable[..., Machine]
BOOTED = {"run/systemd/system/x": ""}


def shown(**changes: str) -> dict[str, str]:
    state = {
        "LoadState": "loaded",
        "UnitFileState": "enabled",
        "ActiveState": "active",
        "SubState": "running",
        "NRestarts": "2",
    }
    return {"systemctl": "".join(f"{key}={value}\n" for key, value in (state | changes).items())}


@pytest.mark.parametrize(
    ("changes", "verdict", "told", "mend"),
    [
        ({}, "pass", "enabled, active (running), restarted 2 times", ""),
        ({"LoadState": "not-found"}, "warn", "not installed", "install.sh"),
        ({"LoadState": "masked"}, "fail", "masked", "unmask"),
        ({"ActiveState": "failed", "Result": "watchdog"}, "fail", "result watchdog", "journalctl -u"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "warn", "inactive (dead)", "enable --now"),
        ({"UnitFileState": "disabled"}, "warn", "disabled, active", "enable --now"),
        ({"NeedDaemonReload": "yes"}, "warn", "has changed", "daemon-reload"),
    ],
)
def test_a_unit_in_every_state(machine: Make, changes: dict[str, str], verdict: str, told: str, mend: str) -> None:
    found = service.unit(machine(BOOTED, shown(**changes)), False)
    assert (found.verdict, told in found.message, mend in found.mend) == (verdict, True, True), found


@pytest.mark.parametrize(
    ("changes", "verdict", "told"),
    [
        ({"Result": "success"}, "pass", "inactive (dead): it leaves when nobody asks"),
        ({"Result": "success", "UnitFileState": "disabled"}, "warn", "disabled, inactive"),
        ({"Result": "watchdog"}, "warn", "inactive (dead)"),
        ({"Result": "exit-code", "ActiveState": "failed"}, "fail", "result exit-code"),
        ({"Result": "success", "ActiveState": "active", "SubState": "running"}, "pass", "active (running), restarted"),
    ],
)
def test_a_unit_that_leaves_when_nobody_asks(machine: Make, changes: dict[str, str], verdict: str, told: str) -> None:
    gone = {"ActiveState": "inactive", "SubState": "dead"}
    found = service.unit(machine(BOOTED, shown(**gone | changes)), True)
    assert (found.verdict, told in found.message) == (verdict, True), found


@pytest.mark.parametrize(
    ("told", "leaves"),
    [
        ('mode = "on-demand"\nidle_exit_s = 60.0', True),
        ("idle_exit_s = 60.0", False),
        ('mode = "on-demand"', False),
        # Without the bus nothing could start it again.
        ('mode = "on-demand"\nidle_exit_s = 60.0\nbus = false', False),
    ],
)
def test_whether_it_leaves_is_in_the_settings(machine: Make, tmp_path: Path, told: str, leaves: bool) -> None:
    (tmp_path / "edge.toml").write_text(f"[service]\n{told}\n")
    gone = shown(ActiveState="inactive", SubState="dead", Result="success")
    found = {one.check: one for one in examine(tmp_path / "edge.toml", tmp_path, machine(BOOTED, gone))}
    assert found["unit"].verdict == ("pass" if leaves else "warn")


def test_without_systemd_there_is_no_unit_and_no_sandbox(machine: Make) -> None:
    assert service.unit(machine(), True).verdict == service.exposure(machine()).verdict == "warn"
    assert service.unit(machine(BOOTED), True).verdict == "fail"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("  ✓ x=  y\n\n→ Overall exposure level for facelatch.service: 0.8 SAFE 😀\n", "pass"),
        ("→ Overall exposure level for facelatch.service: 1.5 OK 🙂\n", "pass"),
        ("→ Overall exposure level for facelatch.service: 9.2 UNSAFE 😨\n", "warn"),
        ("Unit facelatch.service not found", "warn"),
    ],
)
def test_the_exposure_is_read_from_the_last_line(machine: Make, answer: str, verdict: str) -> None:
    assert service.exposure(machine(BOOTED, {"systemd-analyze": answer})).verdict == verdict


MAIN, PI = "etc/systemd/journald.conf", "usr/lib/systemd/journald.conf.d/40-rpi-volatile-storage.conf"


@pytest.mark.parametrize(
    ("files", "verdict", "told"),
    [
        ({}, "warn", "Storage=auto, and there is no /var/log/journal"),
        ({"var/log/journal/x": ""}, "pass", "Storage=auto"),
        ({MAIN: "[Journal]\n#Storage=none\nStorage=persistent\n"}, "pass", "Storage=persistent"),
        ({MAIN: "[Journal]\nStorage=none\n"}, "fail", "Storage=none"),
        # Raspberry Pi OS's default, and how it is overridden.
        ({"var/log/journal/x": "", PI: "[Journal]\nStorage=volatile\n"}, "warn", "Storage=volatile)"),
        ({MAIN: "[Journal]\nStorage=persistent", PI: "[Journal]\nStorage=volatile\n"}, "warn", "volatile"),
        (
            {PI: "[Journal]\nStorage=volatile\n", "etc/systemd/journald.conf.d/90-x.conf": "Storage = persistent"},
            "pass",
            "persistent",
        ),
        ({PI: "Storage=volatile", "etc/systemd/journald.conf.d/40-rpi-volatile-storage.conf": ""}, "warn", "auto"),
        ({"usr/lib/systemd/journald.conf": "Storage=none", MAIN: "Storage=persistent"}, "pass", "persistent"),
        ({MAIN: "Storage=none", "run/systemd/journald.conf.d/1.conf": "Storage=\n", "var/log/journal/x": ""}, "pass", "auto"),
    ],
)
def test_whether_events_outlive_a_reboot(machine: Make, files: dict[str, str], verdict: str, told: str) -> None:
    found = service.journal_storage(machine(files))
    assert (found.verdict, told in found.message) == (verdict, True), found.message
