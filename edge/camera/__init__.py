"""Where frames come from. `open_camera` is the entry point; each kind of source has a module. Judges no frame."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edge.camera.csi import open_csi
from edge.camera.frame import Camera, Frame
from edge.camera.replay import Paced, open_replay
from edge.camera.source import Kind, is_replay, source_of
from edge.camera.stream import open_stream
from edge.camera.v4l2 import node_of_usb_id, open_device
from edge.contract.errors import CameraError
from edge.settings import CameraSettings, Replay

__all__ = ["Camera", "Frame", "is_replay", "open_camera"]

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def open_camera(settings: CameraSettings) -> Camera:
    """Opens `settings.source`, turned and mirrored as the settings say.

    Raises:
        CameraError: the source is missing, not readable, in use, or neither a device nor a recording.
        PackageMissing: the source needs picamera2, which is not installed.
        SettingsError: the source resembles a camera's name but is none.
    """
    camera = _open(settings)
    return Turned(camera, settings) if settings.rotate or settings.mirror else camera


class Turned:
    """A camera whose frames are rotated and mirrored as the settings say."""

    def __init__(self, camera: Camera, settings: CameraSettings) -> None:
        self.name, self.live = camera.name, camera.live
        self._camera, self._settings = camera, settings

    def frames(self) -> Iterator[Frame | None]:
        """See `Camera.frames`."""
        for frame in self._camera.frames():
            if frame is None:
                yield None
                continue
            pixels = frame.pixels
            if self._settings.rotate:
                pixels = cv2.rotate(pixels, _TURNS[self._settings.rotate]).astype(np.uint8, copy=False)
            if self._settings.mirror:
                pixels = cv2.flip(pixels, 1).astype(np.uint8, copy=False)
            yield replace(frame, pixels=pixels)

    def close(self) -> None:
        """See `Camera.close`."""
        self._camera.close()


def _open(settings: CameraSettings) -> Camera:
    parsed = source_of(settings.source)
    source = parsed.text
    if parsed.kind is Kind.ADDRESS:
        return open_stream(source, settings)
    if parsed.kind is Kind.RIBBON:
        return open_csi(int(source.removeprefix("csi:")), settings)
    if parsed.kind is Kind.USB_ID:
        source = node_of_usb_id(source)
    path = Path(source)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_relative_to("/dev"):
            problem = f"cannot open the camera: {error.strerror}; `edge cameras` lists those plugged in"
        else:
            problem = f"cannot open the file or folder: {error.strerror}; is its path right? `edge cameras` lists cameras"
        raise CameraError(f"{source}: {problem}") from error
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        remedy = "add the user to the group video" if stat.S_ISCHR(mode) else "give the user read access"
        raise CameraError(f"{source}: permission denied; {remedy}")
    if stat.S_ISCHR(mode):
        return open_device(source, settings)
    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        fast = settings.replay is Replay.FAST
        return open_replay(path) if fast else Paced(path, loop=settings.replay is Replay.LOOP)
    raise CameraError(f"{source}: neither a video device nor a video file nor a folder of pictures")
