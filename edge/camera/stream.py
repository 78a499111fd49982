"""A camera in the network, MJPEG over HTTP or RTSP, through OpenCV."""

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
        # A camera that is off must not hold the daemon: both in milliseconds.
        limit = round(settings.stall_s * 1000)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
        self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
        if not self._capture.isOpened():
            raise CameraError(f"{without_password(address)}: no stream; is the camera on, and the address right?")
        # What the stream says of itself; of MJPEG over HTTP, which says nothing, FFmpeg says 25.
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.period_s = 1 / (fps if 1 <= fps <= 60 else _FPS)

    def grab(self) -> NDArray[np.uint8] | None:
        """See `live.Driver`."""
        good, pixels = self._capture.read()
        return pixels.astype(np.uint8, copy=False) if good else None

    def stamp(self) -> float | None:
        """See `live.Driver`. What FFmpeg tells is the place in the stream, on the camera's clock or on none."""
        return None

    def release(self) -> None:
        """See `live.Driver`."""
        self._capture.release()


def open_stream(address: str, settings: CameraSettings) -> Live:
    """An address as a camera. Raises CameraError where nothing answers."""
    capture = Capture(address, settings)
    return Live(without_password(address), capture, settings, period_s=capture.period_s)


def without_password(address: str) -> str:
    """The address as it may be told, by the journal, the bus, an error: scheme, host and path. What is no address stays as it is.

    Cameras take their password before an @, in a query, or as `user=...` in the path. An @ after the host may be of a password
    that should have been escaped: then there is no saying where the host begins.
    """
    scheme, colon, rest = address.partition("://")
    if not colon:
        return address
    # Where libavformat, which is given the address, ends its host.
    end = re.search("[/?#]", rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if "@" in path:
        return f"{scheme}://..."
    return f"{scheme}://{authority.rpartition('@')[2]}{re.split('[?#;&=]', path)[0]}"
