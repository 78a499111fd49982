"""Intent: a face is judged only after a press or a call, for a while, and once."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from edge.clock import seconds_since_boot
from edge.contract.errors import ActionFailed
from edge.intent import Intent
from edge.settings import IntentSettings

gpiozero = pytest.importorskip("gpiozero")


@pytest.fixture
def pins() -> object:
    from gpiozero.pins.mock import MockFactory

    kept = gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory = MockFactory()
    yield gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory.reset()
    gpiozero.Device.pin_factory = kept


def test_without_a_wish_nothing_is_missing() -> None:
    intent = Intent(IntentSettings())
    assert not intent.missing(0.0)
    intent.spend()
    assert not intent.missing(1e9)


def test_a_call_opens_a_window_that_a_grant_closes() -> None:
    now = 100.0
    intent = Intent(IntentSettings.model_validate({"kind": "call", "window_s": 5}), clock=lambda: now)
    assert intent.missing(now)
    intent.call()
    assert not intent.missing(105.0)
    assert intent.missing(105.1)
    intent.call()
    intent.spend()
    assert intent.missing(now)


def test_a_press_does_not_outlast_a_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock that goes on while the machine sleeps is the one that counts, also in front of a door that wakes up."""
    intent = Intent(IntentSettings.model_validate({"kind": "call", "window_s": 5}))
    intent.call()
    assert not intent.missing(seconds_since_boot())
    real = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + 3600.0 * (clock == time.CLOCK_BOOTTIME))
    assert intent.missing(seconds_since_boot())
    intent.call()
    assert not intent.missing(seconds_since_boot()), "both count by one clock"


def test_only_a_press_serves_where_a_button_is_wanted(pins: object) -> None:
    intent = Intent(IntentSettings.model_validate({"kind": "button", "pin": "GPIO27", "window_s": 5}), clock=lambda: 0.0)
    intent.call()
    assert intent.missing(0.0)
    pin = gpiozero.Device.pin_factory.pin("GPIO27")
    pin.drive_low()
    assert not intent.missing(0.0)
    intent.close()
    with pytest.raises(ActionFailed, match="GPIO999"):
        Intent(IntentSettings.model_validate({"kind": "button", "pin": "GPIO999"}))


def test_a_button_needs_a_pin() -> None:
    with pytest.raises(ValidationError, match="needs pin"):
        IntentSettings.model_validate({"kind": "button"})


def test_what_is_asked_on_the_bus_is_its_own_call_and_opens_no_door() -> None:
    intent = Intent(IntentSettings.model_validate({"kind": "call"}), clock=lambda: 0.0)
    assert not intent.missing(0.0, called=True)
    assert intent.missing(0.0)


def test_a_call_does_not_serve_where_a_button_is_wanted(pins: object) -> None:
    intent = Intent(IntentSettings.model_validate({"kind": "button", "pin": "GPIO22"}), clock=lambda: 0.0)
    assert intent.missing(0.0, called=True)
    intent.close()
