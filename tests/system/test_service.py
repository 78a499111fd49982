"""The service on a booted systemd with a real journal: it starts, accepts and denies, is watched by the watchdog and confined.

The modules of this folder share one rig and run in the order of their names: the one that changes the installation comes last.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.journal import Event
from tests.system.installed import NETWORK, ROOT, STREAM, UNIT, Installed, event, files, gallery
from tests.system.rig import SHARED, until


def test_an_image_has_it_installed_and_neither_enabled_nor_started(device: Installed) -> None:
    rig = device.rig
    assert rig.run("systemctl", "is-enabled", UNIT, check=False).stdout.strip() == "disabled"
    assert rig.property(UNIT, "ActiveState") == "inactive"
    assert "video" in rig.run("id", "--name", "--groups", "facelatch").stdout.split()
    assert rig.run("stat", "--format=%a %U %G", "/var/lib/facelatch").stdout.strip() == "700 facelatch facelatch"
    assert rig.run("systemd-analyze", "verify", UNIT, "facelatch-enroll@ada.service").stderr == ""
    for file in ("man/man1/edge.1", "man/man5/edge.toml.5", "man/man8/facelatch.service.8", "bash-completion/completions/edge"):
        assert (rig.root / "usr/local/share" / file).stat().st_mode & 0o777 == 0o644
    config = rig.run("edge", "config", "show", "--json").stdout
    assert '"path": "/etc/facelatch/model.tflite"' in config


def test_installing_again_changes_nothing(device: Installed) -> None:
    before = [files(device.rig.root / name) for name in ("opt/facelatch", "etc/facelatch", "usr/local/lib")]
    told = device.install("--wheels", SHARED / "wheels").stdout
    assert "nothing was changed" in told
    assert [files(device.rig.root / name) for name in ("opt/facelatch", "etc/facelatch", "usr/local/lib")] == before


@pytest.mark.parametrize("unit", [UNIT, "facelatch-enroll@ada.service"])
def test_the_exposure_is_that_of_a_hardened_service(device: Installed, unit: str) -> None:
    done = device.rig.run("systemd-analyze", "security", "--threshold=15", unit, check=False)
    assert done.returncode == 0, done.stdout


def test_enrolment_without_a_keyboard(device: Installed, ada: str) -> None:
    (entry,) = device.rig.entries(MESSAGE_ID=Event.ENROLLED.message_id, _SYSTEMD_UNIT="facelatch-enroll@ada.service")
    assert entry["FACELATCH_SUBJECT"] == ada
    kept = device.rig.run("stat", "--format=%a %U", "/var/lib/facelatch/gallery", "/var/lib/facelatch/gallery/ada.faces").stdout
    assert kept.split("\n")[:2] == ["700 facelatch", "600 facelatch"]
    again = device.rig.run("systemctl", "start", "facelatch-enroll@ada.service", check=False)
    assert again.returncode != 0
    refused = device.rig.run("systemctl", "start", "facelatch-enroll@..-.service", check=False)
    assert refused.returncode != 0
    assert [path.name for path in (device.rig.root / "var/lib/facelatch/gallery").glob("*.faces")] == ["ada.faces"]


def test_who_is_enrolled_is_accepted_and_the_journal_explains_it(device: Installed, ada: str) -> None:
    rig, since = device.rig, device.rig.cursor()
    device.configure(SHARED / "ada-2.avi")
    rig.run("systemctl", "start", UNIT)  # returns after READY=1
    entry = rig.wait_for(since, **event(Event.ACCEPT))
    assert entry["FACELATCH_SUBJECT"] == ada
    assert 0 < float(entry["FACELATCH_SCORE"]) <= 1
    assert {"FACELATCH_OPERATING_POINT", "FACELATCH_FRAMES", "FACELATCH_COST_MS"} <= set(entry)
    assert entry["SYSLOG_IDENTIFIER"] == "facelatch"
    rig.wait_for(since, **event(Event.STOPPED))
    until(lambda: rig.property(UNIT, "ActiveState") == "inactive", 10, "the end with the clip")
    assert (rig.property(UNIT, "Result"), rig.property(UNIT, "NRestarts")) == ("success", "0")
    explained = rig.run("journalctl", "--catalog", "--no-pager", f"--after-cursor={since}").stdout
    assert f"Subject: {ada} was accepted" in explained
    assert "The daemon has loaded its model and its gallery" in explained


def test_a_stranger_is_denied_and_told_no_score(device: Installed, ada: str) -> None:
    rig, since = device.rig, device.rig.cursor()
    device.configure(SHARED / "eve-1.avi")
    rig.run("systemctl", "start", UNIT)
    rig.wait_for(since, **event(Event.STOPPED))
    denials = rig.entries(since, **event(Event.DENY))
    assert {entry["FACELATCH_REASON"] for entry in denials} == {"no-match"}
    assert not [entry for entry in denials if "FACELATCH_SCORE" in entry]
    assert not rig.entries(since, **event(Event.ACCEPT))


def test_it_waits_for_a_camera_and_reads_the_gallery_again_on_reload(device: Installed, ada: str) -> None:
    rig, since = device.rig, device.rig.cursor()
    device.configure("/dev/video0")
    rig.run("systemctl", "start", UNIT)
    rig.wait_for(since, **event(Event.CAMERA_LOST))
    assert rig.property(UNIT, "ActiveState") == "active"
    since, process = rig.cursor(), rig.property(UNIT, "MainPID")
    rig.run("systemctl", "reload", UNIT)
    assert rig.wait_for(since, **event(Event.GALLERY_LOADED))["FACELATCH_SUBJECTS"] == "1"
    assert rig.property(UNIT, "MainPID") == process
    rig.run("systemctl", "stop", UNIT)
    rig.wait_for(since, **event(Event.STOPPED))
    assert rig.property(UNIT, "Result") == "success"


def test_settings_that_cannot_work_are_not_tried_again(device: Installed) -> None:
    rig, since = device.rig, device.rig.cursor()
    device.configure("/dev/video0", "[policy]\nmatches = 0\n")
    assert rig.run("systemctl", "start", UNIT, check=False).returncode != 0
    assert rig.property(UNIT, "ActiveState") == "failed"
    assert (rig.property(UNIT, "ExecMainStatus"), rig.property(UNIT, "NRestarts")) == ("4", "0")
    assert [entry for entry in rig.entries(since, _SYSTEMD_UNIT=UNIT) if "policy.matches" in str(entry["MESSAGE"])]


def test_a_daemon_that_hangs_is_killed_and_comes_back(device: Installed, ada: str) -> None:
    """Stopped by a signal, it neither works nor pings the watchdog, as if a driver did not return from a read."""
    rig, since = device.rig, device.rig.cursor()
    # In a loop: a daemon that reads a folder as fast as it can may be done before it is stopped.
    device.configure(SHARED / "people/ada", replay="loop")
    device.drop_in("[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\nRestartSec=100ms\n")
    rig.run("systemctl", "start", UNIT)
    rig.wait_for(since, **event(Event.CAMERA_RUNNING))
    rig.run("kill", "-STOP", rig.property(UNIT, "MainPID"))
    stopped = rig.cursor()
    until(lambda: rig.property(UNIT, "NRestarts") != "0", 30, "a restart")
    told = [str(entry.get("MESSAGE")) for entry in rig.entries(since, UNIT=UNIT)]
    assert [message for message in told if "Watchdog timeout" in message]
    rig.wait_for(stopped, **event(Event.ACCEPT))
    rig.run("systemctl", "stop", UNIT)
    assert rig.property(UNIT, "Result") == "success"


def test_a_camera_in_the_network_that_stalls_is_lost_and_comes_back(device: Installed, ada: str) -> None:
    rig, since = device.rig, device.rig.cursor()
    device.drop_in(NETWORK, "network-camera.conf")
    device.configure(STREAM)
    device.show("ada")
    rig.run("systemctl", "start", "netcam.service", UNIT)
    assert rig.wait_for(since, **event(Event.ACCEPT))["FACELATCH_SUBJECT"] == ada
    device.show("eve")
    rig.wait_for(rig.cursor(), **event(Event.DENY))
    since = rig.cursor()
    device.show("stall")
    rig.wait_for(since, **event(Event.CAMERA_LOST))
    assert not rig.entries(since, **event(Event.ACCEPT))
    since = rig.cursor()
    device.show("ada")
    rig.wait_for(since, **event(Event.CAMERA_RUNNING))
    rig.wait_for(since, **event(Event.ACCEPT))
    assert rig.property(UNIT, "NRestarts") == "0"


def test_a_running_service_enrols_with_its_own_camera_and_knows_the_person_at_once(device: Installed, ada: str) -> None:
    """The enrolment's own unit has no network here: only the running service, asked over the bus, can see that camera."""
    rig, since = device.rig, device.rig.cursor()
    device.drop_in(NETWORK, "network-camera.conf")
    device.configure(STREAM)
    device.show("eve")
    rig.run("systemctl", "start", "netcam.service", UNIT)
    rig.wait_for(since, **event(Event.CAMERA_RUNNING))
    rig.run("systemctl", "start", "facelatch-enroll@eve.service")
    told = [str(entry["MESSAGE"]) for entry in rig.entries(since, _SYSTEMD_UNIT="facelatch-enroll@eve.service")]
    assert "enrolling eve: stand where you will stand later" in told
    assert any("turn your head a little to your left" in message for message in told)
    assert rig.wait_for(since, **event(Event.ACCEPT))["FACELATCH_SUBJECT"] == "eve"
    rig.run("edge", "remove", "eve")
    since = rig.cursor()
    rig.wait_for(since, **event(Event.DENY))
    assert not rig.entries(rig.cursor(), **event(Event.ACCEPT))


