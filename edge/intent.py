"""What must come before a face is judged, where the settings want it: a button or a call, for each way in. A press opens one attempt's
time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from edge.clock import seconds_since_boot
from edge.settings import IntentKind, IntentSettings, OwnIntent


class WayIn(Enum):
    """Who asks that a face be judged."""

    DOOR = auto()
    BUS = auto()
    FPRINTD = auto()


class Button(Protocol):
    """A button that is watched from now on."""

    def close(self) -> None:
        """Gives its pin back."""
        ...


class Intent:
    """`missing` until a press or a call, then for `window_s` not. Presses come from another thread.

    Raises:
        PackageMissing, ActionFailed: a button is wanted, and gpiozero is not installed or the pin is not there.
    """

    def __init__(self, settings: IntentSettings, clock: Callable[[], float] = seconds_since_boot) -> None:
        self._window_s, self._clock = settings.window_s, clock
        self._wanted = {
            WayIn.DOOR: settings.kind,
            WayIn.BUS: _wanted(settings.bus, settings.kind),
            WayIn.FPRINTD: _wanted(settings.fprintd, settings.kind),
        }
        self._until = {IntentKind.BUTTON: float("-inf"), IntentKind.CALL: float("-inf")}
        self._button: Button | None = None
        if settings.wants_button:
            from edge.gpio import pressed

            self._button = pressed(settings.pin, self.press)

    def press(self) -> None:
        """Somebody wants to be judged from now on."""
        self._until[IntentKind.BUTTON] = self._clock() + self._window_s

    def call(self) -> None:
        """Somebody asked that the door judge: an intent where calls are what it waits for, and nothing where a button is."""
        self._until[IntentKind.CALL] = self._clock() + self._window_s

    def spend(self, way: WayIn) -> None:
        """What was wanted of who came this way has served: the next grant needs another, by whatever way. What another way waits for has
        not.
        """
        if (wanted := self._wanted[way]) is not IntentKind.NONE:
            self._until[wanted] = float("-inf")

    def missing(self, now: float, way: WayIn) -> bool:
        """Whether faces must not be judged for who comes this way at `now`, seconds of the clock."""
        wanted = self._wanted[way]
        return wanted is not IntentKind.NONE and now > self._until[wanted]

    def close(self) -> None:
        """Gives the pin back."""
        if self._button is not None:
            self._button.close()


def _wanted(own: OwnIntent, doors: IntentKind) -> IntentKind:
    """What a verification waits for. Its own call is one, but a call does not serve where a button is wanted."""
    button = own is OwnIntent.BUTTON or (own is OwnIntent.SAME and doors is IntentKind.BUTTON)
    return IntentKind.BUTTON if button else IntentKind.NONE
