"""Whether the service (not root, who runs the check) can read the files in the settings, and whether others can change them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.doctor import Machine
from edge.doctor.files import files
from edge.settings import Settings

Make = Callable[..., Machine]
SETTINGS = Path("/etc/facelatch/edge.toml")
USERS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nfacelatch:x:4711:4711::/var/lib/facelatch:/bin/sh\n",
    "etc/group": "video:x:44:facelatch\nfacelatch:x:4711:\npi:x:1000:\n",
}
SANDBOX = {"systemctl show": "LoadState=loaded\nSupplementaryGroups=video\nProtectHome=yes\nPrivateTmp=yes\n"}
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="files of several users are made by root alone")


def looked(machine: Machine, **settings: object) -> tuple[str, str]:
    found = files(Settings.model_validate(settings), SETTINGS, machine)
    assert str(machine.root) not in str(found.shown()["found"])
    return found.verdict.value, found.shown()["found"]


def rights(machine: Machine, name: str, mode: int, owner: int = 0, group: int = 0) -> None:
    (machine.root / name).chmod(mode)
    os.chown(machine.root / name, owner, group)


@ROOT
def test_settings_that_only_root_reads_do_not_pass(machine: Make) -> None:
    """docs/cameras.md makes the file readable for root and the group facelatch only; without the group the service does not start."""
    door = machine(USERS | {"etc/facelatch/edge.toml": ""})
    for group, mode, verdict in (
        (0, 0o640, "fail"),
        (4711, 0o640, "pass"),
        (44, 0o640, "pass"),
        (0, 0o644, "pass"),
        (0, 0o600, "fail"),
    ):
        rights(door, "etc/facelatch/edge.toml", mode, 0, group)
        assert looked(door)[0] == verdict, (group, oct(mode))
    rights(door, "etc/facelatch/edge.toml", 0o644)
    (door.root / "etc/facelatch").chmod(0o700)
    assert looked(door)[0] == "fail"
    (door.root / "etc/facelatch").chmod(0o755)


@ROOT
def test_an_access_list_is_taken_at_its_word(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    door = machine(USERS | {"etc/facelatch/edge.toml": ""})
    rights(door, "etc/facelatch/edge.toml", 0o640)
    monkeypatch.setattr(os, "getxattr", lambda *_: b"list")
    assert looked(door)[0] == "pass"


@ROOT
def test_a_model_or_key_that_the_service_cannot_read_fails(machine: Make) -> None:
    door = machine(USERS | {"etc/facelatch/own.tflite": "", "media/stick/gallery.key": ""})
    rights(door, "etc/facelatch/own.tflite", 0o600)
    assert looked(door, model={"path": "/etc/facelatch/own.tflite"}) == (
        "fail", "model.path: /etc/facelatch/own.tflite: the service's user cannot read it",
    )  # fmt: skip
    keys = {"encrypt": "file", "key_file": "/media/stick/gallery.key"}
    rights(door, "media/stick/gallery.key", 0o400)
    assert looked(door, gallery=keys)[0] == "fail"
    rights(door, "media/stick/gallery.key", 0o400, 4711)
    assert looked(door, gallery=keys)[0] == "pass"
    (door.root / "media/stick/gallery.key").unlink()
    assert looked(door, gallery=keys)[0] == "pass", "a stick may be pulled"


@ROOT
def test_what_the_sandbox_hides_fails(machine: Make) -> None:
    made = USERS | {"home/pi/own.tflite": "", "run/systemd/system/x": ""}
    assert looked(machine(made), model={"path": "/home/pi/own.tflite"})[0] == "pass", "no unit hides it"
    verdict, told = looked(machine(made, SANDBOX), model={"path": "/home/pi/own.tflite"})
    assert (verdict, told) == ("fail", "model.path: /home/pi/own.tflite: the service does not see what is in /home")
    shown = {words: answer.replace("Home=yes", "Home=read-only") for words, answer in SANDBOX.items()}
    assert looked(machine(made, shown), model={"path": "/home/pi/own.tflite"})[0] == "pass"


@ROOT
@pytest.mark.parametrize(("place", "verdict"), [("opt/facelatch", "fail"), ("home/pi/facelatch", "pass")])
def test_the_models_of_a_checkout_are_none_of_the_services(
    machine: Make, monkeypatch: pytest.MonkeyPatch, place: str, verdict: str
) -> None:
    """`edge doctor` run from a checkout on a machine with the service installed: the service reads the model of its own installation."""
    name = f"{place}/edge/models/accurate.tflite"
    door = machine(USERS | {name: "", "run/systemd/system/x": ""}, SANDBOX)
    rights(door, name, 0o600)
    monkeypatch.setattr("edge.doctor.files.FOLDER", Path("/", name).parent)
    monkeypatch.setattr("edge.doctor.files.model_path", lambda _: Path("/", name))
    assert looked(door)[0] == verdict


@ROOT
def test_what_others_may_put_in_its_place_fails(machine: Make) -> None:
    door = machine(USERS | {"srv/own.tflite": "", "usr/local/bin/open-door": ""})
    model = {"path": "/srv/own.tflite"}
    rights(door, "srv/own.tflite", 0o644, 1000, 1000)
    assert looked(door, model=model)[0] == "fail"
    rights(door, "srv/own.tflite", 0o644)
    assert looked(door, model=model)[0] == "pass"
    for mode, owner, verdict in ((0o777, 0, "fail"), (0o1777, 0, "pass"), (0o755, 1000, "fail"), (0o755, 4711, "pass")):
        rights(door, "srv", mode, owner)
        assert looked(door, model=model)[0] == verdict, (oct(mode), owner)
    action = {"kind": "command", "argv": ["/usr/local/bin/open-door"]}
    for mode, owner, verdict in (
        (0o755, 0, "pass"),
        (0o644, 0, "fail"),
        (0o755, 1000, "fail"),
        (0o757, 0, "fail"),
        (0o775, 0, "fail"),
    ):
        rights(door, "usr/local/bin/open-door", mode, owner)
        assert looked(door, action=action)[0] == verdict, (oct(mode), owner)


def test_the_service_is_in_no_folder(machine: Make) -> None:
    assert looked(machine(USERS), model={"path": "own.tflite"})[0] == "fail"


def test_a_machine_without_the_services_user_has_nobody_to_read_for(machine: Make) -> None:
    assert looked(machine({"etc/facelatch/edge.toml": ""}))[0] == "pass"


@ROOT
def test_a_report_has_no_path(machine: Make) -> None:
    door = machine(USERS | {"srv/zebedee/own.tflite": ""})
    (door.root / "srv/zebedee").chmod(0o700)
    found = files(Settings.model_validate({"model": {"path": "/srv/zebedee/own.tflite"}}), None, door)
    assert (found.verdict, "zebedee" in str(found.shared()), "/srv/zebedee" in found.shown()["mend"]) == ("fail", False, True)
