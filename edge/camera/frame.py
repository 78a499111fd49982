"""What a camera gives, and what every source of frames can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.clock import seconds_asleep

_SILENT = 0
# Of no sleep, two readings of the clocks differ by as long as this process had to wait for a processor between them.
_SLEPT_S = 1.0
DARK_LEVEL = 10.0
"""Mean grey level, 0 to 255, under which a frame shows nothing: a lens that is covered, a camera that warms up, a room at night."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Frame:
    """`pixels` is uint8 [h, w, 3] BGR or [h, w] grey; `at` is when it was taken: by edge/clock.py (edge/camera/stamp.py says how), or a
    recording's own time. `asleep` is how long the machine had slept when it was made, in seconds."""

    pixels: NDArray[np.uint8]
    at: float
    asleep: float = field(default_factory=seconds_asleep, compare=False, repr=False)

    @property
    def is_of_before_a_sleep(self) -> bool:
        """Whether the machine slept since it was made, however little of that this process has noticed."""
        return seconds_asleep() - self.asleep > _SLEPT_S

    @property
    def brightness(self) -> float:
        """Mean level, 0 to 255, of every eighth pixel of every eighth row."""
        return float(self.pixels[::8, ::8].mean())


class Camera(Protocol):
    """A source of frames."""

    name: str
    live: bool

    def frames(self) -> Iterator[Frame | None]:
        """The newest frame each time, each once; None where there was none for a moment. Ends with a replay.

        Raises:
            CameraError: a device was unplugged, stalls, or gives something else than pictures.
        """
        ...

    def close(self) -> None:
        """Releases the source.

        Raises:
            CameraWedged: the driver does not come back from a read; only the end of the process frees the device.
        """
        ...


def silence_opencv() -> None:
    """Keeps OpenCV's own log off stderr."""
    # What goes wrong is told once, in our words, with a remedy.
    # The call moved between 4.11 and 4.12.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_level(_SILENT)
