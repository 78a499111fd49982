"""The clock for frames, waits and lock-outs. It runs on while the machine sleeps, and a change of the date does not affect it."""

from __future__ import annotations

import time


def seconds_since_boot() -> float:
    """Seconds since the machine was started, asleep or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def seconds_asleep() -> float:
    """By how many seconds this clock is ahead of CLOCK_MONOTONIC, which stands still while the machine sleeps."""
    # In this order an interruption between the two readings makes the result smaller: a time converted from the other clock then looks
    # older, never newer.
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
