"""The installer on a booted system: what it refuses, an upgrade, a roll-back, and the removal. The last of the rig's tests."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from edge.journal import Event
from tests.system.installed import ROOT, UNIT, Installed, event, files, gallery
from tests.system.rig import SHARED, until


def test_people_come_before_a_new_model(device: Installed, ada: str) -> None:
    """Another model's templates are never used: the installer names who must enrol again, and changes nothing."""
    rig, model = device.rig, ROOT / "edge/models/compact.tflite"
    shutil.copy2(model, rig.shared)
    device.configure("/dev/video0")
    before = files(rig.root / "etc/facelatch")
    refused = device.install("--wheels", SHARED / "wheels", "--model", SHARED / "compact.tflite", check=False)
    assert refused.returncode == 1
    assert f"{ada}" in refused.stderr
    assert "--new-gallery goes on all the same" in refused.stderr
    assert files(rig.root / "etc/facelatch") == before


def test_a_file_that_is_no_model_is_refused(device: Installed) -> None:
    before = files(device.rig.root / "etc/facelatch")
    refused = device.install("--wheels", SHARED / "wheels", "--model", SHARED / "now", check=False)
    assert (refused.returncode, "not a model that this release takes" in refused.stderr) == (1, True)
    assert files(device.rig.root / "etc/facelatch") == before


def test_it_does_not_install_over_the_debian_package(device: Installed) -> None:
    status = device.rig.root / "var/lib/dpkg/status"
    before = status.read_text()
    stanza = "Package: facelatch\nStatus: install ok installed\nArchitecture: all\nVersion: 9\nMaintainer: root\nDescription: a test\n"
    status.write_text(f"{before}\n{stanza}")
    refused = device.install("--wheels", SHARED / "wheels", check=False)
    status.write_text(before)
    assert (refused.returncode, "apt-get remove facelatch" in refused.stderr) == (1, True)


def test_a_key_that_the_new_version_refuses_is_told_before_the_switch(device: Installed, ada: str) -> None:
    device.source("second", "2.0")
    device.configure("/dev/video0", "[policy]\nopen_sesame = true\n")
    before, release, begun = (device.rig.root / "etc/facelatch/edge.toml").read_bytes(), device.release(), time.monotonic()
    refused = device.install("--wheels", SHARED / "wheels", source="second", check=False)
    device.times["making a release offline"] = time.monotonic() - begun
    assert refused.returncode == 1
    assert "policy.open_sesame" in refused.stderr
    assert "what is in use is untouched" in refused.stderr
    assert device.release() == release
    assert (device.rig.root / "etc/facelatch/edge.toml").read_bytes() == before


def test_an_upgrade_keeps_gallery_and_settings_and_restarts_what_runs(device: Installed, ada: str) -> None:
    rig, first, people = device.rig, device.release(), gallery(device)
    device.configure("/dev/video0", "# mine\n")
    settings = (rig.root / "etc/facelatch/edge.toml").read_bytes()
    rig.run("systemctl", "start", UNIT)
    process, since, begun = rig.property(UNIT, "MainPID"), rig.cursor(), time.monotonic()
    told = device.install("--wheels", SHARED / "wheels", source="second").stdout
    device.times["switching to it"] = time.monotonic() - begun
    assert f"before it was {first}" in told
    assert device.release().startswith("2.0-")
    assert (rig.root / "opt/facelatch/previous").readlink().name == first
    assert rig.property(UNIT, "MainPID") != process
    assert rig.wait_for(since, **event(Event.GALLERY_LOADED))["FACELATCH_SUBJECTS"] == "1"
    assert "# of 2.0" in rig.run("systemctl", "cat", UNIT).stdout
    assert (rig.root / "etc/facelatch/edge.toml").read_bytes() == settings
    assert gallery(device) == people


def test_roll_back_is_the_release_before_with_its_own_unit(device: Installed, ada: str) -> None:
    rig, second, people = device.rig, device.release(), gallery(device)
    device.configure("/dev/video0")
    rig.run("systemctl", "start", UNIT)
    device.install("--roll-back")
    assert device.release() != second
    assert "# of 2.0" not in rig.run("systemctl", "cat", UNIT).stdout
    assert rig.property(UNIT, "ActiveState") == "active"
    assert gallery(device) == people
    device.install("--roll-back")
    assert device.release() == second


