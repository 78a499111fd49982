"""Changes of the fprintd properties are sent: when the device is claimed, while a face is wanted, and however that ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("dbus_fast")

from edge.bus.fprint import DeviceInterface
from edge.bus.seat import Seat
from edge.contract.errors import CameraError
from edge.desk import Desk
from edge.intent import WayIn

CLAIMED, GIVEN_BACK = {"num-enroll-stages": 8}, {"num-enroll-stages": -1}
WANTED, NOT_WANTED = {"finger-needed": True}, {"finger-needed": False}


class Followed:
    """A seat with ada enrolled, and the property changes that were sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[dict[str, Any]] = []
        self.desk = Desk()
        station = SimpleNamespace(gallery=SimpleNamespace(names=lambda: ["ada"]))
        self.seat = Seat(station, self.desk, None, lambda call: call())  # type: ignore[arg-type]
        device = DeviceInterface(self.seat, None, None, 8)  # type: ignore[arg-type]
        monkeypatch.setattr(device, "emit_properties_changed", self.sent.append)
        self.seat.on_change = device.emit_changes

    def verify(self) -> None:
        self.seat.verify(":1.1", lambda status: None, 15.0, WayIn.FPRINTD, anyone=False)


def test_an_end_that_is_told_and_a_stop_after_it_are_one_change(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Followed(monkeypatch)
    at.seat.claim(":1.1", "ada")
    at.verify()
    job = at.desk.take()
    assert job is not None
    assert at.sent == [CLAIMED, WANTED]
    job.fail(CameraError("unplugged"))
    at.seat.stop(":1.1", verifying=True)
    at.seat.release(":1.1")
    assert at.sent == [CLAIMED, WANTED, NOT_WANTED, GIVEN_BACK]


def test_whoever_lets_go_in_the_middle_wants_no_face_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stop, by a release, or by leaving the bus."""
    at = Followed(monkeypatch)
    at.seat.claim(":1.1", "ada")
    at.verify()
    at.seat.stop(":1.1", verifying=True)
    at.verify()
    at.seat.release(":1.1")
    at.seat.claim(":1.2", "ada")
    at.seat.vanished(":1.2")
    at.seat.vanished(":1.2")
    assert at.sent == [CLAIMED, WANTED, NOT_WANTED, WANTED, NOT_WANTED, GIVEN_BACK, CLAIMED, GIVEN_BACK]


def test_what_an_abandoned_one_still_says_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Followed(monkeypatch)
    at.seat.claim(":1.1", "ada")
    at.verify()
    old = at.desk.take()
    at.seat.stop(":1.1", verifying=True)
    at.verify()
    assert old is not None
    old._on_failure(CameraError("late"))
    assert at.sent == [CLAIMED, WANTED, NOT_WANTED, WANTED]