def test_a_question_on_the_bus_starts_an_enabled_service(device: Installed, ada: str) -> None:
    rig, ask = device.rig, ("busctl", "call", "io.facelatch", "/io/facelatch/Manager", "org.freedesktop.DBus.Peer", "Ping")
    device.configure("/dev/video0", '[service]\nmode = "on-demand"\n')
    assert rig.run(*ask, check=False).returncode != 0
    assert rig.property(UNIT, "ActiveState") == "inactive"
    rig.run("systemctl", "enable", UNIT)
    rig.run(*ask)
    assert rig.property(UNIT, "ActiveState") in ("activating", "active")
    rig.run("systemctl", "disable", UNIT)


def examined(device: Installed) -> dict[str, tuple[str, str]]:
    """The verdict and finding of each check of `edge doctor`, run as root."""
    told = json.loads(device.rig.run("edge", "doctor", "--json", check=False).stdout)
    return {check["check"]: (check["verdict"], check["found"]) for check in told["checks"]}


# root may own our bus name, as when somebody runs `edge run` by hand.
TAKER = """import asyncio
from dbus_fast import BusType
from dbus_fast.aio import MessageBus
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    await bus.request_name("io.facelatch")
    await bus.wait_for_disconnect()
asyncio.run(main())
"""


def test_the_doctor_sees_what_keeps_people_from_asking_and_from_being_seen(device: Installed, ada: str) -> None:
    rig = device.rig
    if not (rig.root / "usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service").exists():
        pytest.skip("polkit is not installed; make test-system installs it")
    device.configure(STREAM)
    device.show("ada")
    rig.run("systemctl", "start", "netcam.service", UNIT)
    alone = examined(device)
    assert (alone["bus"], alone["rights"][0]) == (("pass", "io.facelatch is the unit's own"), "pass")
    assert alone["camera"][0] == "warn"
    assert "PrivateNetwork=yes, RestrictAddressFamilies=AF_UNIX, IPAddressDeny=any" in alone["camera"][1]
    rig.run("systemctl", "stop", UNIT)

    device.drop_in(NETWORK, "network-camera.conf")
    taker = ("--unit=taker", "--property=Type=dbus", "--property=BusName=io.facelatch", "/opt/facelatch/venv/bin/python")
    rig.run("systemd-run", *taker, "-c", TAKER)
    since = rig.cursor()
    rig.run("systemctl", "start", UNIT)
    rig.wait_for(since, **event(Event.BUS_LOST))
    rig.run("chmod", "0755", "/var/lib/facelatch")
    found = examined(device)
    rig.run("chmod", "0700", "/var/lib/facelatch")
    rig.run("systemctl", "stop", "taker.service")
    assert found["bus"][0] == "fail"
    assert "io.facelatch is another program's, python (" in found["bus"][1]
    assert found["rights"][0] == "fail"
    assert found["camera"][0] == "pass"
    assert "192.168.0.0/16" in found["camera"][1]


