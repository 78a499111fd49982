"""The commands' client of the daemon on the bus. If no daemon answers, `ask` returns None and the command does the work itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from edge.bus.agent import polkit_agent
from edge.bus.names import DEVICE, DEVICE_PATH, NAME
from edge.contract.errors import BusRefused, InputError

SOCKET = Path("/run/dbus/system_bus_socket")
# A bus that accepts a connection and stays silent counts as no bus.
CONNECT_S = 3.0
_DAEMON_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_INPUT = frozenset({"NotEnrolled", "AlreadyEnrolled", "InvalidSubject"})

Answer = TypeVar("Answer")
StatusCallback = Callable[[str, dict[str, Any]], None]


def has_system_bus() -> bool:
    """Whether this system has a system bus."""
    return bool(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")) or SOCKET.exists()


def ask(work: Callable[[Remote], Awaitable[Answer]]) -> Answer | None:
    """Runs `work` against the daemon and returns its result; None if there is no bus, or no daemon on it and none that the bus can start.

    Raises:
        InputError: the subject is not enrolled, is enrolled already, or cannot have this name.
        BusRefused: the daemon refuses, or ended in the middle.
    """
    if not has_system_bus():
        return None
    return asyncio.run(_ask(work))


class Remote:
    """One connection to the daemon."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus
        self._owner = ""
        self._statuses: asyncio.Queue[tuple[str, bool, dict[str, Any]] | None] = asyncio.Queue()
        bus.add_message_handler(self._listen)

    async def state(self) -> dict[str, Any]:
        """The daemon's report on itself, by key."""
        (report,) = await self.call("Status")
        return {key: value.value for key, value in report.items()}

    async def call(self, member: str, signature: str = "", *body: Any) -> list[Any]:
        """Calls a method of the device. Raises as `ask` does."""
        return await self._send(NAME, DEVICE_PATH, DEVICE, member, signature, *body)

    async def verify(self, subject: str, timeout_s: int, on_hint: StatusCallback) -> dict[str, Any]:
        """Verifies a subject, or anyone if the name is empty. `on_hint` gets each hint. Returns the result and its details."""
        return await self._act(subject, ("VerifyStart", "u", timeout_s), "VerifyStop", on_hint)

    async def enrol(self, subject: str, manner: str, on_progress: StatusCallback) -> dict[str, Any]:
        """Enrols a subject; `manner` is `new`, `add` or `replace`. See `verify`."""
        return await self._act(subject, ("EnrollStart", "s", manner), "EnrollStop", on_progress)

    async def _act(self, subject: str, start: tuple[Any, ...], stop: str, on_status: StatusCallback) -> dict[str, Any]:
        await self.call("Claim", "s", subject)
        await self.call(*start)
        disconnected = asyncio.ensure_future(self._bus.wait_for_disconnect())
        while True:
            next_status = asyncio.ensure_future(self._statuses.get())
            await asyncio.wait([next_status, disconnected], return_when=asyncio.FIRST_COMPLETED)
            if not next_status.done() or (status := next_status.result()) is None:
                raise BusRefused("the daemon ended; nothing was decided")
            result, done, details = status
            if done:
                # No release here: the claim ends with the connection, whatever happens before.
                await self.call(stop)
                return {"result": result, **details}
            on_status(result, details)

    async def _send(self, destination: str, path: str, interface: str, member: str, signature: str, *body: Any) -> list[Any]:
        from dbus_fast import Message, MessageType

        try:
            reply = await self._bus.call(Message(destination, path, interface, member, signature=signature, body=list(body)))
        except (OSError, EOFError) as error:
            raise BusRefused(f"{member}: the system bus ended before it was answered") from error
        if reply is None:
            raise BusRefused(f"{member}: no answer")
        if reply.message_type is MessageType.ERROR:
            text = str(reply.body[0]) if reply.body else reply.error_name
            kind = reply.error_name.rpartition(".")[2]
            raise InputError(text) if kind in _INPUT else BusRefused(f"{text} ({kind})")
        return list(reply.body)

    async def start(self) -> bool:
        """Whether the daemon is on the bus, which starts it first if it can."""
        (running,) = await self._send(*_DAEMON_BUS, "NameHasOwner", "s", NAME)
        if not running:
            (can_start,) = await self._send(*_DAEMON_BUS, "ListActivatableNames", "")
            if NAME not in can_start:
                return False
            try:
                await self._send(*_DAEMON_BUS, "StartServiceByName", "su", NAME, 0)
            except BusRefused:
                return False
        rule = f"type='signal',sender='{_DAEMON_BUS[0]}',member='NameOwnerChanged',arg0='{NAME}'"
        await self._send(*_DAEMON_BUS, "AddMatch", "s", rule)
        (self._owner,) = await self._send(*_DAEMON_BUS, "GetNameOwner", "s", NAME)
        return True

    def _listen(self, message: Any) -> None:
        # Anyone on the bus may address a signal to us: only the daemon's own word on a face counts.
        from_daemon = message.sender == self._owner and message.destination == self._bus.unique_name
        if from_daemon and message.interface == DEVICE and message.member in ("VerifyStatus", "EnrollStatus"):
            result, done, details = message.body
            self._statuses.put_nowait((result, done, {key: value.value for key, value in details.items()}))
        elif (
            message.sender == _DAEMON_BUS[0]
            and message.member == "NameOwnerChanged"
            and message.body[0] == NAME
            and message.body[1] == self._owner != ""
        ):
            self._statuses.put_nowait(None)


async def _ask(work: Callable[[Remote], Awaitable[Answer]]) -> Answer | None:
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus

    try:
        bus = await asyncio.wait_for(MessageBus(bus_type=BusType.SYSTEM).connect(), CONNECT_S)
    except (OSError, EOFError):
        return None
    try:
        remote = Remote(bus)
        if not await remote.start():
            return None
        with polkit_agent():
            return await work(remote)
    finally:
        bus.disconnect()
