"""The clock that runs while the machine sleeps, and how far it is ahead of the one that does not."""

from __future__ import annotations

import time

import pytest

from edge.clock import seconds_asleep


def test_an_interruption_between_the_two_readings_makes_the_sleep_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that never slept, whose process waits a second for a processor at each reading. Otherwise an old frame would look new."""
    now = 100.0

    def read(clock: int | None = None) -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr(time, "clock_gettime", read)
    monkeypatch.setattr(time, "monotonic", read)
    assert seconds_asleep() <= 0
