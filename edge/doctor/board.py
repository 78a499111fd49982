"""Checks of the board: clock, temperature, power. Reads /sys and /run, and runs only timedatectl and vcgencmd. Changes nothing."""

from __future__ import annotations

import re

from edge.doctor.finding import Finding, failed, passed, warned
from edge.doctor.machine import Machine

# A Raspberry Pi slows down from 80 C on, and slows down more from 85 C on.
HOT_C = 80.0
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
# The firmware's bits for the present; the same 16 places higher for the time since boot.
_BITS = {0: "under-voltage", 1: "capped frequency", 2: "throttling", 3: "soft temperature limit"}


def clock(machine: Machine) -> Finding:
    """Whether a time server has set the clock. Events carry its time; a lock-out is measured with another clock, which nobody sets."""
    answer = machine.ask(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if (machine.root / "run/systemd/timesync/synchronized").exists() or (answer or "").strip() == "yes":
        return passed("clock", "set by a time server")
    message = "not set by a time server: events may bear a wrong time (a lock-out does not depend on it)"
    return warned("clock", message, "sudo timedatectl set-ntp true; where there is no network, a clock with a battery")


def temperature(machine: Machine) -> Finding:
    """The highest temperature that the kernel measures."""
    temperatures = []
    for zone in (machine.root / "sys/class/thermal").glob("thermal_zone*/temp"):
        text = machine.text(str(zone.relative_to(machine.root))) or ""
        if re.fullmatch(r"-?\d+", text):
            temperatures.append(int(text) / 1000)
    if not temperatures:
        return passed("temperature", "this machine has no sensor that the kernel reads")
    summary = f"{max(temperatures):.0f} C at the hottest of {len(temperatures)} places"
    if max(temperatures) >= HOT_C:
        return warned(
            "temperature", f"{summary}: a Pi slows down from {HOT_C:.0f} C on", "a heat sink or a fan, out of the sun"
        )
    return passed("temperature", summary)


def power(machine: Machine) -> Finding:
    """What a Raspberry Pi's firmware reports about voltage and throttling."""
    text = machine.text(_THROTTLED) or (machine.ask(["vcgencmd", "get_throttled"]) or "").strip().removeprefix("throttled=")
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]+", text):
        return passed("power", "no firmware of a Raspberry Pi to ask")
    flags = int(text, 16)
    now = [problem for bit, problem in _BITS.items() if flags >> bit & 1]
    before = [problem for bit, problem in _BITS.items() if flags >> (16 + bit) & 1 and problem not in now]
    summary = "; ".join(
        f"{when}: {', '.join(problems)}" for when, problems in (("now", now), ("since the boot", before)) if problems
    )
    mend = "the board's own power supply and a short cable; a heat sink where it is the temperature"
    if "under-voltage" in now:
        return failed("power", f"{summary}: cameras drop out and cards are damaged", mend)
    if summary:
        return warned("power", summary, mend)
    return passed("power", "no under-voltage and no throttling since the boot")
