"""Who sits at the computer, according to the bus and logind. Network logins are refused, whichever way they call."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("dbus_fast")

from dbus_fast import Message, MessageType, Variant

from edge.bus.authority import Action, Authority
from edge.bus.seat import CallRefused, Problem

ADA = 1000
DESK = {"Remote": False, "Seat": "seat0", "State": "active"}
SSH = {"Remote": True, "Seat": "", "State": "active"}
BACKGROUND = DESK | {"State": "online"}
LOGGED_OUT = DESK | {"State": "closing"}
# A session of `su` or, since systemd 256, of a user's service manager: not remote, but on no seat either.
SEATLESS = SSH | {"Remote": False}
GONE: dict[str, Any] = {}


@dataclass
class System:
    """The bus and logind, as seen by one caller."""

    uid: int = ADA
    groups: tuple[int, ...] = (ADA,)
    session: dict[str, Any] | None = None
    manager_of: int | None = None
    sessions: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    broken: str = ""
    silent: str = ""

    async def call(self, message: Message) -> Message:
        if message.member == self.broken:
            return self._error("org.freedesktop.DBus.Error.ServiceUnknown")
        match message.member, message.body:
            case "GetConnectionCredentials", [":1.7"]:
                groups = Variant("au", list(self.groups))
                told = {"ProcessID": Variant("u", 77), "UnixUserID": Variant("u", self.uid), "UnixGroupIDs": groups}
                told.pop(self.silent, None)
                return self._answer("a{sv}", told)
            case "GetSessionByPID", [77]:
                return self._error("NoSessionForPID") if self.session is None else self._answer("o", "/own")
            case "GetUserByPID", [77]:
                return self._error("NoUserForPID") if self.manager_of is None else self._answer("o", f"/user/{self.manager_of}")
            case "GetUser", [uid]:
                return self._answer("o", f"/user/{uid}") if uid in self.sessions else self._error("NoSuchUser")
            case "GetAll", ["org.freedesktop.login1.User"]:
                owner = int(message.path.rpartition("/")[2])
                paths = [[str(number), f"/session/{owner}/{number}"] for number in range(len(self.sessions.get(owner, [])))]
                return self._answer("a{sv}", {"Sessions": Variant("a(so)", paths)})
            case "GetAll", ["org.freedesktop.login1.Session"]:
                return self._session(message.path)
        raise AssertionError(message)

    def _session(self, path: str) -> Message:
        *_, owner, number = path.split("/")
        told = self.session if path == "/own" else self.sessions[int(owner)][int(number)]
        if not told:
            return self._error("org.freedesktop.DBus.Error.UnknownObject")
        seat = Variant("(so)", [told["Seat"], "/seat"])
        remote, state = Variant("b", told["Remote"]), Variant("s", told["State"])
        return self._answer("a{sv}", {"Remote": remote, "Seat": seat, "State": state})

    @staticmethod
    def _answer(signature: str, body: Any) -> Message:
        return Message(message_type=MessageType.METHOD_RETURN, reply_serial=1, signature=signature, body=[body])

    @staticmethod
    def _error(name: str) -> Message:
        name = name if "." in name else f"org.freedesktop.login1.{name}"
        return Message(message_type=MessageType.ERROR, reply_serial=1, error_name=name)


def ask(system: System, *, refuse_remote: bool = True) -> None:
    asyncio.run(Authority(system, refuse_remote=refuse_remote).must_be_local(":1.7"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "system",
    [
        pytest.param(System(session=DESK), id="a session at the desk"),
        pytest.param(System(uid=0, session=DESK), id="sudo in it"),
        pytest.param(System(uid=0, session=DESK, silent="UnixGroupIDs"), id="the same on a bus that tells no groups"),
        pytest.param(System(session=SEATLESS), id="a session at a serial line"),
        pytest.param(System(manager_of=ADA, sessions={ADA: [DESK]}), id="a terminal that the desktop runs as a user's service"),
        pytest.param(System(uid=0, manager_of=ADA, sessions={ADA: [DESK]}), id="sudo in that terminal"),
        pytest.param(System(manager_of=ADA, sessions={ADA: [SSH, GONE, DESK]}), id="here and over the network"),
        pytest.param(System(uid=0, groups=(0,)), id="a login screen's service"),
        pytest.param(System(uid=0, groups=(0, 4), sessions={0: [SSH]}), id="the same while root is logged in over the network"),
        pytest.param(System(), id="a service's own user"),
        pytest.param(System(sessions={ADA: []}), id="a user's service of the system while nobody is logged in"),
        pytest.param(System(sessions={ADA: [DESK]}), id="the same while the user is at the desk"),
    ],
)
def test_who_is_at_the_desk_or_a_service_may_ask(system: System) -> None:
    ask(system)


@pytest.mark.parametrize(
    "system",
    [
        pytest.param(System(session=SSH), id="a session over the network"),
        pytest.param(System(uid=0, session=SSH), id="sudo in it"),
        pytest.param(System(uid=0, groups=(0,), session=SSH), id="root over the network"),
        pytest.param(System(manager_of=ADA, sessions={ADA: [SSH]}), id="systemd-run --user from there"),
        pytest.param(System(uid=0, manager_of=ADA, sessions={ADA: [SSH]}), id="sudo in systemd-run --user"),
        pytest.param(System(uid=0, manager_of=ADA, sessions={ADA: []}), id="left running after the log-out: linger"),
        pytest.param(System(uid=0, manager_of=ADA, sessions={ADA: [SSH, SEATLESS]}), id="su, or the manager's own"),
        pytest.param(System(uid=0, manager_of=ADA, sessions={ADA: [SSH, BACKGROUND]}), id="another user is in the foreground"),
        pytest.param(System(uid=0, manager_of=ADA, sessions={ADA: [SSH, LOGGED_OUT]}), id="logged out at the desk"),
        pytest.param(System(manager_of=ADA, sessions={ADA: [DESK | {"Remote": True}]}), id="a desk shown over the network"),
        pytest.param(System(manager_of=ADA, sessions={ADA: [GONE]}), id="a session that ends just now"),
        pytest.param(System(uid=0, manager_of=ADA, sessions={ADA: [SSH], 0: [DESK]}), id="root is at the desk, ada is not"),
        pytest.param(System(uid=0, groups=(ADA, 27)), id="sudo under cron, or in an SSH server without PAM"),
        pytest.param(System(sessions={ADA: [SSH]}), id="cron's job of a user over the network"),
    ],
)
def test_who_came_over_the_network_may_not(system: System) -> None:
    with pytest.raises(CallRefused, match="over the network"):
        ask(system)
    ask(system, refuse_remote=False)


@pytest.mark.parametrize("broken", ["GetSessionByPID", "GetUserByPID", "GetUser"])
def test_where_logind_does_not_say_nobody_is_verified(broken: str) -> None:
    with pytest.raises(CallRefused, match=r"cannot be known .*ServiceUnknown.* service\.refuse_remote"):
        ask(System(broken=broken))


def test_a_session_that_cannot_be_looked_at_is_not_verified() -> None:
    with pytest.raises(CallRefused, match="cannot be known"):
        ask(System(session=GONE))


def test_a_bus_that_does_not_tell_groups_is_not_trusted() -> None:
    with pytest.raises(CallRefused, match="the bus does not tell UnixGroupIDs"):
        ask(System(uid=0, silent="UnixGroupIDs"))


@dataclass
class Leaving:
    """A bus, and a polkit that authorises `allowed`. With `leaves`, the caller leaves the bus while polkit is asked."""

    allowed: frozenset[str]
    leaves: bool = False
    here: bool = True
    asked: list[str] = field(default_factory=list)
    uid: int = ADA

    async def call(self, message: Message) -> Message:
        if message.member == "GetConnectionUnixUser":
            if not self.here:
                return System._error("org.freedesktop.DBus.Error.NameHasNoOwner")
            return System._answer("u", self.uid)
        assert message.member == "CheckAuthorization"
        who, action, _, may_ask_for_a_password, _ = message.body
        assert (who, may_ask_for_a_password) == (["system-bus-name", {"name": Variant("s", ":1.7")}], 1)
        self.asked.append(action)
        self.here = not self.leaves
        return System._answer("(bba{ss})", [action in self.allowed, False, {}])


@dataclass
class Chair:
    """The part of a seat that a claim needs."""

    holder: str | None = None

    def claim(self, caller: str, subject: str) -> None:
        self.holder = caller

    def vanished(self, caller: str) -> None:
        if caller == self.holder:
            self.holder = None


@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        (Action.VERIFY, [Action.VERIFY]),
        (Action.ENROLL, [Action.VERIFY, Action.ENROLL]),
    ],
)
def test_who_may_verify_or_enrol_may_claim(allowed: Action, asked: list[Action]) -> None:
    bus, seat = Leaving(frozenset({allowed})), Chair()
    asyncio.run(Authority(bus, refuse_remote=True).claim(seat, ":1.7", "ada"))  # type: ignore[arg-type]
    assert (seat.holder, bus.asked) == (":1.7", asked)


def test_who_may_neither_shuts_nobody_out() -> None:
    seat = Chair()
    with pytest.raises(CallRefused, match=r"verify or .*enroll: not authorised"):
        asyncio.run(Authority(Leaving(frozenset({Action.OTHERS})), refuse_remote=True).claim(seat, ":1.7", "ada"))  # type: ignore[arg-type]
    assert seat.holder is None


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(System._answer("(bba{ss})", [False, True, {}]), id="only with a password, and nobody to ask for it"),
        pytest.param(
            Message(message_type=MessageType.ERROR, reply_serial=1, error_name="a.b.Failed", signature="s", body=["Yes"]),
            id="an error",
        ),
    ],
)
def test_whatever_is_not_polkits_yes_is_a_no(reply: Message) -> None:
    class Bus:
        async def call(self, message: Message) -> Message:
            return System._answer("u", ADA) if message.member == "GetConnectionUnixUser" else reply

    with pytest.raises(CallRefused) as refused:
        asyncio.run(Authority(Bus(), refuse_remote=True).must(":1.7", Action.VERIFY))  # type: ignore[arg-type]
    assert refused.value.problem is Problem.PERMISSION


@pytest.mark.parametrize(("uid", "may"), [(0, True), (990, True), (ADA, False), (65534, False)])
def test_root_and_the_daemons_own_user_may_do_all_and_nobody_else(monkeypatch: pytest.MonkeyPatch, uid: int, may: bool) -> None:
    bus = Leaving(frozenset(), uid=uid)
    monkeypatch.setattr("os.geteuid", lambda: 990)
    with nullcontext() if may else pytest.raises(CallRefused, match="not authorised"):
        asyncio.run(Authority(bus, refuse_remote=True).must(":1.7", Action.OTHERS))  # type: ignore[arg-type]
    assert bus.asked == ([] if may else [Action.OTHERS])


def test_a_caller_who_left_while_polkit_was_asked_holds_nothing() -> None:
    """The bus reported it before there was a claim to end. Without a second look the caller would hold the device for ever."""
    seat = Chair()
    with pytest.raises(CallRefused, match="does not know who asks"):
        asyncio.run(Authority(Leaving(frozenset({Action.VERIFY}), leaves=True), refuse_remote=True).claim(seat, ":1.7", "ada"))  # type: ignore[arg-type]
    assert seat.holder is None


def test_a_users_open_questions_leave_some_for_others() -> None:
    """The bus takes 128 open calls of one connection: a program that asks and never answers must not keep polkit from everybody."""
    answer = Message(message_type=MessageType.METHOD_RETURN, reply_serial=1, signature="(bba{ss})", body=[[True, False, {}]])

    async def asked() -> None:
        answers = asyncio.Event()

        class Bus:
            async def call(self, message: Message) -> Message:
                if message.member == "GetConnectionUnixUser":
                    uid = ADA if message.body == [":1.7"] else ADA + 1
                    return Message(message_type=MessageType.METHOD_RETURN, reply_serial=1, signature="u", body=[uid])
                await answers.wait()
                return answer

        authority = Authority(Bus(), refuse_remote=False)  # type: ignore[arg-type]
        waiting = [asyncio.create_task(authority.must(":1.7", Action.VERIFY)) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(CallRefused, match="8 questions about you open"):
            await authority.must(":1.7", Action.VERIFY)
        other = asyncio.create_task(authority.must(":1.8", Action.VERIFY))
        await asyncio.sleep(0)
        assert not other.done()
        answers.set()
        await asyncio.gather(*waiting, other)
        await authority.must(":1.7", Action.VERIFY)  # none is open any more
        assert not authority.is_waiting

    asyncio.run(asked())


def test_an_answer_that_is_too_long_to_be_read_is_a_refusal() -> None:
    """edge/bus/sieve.py takes its body away: this user has more sessions than the daemon reads."""

    class Bus:
        async def call(self, message: Message) -> Message:
            if message.member == "GetAll":
                return Message(message_type=MessageType.METHOD_RETURN, reply_serial=1)
            return await System(manager_of=ADA).call(message)

    authority = Authority(Bus(), refuse_remote=True)  # type: ignore[arg-type]
    with pytest.raises(CallRefused, match="login1 answers more than is read"):
        asyncio.run(authority.must_be_local(":1.7"))
