"""Turns facelatch's journal entries back into rows and statistics. Pure; edge/systemd.py reads the journal.

Anyone may write to the journal under any name and any MESSAGE_ID. Who wrote is known from fields that only journald can set.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from edge.journal import FIELDS, Event

_BY_ID = {event.message_id: event for event in Event}
_UNITS = re.compile(r"facelatch(-enroll@.+)?\.service")
SERVICE = "service"
"""`Row.by` of what the service's own units or user wrote."""


@dataclass(frozen=True, slots=True)
class Row:
    """One event: its local time, name and message, its fields by their names without the prefix, and who wrote it: SERVICE, or the user
    who ran a command by hand."""

    at: datetime
    event: str
    message: str
    fields: dict[str, str]
    by: str = SERVICE

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"at": self.at.isoformat(), "event": self.event, "message": self.message, "by": self.by, **self.fields}


def rows(
    entries: Iterable[Mapping[str, Any]], names: Mapping[int, str], disbelieved: Callable[[int | None], None]
) -> Iterable[Row]:
    """The events among journal entries, recognised by MESSAGE_ID.

    Only those of the service's units and of the users in `names`, which maps user ids to `Row.by`. For any other, `disbelieved` is called
    with the user id (None: journald did not say), and the event is left out.
    """
    for entry in entries:
        # systemd-python gives message ids as UUIDs and times as datetimes.
        message_id = getattr(entry.get("MESSAGE_ID"), "hex", entry.get("MESSAGE_ID"))
        event = _BY_ID.get(str(message_id))
        if event is None:
            continue
        uid = entry.get("_UID")
        by = (
            SERVICE
            if _UNITS.fullmatch(str(entry.get("_SYSTEMD_UNIT", "")))
            else names.get(uid)
            if isinstance(uid, int)
            else None
        )
        if by is None:
            disbelieved(uid if isinstance(uid, int) else None)
            continue
        fields = {key: str(entry[f"FACELATCH_{key}"]) for key in sorted(FIELDS) if f"FACELATCH_{key}" in entry}
        yield Row(
            entry["__REALTIME_TIMESTAMP"].astimezone(),
            event.label,
            str(entry.get("MESSAGE", "")),
            {key.lower(): value for key, value in fields.items()},
            by,
        )


def statistics(journal_rows: Iterable[Row], *, by_hand: bool = False) -> dict[str, Any]:
    """Counts of events and of denials by reason, decisions by day, and percentiles of what a decision took: milliseconds and frames.

    Only the service's rows count. The others are tallied under "not_counted", or with `by_hand` counted as well.
    """
    events: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    days: dict[str, Counter[str]] = {}
    measured: dict[str, list[float]] = {"latency_ms": [], "cost_ms": [], "frames": []}
    left_out = 0
    for row in journal_rows:
        if row.by != SERVICE and not by_hand:
            left_out += 1
            continue
        events[row.event] += 1
        if row.event not in (Event.ACCEPT.label, Event.DENY.label):
            continue
        result = row.fields.get("reason", row.event)
        days.setdefault(row.at.date().isoformat(), Counter())[result] += 1
        if row.event == Event.DENY.label:
            reasons[result] += 1
        for key, values in measured.items():
            value = _number(row.fields.get(key, ""))
            if value is not None:
                values.append(value)
    return {
        "events": dict(events.most_common()),
        "reasons": dict(reasons.most_common()),
        "days": {day: dict(counted) for day, counted in sorted(days.items())},
        **{key: _percentiles(values) for key, values in measured.items()},
        "not_counted": left_out,
    }


def _number(text: str) -> float | None:
    """A field's number, or None: another version, or a person, may have written something else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {f"p{share}": round(float(np.percentile(values, share)), 1) for share in (50, 95, 99)} | {"count": len(values)}
