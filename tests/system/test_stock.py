"""Debian's own fprintd clients, pam_fprintd and sudo on the system bus: what the user sees, and that the password is always left."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.system.desk import PASSWORDS, Desk, Screen
from tests.system.installed import UNIT
from tests.system.rig import until

PASSWORD = PASSWORDS["ada"]
FIRST, AGAIN = "Place your finger on the fingerprint reader", "Place your finger on the reader again"
MANUAL = (Path(__file__).parents[2] / "docs/dbus.md").read_text()
# Commands that authenticate ada at the desk, and print `root` if that succeeds.
WAYS = {
    "sudo": ("sudo", "-k", "id", "-un"),
    "pamtester": ("sh", "-c", "pamtester rig-login ada authenticate && echo root"),
}


def _in_the_manual(seen: Screen) -> bool:
    """Whether docs/dbus.md shows this screen, without the hints, whose number is chance."""
    shown = [line.strip() for line in seen.text.splitlines() if line.strip() and line.strip() != AGAIN]
    return "\n".join(shown) in "\n".join(line.strip() for line in MANUAL.splitlines() if line.strip() != AGAIN)


def test_fprintds_tools_take_a_face(desk: Desk) -> None:
    desk.show("ada-2")
    assert "#0: right-index-finger" in desk.here("ada", "fprintd-list", "ada").text
    assert "verify-match (done)" in desk.here("ada", "fprintd-verify").text
    desk.show("eve-1")
    assert "verify-no-match (done)" in desk.here("ada", "fprintd-verify").text
    assert "has no fingers enrolled" in desk.here("eve", "fprintd-list", "eve").text
    assert "NoEnrolledPrints" in desk.here("eve", "fprintd-verify").text
    desk.show("")
    assert "verify-disconnected (done)" in desk.here("ada", "fprintd-verify").text


def test_fprintd_enroll_and_fprintd_delete(desk: Desk) -> None:
    desk.show("eve-1")
    enrolled = desk.here("eve", "fprintd-enroll", agent=PASSWORDS["eve"]).text
    assert "Enroll result: enroll-completed" in enrolled, enrolled
    desk.show("eve-2")
    assert "verify-match (done)" in desk.here("eve", "fprintd-verify").text
    assert "verify-no-match (done)" in desk.here("ada", "fprintd-verify").text
    deleted = desk.here("eve", "fprintd-delete", "eve", agent=PASSWORDS["eve"]).text
    assert "deleted" in deleted, deleted
    assert "has no fingers enrolled" in desk.here("eve", "fprintd-list", "eve").text


@pytest.mark.parametrize("way", WAYS)
def test_a_face_opens(desk: Desk, way: str) -> None:
    desk.show("ada-2")
    seen = desk.here("ada", *WAYS[way])
    assert (seen.code, seen.asked_for_a_face, seen.asked_for_a_password) == (0, True, False), seen.text
    assert seen.text.split()[-1] == "root"
    assert seen.text.startswith(FIRST), "what to do comes before what is wrong"
    assert way != "sudo" or _in_the_manual(seen), seen.text


@pytest.mark.parametrize("way", WAYS)
def test_a_strangers_face_falls_to_the_password(desk: Desk, way: str) -> None:
    desk.show("eve-1")
    seen = desk.here("ada", *WAYS[way], typed=PASSWORD)
    assert (seen.code, "Failed to match fingerprint" in seen.text, seen.asked_for_a_password) == (0, True, True), seen.text
    assert seen.text.startswith(FIRST), seen.text
    assert way != "sudo" or _in_the_manual(seen), seen.text


def test_a_strangers_face_and_a_wrong_password_do_not_open(desk: Desk) -> None:
    desk.show("eve-1")
    wrong = desk.here("ada", *WAYS["sudo"], typed=PASSWORDS["eve"])
    assert (wrong.code, wrong.asked_for_a_face, "root" in wrong.text.split()) == (1, True, False), wrong.text


@pytest.mark.parametrize("way", WAYS)
def test_nobody_enrolled_no_camera_or_no_daemon_is_the_password_at_once(desk: Desk, way: str) -> None:
    desk.show("eve-1")
    nobody = desk.here("eve", *(word.replace("ada", "eve") for word in WAYS[way]), typed=PASSWORDS["eve"])
    assert (nobody.code, nobody.asked_for_a_face, nobody.asked_for_a_password) == (0, False, True), nobody.text
    desk.show("")
    gone = desk.here("ada", *WAYS[way], typed=PASSWORD)
    assert (gone.code, "Failed to match" in gone.text, gone.asked_for_a_password) == (0, False, True), gone.text
    desk.rig.run("systemctl", "stop", UNIT)
    dead = desk.here("ada", *WAYS[way], typed=PASSWORD)
    assert (dead.code, dead.asked_for_a_face, dead.asked_for_a_password) == (0, False, True), dead.text
    refused = desk.here("ada", "fprintd-verify").text
    assert "verify-match" not in refused
    assert "net.reactivated.Fprint" in refused, refused
    desk.start()


def test_nobody_before_the_camera_is_the_password_after_pam_fprintds_time(desk: Desk) -> None:
    desk.show("nobody-1")
    desk.start(replay="loop")
    seen = desk.here("ada", *WAYS["sudo"], typed=PASSWORD)
    assert (seen.code, seen.asked_for_a_face, seen.text.split()[-1]) == (0, True, "root"), seen.text
    assert "Verification timed out" in seen.text, seen.text
    assert _in_the_manual(seen), seen.text


def test_a_client_of_fprintd_starts_the_service_that_stands_in_fprintds_place(desk: Desk) -> None:
    """And the service exits again when nobody has asked for a while."""
    desk.show("ada-2")
    desk.start(idle_exit_s=1.0)
    desk.stand_in_for_fprintd()
    until(lambda: desk.rig.property(UNIT, "ActiveState") == "inactive", 20, "leaving when idle")
    for how in ("the bus starts the service", "it runs"):
        begun = time.monotonic()
        assert "verify-match (done)" in desk.here("ada", "fprintd-verify").text
        desk.device.times[f"fprintd-verify, from the command to its end, {how}"] = time.monotonic() - begun
        assert desk.rig.property(UNIT, "ActiveState") == "active"
    desk.rig.run("systemctl", "disable", UNIT)
    assert desk.rig.property("fprintd.service", "FragmentPath").endswith("/fprintd.service")
