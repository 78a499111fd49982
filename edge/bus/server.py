"""Joins the system bus in its own thread, answers calls there, and rejoins a bus it has lost. The door is watched with or without a bus."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from dbus_fast import BusType, DBusError, ErrorType, Message, MessageType, NameFlag, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

import edge.bus.fprint as fprint
import edge.bus.native as native
from edge.bus.authority import CALLER, Authority
from edge.bus.names import DEVICE_PATH, MANAGER_PATH, NAME
from edge.bus.seat import CallRefused, Problem, Seat
from edge.bus.sieve import Sieve
from edge.camera.stream import without_password
from edge.daemon import Daemon
from edge.journal import Event
from edge.settings import IntentKind, Mode
from edge.station import Station

SETTLED_S = 2.0
# Together with the time that a camera takes to close, this must stay below the service's TimeoutStopSec=.
ANSWER_S = 3.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
# The most characters in a caller's text. An error message quotes them, escaped and so longer, and the bus disconnects whoever sends more
# than it carries.
LONGEST_TEXT = 1024
_BUS = "org.freedesktop.DBus"
_DEPARTURES = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged'"


_OWNED = (RequestNameReply.PRIMARY_OWNER, RequestNameReply.ALREADY_OWNER)
Answer = TypeVar("Answer")


class _SiftedBus(MessageBus):
    """A bus connection that reads through `Sieve`, which keeps out over-long messages."""

    async def _authenticate(self) -> None:
        await super()._authenticate()  # type: ignore[no-untyped-call]
        self._sock = Sieve(self._sock)  # type: ignore[assignment, arg-type] # connected, and read as one


class NameTaken(OSError):
    """Another program answers under our name, or the bus does not let us have it."""


class BusServer:
    """See the module. `start` returns after SETTLED_S at the latest."""

    def __init__(self, daemon: Daemon, station: Station) -> None:
        self._daemon, self._station, self._settings = daemon, station, station.settings
        _mute_refusals()
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._settled = threading.Event()
        self._lost, self._pause_s = False, FIRST_PAUSE_S
        self._waits_for_name = False

    def start(self) -> None:
        """Begins to answer. Waits up to SETTLED_S for the bus name, so that whoever waits for systemd's READY finds it."""
        self._thread.start()
        self._settled.wait(SETTLED_S)

    def stop(self) -> None:
        """Gives the names back."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._keep_serving())
        self._loop.close()

    async def _keep_serving(self) -> None:
        while not self._stopped.is_set():
            problem = "the connection was closed"
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001 - whatever ends the answers is told and tried again, and the door is watched
                problem = str(error) or type(error).__name__
            self._settled.set()
            if self._stopped.is_set():
                return
            if not self._lost:
                self._station.journal.log(Event.BUS_LOST, f"the system bus: {problem}; nobody can ask", ERROR="bus")
            self._lost = True
            # Only a stop ends this pause early.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._pause_s)
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)

    async def _serve(self) -> None:
        """Answers until the bus or the daemon ends."""
        bus = _SiftedBus(bus_type=BusType.SYSTEM)
        try:
            await _with_timeout(bus.connect())
            seat = Seat(self._station, self._daemon.desk, self._daemon.door, self._post)
            bus.add_message_handler(partial(self._on_message, seat))
            await _with_timeout(
                bus.call(Message(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", signature="s", body=[_DEPARTURES]))
            )
            authority = Authority(bus, refuse_remote=self._settings.service.refuse_remote)
            self._export(bus, seat, authority)
            self._daemon.held = lambda: seat.holder is not None or authority.is_waiting
            if await _with_timeout(bus.request_name(NAME, NameFlag.DO_NOT_QUEUE)) not in _OWNED:
                raise NameTaken(f"{NAME} is taken by another program; is a second daemon running?")
            self._station.journal.log(Event.BUS_JOINED, "answers on the system bus")
            if self._settings.compat.fprintd:
                await self._take_fprintd_name(bus)
            self._lost, self._pause_s = False, FIRST_PAUSE_S
            self._settled.set()
            ended = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
            stopped = asyncio.ensure_future(self._stopped.wait())
            await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            # A claim ends with the bus it was made on; nobody there can be notified any more.
            seat.on_change = lambda: None
            if seat.holder is not None:
                seat.release(seat.holder)
            if not ended.done():
                bus.disconnect()
            await ended
        finally:
            bus.disconnect()

    def _post(self, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(call)

    def _export(self, bus: MessageBus, seat: Seat, authority: Authority) -> None:
        send = partial(_unicast, bus)
        bus.export(MANAGER_PATH, native.ManagerInterface())
        device = native.DeviceInterface(seat, authority, send, partial(self._state, seat), self._intend)
        bus.export(DEVICE_PATH, device)
        if not self._settings.compat.fprintd:
            return
        bus.export(fprint.MANAGER_PATH, fprint.ManagerInterface())
        stages = self._settings.enrolment.anchors
        finger = fprint.DeviceInterface(seat, authority, send, stages)
        bus.export(fprint.DEVICE_PATH, finger)
        seat.on_change = finger.emit_changes

    async def _take_fprintd_name(self, bus: MessageBus) -> None:
        """Takes fprintd's name, or queues for it: fprintd exits when idle, and the bus then passes the name on."""
        try:
            self._waits_for_name = await _with_timeout(bus.request_name(fprint.NAME)) not in _OWNED
        except DBusError as error:
            # A bus that denies us the second name is no reason to stop answering under the first.
            text = f"{fprint.NAME}: {error}; its clients are not answered"
            self._station.journal.log(Event.BUS_NAME_TAKEN, text, ERROR="bus")
            return
        if self._waits_for_name:
            text = f"{fprint.NAME} belongs to another program; is fprintd running? fprintd's clients are not answered until it is free"
            self._station.journal.log(Event.BUS_NAME_TAKEN, text, ERROR="bus")

    def _intend(self) -> None:
        """Lets whoever stands at the door be judged, as a caller asks. Refused unless the door waits for such a call."""
        kind, mode = self._settings.intent.kind, self._settings.service.mode
        if mode is not Mode.WATCH or kind is not IntentKind.CALL:
            raise CallRefused(
                Problem.NO_INTENT,
                f"no door waits for this call: service.mode is {mode.value} and intent.kind {kind.value}, watch and call are wanted",
            )
        self._daemon.door.intent.call()

    def _on_message(self, seat: Seat, message: Message) -> None:
        """Sees every message before it is answered: notes who calls and who has left the bus."""
        if message.message_type is MessageType.METHOD_CALL and message.sender:
            CALLER.set(message.sender)
            self._daemon.note_call()
            if any(isinstance(value, str) and len(value) > LONGEST_TEXT for value in message.body):
                raise DBusError(ErrorType.INVALID_ARGS, f"a text of more than {LONGEST_TEXT} characters")
        elif message.member == "NameOwnerChanged" and message.sender == _BUS and not message.body[2]:
            seat.vanished(message.body[0])
        elif (
            message.member == "NameAcquired"
            and message.sender == _BUS
            and self._waits_for_name
            and message.body == [fprint.NAME]
        ):
            self._waits_for_name = False
            self._station.journal.log(Event.BUS_JOINED, f"answers as {fprint.NAME} as well")

    def _state(self, seat: Seat) -> dict[str, Variant]:
        return {key: Variant("u" if isinstance(value, int) else "s", value) for key, value in self._status_fields(seat).items()}

    def _status_fields(self, seat: Seat) -> dict[str, Any]:
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


def _mute_refusals() -> None:
    """Keeps off stderr what dbus-fast logs about refused callers who want no reply: nine lines a call. After ten thousand of them in half
    a minute journald drops whatever this service writes, its events too.
    """
    log = logging.getLogger("dbus_fast")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setLevel(logging.WARNING)
        handler.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], DBusError)))
        log.addHandler(handler)


async def _with_timeout(call: Awaitable[Answer]) -> Answer:
    """The bus's answer. Raises OSError after ANSWER_S without one: a stop must not wait for it, and a lost bus must be reported."""
    try:
        return await asyncio.wait_for(call, ANSWER_S)
    except TimeoutError:
        raise OSError(f"no answer in {ANSWER_S:g} s") from None


def _unicast(
    bus: MessageBus, destination: str, path: str, interface: str, member: str, signature: str, body: list[Any]
) -> None:
    message = Message.new_signal(path, interface, member, signature, body)
    message.destination = destination
    bus.send(message)
