"""Clock, temperature and power of machines made of files in a folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge.doctor import Machine, board
from edge.doctor.machine import ask

Make = Callable[..., Machine]
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    ("files", "answers", "verdict"),
    [
        ({"run/systemd/timesync/synchronized": ""}, {}, "pass"),
        ({}, {"timedatectl": "yes\n"}, "pass"),
        ({}, {"timedatectl": "no\n"}, "warn"),
        ({}, {}, "warn"),
    ],
)
def test_a_clock_is_set_by_a_time_server_or_not(
    machine: Make, files: dict[str, str], answers: dict[str, str], verdict: str
) -> None:
    assert board.clock(machine(files, answers)).verdict == verdict


def test_the_hottest_place_counts(machine: Make) -> None:
    zones = {f"sys/class/thermal/thermal_zone{n}/temp": text for n, text in enumerate(("41200", "79900", "rubbish"))}
    cool = board.temperature(machine(zones))
    assert (cool.verdict, "80 C at the hottest of 2" in cool.message) == ("pass", True)
    hot = board.temperature(machine({"sys/class/thermal/thermal_zone2/temp": "80000"}))
    assert (hot.verdict, "hottest of 3" in hot.message) == ("warn", True)


def test_no_sensor_is_nothing_to_mend(machine: Make) -> None:
    assert board.temperature(machine()).verdict == "pass"


@pytest.mark.parametrize(
    ("text", "verdict", "told"),
    [
        ("0", "pass", "no under-voltage"),
        ("50000", "warn", "since the boot: under-voltage, throttling"),
        ("0x50005", "fail", "now: under-voltage, throttling:"),
        ("80008", "warn", "now: soft temperature limit"),
        ("E0008", "warn", "now: soft temperature limit; since the boot: capped frequency, throttling"),
        ("20000", "warn", "since the boot: capped frequency"),
    ],
)
def test_the_firmwares_bits_by_hand(machine: Make, text: str, verdict: str, told: str) -> None:
    """The kernel's file has the hexadecimal digits without 0x, vcgencmd prints them with it."""
    for found in (
        board.power(machine({THROTTLED: text + "\n"})),
        board.power(machine({THROTTLED: ""}, {"vcgencmd": f"throttled={text}\n"})),
    ):
        assert (found.verdict, told in found.message) == (verdict, True), found.message


def test_another_board_has_no_such_firmware(machine: Make) -> None:
    assert board.power(machine(answers={"vcgencmd": "VCHI initialization failed"})).message.startswith("no firmware")


def test_a_tool_that_is_not_there_or_fails_has_no_answer() -> None:
    assert ask(["/no/such/tool"]) is None
    assert ask(["false"]) is None
    assert ask(["echo", "yes"]) == "yes\n"