def test_a_service_that_left_when_nobody_asked_is_well(device: Installed, ada: str) -> None:
    rig = device.rig
    device.configure("/dev/video0", '[service]\nmode = "on-demand"\nidle_exit_s = 0.5\n')
    rig.run("systemctl", "enable", "--now", UNIT)
    until(lambda: rig.property(UNIT, "ActiveState") == "inactive", 20, "leaving when idle")
    found = examined(device)
    rig.run("systemctl", "disable", UNIT)
    assert found["unit"][0] == "pass", found["unit"]
    assert found["bus"] == ("pass", "the policy is installed; the service is not active, and nobody owns io.facelatch")


# What `probe.sh` can do in the sandbox. Outside it, the same user can do everything that it tries, except what only root may do.
ALLOWED = {
    "read-own",
    "read-settings",
    *(f"write-{folder}" for folder in ("/var/lib/facelatch", "/run/facelatch", "/tmp", "/dev/shm")),
}
ROOTS = {"read-shadow"}


def test_the_sandbox_holds(device: Installed, ada: str) -> None:
    rig, state = device.rig, device.rig.root / "var/lib/facelatch"
    for home in ("home", "root"):
        (rig.root / home / "open").write_text("for everyone")
        (rig.root / home).chmod(0o755)
    rig.run("cat", "/etc/shadow")
    rig.run("install", "--directory", "--owner=facelatch", "/run/facelatch")  # which systemd makes only for the service
    (rig.root / "opt/facelatch/open").mkdir()
    (rig.root / "opt/facelatch/open").chmod(0o777)
    rig.run("touch", "/tmp/open", "/var/lib/facelatch/probe-own")
    rig.run("systemctl", "start", "netcam.service")
    rig.run("runuser", "--user", "facelatch", "--", SHARED / "probe.sh", "/var/lib/facelatch/outside")
    since = rig.cursor()
    probe = f'[action]\nkind = "command"\nargv = ["{SHARED}/probe.sh", "/var/lib/facelatch/inside"]\ntimeout_s = 30.0\n'
    device.configure(SHARED / "ada-2.avi", probe)
    rig.run("systemctl", "start", UNIT)
    rig.wait_for(since, **event(Event.ACTION_DONE))
    outside, inside = (dict(line.split() for line in (state / name).read_text().splitlines()) for name in ("outside", "inside"))
    assert {what for what, can in outside.items() if can == "no"} == ROOTS
    assert {what for what, can in inside.items() if can == "yes"} == ALLOWED


