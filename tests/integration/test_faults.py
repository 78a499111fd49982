"""Faults of camera, clock, disk, model and gallery while a person stands there: none leads to a grant, and the daemon recovers from all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.faults import FAULTS, can_mount, end_at_random, run
from tests.conftest import ADA, EVE

# Seconds that a fault without grants lasts, and seconds after its start in which frames from before it may still be judged.
HOLD_S, GRACE_S = 1.5, 1.0
# The daemon's own waits, shortened here. `python -m benchmarks.faults` leaves them as they are; docs/operations.md has its table.
WAITS_S = {
    "edge.daemon.FIRST_PAUSE_S": 0.2,
    "edge.door.LOOK_EVERY_S": 0.25,
    "edge.camera.state.STALLED_AFTER_S": 0.75,
    "edge.camera.state.DARK_AFTER_S": 0.75,
    "benchmarks.faults.FROZEN_S": 2.0,
}


@pytest.fixture(scope="module")
def clips(clip: Callable[[int, int], Path]) -> tuple[Path, Path]:
    """Clips of the person and of the stranger."""
    return clip(ADA, 1), clip(EVE, 1)


def test_no_fault_grants_and_every_fault_ends(clips: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """One fault after the other in one daemon. Its state is on a disk that can be filled, if this machine can mount one."""
    for name, wait_s in WAITS_S.items():
        monkeypatch.setattr(name, wait_s)
    can = can_mount()
    faults = tuple(fault for fault in FAULTS if can or not fault.disk)
    outcomes = run(faults, HOLD_S, GRACE_S, clips)
    assert {outcome.fault: outcome.expected for outcome in outcomes} == {fault.name: True for fault in faults}
    if not can:
        pytest.skip("all but the full disk were tried: a disk of 256 KB is mounted and filled by root alone")


@pytest.mark.parametrize("seed", range(3))
def test_a_daemon_that_is_ended_at_a_random_moment_leaves_nothing_half(
    tmp_path: Path, clips: tuple[Path, Path], seed: int
) -> None:
    """SIGTERM while strangers are denied: exit code 0, the last event is reported, and the count is that of the reported denials."""
    ended = end_at_random(tmp_path, seed, 2.0, clips)
    assert ended.good, ended
