"""The unit's start limit: the service is restarted for ever if a driver hangs for good, but not if every start fails at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.camera.live import LET_GO_S
from edge.contract.errors import CameraWedged, ExitCode
from edge.settings import CameraSettings

UNIT = (Path(__file__).parents[3] / "deploy/facelatch.service").read_text()
# From process start to READY on the smallest boards. A program that fails at once takes no longer.
LONGEST_START_S = 5.0


def in_force(key: str) -> str:
    found = re.findall(rf"^{key}=(.*)$", UNIT, re.MULTILINE)
    assert len(found) == 1, found
    return str(found[0])


def seconds(key: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|min)", in_force(key)).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "min": 60}[unit]


def test_a_camera_that_hangs_is_tried_again_for_ever() -> None:
    """A start with it lasts at least the shortest stall, the wait for the driver and the pause, so the limit on starts is not reached."""
    (shortest_s,) = [limit.ge for limit in CameraSettings.model_fields["stall_s"].metadata if hasattr(limit, "ge")]
    cycle_s = shortest_s + LET_GO_S + seconds("RestartSec")
    assert int(in_force("StartLimitBurst")) * cycle_s > seconds("StartLimitIntervalSec")
    assert str(CameraWedged.exit_code.value) not in in_force("RestartPreventExitStatus").split()


def test_what_cannot_start_is_not_tried_for_ever() -> None:
    cycle_s = seconds("RestartSec") + LONGEST_START_S
    assert int(in_force("StartLimitBurst")) * cycle_s <= seconds("StartLimitIntervalSec")


def test_waiting_for_a_driver_ends_before_the_watchdog_and_the_stop_do() -> None:
    assert 10.0 < LET_GO_S < min(seconds("WatchdogSec"), seconds("TimeoutStopSec")), "V4L2 gives a read up after ten seconds"


@pytest.mark.parametrize("code", [ExitCode.SETTINGS, ExitCode.USAGE])
def test_what_a_person_must_mend_is_not_tried_again(code: ExitCode) -> None:
    assert str(code.value) in in_force("RestartPreventExitStatus").split()
