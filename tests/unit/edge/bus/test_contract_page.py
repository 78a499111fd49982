"""docs/dbus.md describes the interface completely: its tables have the same members, fields, details, errors and actions as the code."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("dbus_fast")

from dbus_fast import DBusError, Message, MessageType, Variant
from dbus_fast.service import ServiceInterface

from edge.bus.authority import CALLER, Action, Authority
from edge.bus.native import ERRORS, DeviceInterface, ManagerInterface, _details
from edge.bus.seat import Problem, Result, Seat, Status
from edge.bus.server import BusServer
from edge.camera.state import CameraState
from edge.contract.modelfile import ModelFile
from edge.daemon import Daemon
from edge.gallery import Gallery
from edge.journal import Journal
from edge.lockout import Lockout
from edge.poses import Pose
from edge.progress import Box, Progress
from edge.settings import Settings
from edge.station import Station

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/dbus.md").read_text()
DEVICE = DeviceInterface(None, None, None, None, None)  # type: ignore[arg-type] # nothing is called, only described
POLICY = ElementTree.parse(ROOT / "deploy/io.facelatch.policy").getroot()


def rows(heading: str, after: str = "## io.facelatch") -> list[list[str]]:
    """The cells of the first table below the text `after` whose first column has this heading."""
    begin = PAGE.index(f"\n| {heading} |", PAGE.index(after))
    _, _, *lines = re.match(r"(\|.*\|\n)+", PAGE[begin + 1 :])[0].splitlines()  # type: ignore[index]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def words(cell: str) -> list[str]:
    """The parts of a cell that are set as code."""
    return re.findall(r"`([^`]+)`", cell)


def described(interface: str) -> Iterator[tuple[str, str, str, str]]:
    """Kind, name, and arguments in and out of each member of an interface. The page writes the arguments as `s subject -> b`."""
    for member, signature, *_ in rows("member", f"interface `{interface}`"):
        kind, (name,) = member.split("`")[0].strip() or "method", words(member)
        arguments = (words(signature) or [""])[0]
        if kind != "method":
            yield kind, name, "", arguments
            continue
        given, _, answer = arguments.partition("->")
        yield kind, name, given.strip(), answer.strip()


def introspected(interface: ServiceInterface) -> Iterator[tuple[str, str, str, str]]:
    """The same from the interface itself. On the bus a method's result and the arguments of a signal have no names."""
    for member in interface.introspect().to_xml():
        kind, name = member.tag, member.attrib["name"]
        if kind == "property":
            yield kind, name, "", member.attrib["type"]
            continue
        given = [f"{arg.attrib['type']} {arg.attrib['name']}" for arg in member.findall("arg[@direction='in']")]
        answer = [arg.attrib["type"] for arg in member.findall("arg[@direction='out']")]
        yield kind, name, ", ".join(given), "".join(answer)


def without_names(members: Iterator[tuple[str, str, str, str]]) -> Iterator[tuple[str, str, str, str]]:
    """Turns the `s result, b done` of a signal into `sb`."""
    for kind, name, given, answer in members:
        yield kind, name, given, "".join(argument.split()[0] for argument in answer.split(", ") if argument)


@pytest.mark.parametrize("interface", [ManagerInterface(), DEVICE], ids=lambda interface: interface.name)
def test_the_members_are_those_of_the_interface(interface: ServiceInterface) -> None:
    assert sorted(without_names(described(interface.name))) == sorted(introspected(interface))


def test_the_errors_are_all_that_a_call_is_refused_with() -> None:
    assert f"its name begins with `{ERRORS}.`" in PAGE
    assert sorted(name for row in rows("error") for name in words(row[0])) == sorted(Problem)


