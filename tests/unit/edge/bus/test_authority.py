"""Who may: what is not known is refused, by name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("dbus_fast", reason="dbus_fast is not installed")
from dbus_fast import Message, MessageType, Variant

from edge.bus.authority import Authority
from edge.bus.seat import CallRefused, Problem

TOLD = {"ProcessID": Variant("u", 7), "UnixUserID": Variant("u", 1000)}


class Bus:
    """One on which a caller is in no session, and whose user has more sessions than the daemon reads."""

    async def call(self, message: Message) -> Message:
        answers: dict[str, tuple[str, list[Any]]] = {
            "GetConnectionCredentials": ("a{sv}", [TOLD]),
            "GetUserByPID": ("o", ["/org/freedesktop/login1/user/_1000"]),
            "GetAll": ("", []),
        }
        if message.member == "GetSessionByPID":
            error = "org.freedesktop.login1.NoSessionForPID"
            return Message(message_type=MessageType.ERROR, error_name=error, reply_serial=1, signature="s", body=["none"])
        signature, body = answers[message.member or ""]
        return Message(message_type=MessageType.METHOD_RETURN, reply_serial=1, signature=signature, body=body)


def test_an_answer_that_is_too_long_to_be_read_is_a_refusal_and_no_defect() -> None:
    authority = Authority(Bus(), refuse_remote=True)  # type: ignore[arg-type]
    with pytest.raises(CallRefused, match="login1 answers more than is read") as refused:
        asyncio.run(authority.must_be_here(":1.7"))
    assert refused.value.problem is Problem.PERMISSION
