"""net.reactivated.Fprint, so that pam_fprintd, login screens and the fprintd-* tools accept a face. A face is one finger of its user.

The interface is fprintd 1.94's, file net.reactivated.Fprint.Device.xml. What it has no word for is reported with its nearest word.
"""

# No `from __future__ import annotations`: dbus-fast would read `-> None` as text and take it for a D-Bus signature.

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from dbus_fast import PropertyAccess
from dbus_fast.annotations import DBusBool, DBusInt32, DBusObjectPath, DBusSignature, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from edge.bus.answer import refusing
from edge.bus.authority import CALLER, Action, Authority
from edge.bus.native import Unicast
from edge.bus.seat import CallRefused, Problem, Result, Seat, Status
from edge.contract.errors import FaceKnown, TemplatesFull
from edge.gallery import NAME_PATTERN
from edge.intent import WayIn
from edge.reasons import Reason
from edge.station import Manner

NAME = "net.reactivated.Fprint"
MANAGER_PATH = "/net/reactivated/Fprint/Manager"
DEVICE_PATH = "/net/reactivated/Fprint/Device/0"
DEVICE = f"{NAME}.Device"
ERRORS = f"{NAME}.Error"
# Longer than pam_fprintd's own limit of thirty seconds, so that pam_fprintd times out first.
TIMEOUT_S = 60.0
# The face is listed as this finger; enrolling another finger adds another look of the same person.
FINGER = "right-index-finger"
_AFTER_REPLY_S = 0.02
FINGERS = frozenset(f"{side}-{finger}" for side in ("left", "right") for finger in (
    "thumb", "index-finger", "middle-finger", "ring-finger", "little-finger",
))  # fmt: skip

_NAMES = {
    Problem.NOT_ENROLLED: "NoEnrolledPrints",
    Problem.ALREADY_ENROLLED: "FingerAlreadyEnrolled",
    Problem.INVALID: "InvalidFingername",
    Problem.NOT_DELETED: "PrintsNotDeleted",
}
# Keyed by text: a status may also carry what a challenge asks for, which is no Reason and for which fprintd has no word.
_RETRIES: dict[str, str] = {
    Reason.SEVERAL_FACES: "remove-and-retry",
    Reason.TOO_FAR: "finger-not-centered",
    Reason.TOO_NEAR: "finger-not-centered",
}
_FAILURES = {FaceKnown.code: "duplicate", TemplatesFull.code: "data-full"}

Names = Annotated[list[str], DBusSignature("as")]
Paths = Annotated[list[str], DBusSignature("ao")]
StatusBody = Annotated[tuple[str, bool], DBusSignature("sb")]


class ManagerInterface(ServiceInterface):
    """Lists the readers: there is one."""

    def __init__(self) -> None:
        super().__init__(f"{NAME}.Manager")

    @dbus_method()
    def GetDevices(self) -> Paths:  # noqa: N802
        return [DEVICE_PATH]

    @dbus_method()
    def GetDefaultDevice(self) -> DBusObjectPath:  # noqa: N802
        return DEVICE_PATH


