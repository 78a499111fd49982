"""Rows and figures of journal entries; and that catalog, manual and code name the same events."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge.events import rows, statistics
from edge.journal import FIELDS, Event

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def entry(event: Event, minutes: int = 0, **fields: str) -> dict[str, object]:
    """As systemd-python gives it."""
    named = {f"FACELATCH_{key}": value for key, value in fields.items()}
    at = NOON + timedelta(minutes=minutes)
    return {"MESSAGE_ID": uuid.UUID(event.message_id), "MESSAGE": "told", "__REALTIME_TIMESTAMP": at, **named}


def test_what_others_wrote_under_our_name_is_no_event() -> None:
    other = {"MESSAGE_ID": uuid.UUID(int=1), "MESSAGE": "x", "__REALTIME_TIMESTAMP": NOON}
    found = list(rows([other, {"MESSAGE": "no id", "__REALTIME_TIMESTAMP": NOON}, entry(Event.STOPPED)]))
    assert [row.event for row in found] == ["stopped"]


def test_fields_outside_the_list_are_not_shown() -> None:
    (row,) = rows([entry(Event.ACCEPT, SUBJECT="ada", EMBEDDING="0.1 0.2")])
    assert row.fields == {"subject": "ada"}
    assert row.to_json()["subject"] == "ada"
    assert row.at == NOON


def test_figures_by_hand() -> None:
    """Costs 1 to 100: the median lies between 50 and 51, the 95th percentile at 95.05 (linear)."""
    entries = [entry(Event.ACCEPT, n, COST_MS=str(n), FRAMES="3") for n in range(1, 101)]
    entries += [
        entry(Event.DENY, 60 * 24 * day, REASON=reason) for day, reason in ((0, "no-match"), (1, "no-match"), (1, "ambiguous"))
    ]
    found = statistics(rows([*entries, entry(Event.CAMERA_LOST)]))
    assert found["events"] == {"accept": 100, "deny": 3, "camera-lost": 1}
    assert found["reasons"] == {"no-match": 2, "ambiguous": 1}
    assert found["cost_ms"] == {"p50": 50.5, "p95": 95.0, "p99": 99.0, "count": 100}
    assert found["frames"]["p50"] == 3
    days = list(found["days"].values())
    assert sum(sum(day.values()) for day in days) == 103


def test_nothing_gives_no_figures() -> None:
    assert statistics([]) == {"events": {}, "reasons": {}, "days": {}, "cost_ms": None, "frames": None}


def test_message_ids_are_all_different_and_explained() -> None:
    catalog = (ROOT / "deploy/facelatch.catalog").read_text()
    assert re.findall(r"^-- ([0-9a-f]{32})$", catalog, re.MULTILINE) == [event.message_id for event in Event]
    assert len({event.message_id for event in Event}) == len(Event)
    assert set(re.findall(r"@FACELATCH_(\w+)@", catalog)) <= FIELDS


def test_the_manual_names_every_event_and_field() -> None:
    page = (ROOT / "docs/events.md").read_text()
    for event in Event:
        assert f"| `{event.label}` | `{event.message_id}` | {event.priority} |" in page
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE)) == FIELDS
