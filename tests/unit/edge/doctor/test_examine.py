"""All checks together: a broken one does not stop the others, and a report contains nothing about a person."""

from __future__ import annotations

import inspect
import json
import platform
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from edge import doctor
from edge.camera.v4l2 import Node
from edge.contract.errors import StorageError
from edge.doctor import Machine, Verdict, examine, report, software
from edge.lockout import Lockout
from edge.settings import PolicySettings
from edge.store import write_new
from tests.conftest import MODEL

Make = Callable[..., Machine]
CHECKS = [
    "settings", "runtime", "opencv", "model", "files", "camera", "camera rights", "camera users", "rights", "gallery", "lock-out", "disk",
    "unit", "sandbox", "bus", "journal", "journal storage", "clock", "temperature", "power",
]  # fmt: skip


def settings(folder: Path, more: str = "") -> Path:
    path = folder / "edge.toml"
    path.write_text(f'[model]\npath = "{MODEL}"\n{more}')
    return path


def test_every_check_has_its_line(tmp_path: Path, machine: Make) -> None:
    assert [finding.check for finding in examine(settings(tmp_path), tmp_path, machine())] == CHECKS


def test_a_check_that_breaks_is_a_finding_and_stops_none(
    tmp_path: Path, machine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"{tmp_path} is odd")

    for module in (
        doctor.board,
        doctor.bus,
        doctor.camera,
        doctor.files,
        doctor.service,
        doctor.software,
        doctor.state,
        doctor.verifier,
    ):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                monkeypatch.setattr(module, name, broken)
    found = list(examine(None, tmp_path, machine()))
    assert [finding.check for finding in found] == CHECKS
    assert {finding.verdict for finding in found} == {Verdict.FAIL}
    assert all("RuntimeError" in finding.message for finding in found)
    assert str(tmp_path) not in str([finding.shared() for finding in found])


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_report_holds_nothing_of_a_person(
    tmp_path: Path, machine: Make, monkeypatch: pytest.MonkeyPatch, as_json: bool, damaged: bool
) -> None:
    """A subject's name, a host name, a home, a serial number, a password and a program's name are planted wherever a check looks."""
    secrets = ["zebedee", "quuxhost", "hunter2", "SER1AL", "/home", "xylofilm", "10.9.8.7", "openwide"]
    monkeypatch.setattr(socket, "gethostname", lambda: "quuxhost")
    monkeypatch.setattr(platform, "node", lambda: "quuxhost")
    home = tmp_path / "home" / "zebedee"
    folder = home / "state"
    (folder / "gallery").mkdir(parents=True)
    (folder / "gallery" / "zebedee.faces").write_bytes(b"zebedee")
    (folder / "gallery").chmod(0o777 if damaged else 0o700)
    for _ in range(2):
        Lockout(folder).fail("zebedee", PolicySettings())
    if damaged:
        (folder / "lockout.json").write_text("zebedee")
        (home / "own.tflite").write_bytes(b"zebedee")
    pi = machine(
        {
            "etc/hostname": "quuxhost",
            "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12"\n',
            "etc/machine-id": "SER1AL",
            "proc/sys/kernel/osrelease": "6.6.51-zebedee\n",
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "proc/device-tree/serial-number": "SER1AL",
            "proc/77/comm": "xylofilm",
            "proc/self/mounts": f"x {home} ext4 rw 0 0",
            "run/systemd/system/x": "",
            "usr/share/dbus-1/system.d/io.facelatch.conf": "",
        },
        {
            "systemctl": f"LoadState=loaded\nActiveState=failed\nResult=exit-code\nFragmentPath={home}/x.service\n",
            "systemd-analyze": "quuxhost: Overall exposure level for facelatch.service: 9.6 UNSAFE",
            "busctl": '[{"name": "io.facelatch", "pid": 77, "process": "xylofilm", "user": "zebedee", "connection": ":1.4"}]',
            "timedatectl": "quuxhost",
        },
    )
    (pi.root / "proc/77/fd").mkdir()
    (pi.root / "proc/77/fd/3").symlink_to("/dev/video0")
    stable = "/dev/v4l/by-id/usb-046d_zebedees_SER1AL-video-index0"
    monkeypatch.setattr(doctor, "nodes", lambda: [Node("/dev/video0", "zebedee's camera", "uvcvideo", stable, "046d:0825", "")])
    for source in ("/dev/video0", stable, "rtsp://zebedee:hunter2@10.9.8.7/door", f"{home}/film.avi", str(home)):
        model = home / "own.tflite" if damaged else MODEL
        path = home / "edge.toml"
        path.write_text(
            f'[camera]\nsource = "{source}"\n[model]\npath = "{model}"\n[policy]\ntarget_fmr = 1e-2\n'
            "lockout_failures = 1\ndisable_failures = 2\n"
            '[action]\nkind = "command"\nargv = ["/home/zebedee/openwide"]\nuser = "zebedee"\n'
        )
        found = list(examine(path, folder, pi))
        text = report.as_report(found, report.about(pi), software.differences(software.load_settings(path)), as_json=as_json)
        for secret in [*secrets, str(tmp_path)]:
            assert secret not in text, secret
        for told in (
            "Raspberry Pi 4 Model B",
            "6.6.51",
            "target_fmr",
            "046d:0825" if source in ("/dev/video0", stable) else "camera",
        ):
            assert told in text
        shown = json.dumps([finding.shown() for finding in found])
        assert "zebedee" in shown
        assert "xylofilm" in shown


def test_a_report_is_written_once_and_for_its_owner(tmp_path: Path) -> None:
    write_new(tmp_path / "r.txt", "x")
    assert (tmp_path / "r.txt").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StorageError, match="not there yet"):
        write_new(tmp_path / "r.txt", "y")
