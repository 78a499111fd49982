"""Both interfaces, ours and fprintd's: of whoever may not ask for what a member does, nothing is done. And what is done of whoever may."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("dbus_fast")

from dbus_fast import DBusError, Message, MessageType, Variant
from dbus_fast.service import ServiceInterface

from edge.bus import fprint, native
from edge.bus.authority import CALLER, Action, Authority
from edge.bus.fprint import FINGER
from edge.bus.seat import Seat, StatusCallback
from edge.desk import Desk
from edge.intent import WayIn
from edge.station import Manner

HOLDER, OTHER = ":1.7", ":1.8"
LITTLE = "left-little-finger"
OURS, FPRINTDS = "io.facelatch", "net.reactivated.Fprint"


class Recorded(Seat):
    """A seat with ada enrolled that only notes what it is to do."""

    def __init__(self, subject: str) -> None:
        station = SimpleNamespace(gallery=SimpleNamespace(names=lambda: ["ada"]))
        super().__init__(station, Desk(), None, lambda call: None)  # type: ignore[arg-type]
        self.done: list[Any] = []
        self.claim(HOLDER, subject)

    def verify(
        self, caller: str, on_status: StatusCallback, timeout_s: float, way: WayIn, *, anyone: bool
    ) -> Callable[[], bool]:
        self.done.append((caller, self.subject, timeout_s, anyone))
        return lambda: False

    def enrol(self, caller: str, on_status: StatusCallback, manner: Manner, *, asks: bool = True, own: bool = False) -> None:
        self.done.append((caller, self.subject, manner, asks, own))

    def remove(self, subject: str) -> None:
        self.done.append(f"remove {subject}")


class Hers(Authority):
    """Every caller is ada."""

    async def user(self, caller: str) -> str:
        return "ada"


class Scene:
    """A device that is claimed for `subject`. polkit authorises `allowed`; `remote` callers came over the network."""

    def __init__(self, *allowed: Action, remote: bool = False, subject: str = "ada") -> None:
        self.allowed, self.remote = allowed, remote
        self.asked: list[str] = []
        self.seat = Recorded(subject)
        self.done = self.seat.done
        authority = Hers(self, refuse_remote=True)  # type: ignore[arg-type]
        self._devices: dict[str, ServiceInterface] = {
            OURS: native.DeviceInterface(self.seat, authority, lambda *_: None, dict, lambda: self.done.append("intend")),
            FPRINTDS: fprint.DeviceInterface(self.seat, authority, lambda *_: None, 8),
        }

    async def call(self, message: Message) -> Message:
        """The bus, polkit and logind."""
        match message.member:
            case "GetConnectionUnixUser":
                return _answer("u", os.geteuid() + 1)
            case "CheckAuthorization":
                self.asked.append(message.body[1])
                return _answer("(bba{ss})", [message.body[1] in self.allowed, False, {}])
            case "GetConnectionCredentials":
                return _answer("a{sv}", {"ProcessID": Variant("u", 77), "UnixUserID": Variant("u", os.geteuid() + 1)})
            case "GetSessionByPID":
                return _answer("o", "/session")
        return _answer("a{sv}", {"Remote": Variant("b", self.remote)})

    def ask(self, interface: str, member: str, *arguments: object, caller: str = HOLDER) -> str:
        """Calls a member; returns the last part of the error's name, empty if there is none."""

        async def ask() -> str:
            CALLER.set(caller)
            device = self._devices[interface]
            try:
                await getattr(type(device), member).__wrapped__(device, *arguments)
            except DBusError as error:
                return error.type.rpartition(".")[2]
            return ""

        return asyncio.run(ask())


def _answer(signature: str, value: object) -> Message:
    return Message(message_type=MessageType.METHOD_RETURN, reply_serial=1, signature=signature, body=[value])


@pytest.mark.parametrize(
    ("interface", "member", "arguments", "asked"),
    [
        (OURS, "Claim", ("ada",), [Action.VERIFY, Action.ENROLL]),
        (OURS, "Claim", ("eve",), [Action.OTHERS]),
        (OURS, "Claim", ("",), [Action.OTHERS]),
        (OURS, "VerifyStart", (15,), [Action.VERIFY]),
        (OURS, "EnrollStart", ("replace",), [Action.ENROLL]),
        (OURS, "ListEnrolled", (), [Action.OTHERS]),
        (OURS, "IsEnrolled", ("eve",), [Action.OTHERS]),
        (OURS, "Delete", ("ada",), [Action.ENROLL]),
        (OURS, "Delete", ("eve",), [Action.OTHERS]),
        (OURS, "Attempt", (), [Action.VERIFY]),
        (FPRINTDS, "Claim", ("ada",), [Action.VERIFY, Action.ENROLL]),
        (FPRINTDS, "Claim", ("",), [Action.VERIFY, Action.ENROLL]),
        (FPRINTDS, "Claim", ("eve",), [Action.OTHERS]),
        (FPRINTDS, "ListEnrolledFingers", ("ada",), [Action.VERIFY]),
        (FPRINTDS, "ListEnrolledFingers", ("eve",), [Action.OTHERS]),
        (FPRINTDS, "DeleteEnrolledFingers", ("ada",), [Action.ENROLL]),
        (FPRINTDS, "DeleteEnrolledFingers", ("eve",), [Action.OTHERS]),
        (FPRINTDS, "DeleteEnrolledFingers2", (), [Action.ENROLL]),
        (FPRINTDS, "DeleteEnrolledFinger", (FINGER,), [Action.ENROLL]),
        (FPRINTDS, "VerifyStart", ("any",), [Action.VERIFY]),
        (FPRINTDS, "EnrollStart", (FINGER,), [Action.ENROLL]),
    ],
)
def test_without_a_yes_of_polkits_nothing_is_done(
    interface: str, member: str, arguments: tuple[object, ...], asked: list[Action]
) -> None:
    scene = Scene()
    if member == "Claim":
        scene.seat.release(HOLDER)
    assert scene.ask(interface, member, *arguments) == "PermissionDenied"
    assert (scene.asked, scene.done) == (asked, [])
    assert scene.seat.holder == (None if member == "Claim" else HOLDER)


