"""The clock of what must be of now: frames, waits, lock-outs. It goes on while the machine sleeps and heeds no setting of the date."""

from __future__ import annotations

import time


def seconds_since_boot() -> float:
    """Seconds since the machine was started, asleep or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
