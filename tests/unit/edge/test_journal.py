"""Journal entries: native fields from a closed list, a score on an accept only, and stderr if there is no journal."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from typing import TextIO

import pytest

from edge import journal as module
from edge.journal import Event, Journal
from edge.policy import Denial, Grant
from edge.reasons import Reason


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Every entry that would reach the journal."""
    entries: list[dict[str, str]] = []
    monkeypatch.setattr(
        module, "journal_sender", lambda: lambda message, **fields: entries.append({"MESSAGE": message, **fields})
    )
    return entries


def test_an_accept_has_native_fields_and_its_score(sent: list[dict[str, str]]) -> None:
    Journal().log_decision(Grant("ada", 0.987654, 4), operating_point="fmr-0.001", cost_ms=12.34)
    assert sent == [
        {
            "MESSAGE": "accepted ada",
            "MESSAGE_ID": Event.ACCEPT.message_id,
            "PRIORITY": "5",
            "SYSLOG_IDENTIFIER": "facelatch",
            "FACELATCH_EVENT": "accept",
            "FACELATCH_SUBJECT": "ada",
            "FACELATCH_SCORE": "0.9877",
            "FACELATCH_FRAMES": "4",
            "FACELATCH_OPERATING_POINT": "fmr-0.001",
            "FACELATCH_COST_MS": "12.3",
        }
    ]


def test_how_long_it_took_is_told_where_it_is_known(sent: list[dict[str, str]]) -> None:
    Journal().log_decision(Denial(Reason.NO_MATCH, 10, took_s=1.23356), operating_point="fmr-0.001", cost_ms=1)
    assert sent[0]["FACELATCH_LATENCY_MS"] == "1235"


def test_a_denial_tells_neither_score_nor_subject(sent: list[dict[str, str]]) -> None:
    Journal().log_decision(Denial(Reason.NO_MATCH, 10, 30.0), operating_point="fmr-0.001", cost_ms=1)
    deny, locked = sent
    assert deny["FACELATCH_REASON"] == "no-match"
    assert not {"FACELATCH_SCORE", "FACELATCH_SUBJECT"} & (set(deny) | set(locked))
    assert locked["FACELATCH_EVENT"] == "locked-out"


@pytest.mark.parametrize(("event", "field"), [(Event.DENY, "SCORE"), (Event.ACCEPT, "EMBEDDING"), (Event.STARTED, "score")])
def test_nothing_else_leaves_the_process(sent: list[dict[str, str]], event: Event, field: str) -> None:
    with pytest.raises(ValueError, match="may not be logged"):
        Journal().log(event, "x", **{field: 1})
    assert sent == []


def test_without_a_journal_events_are_readable_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "journal_sender", lambda: None)
    Journal().log_decision(Grant("ada", 0.9, 3), operating_point="fmr-0.01", cost_ms=5)
    told = capsys.readouterr().err
    assert told.startswith("accept: accepted ada  [")
    assert "subject=ada" in told
    assert "score=0.9000" in told


def test_a_broken_bus_is_told_once_and_recovers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broken = [True, True, False]

    def send(message: str, **fields: str) -> None:
        if broken.pop(0):
            raise OSError("no bus")

    monkeypatch.setattr(module, "journal_sender", lambda: send)
    journal = Journal()
    for number in range(3):
        journal.log(Event.STOPPED, f"event {number}")
    told = capsys.readouterr().err
    assert told.count("no bus") == 1
    assert "event 0" in told
    assert "event 1" in told
    assert "event 2" not in told


def without_a_reader() -> TextIO:
    """A pipe whose reader is gone, as stderr is after journald has exited."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", buffering=1)


def closed() -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [without_a_reader, closed, lambda: None])
def test_whoever_does_not_read_any_more_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: Callable[[], TextIO | None]
) -> None:
    """Journal, stderr and copy fail at once: listeners still get every event, and no event goes to another stream."""

    def send(message: str, **fields: str) -> None:
        raise OSError("no bus")

    monkeypatch.setattr(module, "journal_sender", lambda: send)
    heard: list[str] = []
    with monkeypatch.context() as gone:
        gone.setattr(module.sys, "stderr", stream())
        journal = Journal(stream())
        journal.listeners.append(lambda event, fields: heard.append(event.label))
        journal.log(Event.STARTED, "first")
        journal.log_decision(Denial(Reason.NO_MATCH, 10, 30.0), operating_point="fmr-0.001", cost_ms=1)
    assert heard == ["started", "deny", "locked-out"]
    assert capsys.readouterr() == ("", "")


def test_a_copy_is_one_line_of_json(sent: list[dict[str, str]]) -> None:
    out = io.StringIO()
    Journal(out).log(Event.GALLERY_LOADED, "2 subjects", SUBJECTS=2)
    assert json.loads(out.getvalue()) == {"event": "gallery-loaded", "message": "2 subjects", "subjects": 2}


def test_every_kind_of_event_has_an_id_of_its_own() -> None:
    ids = [event.message_id for event in Event]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", message_id) for message_id in ids)
