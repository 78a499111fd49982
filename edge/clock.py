"""The clock of what must be of now: frames, waits, lock-outs. It goes on while the machine sleeps and heeds no setting of the date."""

from __future__ import annotations

import time


def seconds_since_boot() -> float:
    """Seconds since the machine was started, asleep or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def seconds_asleep() -> float:
    """By how much this clock is ahead of the one that stands still while the machine sleeps, CLOCK_MONOTONIC."""
    # In this order an interruption between the two makes less of it: what is told by the other clock is older then, never newer.
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
