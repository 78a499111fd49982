"""A camera read by its own thread, because a read can block for ten seconds. Keeps only the newest frame; never gives a stale one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.camera.frame import Frame
from edge.camera.fresh import Freshness
from edge.camera.stamp import Stamps
from edge.clock import seconds_since_boot
from edge.contract.errors import CameraError, CameraFrozen, CameraWedged
from edge.settings import CameraSettings

# An unplugged device fails every read at once, for ever; a single failure may be a dropped buffer.
MAX_MISSED = 15
MISSED_PAUSE_S = 0.05
WAIT_S = 0.25
# A V4L2 read gives up after 10 s. systemd waits 20 s for a stop (TimeoutStopSec=), its watchdog 30 s (WatchdogSec=).
LET_GO_S = 12.0


class Driver(Protocol):
    """What the thread reads from."""

    def grab(self) -> NDArray[np.uint8] | None:
        """Blocks until there is a picture, uint8 [h, w, 3] BGR or [h, w] grey; None if the read failed."""
        ...

    def stamp(self) -> float | None:
        """When the last picture was exposed according to the driver, in seconds of edge/clock.py; None if the driver does not say."""
        ...

    def release(self) -> None:
        """Releases the device. Called by the reading thread."""
        ...


class Live:
    """See `Camera`. `period_s` is that of `Freshness`: 0 except for a network camera, whose connection queues more frames than a driver
    buffers, so that it must be opened again after a pause."""

    live = True

    def __init__(self, name: str, driver: Driver, settings: CameraSettings, *, period_s: float = 0.0) -> None:
        self.name, self._period_s = name, period_s
        self._driver, self._settings = driver, settings
        self._fresh = threading.Condition()
        self._newest: Frame | None = None
        self._error: str | None = None
        self._release_error: Exception | None = None
        # When the last picture was read, fresh or not, and when the last one that differed from the one before.
        self._read_at = self._changed_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()

    def frames(self) -> Iterator[Frame | None]:
        """See `Camera.frames`."""
        while True:
            with self._fresh:
                self._fresh.wait_for(lambda: self._newest is not None or self._error is not None, WAIT_S)
                frame, self._newest, error = self._newest, None, self._error
            if error is not None:
                raise CameraError(error)
            if frame is not None:
                yield frame if seconds_since_boot() - frame.at <= self._settings.max_age_s else None
            elif time.monotonic() - self._read_at > self._settings.stall_s:
                raise CameraError(f"{self.name}: no frame for {self._settings.stall_s:g} s; the camera hangs")
            elif time.monotonic() - self._changed_at > self._settings.frozen_s:
                raise CameraFrozen(
                    f"{self.name}: one and the same picture for {self._settings.frozen_s:g} s; the camera hangs, "
                    "or camera.frozen_s is too short for what it sees"
                )
            else:
                yield None

    def close(self) -> None:
        """See `Camera.close`. Also raises CameraError if the driver cannot release the device."""
        self._stop.set()
        self._thread.join(LET_GO_S)
        if self._thread.is_alive():
            raise CameraWedged(f"{self.name}: the driver does not return; unplug the camera and plug it in again")
        if self._release_error is not None:
            raise CameraError(f"{self.name}: the device cannot be released: {_one_line(self._release_error)}")

    def _read(self) -> None:
        try:
            self._publish(None, self._read_until_stopped())
        except Exception as error:  # noqa: BLE001 - whatever a library raises ends this camera and is told, not the thread alone
            self._publish(None, f"{self.name}: its driver fails: {_one_line(error)}")
        try:
            self._driver.release()
        except Exception as error:  # noqa: BLE001 - told by `close`
            self._release_error = error

    def _read_until_stopped(self) -> str | None:
        """Reads until told to stop (returns None) or unable to go on (returns the reason)."""
        missed, max_age_s = 0, self._settings.max_age_s
        freshness, stamps = Freshness(max_age_s, self._period_s), Stamps(max_age_s)
        while not self._stop.is_set():
            pixels = self._driver.grab()
            if pixels is None:
                missed += 1
                if missed >= MAX_MISSED:
                    return f"{self.name}: gives no more frames; was it unplugged?"
                time.sleep(MISSED_PAUSE_S)
                continue
            missed, read_at, self._read_at = 0, seconds_since_boot(), time.monotonic()
            if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or min(pixels.shape[:2]) < 2:
                return f"{self.name}: gives {pixels.dtype} {pixels.shape}, no picture; choose another video node"
            of_now, another = freshness.is_of_now(read_at), freshness.is_another(pixels)
            if self._period_s and freshness.behind_s:
                # A connection queues far more than a driver's four frames: a board that decodes slowly would take them for current.
                return f"{self.name}: nothing was read for {freshness.behind_s:.1f} s; what has queued up meanwhile is old"
            exposed_at = stamps.exposed_at(self._driver.stamp(), read_at)
            self._changed_at = self._read_at if another else self._changed_at
            if of_now and another and exposed_at is not None:
                self._publish(Frame(pixels, exposed_at), None)
        return None

    def _publish(self, frame: Frame | None, error: str | None) -> None:
        with self._fresh:
            self._newest, self._error = frame, error
            self._fresh.notify_all()


def _one_line(error: Exception) -> str:
    # OpenCV's messages have several lines.
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