def test_a_roll_back_that_does_not_start_goes_forward(device: Installed, ada: str) -> None:
    rig, second = device.rig, device.release()
    edge = rig.root / (rig.root / "opt/facelatch/previous").readlink().relative_to("/") / "bin/edge"
    text = edge.read_text()
    edge.write_text(text.replace("import sys\n", "import sys\nif 'run' in sys.argv: sys.exit(5)\n", 1))
    assert edge.read_text() != text
    device.configure("/dev/video0")
    rig.run("systemctl", "reset-failed")
    rig.run("systemctl", "start", UNIT)
    refused = device.install("--roll-back", check=False)
    edge.write_text(text)
    assert (refused.returncode, "--roll-back again goes forward" in refused.stderr) == (1, True), refused.stderr
    device.install("--roll-back")
    assert (device.release(), rig.property(UNIT, "ActiveState")) == (second, "active")


@pytest.mark.parametrize(
    ("name", "version", "instead"),
    [
        pytest.param("third", "3.0", "    def not_run(self)", id="which systemd would try again"),
        pytest.param(
            "fourth", "4.0", "    def run(self): raise SystemExit(5)\n\n    def not_run(self)", id="which it would not"
        ),
    ],
)
def test_a_release_that_does_not_start_gives_way_to_the_one_before(
    name: str, version: str, instead: str, device: Installed, ada: str
) -> None:
    """And so does the model that was given with it."""
    rig, second, older = device.rig, device.release(), (device.rig.root / "opt/facelatch/previous").readlink()
    daemon = device.source(name, version) / "edge/daemon.py"
    text = daemon.read_text()
    daemon.write_text(text.replace("    def run(self)", instead))
    assert daemon.read_text() != text
    device.configure("/dev/video0")
    before = files(rig.root / "etc/facelatch")
    rig.run("systemctl", "reset-failed")
    rig.run("systemctl", "start", UNIT)
    given = ("--wheels", SHARED / "wheels", "--model", SHARED / "compact.tflite", "--new-gallery")
    refused = device.install(*given, source=name, check=False)
    assert files(rig.root / "etc/facelatch") == before
    assert refused.returncode == 1
    assert f"{second} is in use again" in refused.stderr
    assert (device.release(), (rig.root / "opt/facelatch/previous").readlink()) == (second, older)
    assert "# of 2.0" in rig.run("systemctl", "cat", UNIT).stdout
    assert rig.property(UNIT, "ActiveState") == "active"


def test_taking_out_keeps_what_is_a_persons_and_purge_keeps_nothing(device: Installed, ada: str) -> None:
    rig, people = device.rig, gallery(device)
    device.configure("/dev/video0")
    rig.run("systemctl", "enable", "--now", UNIT)
    would = device.install("--dry-run", "--purge").stdout
    assert "would: rm -rf /etc/facelatch" in would
    assert "would: find /var/lib/facelatch/ -mindepth 1 -delete" in would
    assert rig.property(UNIT, "ActiveState") == "active"
    device.install("--uninstall")
    assert gallery(device) == people
    assert rig.run("systemctl", "cat", UNIT, check=False).returncode != 0
    device.install("--wheels", SHARED / "wheels")
    device.configure(SHARED / "eve-1.avi", replay="real-time")
    rig.run("systemctl", "start", "--no-block", "facelatch-enroll@eve.service")
    until(lambda: rig.property("facelatch-enroll@eve.service", "ActiveState") == "activating", 10, "an enrolment")
    device.install("--purge")
    assert rig.property("facelatch-enroll@eve.service", "ActiveState") in ("inactive", "failed")
    assert rig.run("id", "facelatch", check=False).returncode != 0
    left = rig.run(
        "find", "/etc", "/opt", "/usr", "/var", "-xdev", "-name", "*facelatch*", "-not", "-path", "/var/log/*"
    ).stdout.split()
    assert [path for path in left if not Path(path).exists()] == []
    assert rig.run("test", "-e", "/usr/local/bin/edge", check=False).returncode != 0