class DeviceInterface(ServiceInterface):
    """Presents the face as a finger."""

    def __init__(self, seat: Seat, authority: Authority, unicast: Unicast, stages: int) -> None:
        super().__init__(DEVICE)
        self._seat, self._authority, self._unicast, self._stages = seat, authority, unicast, stages
        self._last_properties: dict[str, int | bool] = {"num-enroll-stages": -1, "finger-needed": False}

    def emit_changes(self) -> None:
        """Broadcasts the properties that have changed, as fprintd does. None of them names a person."""
        properties = {"num-enroll-stages": self.stages, "finger-needed": self.finger_needed}
        changed = {name: value for name, value in properties.items() if value != self._last_properties[name]}
        self._last_properties = properties
        if changed:
            self.emit_properties_changed(changed)

    @dbus_property(access=PropertyAccess.READ, name="name")
    def reader_name(self) -> DBusStr:
        return "facelatch camera"

    @dbus_property(access=PropertyAccess.READ, name="num-enroll-stages")
    def stages(self) -> DBusInt32:
        # -1 until the device is claimed, as in fprintd.
        return -1 if self._seat.holder is None else self._stages

    @dbus_property(access=PropertyAccess.READ, name="scan-type")
    def scan_type(self) -> DBusStr:
        return "press"

    @dbus_property(access=PropertyAccess.READ, name="finger-present")
    def finger_present(self) -> DBusBool:
        return False

    @dbus_property(access=PropertyAccess.READ, name="finger-needed")
    def finger_needed(self) -> DBusBool:
        return self._seat.wants_face

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def Claim(self, username: DBusStr) -> None:  # noqa: N802
        caller = CALLER.get()
        subject = await self._subject(caller, username)
        await self._authority.claim(self._seat, caller, subject)

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def Release(self) -> None:  # noqa: N802
        self._seat.release(CALLER.get())

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def ListEnrolledFingers(self, username: DBusStr) -> Names:  # noqa: N802
        caller = CALLER.get()
        subject = await self._subject(caller, username)
        await self._authority.must(caller, Action.VERIFY)
        self._must_be_enrolled(subject)
        return [FINGER]

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def DeleteEnrolledFingers(self, username: DBusStr) -> None:  # noqa: N802
        caller = CALLER.get()
        subject = await self._subject(caller, username)
        await self._authority.must(caller, Action.ENROLL)
        self._seat.remove(subject)

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def DeleteEnrolledFingers2(self) -> None:  # noqa: N802
        await self._delete(CALLER.get())

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def DeleteEnrolledFinger(self, finger_name: DBusStr) -> None:  # noqa: N802
        self._must_be_face_finger(finger_name)
        await self._delete(CALLER.get())

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def VerifyStart(self, finger_name: DBusStr) -> None:  # noqa: N802
        caller = CALLER.get()
        if finger_name not in ("any", ""):
            self._must_be_face_finger(finger_name)
        self._must_be_enrolled(self._seat.must_hold(caller))
        await self._authority.must(caller, Action.VERIFY)
        await self._authority.must_be_local(caller)
        send, announced, early = self._status_sender(caller, "verify"), False, list[Status]()

        def on_status(status: Status) -> None:
            if announced:
                send(status)
            elif status.done:
                early.append(status)  # more hints will follow, but the end is reported only once

        is_current = self._seat.verify(caller, on_status, TIMEOUT_S, WayIn.FPRINTD, anyone=False)
        finger = "any" if finger_name == "any" else FINGER

        def announce() -> None:
            nonlocal announced
            if not is_current():
                return  # stopped meanwhile: its result must not pass for that of a verification begun since
            self._unicast(caller, DEVICE_PATH, DEVICE, "VerifyFingerSelected", "s", [finger])
            announced = True
            for status in early:
                send(status)

        # pam_fprintd prompts only if this signal comes after the reply to its call, and reports a result only after that signal.
        asyncio.get_running_loop().call_later(_AFTER_REPLY_S, announce)

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def VerifyStop(self) -> None:  # noqa: N802
        self._seat.stop(CALLER.get(), verifying=True)

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def EnrollStart(self, finger_name: DBusStr) -> None:  # noqa: N802
        caller = CALLER.get()
        self._must_be_finger(finger_name)
        known = self._seat.is_enrolled(self._seat.must_hold(caller))
        await self._authority.must(caller, Action.ENROLL)
        manner = Manner.NEW if not known else Manner.REPLACE if finger_name == FINGER else Manner.ADD
        # fprintd's clients have no word for a pose.
        self._seat.enrol(caller, self._status_sender(caller, "enroll"), manner, asks=False)

    @dbus_method()
    @refusing(ERRORS, _NAMES)
    async def EnrollStop(self) -> None:  # noqa: N802
        self._seat.stop(CALLER.get(), verifying=False)

    # Declared for introspection only: `_unicast` sends them.
    @dbus_signal()
    def VerifyFingerSelected(self, finger_name: Any) -> DBusStr:  # noqa: N802
        return finger_name  # type: ignore[no-any-return]

    @dbus_signal()
    def VerifyStatus(self, status: Any) -> StatusBody:  # noqa: N802
        return status  # type: ignore[no-any-return]

    @dbus_signal()
    def EnrollStatus(self, status: Any) -> StatusBody:  # noqa: N802
        return status  # type: ignore[no-any-return]

    async def _subject(self, caller: str, username: str) -> str:
        name = username or await self._authority.user(caller)
        await self._authority.must_be_own(caller, name)
        if not NAME_PATTERN.fullmatch(name):
            # PAM asks about every user; one whose name no subject can have has no face enrolled.
            raise CallRefused(Problem.NOT_ENROLLED, f"{name}: no subject can have this name")
        return name

    async def _delete(self, caller: str) -> None:
        subject = self._seat.must_hold(caller)
        await self._authority.must(caller, Action.ENROLL)
        self._seat.remove(subject)

    def _must_be_enrolled(self, subject: str) -> None:
        if not self._seat.is_enrolled(subject):
            raise CallRefused(Problem.NOT_ENROLLED, f"{subject}: no face is enrolled")

    def _must_be_finger(self, name: str) -> None:
        if name not in FINGERS:
            raise CallRefused(Problem.INVALID, f"{name!r}: no finger of fprintd's")

    def _must_be_face_finger(self, name: str) -> None:
        self._must_be_finger(name)
        if name != FINGER:
            raise CallRefused(Problem.NOT_ENROLLED, f"{name}: the face is listed as {FINGER}")

    def _status_sender(self, caller: str, action: str) -> Callable[[Status], None]:
        stage = 0

        def send(status: Status) -> None:
            nonlocal stage
            if not status.done and status.reason == Reason.NO_FACE:
                return  # a client prints a line for each hint, and nobody has come yet
            if status.result is Result.PROGRESS:
                # One stage takes many frames.
                reached = status.have * self._stages // max(1, status.want)
                if reached <= stage:
                    return
                stage = reached
            member = "VerifyStatus" if action == "verify" else "EnrollStatus"
            self._unicast(caller, DEVICE_PATH, DEVICE, member, "sb", [f"{action}-{_result_name(status)}", status.done])

        return send


def _result_name(status: Status) -> str:
    match status.result:
        case Result.FAILED:
            return _FAILURES.get(status.reason, "failed")
        case Result.MATCH | Result.NO_MATCH | Result.DISCONNECTED:
            return status.result.value
        case Result.RETRY:
            return _RETRIES.get(status.reason, "retry-scan")
        case Result.PROGRESS:
            return "stage-passed"
        case Result.ENROLLED:
            return "completed"
        case Result.ERROR:
            return "unknown-error"
