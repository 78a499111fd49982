"""Who may do what, with real polkit and logind: a user at the desk, an administrator, and users over the network by various ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.journal import Event
from tests.system.desk import ADMINISTRATOR, PASSWORDS, Desk, in_terminal
from tests.system.installed import event, gallery
from tests.system.rig import until

# An administrator's rule in place of polkit's defaults, so that the daemon itself has the last word.
ALL_MAY_VERIFY = 'polkit.addRule(function (action) { if (action.id == "io.facelatch.verify") return polkit.Result.YES; });\n'
SUDO = ("sudo", "-k", "id", "-un")
USER_SERVICE = "systemd-run --user --quiet --pipe --wait --collect"


@pytest.fixture
def permissive(desk: Desk) -> Iterator[Desk]:
    """polkit lets everyone verify."""
    rule = desk.rig.root / "etc/polkit-1/rules.d/10-rig.rules"
    rule.write_text(ALL_MAY_VERIFY)
    desk.rig.run("systemctl", "restart", "polkit.service")
    yield desk
    rule.unlink()
    desk.rig.run("systemctl", "restart", "polkit.service")


def test_a_session_at_the_desk_is_local_and_active(desk: Desk) -> None:
    told = desk.here("ada", "loginctl", "show-session", "self", "-p", "Remote", "-p", "Seat", "-p", "Active").text
    assert set(told.split()) == {"Remote=no", "Seat=seat0", "Active=yes"}
    there = desk.over_the_network("ada", "loginctl show-session self -p Remote -p Seat -p Active").text
    assert {"Remote=yes", "Seat=", "Active=yes"} <= set(there.split())


def test_who_sits_at_the_desk_enrols_with_a_password_and_is_verified_without(desk: Desk) -> None:
    desk.show("eve-1")
    refused = desk.here("eve", "fprintd-enroll")
    assert "io.facelatch.enroll: not authorised" in refused.text, refused.text
    wrong = desk.here("eve", "fprintd-enroll", agent=PASSWORDS["ada"])
    assert "AUTHENTICATION FAILED" in wrong.text, wrong.text
    assert "io.facelatch.enroll: not authorised" in wrong.text, wrong.text
    enrolled = desk.here("eve", "edge", "enroll", "eve", "--consent", typed=PASSWORDS["eve"])
    assert (enrolled.code, "Authenticating as: eve" in enrolled.text) == (0, True), enrolled.text
    desk.show("eve-2")
    verified = desk.here("eve", "edge", "verify", "eve")
    assert (verified.code, "accepted: eve" in verified.text, verified.asked_for_a_password) == (0, True, False), verified.text
    desk.rig.run("edge", "remove", "eve")


def test_another_persons_face_needs_an_administrator(desk: Desk) -> None:
    desk.show("ada-2")
    before = gallery(desk.device)
    for words in (("fprintd-verify", "ada"), ("fprintd-enroll", "ada"), ("fprintd-list", "ada"), ("fprintd-delete", "ada")):
        refused = desk.here("eve", *words)
        assert "io.facelatch.manage: not authorised" in refused.text, refused.text
    own_is_not_enough = desk.here("eve", "fprintd-list", "ada", agent=PASSWORDS["eve"])
    assert "right-index-finger" not in own_is_not_enough.text
    listed = desk.here("eve", "fprintd-list", "ada", agent=PASSWORDS[ADMINISTRATOR])
    assert f"Authenticating as: {ADMINISTRATOR}" in listed.text
    assert "right-index-finger" in listed.text, listed.text
    assert gallery(desk.device) == before


def test_over_the_network_polkit_refuses_by_its_defaults(desk: Desk) -> None:
    desk.show("ada-2")
    told = desk.over_the_network("ada", f"fprintd-verify; {USER_SERVICE} fprintd-verify").text
    assert told.count("io.facelatch.verify or io.facelatch.enroll: not authorised") == 2, told
    assert "verify-match" not in told


def test_over_the_network_the_daemon_refuses_whatever_polkit_says(permissive: Desk) -> None:
    permissive.show("ada-2")
    assert "verify-match (done)" in permissive.here("ada", "fprintd-verify").text
    since = permissive.rig.cursor()
    told = permissive.over_the_network("ada", f"fprintd-verify; edge verify ada; {USER_SERVICE} fprintd-verify").text
    assert told.count("over the network") == 3, told
    root = permissive.over_the_network("root", "fprintd-verify ada").text
    assert root.count("over the network") == 1, root
    assert not permissive.rig.entries(since, **event(Event.CAMERA_RUNNING))


@pytest.mark.skipif(not Path("/usr/sbin/sshd").exists(), reason="no SSH server: apt install openssh-server, which starts one")
def test_a_login_over_ssh_takes_no_face(permissive: Desk) -> None:
    """With a real server, and a person before the camera who would match."""
    permissive.show("ada-2")
    permissive.serve_ssh()
    since = permissive.rig.cursor()
    told = permissive.over_ssh("ada", "loginctl show-session self -p Remote; fprintd-verify; edge verify ada").text
    assert "Remote=yes" in told, told
    assert told.count("over the network") == 2, told
    sudo = permissive.over_ssh("ada", " ".join(SUDO), typed=PASSWORDS["ada"])
    assert (sudo.asked_for_a_face, sudo.asked_for_a_password, sudo.text.split()[-1]) == (False, True, "root"), sudo.text
    assert not permissive.rig.entries(since, **event(Event.CAMERA_RUNNING))
    permissive.rig.run("systemctl", "stop", "rig-sshd")


def test_sudo_in_a_users_service_takes_the_face_of_who_is_at_the_desk_alone(desk: Desk) -> None:
    """A desktop's terminal is such a service; another is `systemd-run --user` after an SSH login, and what stays after the logout."""
    desk.show("ada-2")
    user = desk.rig.run("id", "--user", "ada").stdout.strip()
    in_service = ("env", f"XDG_RUNTIME_DIR=/run/user/{user}", *USER_SERVICE.split())
    terminal = in_terminal(PASSWORDS["ada"], *SUDO)
    here = desk.here("ada", *in_service, *terminal)
    assert (here.asked_for_a_face, here.asked_for_a_password, here.text.split()[-1]) == (True, False, "root"), here.text
    since = desk.rig.cursor()
    words = " ".join(f"'{word}'" for word in terminal)
    away = desk.over_the_network("ada", f"{USER_SERVICE} {words}; loginctl enable-linger")
    assert (away.asked_for_a_face, away.asked_for_a_password, "root" in away.text.split()) == (False, True, True), away.text
    until(lambda: "ada" not in desk.rig.run("loginctl", "list-sessions").stdout, 10, "the end of all sessions of ada's")
    left = desk.service("ada", *in_service, *terminal)
    assert (left.asked_for_a_face, left.asked_for_a_password, left.text.split()[-1]) == (False, True, "root"), left.text
    assert not desk.rig.entries(since, **event(Event.CAMERA_RUNNING))
    desk.rig.run("loginctl", "disable-linger", "ada")


def test_sudo_under_cron_takes_nobodys_face_and_a_login_screen_does(desk: Desk) -> None:
    """Both are root in a system service, without a session."""
    desk.show("ada-2")
    cron = desk.service("ada", *SUDO, typed=PASSWORDS["ada"])
    assert (cron.asked_for_a_face, cron.asked_for_a_password, cron.text.split()[-1]) == (False, True, "root"), cron.text
    screen = desk.service("root", "pamtester", "rig-login", "ada", "authenticate")
    assert (screen.code, screen.asked_for_a_password) == (0, False), screen.text
