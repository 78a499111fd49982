"""The one module that imports gpiozero: a pulse on a pin, which always ends, and a button."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from edge.contract.errors import ActionFailed, PackageMissing
from edge.policy import Grant


class Pulse:
    """A pin that is active for `pulse_s` seconds per grant, and inactive before, afterwards and if anything goes wrong.

    Raises:
        PackageMissing: gpiozero is not installed.
        ActionFailed: there is no such pin, it is in use, or this machine has none.
    """

    def __init__(self, pin: str, pulse_s: float, *, active_high: bool) -> None:
        gpiozero = _library("action.kind = gpio")
        self._pulse_s = pulse_s
        try:
            self._device = gpiozero.DigitalOutputDevice(pin, active_high=active_high, initial_value=False)
        except (gpiozero.GPIOZeroError, OSError, ValueError) as error:
            raise ActionFailed(f"action.pin = {pin!r}: {error}") from error

    def __call__(self, grant: Grant, stopping: threading.Event) -> None:
        """Holds the pin active for `pulse_s` seconds and releases it; at once when `stopping` is set.

        Raises:
            ActionFailed: it was released early.
        """
        try:
            self._device.on()
            stopped = stopping.wait(self._pulse_s)
        finally:
            self._device.off()
        if stopped:
            raise ActionFailed(f"action.pulse_s = {self._pulse_s:g}: let go early, the daemon stops")


def watch_button(pin: str, on_press: Callable[[], None]) -> Any:
    """A button between `pin` and ground. `on_press` is called at each press, in a thread of gpiozero's; `close()` releases the pin.

    Raises:
        PackageMissing: gpiozero is not installed.
        ActionFailed: there is no such pin, it is in use, or this machine has none.
    """
    gpiozero = _library("a button in [intent]")
    try:
        button = gpiozero.Button(pin, bounce_time=0.05)
    except (gpiozero.GPIOZeroError, OSError, ValueError) as error:
        raise ActionFailed(f"intent.pin = {pin!r}: {error}") from error
    button.when_pressed = on_press
    return button


def _library(key: str) -> Any:
    try:
        import gpiozero
    except ImportError as error:
        raise PackageMissing(f"{key} needs gpiozero: apt install python3-gpiozero, or pip install 'facelatch[gpio]'") from error
    return gpiozero
