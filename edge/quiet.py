"""Quiet hours, in which nobody is granted, by local time. A clock that cannot be right makes every hour quiet. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time

# A Pi without a clock battery starts in 1970, or at the time when it was switched off. A year before this program was written is wrong.
_EARLIEST = 2026
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Span:
    """From one time of day up to another; over midnight if the second is the earlier one."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Span:
        """Parses text such as `22:00-06:00`. Raises ValueError if it is something else, or an empty span."""
        match = _SPAN.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r}: write HH:MM-HH:MM, such as 22:00-06:00")
        hours = [int(part) for part in match.groups()]
        span = cls(time(hours[0], hours[1]), time(hours[2], hours[3]))
        if span.begin == span.end:
            raise ValueError(f"{text!r}: begins when it ends")
        return span

    def has(self, at: time) -> bool:
        """Whether a time of day is in the span; its end is not."""
        if self.begin < self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end


def is_quiet(spans: Sequence[str], now: datetime) -> bool:
    """Whether `now`, local time, lies in one of the spans, each as `Span.parse` takes it, or cannot be right. False without spans."""
    return bool(spans) and (now.year < _EARLIEST or any(Span.parse(span).has(now.time()) for span in spans))