def test_the_results_are_all_that_a_caller_hears() -> None:
    (paragraph,) = re.findall(r"^A \*\*result\*\* is.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert set(Result) <= set(words(paragraph))


@pytest.fixture
def daemon(tmp_path: Path, model: ModelFile, settings: Settings) -> Daemon:
    """A daemon that is not running, with nobody enrolled."""
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    return Daemon(Station(settings, model, point, Gallery(tmp_path), Lockout(tmp_path), Journal()))


def seat_of(daemon: Daemon) -> Seat:
    return Seat(daemon._station, daemon.desk, daemon.door, lambda call: call())


def test_the_status_has_these_fields(daemon: Daemon) -> None:
    told = BusServer(daemon, daemon._station)._state(seat_of(daemon))
    assert {name: value.signature for name, value in told.items()} == table("field")
    (camera,) = (row for row in rows("field") if row[0] == "`camera`")
    assert words(camera[2]) == list(CameraState)


def test_the_signals_have_these_details() -> None:
    shown = Progress(1, 32, "look straight", (), "", "", (), Box(0.1, 0.1, 0.2, 0.2), 1.5, 0.4)
    full = Status(Result.ENROLLED, True, "text", "reason", "ada", 3, 1, 32, 9, 10, 0.9, "fmr-0.001", shown, {Pose.STRAIGHT: 8})
    told: dict[str, Variant] = _details(full)
    assert {name: value.signature for name, value in told.items()} == table("detail")


def table(heading: str) -> dict[str, str]:
    """The signatures of a table, by name."""
    return {words(name)[0]: words(signature)[0] for name, signature, *_ in rows(heading)}


def test_the_actions_and_their_defaults_are_the_policys() -> None:
    told = {f"io.facelatch.{words(row[0])[0]}": [words(cell)[0] for cell in row[1:4]] for row in rows("action")}
    who = ("allow_active", "allow_inactive", "allow_any")
    theirs = {action.attrib["id"]: [action.findtext(f"defaults/{name}") for name in who] for action in POLICY.findall("action")}
    assert told == theirs
    assert set(told) == set(Action)


def by_action() -> set[tuple[str, str]]:
    """Each member in the table of actions, with its action."""
    names = {action.rpartition(".")[2] for action in Action}
    return {(member, words(row[0])[0]) for row in rows("action") for member in words(row[4]) if member not in names}


def test_the_two_tables_of_who_may_ask_agree() -> None:
    """Both tables pair the same members and actions. polkit is not asked about a call without an action."""
    names = {action.rpartition(".")[2] for action in Action}
    by_member = {
        (words(row[0])[0], name)
        for row in rows("member", f"interface `{DEVICE.name}`")
        for name in words(row[3])
        if name in names
    }
    # Either of two actions serves for Claim; the table of actions names it with the first only.
    assert by_action() == by_member - {("Claim", "enroll")}


class Polkit:
    """The bus of a caller who is neither root nor the daemon's user. Its polkit allows only Action.OTHERS, and records what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def call(self, message: Message) -> Message:
        if message.member == "GetConnectionUnixUser":
            return _answer("u", os.geteuid() + 1)
        assert message.member == "CheckAuthorization"
        self.asked.append(message.body[1])
        return _answer("(bba{ss})", [message.body[1] == Action.OTHERS, False, {}])


def _answer(signature: str, value: object) -> Message:
    return Message(message_type=MessageType.METHOD_RETURN, reply_serial=1, signature=signature, body=[value])


def test_polkit_is_asked_as_the_page_says(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """ada calls every member, for herself, for somebody else and for anyone. She holds the device for all members but Claim."""

    async def named(self: Authority, caller: str) -> str:
        return "ada"

    monkeypatch.setattr(Authority, "user", named)
    CALLER.set(":1.7")
    asked = set()
    for kind, member, given, _ in described(DEVICE.name):
        if kind == "signal" or member == "Status":
            continue
        for argument in {"s subject": ("ada", "eve", ""), "u timeout_s": (9,), "s manner": ("new",)}.get(given, (None,)):
            polkit, seat = Polkit(), seat_of(daemon)
            if member != "Claim":
                seat.claim(":1.7", "ada")
            authority = Authority(polkit, refuse_remote=True)  # type: ignore[arg-type]
            device = DeviceInterface(seat, authority, lambda *_: None, dict, lambda: None)
            method = getattr(DeviceInterface, member).__wrapped__
            with suppress(DBusError):  # polkit was asked about a refused call, too
                asyncio.run(method(device, *([] if argument is None else [argument])))
            asked |= {(member, action.rpartition(".")[2]) for action in polkit.asked}
    assert asked == by_action() | {("Claim", "enroll")}
