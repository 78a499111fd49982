"""Joins the system bus in a thread of its own and answers there; joins again when the bus was lost. A door is watched without it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from dbus_fast import BusType, Message, MessageType, NameFlag, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

import edge.bus.fprint as fprint
import edge.bus.native as native
from edge.bus.authority import CALLER, Authority
from edge.bus.seat import Seat
from edge.camera.stream import without_password
from edge.daemon import Daemon
from edge.journal import Event
from edge.station import Station

SETTLED_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
_GONE = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged'"


class NameTaken(OSError):
    """Another program answers under our name, or the bus does not let us have it."""


class BusServer:
    """See the module. `start` comes back at once."""

    def __init__(self, daemon: Daemon, station: Station) -> None:
        self._daemon, self._station, self._settings = daemon, station, station.settings
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._settled = threading.Event()
        self._lost, self._pause_s = False, FIRST_PAUSE_S

    def start(self) -> None:
        """Begins to answer. Waits a moment for the name, so that whoever waits for READY finds it."""
        self._thread.start()
        self._settled.wait(SETTLED_S)

    def stop(self) -> None:
        """Gives the names back."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._stay())
        self._loop.close()

    async def _stay(self) -> None:
        while not self._stopped.is_set():
            told = "the connection was closed"
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001 - whatever ends the answers is told and tried again, and the door is watched
                told = str(error) or type(error).__name__
            self._settled.set()
            if self._stopped.is_set():
                return
            if not self._lost:
                self._station.journal.tell(Event.BUS_LOST, f"the system bus: {told}; nobody can ask", ERROR="bus")
            self._lost = True
            # Only a stop ends the pause early.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._pause_s)
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)

    async def _serve(self) -> None:
        """Answers until the bus or the daemon ends."""
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        try:
            seat = Seat(self._station, self._daemon.desk, self._daemon.door, self._post)
            bus.add_message_handler(partial(self._before, seat))
            await bus.call(
                Message(
                    "org.freedesktop.DBus",
                    "/org/freedesktop/DBus",
                    "org.freedesktop.DBus",
                    "AddMatch",
                    signature="s",
                    body=[_GONE],
                )
            )
            for name in self._export(bus, seat):
                reply = await bus.request_name(name, NameFlag.DO_NOT_QUEUE)
                if reply not in (RequestNameReply.PRIMARY_OWNER, RequestNameReply.ALREADY_OWNER):
                    raise NameTaken(f"{name} is taken by another program; is a second daemon, or fprintd, running?")
            self._station.journal.tell(Event.BUS_JOINED, "answers on the system bus")
            self._lost, self._pause_s = False, FIRST_PAUSE_S
            self._settled.set()
            ended = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
            stopped = asyncio.ensure_future(self._stopped.wait())
            await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            # A claim ends with the bus that it was made on.
            if seat.holder is not None:
                seat.release(seat.holder)
            if not ended.done():
                bus.disconnect()
            await ended
        finally:
            bus.disconnect()

    def _post(self, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(call)

    def _export(self, bus: MessageBus, seat: Seat) -> list[str]:
        authority = Authority(bus, refuse_remote=self._settings.service.refuse_remote)
        send = partial(_unicast, bus)
        bus.export(native.MANAGER_PATH, native.ManagerInterface())
        device = native.DeviceInterface(seat, authority, send, partial(self._state, seat), self._daemon.door.intent.call)
        bus.export(native.DEVICE_PATH, device)
        if not self._settings.compat.fprintd:
            return [native.NAME]
        bus.export(fprint.MANAGER_PATH, fprint.ManagerInterface())
        stages = self._settings.enrolment.anchors
        bus.export(fprint.DEVICE_PATH, fprint.DeviceInterface(seat, authority, send, stages))
        return [native.NAME, fprint.NAME]

    def _before(self, seat: Seat, message: Message) -> None:
        """Sees every message before it is answered: who calls, and who is gone."""
        if message.message_type is MessageType.METHOD_CALL and message.sender:
            CALLER.set(message.sender)
            self._daemon.asked()
        elif message.member == "NameOwnerChanged" and message.sender == "org.freedesktop.DBus" and not message.body[2]:
            seat.vanished(message.body[0])

    def _state(self, seat: Seat) -> dict[str, Variant]:
        return {key: Variant("u" if isinstance(value, int) else "s", value) for key, value in self._facts(seat).items()}

    def _facts(self, seat: Seat) -> dict[str, Any]:
        station, settings = self._station, self._settings
        return {
            "mode": settings.service.mode.value,
            "camera": self._daemon.camera_state.value,
            "source": without_password(settings.camera.source),
            "model": station.model.name,
            "model_id": station.model.model_id,
            "operating_point": station.point.name,
            "runtime": station.line.runtime,
            "enrolled": self._daemon.door.enrolled,
            "failures": self._daemon.door.failures,
            "claimed": int(seat.holder is not None),
            "doing": "something" if seat.busy else "nothing",
        }


def _unicast(
    bus: MessageBus, destination: str, path: str, interface: str, member: str, signature: str, body: list[Any]
) -> None:
    message = Message.new_signal(path, interface, member, signature, body)
    message.destination = destination
    bus.send(message)
