"""What the daemon makes of the messages it hears: whose call it is, who has left the bus, and which calls the door waits for."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("dbus_fast")

from dbus_fast import DBusError, Message, MessageType

from edge.bus.authority import CALLER
from edge.bus.seat import CallRefused, Seat
from edge.bus.server import LONGEST_TEXT, BusServer, _unicast
from edge.settings import IntentKind, Mode, Settings

BUS, HOLDER, OTHER = "org.freedesktop.DBus", ":1.7", ":1.8"


class Heard:
    """A server that is not connected, and what reached its daemon."""

    def __init__(self, mode: Mode = Mode.WATCH, kind: IntentKind = IntentKind.CALL) -> None:
        self.calls, self.intents = 0, 0
        settings = Settings.model_validate({"service": {"mode": mode}, "intent": {"kind": kind, "pin": "GPIO27"}})
        door = SimpleNamespace(intent=SimpleNamespace(call=self._intend))
        daemon: Any = SimpleNamespace(note_call=self._note, door=door)
        self.server = BusServer(daemon, SimpleNamespace(settings=settings))  # type: ignore[arg-type]
        self.seat = Seat(None, None, None, lambda call: None)  # type: ignore[arg-type]
        self.seat.claim(HOLDER, "ada")

    def _note(self) -> None:
        self.calls += 1

    def _intend(self) -> None:
        self.intents += 1

    def hear(self, sender: str, *body: str, kind: MessageType = MessageType.METHOD_CALL, member: str = "Claim") -> None:
        message = Message(
            path="/a",
            interface="a.b",
            member=member,
            message_type=kind,
            sender=sender,
            signature="s" * len(body),
            body=list(body),
        )
        self.server._on_message(self.seat, message)


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    yield heard
    heard.server._loop.close()


def test_each_call_is_its_senders_and_postpones_the_exit(heard: Heard) -> None:
    callers = []
    for sender in (HOLDER, OTHER, HOLDER):
        heard.hear(sender)
        callers.append(CALLER.get())
    assert (callers, heard.calls) == ([HOLDER, OTHER, HOLDER], 3)
    heard.hear(OTHER, kind=MessageType.SIGNAL)
    assert (CALLER.get(), heard.calls) == (HOLDER, 3)


def test_a_text_may_be_as_long_as_any_caller_needs(heard: Heard) -> None:
    heard.hear(HOLDER, "a" * LONGEST_TEXT)
    with pytest.raises(DBusError, match="1024 characters"):
        heard.hear(HOLDER, "ada", "a" * (LONGEST_TEXT + 1))


@pytest.mark.parametrize(
    ("sender", "name", "new_owner", "left"),
    [(BUS, HOLDER, "", True), (BUS, HOLDER, HOLDER, False), (BUS, OTHER, "", False), (OTHER, HOLDER, "", False)],
    ids=["gone", "come", "somebody else", "a lie"],
)
def test_a_claim_ends_when_the_bus_says_that_its_holder_left(
    heard: Heard, sender: str, name: str, new_owner: str, left: bool
) -> None:
    heard.hear(sender, name, name, new_owner, kind=MessageType.SIGNAL, member="NameOwnerChanged")
    assert heard.seat.holder == (None if left else HOLDER)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("kind", IntentKind)
def test_only_a_door_that_waits_for_a_call_is_called(mode: Mode, kind: IntentKind) -> None:
    heard = Heard(mode, kind)
    if (mode, kind) == (Mode.WATCH, IntentKind.CALL):
        heard.server._intend()
    else:
        with pytest.raises(CallRefused, match="no door waits"):
            heard.server._intend()
    assert heard.intents == ((mode, kind) == (Mode.WATCH, IntentKind.CALL))
    heard.server._loop.close()


def test_what_a_caller_is_told_goes_to_that_caller_alone() -> None:
    sent = list[Message]()
    _unicast(SimpleNamespace(send=sent.append), HOLDER, "/a", "a.b", "VerifyStatus", "s", ["match"])  # type: ignore[arg-type]
    assert [(message.destination, message.message_type, message.body) for message in sent] == [
        (HOLDER, MessageType.SIGNAL, ["match"])
    ]
