"""Faults of camera, disk and gallery while a person stands there: nobody is granted in them, and all of them end."""

from __future__ import annotations

from benchmarks.faults import FAULTS, run

TRIED = {
    "held by another program", "driver silent", "rows instead of pictures", "a stranger", "disk full", "template damaged",
    "journal gone",
}  # fmt: skip


def test_no_fault_grants_and_every_fault_ends() -> None:
    """The whole script, each fault for longer, is `python -m benchmarks.faults`; docs/operations.md has its table."""
    faults = tuple(fault for fault in FAULTS if fault.name in TRIED)
    assert len(faults) == len(TRIED)
    outcomes = run(faults, hold_s=2.5)
    assert {outcome.fault: outcome.expected for outcome in outcomes} == dict.fromkeys(TRIED, True)
