"""The frame, and the interface of every source of frames. Opens nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.clock import seconds_asleep

_SILENT = 0
# Even without sleep, `seconds_asleep` varies by the time that the process waits for a processor between its two clock readings.
_SLEPT_S = 1.0
DARK_LEVEL = 10.0
"""Mean grey level, 0 to 255, below which a frame is dark: a covered lens, a camera that warms up, a room at night."""
# In a dark frame something is lit if its lightest hundredth is this many times lighter than the mean of a dark frame may be. The smallest
# face that is judged covers more, before a lamp or a near-infrared light that does not reach the room behind it.
_LIT = 3.0
_LIGHTEST = 99.0  # percent


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Frame:
    """`pixels` is uint8 [h, w, 3] BGR or [h, w] grey. `at` is when it was taken, in seconds: on the clock of edge/clock.py (see
    edge/camera/stamp.py), or in a recording's own time. `asleep` is how long the machine had slept by then, in seconds."""

    pixels: NDArray[np.uint8]
    at: float
    asleep: float = field(default_factory=seconds_asleep, compare=False, repr=False)

    @property
    def is_of_before_a_sleep(self) -> bool:
        """Whether the machine has slept since the frame was made, even if this process did not notice."""
        return seconds_asleep() - self.asleep > _SLEPT_S

    @property
    def brightness(self) -> float:
        """Mean level, 0 to 255, of every eighth pixel in every eighth row."""
        return float(self.pixels[::8, ::8].mean())

    def shows_nothing(self, level: float) -> bool:
        """Whether the frame is darker than `level`, 0 to 255, and nothing the size of a face is lit in it."""
        return self.brightness < level and float(np.percentile(self.pixels[::8, ::8], _LIGHTEST)) < _LIT * level


class Camera(Protocol):
    """A source of frames."""

    name: str
    live: bool

    def frames(self) -> Iterator[Frame | None]:
        """Yields the newest frame each time, no frame twice, and None if there was none for a moment. A replay ends; a device does not.

        Raises:
            CameraError: a device was unplugged, stalls, or gives something other than pictures.
        """
        ...

    def close(self) -> None:
        """Releases the source.

        Raises:
            CameraWedged: the driver does not return from a read; only the end of the process frees the device.
        """
        ...


def silence_opencv() -> None:
    """Keeps OpenCV's own log off stderr."""
    # Our own messages report each error once, with a remedy. The call moved between OpenCV 4.11 and 4.12.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_level(_SILENT)
