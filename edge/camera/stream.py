"""A network camera, MJPEG over HTTP or RTSP, through OpenCV. Never shows an address with its password."""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.camera.frame import silence_opencv
from edge.camera.live import Live
from edge.contract.errors import CameraError
from edge.settings import CameraSettings

_FPS = 25.0


class Capture:
    """An OpenCV capture of an address, as `live.Driver`."""

    def __init__(self, address: str, settings: CameraSettings) -> None:
        silence_opencv()
        # A camera that is switched off must not block the daemon. Both limits are in milliseconds.
        limit = round(settings.stall_s * 1000)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
        self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
        if not self._capture.isOpened():
            raise CameraError(f"{without_password(address)}: no stream; is the camera on, and the address right?")
        # The frame rate that the stream declares. For MJPEG over HTTP, which declares none, FFmpeg says 25.
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.period_s = 1 / (fps if 1 <= fps <= 60 else _FPS)

    def grab(self) -> NDArray[np.uint8] | None:
        """See `live.Driver`."""
        good, pixels = self._capture.read()
        return pixels.astype(np.uint8, copy=False) if good else None

    def stamp(self) -> float | None:
        """See `live.Driver`. None, because FFmpeg only knows the position in the stream, on the camera's clock or none."""
        return None

    def release(self) -> None:
        """See `live.Driver`."""
        self._capture.release()


def open_stream(address: str, settings: CameraSettings) -> Live:
    """Opens the camera at an address. Raises CameraError if nothing answers."""
    capture = Capture(address, settings)
    return Live(without_password(address), capture, settings, period_s=capture.period_s)


def without_password(address: str) -> str:
    """The parts of an address that may be shown in the journal, on the bus or in an error: scheme, host and path. Text that is not an
    address is returned as it is.

    Cameras take their password before an @, in a query, or as `user=...` in the path. An @ after the host may belong to a password that
    should have been escaped: then nobody can say where the host begins.
    """
    scheme, colon, rest = address.partition("://")
    if not colon:
        return address
    # Where libavformat, which receives the address, ends the host.
    end = re.search("[/?#]", rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if "@" in path:
        return f"{scheme}://..."
    return f"{scheme}://{authority.rpartition('@')[2]}{re.split('[?#;&=]', path)[0]}"
