"""An fprintd client is first told what to do and then the result, however quick the camera is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("dbus_fast")

from edge.bus import fprint
from edge.bus.authority import CALLER
from edge.bus.fprint import DeviceInterface
from edge.bus.seat import Result, Status
from edge.intent import WayIn


class Quick:
    """A seat whose verification ends before the call that started it is answered."""

    busy, holder, ended = True, ":1.1", False

    def must_hold(self, caller: str) -> str:
        return "ada"

    def is_enrolled(self, subject: str) -> bool:
        return True

    def verify(
        self, caller: str, told: Callable[[Status], None], timeout_s: float, way: WayIn, *, anyone: bool
    ) -> Callable[[], bool]:
        told(Status(Result.RETRY, done=False, reason="too-dark"))
        told(Status(Result.MATCH, done=True))
        return lambda: not self.ended


async def allowed(*_: Any) -> None:
    """Authorises everything."""


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], tuple[list[Any], list[Any]]]:
    """`typed(stopped)`: the signals sent before VerifyStart is answered, and all signals; `stopped` stops it right after the answer."""
    monkeypatch.setattr(fprint, "_AFTER_REPLY_S", 0.0)
    sent: list[tuple[str, list[Any]]] = []

    def unicast(caller: str, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        sent.append((member, body))

    async def run(stopped: bool) -> list[Any]:
        CALLER.set(":1.1")
        seat, authority = Quick(), SimpleNamespace(must=allowed, must_be_local=allowed)
        device = DeviceInterface(seat, authority, unicast, 5)  # type: ignore[arg-type]
        method = next(method for method in DeviceInterface._get_methods(device) if method.name == "VerifyStart")
        await method.fn(device, "any")
        before = list(sent)
        seat.ended = stopped
        for _ in range(10):
            await asyncio.sleep(0)  # lets the event loop run
        return before

    return lambda stopped: (asyncio.run(run(stopped)), sent)


def test_what_to_do_comes_before_how_it_went(typed: Callable[[bool], tuple[list[Any], list[Any]]]) -> None:
    """If pam_fprintd hears of a match first, it exits without printing anything. The hint from before the match is outdated."""
    before, sent = typed(False)
    assert before == []
    assert sent == [("VerifyFingerSelected", ["any"]), ("VerifyStatus", ["verify-match", True])]


def test_a_match_of_a_verification_that_was_stopped_is_told_to_nobody(
    typed: Callable[[bool], tuple[list[Any], list[Any]]],
) -> None:
    """The caller may have claimed another subject since, and begun another verification."""
    assert typed(True) == ([], [])
