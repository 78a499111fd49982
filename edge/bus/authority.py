"""Who may ask for what: the caller's user by the bus, polkit's word, and whether she or he sits at the desk by logind."""

from __future__ import annotations

import os
import pwd
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from edge.bus.seat import CallRefused, Problem

CALLER: ContextVar[str] = ContextVar("caller")
"""The unique name of the caller whose method is being answered; set for each message by the server."""

_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_POLKIT = ("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority")
_LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_ASK_THE_USER = 1
_NO_SESSION = "org.freedesktop.login1.NoSessionForPID"


class Action(StrEnum):
    """polkit's actions, as deploy/io.facelatch.policy has them."""

    VERIFY = "io.facelatch.verify"
    ENROLL = "io.facelatch.enroll"
    OTHERS = "io.facelatch.manage"


class Authority:
    """Asks for one connection to the bus."""

    def __init__(self, bus: MessageBus, *, refuse_remote: bool) -> None:
        self._bus, self._refuse_remote = bus, refuse_remote

    async def user(self, caller: str) -> str:
        """The caller's user name, empty where the uid has none."""
        try:
            return pwd.getpwuid(await self._uid(caller)).pw_name
        except KeyError:
            return ""

    async def must_be_own(self, caller: str, subject: str) -> None:
        """Refuses a caller who is not `subject` and may not act for others. A user without a name is nobody, not the empty subject.

        Raises:
            CallRefused: as `must`.
        """
        if not await self.is_own(caller, subject):
            await self.must(caller, Action.OTHERS)

    async def is_own(self, caller: str, subject: str) -> bool:
        """Whether a subject's name is the caller's own."""
        return bool(subject) and subject == await self.user(caller)

    async def must(self, caller: str, action: Action) -> None:
        """Refuses a caller who may not do `action`. root and the daemon's own user may do all: the files are theirs anyway.

        Raises:
            CallRefused: polkit says no, or is not there to be asked.
        """
        if await self._uid(caller) in (0, os.geteuid()):
            return
        subject = ["system-bus-name", {"name": Variant("s", caller)}]
        answer = await self._call(_POLKIT, "CheckAuthorization", "(sa{sv})sa{ss}us", [subject, action, {}, _ASK_THE_USER, ""])
        if answer.message_type is MessageType.ERROR:
            raise CallRefused(Problem.PERMISSION, f"{action}: polkit cannot be asked ({answer.error_name}); root may")
        if not answer.body[0][0]:
            raise CallRefused(Problem.PERMISSION, f"{action}: not authorised")

    async def must_be_here(self, caller: str) -> None:
        """Refuses a verification for a session that came over the network: the face at the desk is not the one who asks.

        Raises:
            CallRefused: it did, or nobody knows.
        """
        if not self._refuse_remote:
            return
        pid = await self._bus_call("GetConnectionUnixProcessID", caller)
        session = await self._call(_LOGIND, "GetSessionByPID", "u", [pid])
        if session.message_type is MessageType.ERROR:
            if session.error_name == _NO_SESSION:
                return  # a service of the system: nobody types there
            raise CallRefused(
                Problem.PERMISSION,
                f"whether you are at the desk cannot be known ({session.error_name}); see service.refuse_remote",
            )
        where = (_LOGIND[0], session.body[0], "org.freedesktop.DBus.Properties")
        remote = await self._call(where, "Get", "ss", ["org.freedesktop.login1.Session", "Remote"])
        if remote.message_type is MessageType.ERROR or remote.body[0].value:
            raise CallRefused(
                Problem.PERMISSION,
                "a session over the network is not verified by the face at the desk; see service.refuse_remote",
            )

    async def _uid(self, caller: str) -> int:
        return int(await self._bus_call("GetConnectionUnixUser", caller))

    async def _bus_call(self, member: str, caller: str) -> Any:
        answer = await self._call(_BUS, member, "s", [caller])
        if answer.message_type is MessageType.ERROR:
            raise CallRefused(Problem.PERMISSION, f"the bus does not know who asks: {answer.error_name}")
        return answer.body[0]

    async def _call(self, where: tuple[str, str, str], member: str, signature: str, body: list[Any]) -> Message:
        destination, path, interface = where
        message = Message(destination, path, interface, member, signature=signature, body=body)
        answer = await self._bus.call(message)
        if answer is None:
            raise CallRefused(Problem.PERMISSION, f"{destination} does not answer")
        return answer
