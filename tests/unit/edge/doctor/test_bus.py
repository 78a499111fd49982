"""Who owns the names on the bus, according to busctl and systemctl."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from edge.doctor import Machine, bus

Make = Callable[..., Machine]
BOOTED = {"run/systemd/system/x": ""}
POLICY = {"usr/share/dbus-1/system.d/io.facelatch.conf": ""}
POLKIT = {
    "usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service": "",
    "usr/share/polkit-1/actions/io.facelatch.policy": "",
}
ALL = BOOTED | POLICY | POLKIT
Owners = dict[str, tuple[int, str, str]]
NOBODY: Owners = {}
OURS: Owners = {bus.NAME: (812, "edge", "facelatch")}
BY_HAND: Owners = {bus.NAME: (9, "edge run", "root")}
BOTH = OURS | {bus.FPRINTD: (812, "edge", "facelatch")}
TAKEN = OURS | {bus.FPRINTD: (77, "fprintd", "root")}
ACTIVE, INACTIVE, RELOADING, ACTIVATING = (
    f"LoadState=loaded\nActiveState={state}\nMainPID={pid}\n"
    for state, pid in (("active", 812), ("inactive", 0), ("reloading", 812), ("activating", 812))
)
ABSENT = "LoadState=not-found\nActiveState=inactive\nMainPID=0\n"


def answers(owners: Owners, unit: str, fprintd: str = "Id=fprintd.service\nLoadState=not-found\n") -> dict[str, str]:
    """What busctl and systemctl print. A name that is only activatable has no process."""
    listed: list[dict[str, object]] = [
        {"name": name, "pid": pid, "process": process, "user": user} for name, (pid, process, user) in owners.items()
    ]
    listed += [{"name": name, "pid": None, "process": None, "user": None} for name in (bus.NAME, "org.x") if name not in owners]
    return {"busctl": json.dumps(listed), "systemctl show facelatch.service": unit, "systemctl show fprintd.service": fprintd}


@pytest.mark.parametrize(
    ("owners", "unit", "verdict", "told", "mend"),
    [
        (OURS, ACTIVE, "pass", "io.facelatch is the unit's own", ""),
        (OURS, RELOADING, "pass", "io.facelatch is the unit's own", ""),
        (NOBODY, INACTIVE, "pass", "not active, and nobody owns io.facelatch", ""),
        (NOBODY, ACTIVATING, "pass", "nobody owns io.facelatch", ""),
        (OURS, ACTIVATING, "pass", "io.facelatch is the unit's own", ""),
        (BY_HAND, ABSENT, "pass", "io.facelatch is the daemon's own", ""),
        (
            BY_HAND,
            INACTIVE,
            "warn",
            "a daemon's that systemd did not start, edge run (9, user root)",
            "then sudo systemctl start",
        ),
        # After a lost bus or a taken name the door is still watched, but nobody can call the daemon.
        (NOBODY, ACTIVE, "fail", "active and nobody owns io.facelatch", "restart facelatch.service"),
        (BY_HAND, ACTIVE, "fail", "another program's, edge run (9, user root)", "end that program"),
        ({bus.NAME: (812, "edge", "mallory")}, ACTIVE, "fail", "user mallory", "end that program"),
        ({bus.NAME: (5, "x", "mallory")}, INACTIVE, "fail", "user mallory", "end that program"),
        # fprintd's name is not wanted here, so it does not matter who has it.
        (TAKEN, ACTIVE, "pass", "io.facelatch is the unit's own", ""),
    ],
)
def test_the_name_is_the_units(machine: Make, owners: Owners, unit: str, verdict: str, told: str, mend: str) -> None:
    found = bus.bus(machine(ALL, answers(owners, unit)), True, False, lambda _: True)
    shown = found.shown()
    assert (found.verdict, told in shown["found"], mend in shown["mend"]) == (verdict, True, True), shown
    assert "mallory" not in str(found.shared())
    assert "edge run" not in str(found.shared())


@pytest.mark.parametrize(
    ("owners", "unit", "fprintd", "verdict", "told", "mend"),
    [
        (BOTH, ACTIVE, "LoadState=not-found", "pass", "io.facelatch and net.reactivated.Fprint are the unit's own", ""),
        (BOTH, ACTIVE, "Id=fprintd.service\nLoadState=masked", "pass", "are the unit's own", ""),
        (BOTH, ACTIVE, "Id=facelatch.service\nLoadState=loaded", "pass", "are the unit's own", ""),
        (NOBODY, INACTIVE, "LoadState=masked", "pass", "nobody owns io.facelatch and net.reactivated.Fprint", ""),
        (BOTH, ACTIVE, "Id=fprintd.service\nLoadState=loaded", "warn", "fprintd itself", "mask --now fprintd"),
        (NOBODY, INACTIVE, "Id=fprintd.service\nLoadState=loaded", "warn", "fprintd itself", "docs/dbus.md"),
        (TAKEN, ACTIVE, "LoadState=masked", "fail", "another program's, fprintd (77, user root)", "mask --now fprintd"),
        ({bus.FPRINTD: (77, "fprintd", "root")}, INACTIVE, "LoadState=loaded", "fail", "fprintd (77", "mask --now fprintd"),
        (OURS, ACTIVE, "LoadState=masked", "fail", "active and nobody owns net.reactivated.Fprint", "restart"),
    ],
)
def test_with_fprintds_interface_its_name_is_the_units_too(
    machine: Make, owners: Owners, unit: str, fprintd: str, verdict: str, told: str, mend: str
) -> None:
    found = bus.bus(machine(ALL, answers(owners, unit, fprintd)), True, True, lambda _: True)
    shown = found.shown()
    assert (found.verdict, told in shown["found"], mend in shown["mend"]) == (verdict, True, True), shown


@pytest.mark.parametrize(
    ("files", "verdict", "told"),
    [
        ({}, "warn", "no policy for io.facelatch"),
        (POLKIT, "warn", "no policy for io.facelatch"),
        (POLICY, "warn", "polkit is not installed: on the bus only root"),
        (POLICY | dict([next(iter(POLKIT.items()))]), "warn", "the policy for polkit is not installed"),
        (POLKIT | {"etc/dbus-1/system.d/io.facelatch.conf": ""}, "pass", "nobody owns"),
    ],
)
def test_who_may_ask_is_for_policies_to_say(machine: Make, files: dict[str, str], verdict: str, told: str) -> None:
    found = bus.bus(machine(files, {"busctl": "[]"}), True, False, lambda _: True)
    assert (found.verdict, told in found.message) == (verdict, True), found


@pytest.mark.parametrize("listed", [{}, {"busctl": ""}, {"busctl": "Failed to connect"}])
def test_a_bus_that_does_not_answer(machine: Make, listed: dict[str, str]) -> None:
    found = bus.bus(machine(ALL, listed), True, False, lambda _: True)
    assert (found.verdict, "does not answer" in found.message) == ("warn", True)


def test_a_bus_that_is_not_wanted_needs_nothing(machine: Make) -> None:
    assert bus.bus(machine(), False, False, lambda _: None).verdict == "pass"
    assert bus.bus(machine(), False, True, lambda _: True).verdict == "warn"
    assert bus.bus(machine(ALL), True, False, lambda _: None).verdict == "fail"
