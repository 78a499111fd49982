"""Quiet hours: across midnight, at their ends, and with a clock that cannot be right."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import ValidationError

from edge.quiet import is_quiet
from edge.settings import PolicySettings


def at(hour: int, minute: int = 0, year: int = 2027) -> datetime:
    return datetime(year, 3, 1, hour, minute)


@pytest.mark.parametrize(
    ("spans", "now", "quiet"),
    [
        ((), at(3), False),
        (("22:00-06:00",), at(21, 59), False),
        (("22:00-06:00",), at(22), True),
        (("22:00-06:00",), at(5, 59), True),
        (("22:00-06:00",), at(6), False),
        (("12:00-13:00", "22:00-06:00"), at(12, 30), True),
        (("12:00-13:00",), at(12), True),
        (("12:00-13:00",), at(13), False),
        (("08:00-08:30",), at(8, 29), True),
        (("08:00-08:30",), at(8, 30), False),
    ],
)
def test_an_hour_is_in_a_span_or_not(spans: tuple[str, ...], now: datetime, quiet: bool) -> None:
    assert is_quiet(spans, now) is quiet


def test_a_clock_that_was_never_set_makes_all_hours_quiet() -> None:
    assert is_quiet(("22:00-06:00",), at(12, year=1970))
    assert is_quiet(("22:00-06:00",), at(12, year=2025))
    assert not is_quiet(("22:00-06:00",), at(12, year=2026))
    assert not is_quiet((), at(12, year=1970))


@pytest.mark.parametrize("span", ["22-6", "24:00-06:00", "22:00-06:60", "08:00-08:00", "22:00 - 06:00", "22:00-06:00:30", ""])
def test_what_is_no_span_is_refused_with_a_remedy(span: str) -> None:
    with pytest.raises(ValidationError, match=r"22:00-06:00|begins when it ends"):
        PolicySettings(quiet_hours=(span,))
