"""What must come before a face is judged, where the settings want it: a button or a call. A press opens one attempt's time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edge.clock import seconds_since_boot
from edge.settings import IntentKind, IntentSettings


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
        self._kind, self._window_s, self._clock = settings.kind, settings.window_s, clock
        self._until = float("-inf")
        self._button: Button | None = None
        if settings.kind is IntentKind.BUTTON:
            from edge.gpio import pressed

            self._button = pressed(settings.pin, self.give)

    def give(self) -> None:
        """Somebody wants to be judged from now on."""
        self._until = self._clock() + self._window_s

    def call(self) -> None:
        """Somebody asked that the door judge: an intent where calls are what is wanted, and nothing where a button is."""
        if self._kind is IntentKind.CALL:
            self.give()

    def spend(self) -> None:
        """It has served: the next grant needs another."""
        self._until = float("-inf")

    def missing(self, now: float, *, called: bool = False) -> bool:
        """Whether faces must not be judged at `now`, seconds of the clock. `called`: for what somebody just asked on the bus."""
        served = self._kind is IntentKind.NONE or (called and self._kind is IntentKind.CALL)
        return not served and now > self._until

    def close(self) -> None:
        """Gives the pin back."""
        if self._button is not None:
            self._button.close()