def test_a_reboot_keeps_who_is_enrolled(device: Installed, ada: str) -> None:
    rig, before = device.rig, gallery(device)
    device.drop_in(NETWORK, "network-camera.conf")
    device.configure(STREAM)
    device.show("ada")
    rig.run("systemctl", "enable", "netcam.service", UNIT)
    since = rig.cursor()
    rig.power_off()
    device.times["boot"] = rig.boot()
    assert rig.wait_for(since, **event(Event.ACCEPT))["FACELATCH_SUBJECT"] == ada
    device.times["boot to READY"] = _seconds(device, "UserspaceTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    device.times["process start to READY"] = _seconds(
        device, "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"
    )
    assert gallery(device) == before
    rig.run("systemctl", "disable", "netcam.service", UNIT)


def _seconds(device: Installed, begin: str, end: str) -> float:
    of_manager = device.rig.run("systemctl", "show", "--value", f"--property={begin}").stdout.strip()
    return (int(device.rig.property(UNIT, end)) - int(of_manager or device.rig.property(UNIT, begin))) / 1e6


@pytest.fixture
def credential(device: Installed) -> Iterator[Path]:
    """The key to the templates, as deploy/options/gallery-key.conf takes it, encrypted with the host's key because there is no TPM."""
    rig, path = device.rig, device.rig.root / "etc/facelatch/gallery-key.cred"
    rig.run("sh", "-c", f"edge gallery-key new - | systemd-creds encrypt --name=gallery-key - /etc/facelatch/{path.name}")
    units = [rig.root / f"etc/systemd/system/{name}.service.d/gallery-key.conf" for name in ("facelatch", "facelatch-enroll@")]
    for unit in units:
        unit.parent.mkdir()
        unit.write_text((ROOT / "deploy/options/gallery-key.conf").read_text())
    rig.run("systemctl", "daemon-reload")
    yield path
    shutil.rmtree(units[1].parent)
    path.unlink()
    (rig.root / "var/lib/facelatch/gallery/eve.faces").unlink(missing_ok=True)


