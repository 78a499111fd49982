"""A bus that accepts connections and never answers: the daemon reports it and can still be stopped, and commands work without it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.bus import client, server
from edge.bus.server import BusServer
from edge.contract.errors import BusRefused
from edge.journal import Event
from edge.settings import Settings


@pytest.fixture
def silent_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernel accepts the connections; nobody reads from them."""
    path = tmp_path / "bus"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
        monkeypatch.setattr(server, "ANSWER_S", 0.2)
        monkeypatch.setattr(client, "CONNECT_S", 0.2)
        yield


@pytest.mark.usefixtures("silent_bus")
def test_the_daemon_tells_it_and_ends_when_it_is_to() -> None:
    told: list[tuple[Event, str]] = []
    journal = SimpleNamespace(log=lambda event, text, **_: told.append((event, text)))
    bus = BusServer(SimpleNamespace(), SimpleNamespace(settings=Settings(), journal=journal))  # type: ignore[arg-type]
    bus.start()
    until = time.monotonic() + 10
    while not told:
        assert time.monotonic() < until, "it was not told"
        time.sleep(0.02)
    bus.stop()
    assert told == [(Event.BUS_LOST, "the system bus: no answer in 0.2 s; nobody can ask")]


@pytest.mark.usefixtures("silent_bus")
def test_a_command_does_its_own_work() -> None:
    async def never(_: Any) -> None:
        raise AssertionError("nobody is there to be asked")

    assert client.ask(never) is None


def test_a_bus_that_ends_in_the_middle_of_a_call_is_no_defect_of_ours() -> None:
    async def ended(_: object) -> None:
        raise EOFError

    bus = SimpleNamespace(call=ended, add_message_handler=lambda _: None)
    with pytest.raises(BusRefused, match="Claim: the system bus ended before it was answered"):
        asyncio.run(client.Remote(bus).verify("ada", 15, lambda *_: None))
