"""Each interface, ours and fprintd's, names itself as the way in of a verification: the intent settings differ by way in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("dbus_fast")

from edge.bus import fprint, native
from edge.bus.authority import CALLER
from edge.intent import WayIn


async def allowed(*_: Any) -> None:
    """Authorises everything."""


@pytest.mark.parametrize(
    ("make", "asked_for", "way"),
    [
        (lambda seat, authority: native.DeviceInterface(seat, authority, None, None, None), 15, WayIn.BUS),  # type: ignore[arg-type]
        (lambda seat, authority: fprint.DeviceInterface(seat, authority, None, 8), "any", WayIn.FPRINTD),  # type: ignore[arg-type]
    ],
    ids=["native", "fprintd"],
)
def test_each_interface_says_by_which_way(make: Callable[[Any, Any], Any], asked_for: object, way: WayIn) -> None:
    heard = []

    def verify(caller: str, told: object, timeout_s: float, way: WayIn, *, anyone: bool) -> Callable[[], bool]:
        heard.append(way)
        return lambda: False

    seat = SimpleNamespace(verify=verify, must_hold=lambda caller: "ada", is_enrolled=lambda name: True)
    device = make(seat, SimpleNamespace(must=allowed, must_be_local=allowed))

    async def start() -> None:
        CALLER.set(":1.1")
        method = next(method for method in type(device)._get_methods(device) if method.name == "VerifyStart")
        await method.fn(device, asked_for)

    asyncio.run(start())
    assert heard == [way]
