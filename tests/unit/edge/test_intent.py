"""Intent: a face is judged only after a press or a call, for a while, and once; each way in has its own setting."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from edge.clock import seconds_since_boot
from edge.contract.errors import ActionFailed
from edge.intent import Intent, WayIn
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


DOOR, BUS, FPRINTD = WayIn


def intent(clock: Callable[[], float] = lambda: 0.0, **settings: object) -> Intent:
    return Intent(IntentSettings.model_validate({"window_s": 5, **settings}), clock=clock)


def press(pins: object, pin: str) -> None:
    """Presses the button and releases it."""
    pins.pin(pin).drive_low()  # type: ignore[attr-defined]
    pins.pin(pin).drive_high()  # type: ignore[attr-defined]


def missing(given: Intent, now: float = 0.0) -> list[WayIn]:
    """The ways in for which an intent is missing."""
    return [way for way in WayIn if given.missing(now, way)]


def test_without_a_wish_nothing_is_missing() -> None:
    given = Intent(IntentSettings())
    assert missing(given) == []
    given.spend(DOOR)
    assert missing(given, 1e9) == []


def test_a_call_opens_a_window_that_a_grant_closes() -> None:
    now = 100.0
    given = intent(lambda: now, kind="call")
    assert missing(given, now) == [DOOR]
    given.call()
    assert missing(given, 105.0) == []
    assert missing(given, 105.1) == [DOOR]
    given.call()
    given.spend(DOOR)
    assert missing(given, now) == [DOOR]


def test_a_press_does_not_outlast_a_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock that runs on while the machine sleeps counts, also for a door that wakes up."""
    given = Intent(IntentSettings.model_validate({"kind": "call", "window_s": 5}))
    given.call()
    assert not given.missing(seconds_since_boot(), DOOR)
    real = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + 3600.0 * (clock == time.CLOCK_BOOTTIME))
    assert given.missing(seconds_since_boot(), DOOR)
    given.call()
    assert not given.missing(seconds_since_boot(), DOOR), "both count by one clock"


def test_only_a_press_serves_where_a_button_is_wanted(pins: object) -> None:
    """The setting holds for every way in that has none of its own: one press allows one grant, by any way in."""
    given = intent(kind="button", pin="GPIO27")
    given.call()
    assert missing(given) == [DOOR, BUS, FPRINTD]
    press(pins, "GPIO27")
    assert missing(given) == []
    assert missing(given, 5.1) == [DOOR, BUS, FPRINTD], "a press does not last either"
    given.spend(BUS)
    assert missing(given) == [DOOR, BUS, FPRINTD]
    given.close()
    intent(kind="button", pin="GPIO27").close()  # the pin is free again
    with pytest.raises(ActionFailed, match="GPIO999"):
        intent(kind="button", pin="GPIO999")


@pytest.mark.parametrize("settings", [{"kind": "button"}, {"bus": "button"}, {"fprintd": "button"}])
def test_a_button_needs_a_pin(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="needs pin"):
        IntentSettings.model_validate(settings)


def test_what_is_asked_on_the_bus_is_its_own_call_and_opens_no_door() -> None:
    given = intent(kind="call")
    assert missing(given) == [DOOR]
    given.call()
    given.spend(BUS)
    assert missing(given) == [], "nor does its grant take away what the door was asked"


def test_pam_waits_for_a_press_beside_a_door_and_a_bus_that_do_not(pins: object) -> None:
    given = intent(fprintd="button", pin="GPIO21")
    assert missing(given) == [FPRINTD]
    press(pins, "GPIO21")
    given.spend(DOOR)
    given.spend(BUS)
    assert missing(given) == [], "who waits for nothing uses up no press"
    given.spend(FPRINTD)
    assert missing(given) == [FPRINTD]
    given.close()


def test_the_bus_waits_for_nothing_beside_a_door_with_a_button(pins: object) -> None:
    given = intent(kind="button", bus="none", fprintd="same", pin="GPIO20")
    assert missing(given) == [DOOR, FPRINTD]
    given.close()


def test_a_press_is_no_call_and_a_call_no_press(pins: object) -> None:
    """The door waits for a call, the bus for the button: each intent serves only where it is wanted."""
    given = intent(kind="call", bus="button", pin="GPIO22")
    press(pins, "GPIO22")
    assert missing(given) == [DOOR]
    given.call()
    given.spend(BUS)
    assert missing(given) == [BUS]
    given.close()
