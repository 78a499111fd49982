"""Events read back: what the journal holds of facelatch, as rows and as figures. Pure; edge/systemd.py reads the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from edge.journal import FIELDS, Event

_BY_ID = {event.message_id: event for event in Event}


@dataclass(frozen=True, slots=True)
class Row:
    """One event: when, in local time, what, the sentence that was told, and its fields by their names without the prefix."""

    at: datetime
    event: str
    message: str
    fields: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"at": self.at.isoformat(), "event": self.event, "message": self.message, **self.fields}


def rows(entries: Iterable[Mapping[str, Any]]) -> Iterable[Row]:
    """The events among journal entries, told by MESSAGE_ID; what other programs wrote under our name is none."""
    for entry in entries:
        # systemd-python gives message ids as UUIDs and times as datetimes.
        message_id = getattr(entry.get("MESSAGE_ID"), "hex", entry.get("MESSAGE_ID"))
        event = _BY_ID.get(str(message_id))
        if event is None:
            continue
        fields = {key: str(entry[f"FACELATCH_{key}"]) for key in sorted(FIELDS) if f"FACELATCH_{key}" in entry}
        yield Row(
            entry["__REALTIME_TIMESTAMP"].astimezone(),
            event.label,
            str(entry.get("MESSAGE", "")),
            {key.lower(): value for key, value in fields.items()},
        )


def statistics(found: Iterable[Row]) -> dict[str, Any]:
    """How often each event and each reason of a denial occurred, by day as well, and percentiles of a decision's frames and cost."""
    events: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    days: dict[str, Counter[str]] = {}
    costs, frames = [], []
    for row in found:
        events[row.event] += 1
        if row.event not in (Event.ACCEPT.label, Event.DENY.label):
            continue
        told = row.fields.get("reason", row.event)
        days.setdefault(row.at.date().isoformat(), Counter())[told] += 1
        if row.event == Event.DENY.label:
            reasons[told] += 1
        if "cost_ms" in row.fields:
            costs.append(float(row.fields["cost_ms"]))
            frames.append(int(row.fields["frames"]))
    return {
        "events": dict(events.most_common()),
        "reasons": dict(reasons.most_common()),
        "days": {day: dict(counted) for day, counted in sorted(days.items())},
        "cost_ms": _percentiles(costs),
        "frames": _percentiles(frames),
    }


def _percentiles(values: list[float] | list[int]) -> dict[str, float] | None:
    if not values:
        return None
    return {f"p{share}": round(float(np.percentile(values, share)), 1) for share in (50, 95, 99)} | {"count": len(values)}
