"""The intent that must come before a face is judged, if the settings require one: a button press or a call, for each way in. It lasts
for `window_s` seconds or until a grant.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from edge.clock import seconds_since_boot
from edge.settings import IntentKind, IntentSettings, OwnIntent


class WayIn(Enum):
    """Where the request to judge a face comes from."""

    DOOR = auto()
    BUS = auto()
    FPRINTD = auto()


class Button(Protocol):
    """A button that is being watched."""

    def close(self) -> None:
        """Releases its pin."""
        ...


class Intent:
    """`missing` is true until a press or a call, and then false for `window_s` seconds. Presses come from another thread.

    Raises:
        PackageMissing, ActionFailed: a button is wanted, and gpiozero is not installed or the pin is not there.
    """

    def __init__(self, settings: IntentSettings, clock: Callable[[], float] = seconds_since_boot) -> None:
        self._window_s, self._clock = settings.window_s, clock
        self._required = {
            WayIn.DOOR: settings.kind,
            WayIn.BUS: _required_kind(settings.bus, settings.kind),
            WayIn.FPRINTD: _required_kind(settings.fprintd, settings.kind),
        }
        self._until = {IntentKind.BUTTON: float("-inf"), IntentKind.CALL: float("-inf")}
        self._button: Button | None = None
        if settings.wants_button:
            from edge.gpio import watch_button

            self._button = watch_button(settings.pin, self.press)

    def press(self) -> None:
        """Registers a press of the button."""
        self._until[IntentKind.BUTTON] = self._clock() + self._window_s

    def call(self) -> None:
        """Registers a caller's request that the door judge. It counts if the door waits for a call, not if it waits for the button."""
        self._until[IntentKind.CALL] = self._clock() + self._window_s

    def spend(self, way: WayIn) -> None:
        """Uses up the kind of intent that this way in requires: the next grant that requires this kind needs a new one, by whatever way.
        An intent of another kind stays.
        """
        if (required := self._required[way]) is not IntentKind.NONE:
            self._until[required] = float("-inf")

    def missing(self, now: float, way: WayIn) -> bool:
        """Whether no face may be judged for this way in at `now`, seconds of the clock, because its intent is missing."""
        required = self._required[way]
        return required is not IntentKind.NONE and now > self._until[required]

    def close(self) -> None:
        """Releases the pin."""
        if self._button is not None:
            self._button.close()


def _required_kind(own: OwnIntent, door_kind: IntentKind) -> IntentKind:
    """The intent that a verification waits for. Its own request counts as a call, but no call replaces the button."""
    button = own is OwnIntent.BUTTON or (own is OwnIntent.SAME and door_kind is IntentKind.BUTTON)
    return IntentKind.BUTTON if button else IntentKind.NONE
