"""Rows and figures from journal entries; the catalog, the manual and the code name the same events."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.events import SERVICE, Row, rows, statistics
from edge.journal import FIELDS, Event

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAMES = {0: "root", 990: SERVICE, 1000: "ada"}


def entry(
    event: Event, minutes: int = 0, unit: str | None = "facelatch.service", uid: int | None = 990, **fields: str
) -> dict[str, object]:
    """An entry as systemd-python returns it: `_UID` is a number, and a field that journald does not know is missing."""
    origin = {"_SYSTEMD_UNIT": unit, "_UID": uid}
    named = {f"FACELATCH_{key}": value for key, value in fields.items()}
    at = NOON + timedelta(minutes=minutes)
    return {"MESSAGE_ID": uuid.UUID(event.message_id), "MESSAGE": "told", "__REALTIME_TIMESTAMP": at, **named} | {
        key: value for key, value in origin.items() if value is not None
    }


def read(entries: list[dict[str, object]]) -> list[Row]:
    """The rows of entries, all of which must be believed."""

    def disbelieved(uid: int | None) -> None:
        raise AssertionError(f"{uid} is not believed")

    return list(rows(entries, NAMES, disbelieved))


def test_what_others_wrote_under_our_name_is_no_event() -> None:
    other = {"MESSAGE_ID": uuid.UUID(int=1), "MESSAGE": "x", "__REALTIME_TIMESTAMP": NOON}
    found = read([other, {"MESSAGE": "no id", "__REALTIME_TIMESTAMP": NOON}, entry(Event.STOPPED)])
    assert [row.event for row in found] == ["stopped"]


def test_fields_outside_the_list_are_not_shown() -> None:
    (row,) = read([entry(Event.ACCEPT, SUBJECT="ada", EMBEDDING="0.1 0.2")])
    assert row.fields == {"subject": "ada"}
    assert row.to_json()["subject"] == "ada"
    assert row.at == NOON


def test_figures_by_hand() -> None:
    """Costs of 1 to 100: the median lies between 50 and 51, the 95th percentile, interpolated linearly, at 95.05."""
    entries = [entry(Event.ACCEPT, n, COST_MS=str(n), LATENCY_MS=str(10 * n), FRAMES="3") for n in range(1, 101)]
    entries += [
        entry(Event.DENY, 60 * 24 * day, REASON=reason) for day, reason in ((0, "no-match"), (1, "no-match"), (1, "ambiguous"))
    ]
    found = statistics(read([*entries, entry(Event.CAMERA_LOST)]))
    assert found["events"] == {"accept": 100, "deny": 3, "camera-lost": 1}
    assert found["reasons"] == {"no-match": 2, "ambiguous": 1}
    assert found["cost_ms"] == {"p50": 50.5, "p95": 95.0, "p99": 99.0, "count": 100}
    assert found["latency_ms"] == {"p50": 505.0, "p95": 950.5, "p99": 990.1, "count": 100}
    assert found["frames"]["p50"] == 3
    assert found["not_counted"] == 0
    days = list(found["days"].values())
    assert sum(sum(day.values()) for day in days) == 103


def test_nothing_gives_no_figures() -> None:
    found = statistics([])
    assert found == {
        "events": {},
        "reasons": {},
        "days": {},
        "latency_ms": None,
        "cost_ms": None,
        "frames": None,
        "not_counted": 0,
    }


@pytest.mark.parametrize(
    ("unit", "uid", "by"),
    [
        ("facelatch.service", 990, SERVICE),
        ("facelatch.service", 4711, SERVICE),  # a drop-in runs the unit as another user
        ("facelatch-enroll@ada.service", 990, SERVICE),
        ("session-3.scope", 990, SERVICE),  # sudo -u facelatch edge enroll
        ("session-3.scope", 0, "root"),
        (None, 0, "root"),
        ("user@1000.service", 1000, "ada"),
        ("user@1001.service", 1001, None),
        ("session-4.scope", 1001, None),
        ("facelatch.service.scope", 1001, None),
        ("notfacelatch.service", 1001, None),
        (None, None, None),
    ],
)
def test_who_wrote_is_what_journald_says(unit: str | None, uid: int | None, by: str | None) -> None:
    """What the entry says about itself does not count: each has our name and our MESSAGE_ID."""
    refused: list[int | None] = []
    found = list(rows([entry(Event.ACCEPT, 0, unit, uid, SUBJECT="ada")], NAMES, refused.append))
    assert [row.by for row in found] == ([] if by is None else [by])
    assert refused == ([uid] if by is None else [])
    assert all(row.to_json()["by"] == by for row in found)


def test_figures_are_the_services_unless_asked_for() -> None:
    found = read([entry(Event.ACCEPT), entry(Event.ACCEPT, 0, "session-3.scope", 0), entry(Event.DENY, 0, None, 1000)])
    alone, all_of_them = statistics(found), statistics(found, by_hand=True)
    assert (alone["events"], alone["not_counted"]) == ({"accept": 1}, 2)
    assert (all_of_them["events"], all_of_them["not_counted"]) == ({"accept": 2, "deny": 1}, 0)


@pytest.mark.parametrize("told", ["abc", "", "nan", "inf", "-inf", "1e999", "²", "12,5"])
def test_a_field_that_is_no_number_is_left_out_alone(told: str) -> None:
    entries = [
        entry(Event.DENY, COST_MS=told, FRAMES=told, LATENCY_MS=told),
        entry(Event.DENY, COST_MS="4.5"),
        entry(Event.ACCEPT, FRAMES="3"),
    ]
    found = statistics(read(entries))
    assert found["events"] == {"deny": 2, "accept": 1}
    assert (found["cost_ms"]["count"], found["cost_ms"]["p50"]) == (1, 4.5)
    assert (found["frames"]["count"], found["frames"]["p50"]) == (1, 3.0)
    assert found["latency_ms"] is None


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
