"""io.facelatch.Manager and io.facelatch.Device, modelled on fprintd's interfaces. docs/dbus.md describes them; change both together."""

# No `from __future__ import annotations`: dbus-fast would read `-> None` as text and take it for a D-Bus signature.

from collections.abc import Callable
from typing import Annotated, Any

from dbus_fast import PropertyAccess, Variant
from dbus_fast.annotations import DBusBool, DBusDict, DBusObjectPath, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from edge.bus.answer import refusing
from edge.bus.authority import CALLER, Action, Authority
from edge.bus.details import pack
from edge.bus.names import DEVICE, DEVICE_PATH, ERRORS, NAME
from edge.bus.seat import CallRefused, Problem, Result, Seat, Status
from edge.gallery import check_name
from edge.intent import WayIn
from edge.station import Manner

VERSION = 1
LONGEST_S = 600

Names = Annotated[list[str], DBusSignature("as")]
Paths = Annotated[list[str], DBusSignature("ao")]
StatusBody = Annotated[tuple[str, bool, dict[str, Variant]], DBusSignature("sba{sv}")]
Unicast = Callable[[str, str, str, str, str, list[Any]], None]
"""Sends a signal to one bus name only: destination, path, interface, member, signature, body."""

_MANNERS = {"new": Manner.NEW, "add": Manner.ADD, "replace": Manner.REPLACE}


class ManagerInterface(ServiceInterface):
    """Lists the devices: there is one."""

    def __init__(self) -> None:
        super().__init__(f"{NAME}.Manager")

    @dbus_method()
    def GetDevices(self) -> Paths:  # noqa: N802 - members are named as they are on the bus
        return [DEVICE_PATH]

    @dbus_method()
    def GetDefaultDevice(self) -> DBusObjectPath:  # noqa: N802
        return DEVICE_PATH

    @dbus_property(access=PropertyAccess.READ)
    def Version(self) -> DBusUInt32:  # noqa: N802
        return VERSION


class DeviceInterface(ServiceInterface):
    """The camera and the gallery behind it. `state` reports on them; `intend` lets whoever stands at the door be judged."""

    def __init__(
        self,
        seat: Seat,
        authority: Authority,
        unicast: Unicast,
        state: Callable[[], dict[str, Variant]],
        intend: Callable[[], None],
    ) -> None:
        super().__init__(DEVICE)
        self._seat, self._authority, self._unicast, self._state, self._intend = seat, authority, unicast, state, intend

    @dbus_method()
    @refusing(ERRORS)
    async def Claim(self, subject: DBusStr) -> None:  # noqa: N802
        caller = CALLER.get()
        await self._authority.must_be_own(caller, subject)
        await self._authority.claim(self._seat, caller, check_name(subject) if subject else "")

    @dbus_method()
    @refusing(ERRORS)
    async def Release(self) -> None:  # noqa: N802
        self._seat.release(CALLER.get())

    @dbus_method()
    @refusing(ERRORS)
    async def VerifyStart(self, timeout_s: DBusUInt32) -> None:  # noqa: N802
        caller = CALLER.get()
        self._seat.must_hold(caller)
        await self._authority.must(caller, Action.VERIFY)
        await self._authority.must_be_local(caller)
        anyone = not self._seat.must_hold(caller)
        self._seat.verify(
            caller, self._status_sender(caller, "VerifyStatus"), min(max(timeout_s, 1), LONGEST_S), WayIn.BUS, anyone=anyone
        )

    @dbus_method()
    @refusing(ERRORS)
    async def VerifyStop(self) -> None:  # noqa: N802
        self._seat.stop(CALLER.get(), verifying=True)

    @dbus_method()
    @refusing(ERRORS)
    async def EnrollStart(self, manner: DBusStr) -> None:  # noqa: N802
        caller = CALLER.get()
        self._seat.must_hold(caller)
        if manner not in _MANNERS:
            raise CallRefused(Problem.INVALID, f"{manner!r}: new, add or replace")
        await self._authority.must(caller, Action.ENROLL)
        own = await self._authority.is_own(caller, self._seat.must_hold(caller))
        self._seat.enrol(caller, self._status_sender(caller, "EnrollStatus"), _MANNERS[manner], own=own)

    @dbus_method()
    @refusing(ERRORS)
    async def EnrollStop(self) -> None:  # noqa: N802
        self._seat.stop(CALLER.get(), verifying=False)

    @dbus_method()
    @refusing(ERRORS)
    async def ListEnrolled(self) -> Names:  # noqa: N802
        await self._authority.must(CALLER.get(), Action.OTHERS)
        return self._seat.names()

    @dbus_method()
    @refusing(ERRORS)
    async def IsEnrolled(self, subject: DBusStr) -> DBusBool:  # noqa: N802
        await self._authority.must_be_own(CALLER.get(), subject)
        return self._seat.is_enrolled(check_name(subject))

    @dbus_method()
    @refusing(ERRORS)
    async def Delete(self, subject: DBusStr) -> None:  # noqa: N802
        caller = CALLER.get()
        own = await self._authority.is_own(caller, subject)
        await self._authority.must(caller, Action.ENROLL if own else Action.OTHERS)
        self._seat.remove(check_name(subject))

    @dbus_method()
    @refusing(ERRORS)
    async def Attempt(self) -> None:  # noqa: N802
        caller = CALLER.get()
        await self._authority.must(caller, Action.VERIFY)
        await self._authority.must_be_local(caller)
        self._intend()

    @dbus_method(name="Status")
    def state(self) -> DBusDict:
        return self._state()

    # Declared for introspection only: `_status_sender` sends them.
    @dbus_signal()
    def VerifyStatus(self, status: Any) -> StatusBody:  # noqa: N802
        return status  # type: ignore[no-any-return]

    @dbus_signal()
    def EnrollStatus(self, status: Any) -> StatusBody:  # noqa: N802
        return status  # type: ignore[no-any-return]

    def _status_sender(self, caller: str, member: str) -> Callable[[Status], None]:
        # To the caller only: who was recognised is nobody else's business.
        def send(status: Status) -> None:
            body = [status.result.value, status.done, _details(status)]
            self._unicast(caller, DEVICE_PATH, DEVICE, member, "sba{sv}", body)

        return send


def _details(status: Status) -> dict[str, Variant]:
    details: dict[str, Variant] = {}
    for key in ("text", "reason", "subject", "operating_point"):
        if value := getattr(status, key):
            details[key] = Variant("s", value)
    for key in ("frames", "have", "want", "recognised", "checked"):
        value = getattr(status, key)
        if value or status.result is Result.ENROLLED:
            details[key] = Variant("u", value)
    if status.score is not None:
        details["score"] = Variant("d", status.score)
    if status.progress is not None:
        details |= {key: Variant(*packed) for key, packed in pack(status.progress).items()}
    if status.poses is not None:
        details["templates"] = Variant("a{su}", {pose.value: count for pose, count in status.poses.items()})
    return details
