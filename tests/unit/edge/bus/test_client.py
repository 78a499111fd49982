"""Whose word a command takes for the daemon's. Anyone on the bus may address a signal to it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

pytest.importorskip("dbus_fast")

from dbus_fast import Message, MessageType, Variant

from edge.bus.client import Remote
from edge.bus.names import DEVICE, NAME

BUS, DAEMON, US, OTHER = "org.freedesktop.DBus", ":1.2", ":1.5", ":1.8"


def heard(message: Message, owner: str = DAEMON) -> list[object]:
    """What a command that found the daemon at `owner` takes from a message."""

    async def listen() -> list[object]:
        remote = Remote(SimpleNamespace(add_message_handler=lambda handler: None, unique_name=US))
        remote._owner = owner
        remote._listen(message)
        return [remote._statuses.get_nowait() for _ in range(remote._statuses.qsize())]

    return asyncio.run(listen())


def word(sender: str, destination: str | None = US, interface: str = DEVICE, member: str = "VerifyStatus") -> Message:
    return Message(
        path="/a", interface=interface, member=member, message_type=MessageType.SIGNAL, sender=sender, destination=destination,
        signature="sba{sv}", body=["match", True, {"subject": Variant("s", "ada")}],
    )  # fmt: skip


def change(sender: str, name: str = NAME, old: str = DAEMON) -> Message:
    return Message(
        path="/a", interface=BUS, member="NameOwnerChanged", message_type=MessageType.SIGNAL, sender=sender,
        signature="sss", body=[name, old, ""],
    )  # fmt: skip


def test_only_what_the_daemon_tells_this_command_is_a_result() -> None:
    assert heard(word(DAEMON)) == [("match", True, {"subject": "ada"})]
    assert heard(word(DAEMON, member="EnrollStatus")) == [("match", True, {"subject": "ada"})]
    for message in (
        word(OTHER),
        word(DAEMON, None),
        word(DAEMON, OTHER),
        word(DAEMON, interface="a.b"),
        word(DAEMON, member="A"),
    ):
        assert heard(message) == []


def test_only_the_bus_says_that_the_daemon_has_ended() -> None:
    assert heard(change(BUS)) == [None]
    for message in (change(OTHER), change(BUS, "a.b"), change(BUS, old=OTHER)):
        assert heard(message) == []
    assert heard(change(BUS, old=""), owner="") == [], "it has only just come"