def test_templates_that_a_credential_encrypts_are_read_after_a_reboot_and_never_without_it(
    device: Installed, ada: str, credential: Path
) -> None:
    rig, encrypted = device.rig, '[gallery]\nencrypt = "credential"\n'
    device.configure(SHARED / "eve-1.avi", encrypted)
    rig.run("systemctl", "start", "facelatch-enroll@eve.service")
    device.configure(SHARED / "eve-2.avi", encrypted)
    rig.run("systemctl", "enable", UNIT)
    since = rig.cursor()
    rig.power_off()
    rig.boot()
    assert rig.wait_for(since, **event(Event.ACCEPT))["FACELATCH_SUBJECT"] == "eve"
    assert rig.wait_for(since, **event(Event.GALLERY_LOADED))["FACELATCH_SUBJECTS"] == "2"  # ada's are not encrypted
    rig.run("systemctl", "disable", "--now", UNIT)

    host_key = rig.root / "var/lib/systemd/credential.secret"
    host_key.rename(host_key.with_suffix(".away"))  # as on another SD card
    assert rig.run("systemctl", "start", UNIT, check=False).returncode != 0
    assert rig.property(UNIT, "ExecMainStatus") == "243"  # CREDENTIALS
    rig.run("systemctl", "stop", UNIT)
    host_key.with_suffix(".away").rename(host_key)

    (rig.root / "etc/systemd/system/facelatch.service.d/gallery-key.conf").unlink()
    rig.run("systemctl", "daemon-reload")
    since = rig.cursor()
    rig.run("systemctl", "start", UNIT)
    rig.wait_for(since, **event(Event.STOPPED))
    assert rig.wait_for(since, **event(Event.GALLERY_LOADED))["FACELATCH_SUBJECTS"] == "1"
    assert [entry for entry in rig.entries(since) if "$CREDENTIALS_DIRECTORY is not set" in str(entry["MESSAGE"])]
    assert rig.entries(since, **event(Event.DENY))
    assert not rig.entries(since, **event(Event.ACCEPT))
