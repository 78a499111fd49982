"""Checks of the service: its unit, its sandbox, and whether the journal survives a reboot. Starts and changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

from edge.doctor.finding import Finding, failed, passed, warned
from edge.doctor.machine import UNIT, Machine

MAX_EXPOSURE = 1.5
_NO_SYSTEMD = "systemd does not run this machine"
_INSTALL = "sudo deploy/install.sh"


def unit(machine: Machine, ends_when_idle: bool) -> Finding:
    """Whether the unit is installed, enabled and active. With `ends_when_idle` (service.idle_exit_s) it may be inactive: the bus starts it
    again."""
    if not machine.has_systemd():
        return warned("unit", _NO_SYSTEMD, "start `edge run` by whatever does")
    state = machine.unit(
        UNIT, "LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "NRestarts", "NeedDaemonReload"
    )
    if state is None:
        return failed("unit", "systemctl does not answer", "sudo systemctl status")
    if state.get("LoadState") == "not-found":
        return warned("unit", f"{UNIT} is not installed", _INSTALL)
    if state.get("LoadState") == "masked":
        return failed("unit", f"{UNIT} is masked", f"sudo systemctl unmask {UNIT}")
    summary = f"{state.get('UnitFileState', '?')}, {state.get('ActiveState', '?')} ({state.get('SubState', '?')})"
    if state.get("ActiveState") == "failed":
        mend = f"journalctl -u {UNIT} -n 20, mend what it says, sudo systemctl restart {UNIT}"
        return failed("unit", f"{summary}, result {state.get('Result', '?')}", mend)
    if state.get("NeedDaemonReload") == "yes":
        return warned("unit", f"{summary}; its file has changed since it was loaded", "sudo systemctl daemon-reload")
    if ends_when_idle and (state.get("UnitFileState"), state.get("ActiveState"), state.get("Result")) == (
        "enabled",
        "inactive",
        "success",
    ):
        return passed(
            "unit", f"{summary}: it leaves when nobody asks, the next question on the bus starts it (service.idle_exit_s)"
        )
    if state.get("UnitFileState") != "enabled" or state.get("ActiveState") != "active":
        return warned("unit", summary, f"sudo systemctl enable --now {UNIT}, once somebody is enrolled")
    return passed("unit", f"{summary}, restarted {state.get('NRestarts', '0')} times since the boot")


def exposure(machine: Machine) -> Finding:
    """The exposure level that `systemd-analyze security` gives the loaded unit, including its drop-ins."""
    if not machine.has_systemd():
        return warned("sandbox", _NO_SYSTEMD, "nothing confines the daemon here")
    answer = machine.ask(["systemd-analyze", "security", "--no-pager", UNIT])
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", answer or "")
    if match is None:
        return warned("sandbox", "not known: systemd-analyze is not there, or the unit is not installed", _INSTALL)
    level = float(match[1])
    summary = f"exposure {level:.1f} of 10, where {MAX_EXPOSURE} at most is meant"
    if level > MAX_EXPOSURE:
        return warned("sandbox", summary, f"see what a drop-in opened: systemctl cat {UNIT}")
    return passed("sandbox", summary)


def journal_storage(machine: Machine) -> Finding:
    """Whether events survive a reboot: by journald's Storage=, and for `auto` by whether /var/log/journal exists."""
    storage = _storage(machine)
    folder = (machine.root / "var/log/journal").is_dir()
    if storage == "none":
        return failed("journal storage", "journald keeps nothing (Storage=none)", _KEEP)
    if storage == "persistent" or (storage == "auto" and folder):
        return passed("journal storage", f"kept on disk (Storage={storage})")
    why = "" if storage == "volatile" else ", and there is no /var/log/journal"
    return warned("journal storage", f"in memory only, lost with each reboot (Storage={storage}{why})", _KEEP)


_KEEP = (
    "sudo mkdir -p /etc/systemd/journald.conf.d /var/log/journal; printf '[Journal]\\nStorage=persistent\\n' | "
    "sudo tee /etc/systemd/journald.conf.d/90-persistent.conf; sudo systemctl restart systemd-journald"
)


def _storage(machine: Machine) -> str:
    """journald's Storage=, in systemd's own order: the first main file found, then all drop-ins by name, with /etc before /run before
    /usr/lib."""
    places = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd")
    main = next((path for place in places if (path := machine.root / place / "journald.conf").is_file()), None)
    drop_ins: dict[str, Path] = {}
    for place in places:
        for path in (machine.root / place / "journald.conf.d").glob("*.conf"):
            drop_ins.setdefault(path.name, path)
    storage = "auto"
    for path in ([main] if main else []) + [drop_ins[name] for name in sorted(drop_ins)]:
        for line in path.read_text(errors="replace").splitlines():
            if match := re.fullmatch(r"\s*Storage\s*=\s*(\w*)\s*", line):
                storage = match[1] or "auto"
    return storage