@pytest.mark.parametrize(
    ("interface", "member", "arguments"),
    [
        (OURS, "VerifyStart", (15,)),
        (OURS, "Attempt", ()),
        (FPRINTDS, "VerifyStart", ("any",)),
    ],
)
def test_of_who_came_over_the_network_nobody_is_verified(interface: str, member: str, arguments: tuple[object, ...]) -> None:
    there, here = Scene(*Action, remote=True), Scene(*Action)
    assert (there.ask(interface, member, *arguments), here.ask(interface, member, *arguments)) == ("PermissionDenied", "")
    assert (there.done, len(here.done)) == ([], 1)


@pytest.mark.parametrize(
    ("interface", "member", "arguments"),
    [
        (OURS, "Release", ()),
        (OURS, "VerifyStart", (15,)),
        (OURS, "VerifyStop", ()),
        (OURS, "EnrollStart", ("new",)),
        (OURS, "EnrollStop", ()),
        (FPRINTDS, "Release", ()),
        (FPRINTDS, "VerifyStart", ("any",)),
        (FPRINTDS, "VerifyStop", ()),
        (FPRINTDS, "EnrollStart", (FINGER,)),
        (FPRINTDS, "EnrollStop", ()),
        (FPRINTDS, "DeleteEnrolledFingers2", ()),
        (FPRINTDS, "DeleteEnrolledFinger", (FINGER,)),
    ],
)
def test_who_does_not_hold_the_device_is_refused_unasked(interface: str, member: str, arguments: tuple[object, ...]) -> None:
    scene = Scene(*Action)
    assert scene.ask(interface, member, *arguments, caller=OTHER) == "ClaimDevice"
    assert (scene.asked, scene.done, scene.seat.holder) == ([], [], HOLDER)


def test_a_claimed_subject_is_verified_and_without_one_anyone_but_not_by_fprintds_clients() -> None:
    ada, anyone, eve = (Scene(*Action, subject=subject) for subject in ("ada", "", "eve"))
    assert [ada.ask(OURS, "VerifyStart", seconds) for seconds in (0, 15, 2**32 - 1)] == [""] * 3
    assert ada.done == [(HOLDER, "ada", 1, False), (HOLDER, "ada", 15, False), (HOLDER, "ada", 600, False)]
    assert (anyone.ask(OURS, "VerifyStart", 15), anyone.done) == ("", [(HOLDER, "", 15, True)])
    for scene in (anyone, eve):
        scene.done.clear()
        assert (scene.ask(FPRINTDS, "VerifyStart", "any"), scene.done) == ("NoEnrolledPrints", [])
    ada.done.clear()
    assert [ada.ask(FPRINTDS, "VerifyStart", finger) for finger in ("any", "", FINGER, LITTLE, "toe")] == [
        "", "", "", "NoEnrolledPrints", "InvalidFingername",
    ]  # fmt: skip
    assert ada.done == [(HOLDER, "ada", 60.0, False)] * 3


def test_an_enrolment_is_of_the_manner_that_was_asked_for() -> None:
    """fprintd's clients name a finger: the one that is listed is enrolled again, another one is another look. They tell no pose."""
    ada, eve = Scene(*Action), Scene(*Action, subject="eve")
    assert [ada.ask(OURS, "EnrollStart", manner) for manner in ("new", "add", "replace", "old")] == [
        "",
        "",
        "",
        "InvalidSubject",
    ]
    assert eve.ask(OURS, "EnrollStart", "new") == ""
    assert ada.done == [(HOLDER, "ada", manner, True, True) for manner in (Manner.NEW, Manner.ADD, Manner.REPLACE)]
    assert eve.done == [(HOLDER, "eve", Manner.NEW, True, False)]
    for scene in (ada, eve):
        scene.done.clear()
        assert [scene.ask(FPRINTDS, "EnrollStart", finger) for finger in (FINGER, LITTLE, "any")] == [
            "",
            "",
            "InvalidFingername",
        ]
    assert ada.done == [(HOLDER, "ada", manner, False, False) for manner in (Manner.REPLACE, Manner.ADD)]
    assert eve.done == [(HOLDER, "eve", Manner.NEW, False, False)] * 2


@pytest.mark.parametrize(("interface", "error"), [(OURS, "InvalidSubject"), (FPRINTDS, "NoEnrolledPrints")])
def test_a_name_that_no_subject_can_have_claims_nothing(interface: str, error: str) -> None:
    scene = Scene(*Action)
    scene.seat.release(HOLDER)
    assert (scene.ask(interface, "Claim", "../ada"), scene.seat.holder) == (error, None)
