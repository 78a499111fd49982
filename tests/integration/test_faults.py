"""Faults of camera, clock, disk, model and gallery while a person stands there: nobody is granted in them, and all of them end."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import FAULTS, can_mount, end_at_random, run

HOLD_S = 2.0
# What these lead to another fault does, too; all of them would take too long here.
LEFT_OUT = {
    "unplugged, 15 failed reads, then no device", "garbage frames", "subject removed", "clock set forward into quiet hours",
}  # fmt: skip


def test_no_fault_grants_and_every_fault_ends() -> None:
    """Each for longer is `python -m benchmarks.faults`; docs/operations.md has its table."""
    faults = tuple(fault for fault in FAULTS if not fault.disk and fault.name not in LEFT_OUT)
    assert len(faults) == len(FAULTS) - len(LEFT_OUT) - 1
    outcomes = run(faults, hold_s=HOLD_S)
    assert {outcome.fault: outcome.expected for outcome in outcomes} == {fault.name: True for fault in faults}


def test_a_full_disk_grants_nobody() -> None:
    if not can_mount():
        pytest.skip("needs root: a disk of 256 KB is mounted and filled")
    (outcome,) = run(tuple(fault for fault in FAULTS if fault.disk), hold_s=HOLD_S)
    assert outcome.expected, outcome


@pytest.mark.parametrize("seed", range(3))
def test_a_daemon_that_is_ended_at_a_random_moment_leaves_nothing_half(tmp_path: Path, seed: int) -> None:
    """SIGTERM while strangers are denied and counted: exit code 0, the last word told, each denial told is counted, and no other."""
    ended = end_at_random(tmp_path, seed, longest_s=2.0)
    assert ended.good, ended
