"""Checks of the system bus: whether the service owns its names, and who else may answer in its place. Starts and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from edge.doctor.finding import Finding, failed, passed, warned
from edge.doctor.machine import UNIT, Machine

NAME, FPRINTD = "io.facelatch", "net.reactivated.Fprint"
# The users who may own the name by the bus's policy: the service's user, and root, who may run `edge run` by hand.
USERS = ("facelatch", "root")
_INSTALL = "sudo deploy/install.sh"
_RESTART = f"sudo systemctl restart {UNIT}"
_POLICIES = ("usr/share/dbus-1/system.d", "etc/dbus-1/system.d")
_POLKIT = "usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service"
_ACTIONS = "usr/share/polkit-1/actions/io.facelatch.policy"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process behind a name on the bus."""

    pid: int
    process: str
    user: str


@dataclass(frozen=True, slots=True)
class Unit:
    """The service as systemd sees it. `pid` is its main process, 0 if there is none."""

    installed: bool
    active: bool
    pid: int


def bus(machine: Machine, wanted: bool, fprintd: bool, installed: Callable[[str], object] = find_spec) -> Finding:
    """Who answers on the system bus, and whether callers may ask. `wanted` is service.bus, `fprintd` is compat.fprintd."""
    if not wanted and fprintd:
        return warned("bus", "compat.fprintd = true does nothing while service.bus = false", "service.bus = true")
    if not wanted:
        return passed("bus", "service.bus = false: commands open the camera themselves")
    if installed("dbus_fast") is None:
        return failed("bus", "dbus-fast, which the bus needs, is not installed", f"{_INSTALL}, or service.bus = false")
    if not any((machine.root / place / f"{NAME}.conf").is_file() for place in _POLICIES):
        return warned("bus", f"no policy for {NAME} is installed: commands open the camera themselves", _INSTALL)
    owners = _owners(machine)
    if owners is None:
        return warned("bus", "the policy is installed; the bus does not answer", "sudo systemctl start dbus")
    unit = _unit(machine)
    return (
        _owner_problem(NAME, owners, unit)
        or (fprintd and (_owner_problem(FPRINTD, owners, unit) or _fprintd_problem(machine)))
        or _polkit_problem(machine)
        or passed("bus", _ownership(unit, owners, [NAME, FPRINTD] if fprintd else [NAME]))
    )


def _unit(machine: Machine) -> Unit:
    properties = machine.unit(UNIT, "LoadState", "ActiveState", "MainPID") or {}
    # While a unit reloads, systemd does not call it active, but nothing is wrong.
    active = properties.get("ActiveState") in ("active", "reloading")
    return Unit(properties.get("LoadState") == "loaded", active, int(properties.get("MainPID", "0")))


def _owner_problem(name: str, owners: Mapping[str, Owner], unit: Unit) -> Finding | None:
    """What is wrong with the owner of a name; None if nothing is."""
    owner = owners.get(name)
    if owner is None:
        if not unit.active:
            return None
        why = f"journalctl -u {UNIT} FACELATCH_EVENT=bus-lost -n 5 says why"
        return failed("bus", f"{UNIT} is active and nobody owns {name}: nobody can ask it", f"{why}; {_RESTART}")
    private = {"owner": f"{owner.process} ({owner.pid}, user {owner.user})"}
    ours = owner.user in USERS and (name == NAME or owner == owners.get(NAME))
    if not ours or (unit.active and owner.pid != unit.pid):
        masked = "sudo systemctl mask --now fprintd: the service has the name as soon as it is free"
        mend = masked if name == FPRINTD else f"end that program, then {_RESTART}"
        return failed("bus", f"{name} is another program's, {{owner}}, and not the unit's", mend, **private)
    if unit.installed and owner.pid != unit.pid:
        message = f"{name} is a daemon's that systemd did not start, {{owner}}: beside it the unit cannot have the name"
        return warned("bus", message, f"end that program, then sudo systemctl start {UNIT}", **private)
    return None


def _fprintd_problem(machine: Machine) -> Finding | None:
    """If fprintd itself may start, it takes its name back when someone asks while the service is away for a moment."""
    unit = machine.unit("fprintd.service", "Id", "LoadState") or {}
    if unit.get("LoadState", "not-found") in ("not-found", "masked") or unit.get("Id") == UNIT:
        return None
    message = f"fprintd itself is installed and may start: it answers as {FPRINTD} whenever the service is away"
    return warned("bus", message, "sudo systemctl mask --now fprintd, or put the service in its place: docs/dbus.md")


def _polkit_problem(machine: Machine) -> Finding | None:
    """Whether polkit and its policy are installed. Without them only root and the service's user are served."""
    for file, missing, mend in ((_POLKIT, "polkit", "sudo apt install polkitd"), (_ACTIONS, "the policy for polkit", _INSTALL)):
        if not (machine.root / file).is_file():
            return warned("bus", f"{missing} is not installed: on the bus only root and the service's user may ask", mend)
    return None


def _ownership(unit: Unit, owners: Mapping[str, Owner], names: list[str]) -> str:
    names_text, verb = " and ".join(names), "are" if names[1:] else "is"
    if not all(name in owners for name in names):
        return f"the policy is installed; the service is not active, and nobody owns {names_text}"
    return f"{names_text} {verb} {'the unit' if unit.pid else 'the daemon'}'s own"


def _owners(machine: Machine) -> dict[str, Owner] | None:
    """The owners by their names on the bus; None if it does not answer. Read as JSON, because process names may contain spaces."""
    try:
        names = json.loads(machine.ask(["busctl", "--system", "--json=short", "list"]) or "")
    except ValueError:
        return None
    return {
        entry["name"]: Owner(entry["pid"], entry["process"] or "?", entry["user"] or "?") for entry in names if entry["pid"]
    }
