"""Authorises callers: the bus names the caller's user, polkit says what is allowed, logind whether the caller sits at this computer."""

from __future__ import annotations

import os
import pwd
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from edge.bus.seat import CallRefused, Problem, Seat

CALLER: ContextVar[str] = ContextVar("caller")
"""The unique bus name of the caller being answered; the server sets it for each message."""

_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_POLKIT = ("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority")
_LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_ALLOW_USER_INTERACTION = 1
# The bus takes 128 open calls of one connection, and a call to polkit is open while a password is typed: no user may hold them all.
_MAX_QUESTIONS_PER_USER = 8
_NO_SESSION_ERRORS = frozenset(f"{_LOGIND[0]}.{name}" for name in ("NoSessionForPID", "NoUserForPID", "NoSuchUser"))
_REMOTE_REFUSED = "who comes over the network is not verified by the face at the desk; see service.refuse_remote"
_PLACE_UNKNOWN = "whether you are at the desk cannot be known ({}); see service.refuse_remote"


class Action(StrEnum):
    """The polkit actions that deploy/io.facelatch.policy declares."""

    VERIFY = "io.facelatch.verify"
    ENROLL = "io.facelatch.enroll"
    OTHERS = "io.facelatch.manage"


class Authority:
    """Asks over one connection to the bus."""

    def __init__(self, bus: MessageBus, *, refuse_remote: bool) -> None:
        self._bus, self._refuse_remote = bus, refuse_remote
        self._waiting = 0
        self._waiting_by_uid = Counter[int]()

    @property
    def is_waiting(self) -> bool:
        """Whether a call waits for polkit, perhaps while a password is typed: the daemon must not exit as idle."""
        return self._waiting > 0

    async def user(self, caller: str) -> str:
        """The caller's user name, empty if the uid has none."""
        try:
            return pwd.getpwuid(await self._uid(caller)).pw_name
        except KeyError:
            return ""

    async def must_be_own(self, caller: str, subject: str) -> None:
        """Refuses a caller who is not `subject` and may not act for others. A uid without a user name owns no subject, not the empty one.

        Raises:
            CallRefused: as `must`.
        """
        if not await self.is_own(caller, subject):
            await self.must(caller, Action.OTHERS)

    async def is_own(self, caller: str, subject: str) -> bool:
        """Whether a subject's name is the caller's own."""
        return bool(subject) and subject == await self.user(caller)

    async def must(self, caller: str, *actions: Action) -> None:
        """Refuses a caller who is authorised for none of `actions`. root and the daemon's own user may do all: the files are theirs anyway.

        Raises:
            CallRefused: polkit says no, cannot be asked, or has too many questions about this user open.
        """
        self._waiting += 1
        try:
            await self._must(caller, *actions)
        finally:
            self._waiting -= 1

    async def _must(self, caller: str, *actions: Action) -> None:
        uid = await self._uid(caller)
        if uid in (0, os.geteuid()):
            return
        if self._waiting_by_uid[uid] >= _MAX_QUESTIONS_PER_USER:
            raise CallRefused(
                Problem.ALREADY_IN_USE, f"polkit has {_MAX_QUESTIONS_PER_USER} questions about you open; answer or cancel one"
            )
        self._waiting_by_uid[uid] += 1
        try:
            await self._ask_polkit(caller, *actions)
        finally:
            self._waiting_by_uid[uid] -= 1

    async def _ask_polkit(self, caller: str, *actions: Action) -> None:
        subject = ["system-bus-name", {"name": Variant("s", caller)}]
        for action in actions:
            reply = await self._call(
                _POLKIT, "CheckAuthorization", "(sa{sv})sa{ss}us", [subject, action, {}, _ALLOW_USER_INTERACTION, ""]
            )
            if reply.message_type is MessageType.ERROR:
                raise CallRefused(Problem.PERMISSION, f"{action}: polkit cannot be asked ({reply.error_name}); root may")
            if reply.body[0][0]:
                return
        raise CallRefused(Problem.PERMISSION, f"{' or '.join(actions)}: not authorised")

    async def claim(self, seat: Seat, caller: str, subject: str) -> None:
        """Claims the seat for a caller who may verify or enrol. Nobody else may: the holder shuts out all others.

        Raises:
            CallRefused: as `must` and `Seat.claim`, or the caller has left the bus.
        """
        await self.must(caller, Action.VERIFY, Action.ENROLL)
        seat.claim(caller, subject)
        try:
            # If the caller left while polkit was asked, the bus reported that before there was a claim to end.
            await self._uid(caller)
        except CallRefused:
            seat.vanished(caller)
            raise

    async def must_be_local(self, caller: str) -> None:
        """Refuses to verify for a caller who came over the network: the face at the desk is not the caller's.

        A process in a session passes unless the session is remote. A user's service manager is in no session, and a login over the
        network can start programs in it: such a program passes if one of the user's sessions is at a seat. Without any session it is
        refused: what was left running waits for nobody at the desk. Everything else is a system service, which passes, as nobody types
        there. But root's must have root's group, which tells a login screen from sudo under cron or under an SSH server without PAM, and
        if another user has sessions, one must be at a seat.

        Raises:
            CallRefused: the caller is remote, or this cannot be known.
        """
        if not self._refuse_remote:
            return
        credentials = await self._bus_call("GetConnectionCredentials", caller)
        pid, uid = _credential(credentials, "ProcessID"), _credential(credentials, "UnixUserID")
        if session := await self._logind("GetSessionByPID", "u", pid):
            (remote,) = await self._properties(session, "Session", "Remote")
            is_local = not remote
        elif manager := await self._logind("GetUserByPID", "u", pid):
            is_local = await self._any_at_seat(await self._sessions(manager))
        elif uid == 0:
            is_local = 0 in _credential(credentials, "UnixGroupIDs")
        else:
            user = await self._logind("GetUser", "u", uid)
            sessions = await self._sessions(user) if user else []
            is_local = not sessions or await self._any_at_seat(sessions)
        if not is_local:
            raise CallRefused(Problem.PERMISSION, _REMOTE_REFUSED)

    async def _sessions(self, user: str) -> list[str]:
        (sessions,) = await self._properties(user, "User", "Sessions")
        return [path for _, path in sessions]

    async def _any_at_seat(self, sessions: list[str]) -> bool:
        """Whether a session is in the foreground of a seat. Not being remote is not enough: `su` and service managers open such ones."""
        for session in sessions:
            with suppress(CallRefused):  # one that ended just now
                remote, (seat, _), state = await self._properties(session, "Session", "Remote", "Seat", "State")
                if seat and state == "active" and not remote:
                    return True
        return False

    async def _logind(self, member: str, signature: str, key: int) -> str:
        """The object path of a session or user; empty if there is none."""
        reply = await self._call(_LOGIND, member, signature, [key])
        if reply.message_type is not MessageType.ERROR:
            return str(reply.body[0])
        if reply.error_name in _NO_SESSION_ERRORS:
            return ""
        raise CallRefused(Problem.PERMISSION, _PLACE_UNKNOWN.format(reply.error_name))

    async def _properties(self, path: str, kind: str, *names: str) -> list[Any]:
        target = (_LOGIND[0], path, "org.freedesktop.DBus.Properties")
        reply = await self._call(target, "GetAll", "s", [f"{_LOGIND[0]}.{kind}"])
        if reply.message_type is MessageType.ERROR:
            raise CallRefused(Problem.PERMISSION, _PLACE_UNKNOWN.format(reply.error_name))
        return [reply.body[0][name].value for name in names]

    async def _uid(self, caller: str) -> int:
        return int(await self._bus_call("GetConnectionUnixUser", caller))

    async def _bus_call(self, member: str, caller: str) -> Any:
        reply = await self._call(_BUS, member, "s", [caller])
        if reply.message_type is MessageType.ERROR:
            raise CallRefused(Problem.PERMISSION, f"the bus does not know who asks: {reply.error_name}")
        return reply.body[0]

    async def _call(self, target: tuple[str, str, str], member: str, signature: str, body: list[Any]) -> Message:
        destination, path, interface = target
        message = Message(destination, path, interface, member, signature=signature, body=body)
        reply = await self._bus.call(message)
        if reply is None:
            raise CallRefused(Problem.PERMISSION, f"{destination} does not answer")
        if reply.message_type is not MessageType.ERROR and not reply.body:
            raise CallRefused(Problem.PERMISSION, f"{destination} answers more than is read (edge/bus/sieve.py)")
        return reply


def _credential(credentials: dict[str, Variant], key: str) -> Any:
    """One of a caller's credentials. Not every bus reports groups, which are needed for root's services only."""
    if key not in credentials:
        raise CallRefused(Problem.PERMISSION, _PLACE_UNKNOWN.format(f"the bus does not tell {key}"))
    return credentials[key].value
