"""Where frames come from: a V4L2 device read by a thread, or a replayed video file or image folder. Judges nothing."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import CameraError, CameraWedged
from edge.settings import CameraSettings

# An unplugged device fails each read at once and for ever; a single failure can be a dropped buffer.
MAX_MISSED = 15
MISSED_PAUSE_S = 0.05
WAIT_S = 0.25
FOLDER_FPS = 5.0
_SILENT = 0
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm"})


@dataclass(frozen=True, slots=True)
class Frame:
    """`pixels` is uint8 [h, w, 3] BGR or [h, w] grey; `at` is when it was taken, in seconds of a monotonic clock."""

    pixels: NDArray[np.uint8]
    at: float


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


def open_camera(settings: CameraSettings) -> Camera:
    """Opens `settings.source`.

    Raises:
        CameraError: it is missing, not ours to read, in use, or neither a device nor pictures.
    """
    source = f"/dev/video{settings.source}" if re.fullmatch(r"\d{1,3}", settings.source) else settings.source
    path = Path(source)
    try:
        kind = path.stat().st_mode
    except OSError as error:
        raise CameraError(
            f"{source}: cannot open the camera: {error.strerror}; see /dev/v4l/by-id for those plugged in"
        ) from error
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(kind) else 0)):
        remedy = "add the user to the group video" if stat.S_ISCHR(kind) else "give the user read access"
        raise CameraError(f"{source}: permission denied; {remedy}")
    if stat.S_ISCHR(kind):
        return Device(source, settings)
    if stat.S_ISDIR(kind):
        return Folder(path)
    if stat.S_ISREG(kind):
        return Video(path)
    raise CameraError(f"{source}: neither a video device nor a video file nor a folder of pictures")


class Device:
    """A V4L2 device. A thread reads it, for a read can block for ten seconds, and keeps the newest frame only."""

    live = True

    def __init__(self, source: str, settings: CameraSettings) -> None:
        self.name = source
        self._settings = settings
        _silence_opencv()
        self._capture = cv2.VideoCapture(source, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise CameraError(f"{source}: cannot open; is it a camera, and not in use by another program?")
        # Without a FOURCC some drivers hand out formats that OpenCV returns as one flat row.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._fresh = threading.Condition()
        self._newest: Frame | None = None
        self._error: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()

    def frames(self) -> Iterator[Frame | None]:
        """See `Camera.frames`."""
        last = time.monotonic()
        while True:
            with self._fresh:
                self._fresh.wait_for(lambda: self._newest is not None or self._error is not None, WAIT_S)
                frame, self._newest, error = self._newest, None, self._error
            if error is not None:
                raise CameraError(error)
            now = time.monotonic()
            if frame is not None:
                last = now
                yield frame if now - frame.at <= self._settings.max_age_s else None
            elif now - last > self._settings.stall_s:
                raise CameraError(f"{self.name}: no frame for {self._settings.stall_s:g} s; the camera hangs")
            else:
                yield None

    def close(self) -> None:
        """See `Camera.close`."""
        self._stop.set()
        self._thread.join(self._settings.stall_s)
        if self._thread.is_alive():
            raise CameraWedged(f"{self.name}: the driver does not come back; plug the camera out and in")

    def _read(self) -> None:
        missed = 0
        while not self._stop.is_set():
            good, pixels = self._capture.read()
            if not good:
                missed += 1
                if missed >= MAX_MISSED:
                    self._publish(None, f"{self.name}: gives no more frames; was it unplugged?")
                    break
                time.sleep(MISSED_PAUSE_S)
                continue
            missed = 0
            if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or min(pixels.shape[:2]) < 2:
                self._publish(None, f"{self.name}: gives {pixels.dtype} {pixels.shape}, no picture; choose another video node")
                break
            self._publish(Frame(pixels.astype(np.uint8, copy=False), time.monotonic()), None)
        self._capture.release()

    def _publish(self, frame: Frame | None, error: str | None) -> None:
        with self._fresh:
            self._newest, self._error = frame, error
            self._fresh.notify_all()


class Video:
    """A video file, every frame of it, as fast as it can be judged; its times are those of the recording."""

    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        _silence_opencv()
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise CameraError(f"{path}: not a video that OpenCV can read, or cut off")

    def frames(self) -> Iterator[Frame | None]:
        """See `Camera.frames`."""
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        fps = fps if 1 <= fps <= 240 else 25.0
        number = 0
        while True:
            good, pixels = self._capture.read()
            if not good:
                break
            yield Frame(pixels.astype(np.uint8, copy=False), number / fps)
            number += 1
        if number == 0:
            raise CameraError(f"{self.name}: holds no frame that can be read")

    def close(self) -> None:
        """See `Camera.close`."""
        self._capture.release()


class Folder:
    """A folder of pictures in the order of their names, five a second of its own time."""

    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
        if not self._pictures:
            raise CameraError(f"{path}: no pictures in this folder ({', '.join(sorted(PICTURES))})")

    def frames(self) -> Iterator[Frame | None]:
        """See `Camera.frames`."""
        readable = 0
        for number, path in enumerate(self._pictures):
            pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
            readable += pixels is not None
            yield None if pixels is None else Frame(pixels.astype(np.uint8, copy=False), number / FOLDER_FPS)
        if not readable:
            raise CameraError(f"{self.name}: not one of {len(self._pictures)} pictures can be read")

    def close(self) -> None:
        """See `Camera.close`."""


def _silence_opencv() -> None:
    # What goes wrong is told once, in our words, with a remedy.
    # The call moved between 4.11 and 4.12.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_level(_SILENT)
