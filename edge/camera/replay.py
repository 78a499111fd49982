"""Recorded frames as a camera: a video file or a folder of pictures, as fast as possible or in real time. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.camera.frame import Frame, silence_opencv
from edge.clock import seconds_since_boot
from edge.contract.errors import CameraError

FOLDER_FPS = 5.0
LONGEST_NAP_S = 0.25
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm"})


class Video:
    """A video file: every frame, as fast as it can be judged, with the times of the recording."""

    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        silence_opencv()
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
    """A folder of pictures in the order of their names, with times FOLDER_FPS apart."""

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
            pixels = _read(path)
            readable += pixels is not None
            yield None if pixels is None else Frame(pixels, number / FOLDER_FPS)
        if not readable:
            raise CameraError(f"{self.name}: not one of {len(self._pictures)} pictures can be read")

    def close(self) -> None:
        """See `Camera.close`."""


def _read(path: Path) -> NDArray[np.uint8] | None:
    # Not cv2.imread: a name that is not UTF-8, as on old archives and memory sticks, ends the process, and a pipe blocks it.
    try:
        data = np.frombuffer(path.read_bytes() if path.is_file() else b"", np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):  # cv2.error: a header that claims more pixels than OpenCV reads
        return None
    return None if pixels is None else pixels.astype(np.uint8, copy=False)


class Paced:
    """A replay in real time, like a device: each frame has the time at which it is shown. Repeats for ever with `loop`."""

    live = False

    def __init__(self, path: Path, *, loop: bool) -> None:
        self._path, self._loop = path, loop
        self._replay = open_replay(path)
        self.name = self._replay.name

    def frames(self) -> Iterator[Frame | None]:
        """See `Camera.frames`."""
        while True:
            began = time.monotonic()
            for frame in self._replay.frames():
                if frame is None:
                    yield None
                    continue
                yield from _until(began + frame.at)
                yield Frame(frame.pixels, seconds_since_boot())
            if not self._loop:
                return
            # The last picture stays for a while, too: a single one would otherwise be shown as fast as it can be read.
            yield from _until(time.monotonic() + 1 / FOLDER_FPS)
            self._replay.close()
            self._replay = open_replay(self._path)

    def close(self) -> None:
        """See `Camera.close`."""
        self._replay.close()


def _until(due: float) -> Iterator[None]:
    """Waits until `due`, in monotonic seconds, and yields None now and then, so that the caller can do other work."""
    while (wait := due - time.monotonic()) > 0:
        time.sleep(min(wait, LONGEST_NAP_S))
        if wait > LONGEST_NAP_S:
            yield None


def open_replay(path: Path) -> Video | Folder:
    """Opens a video file or a folder of pictures. Raises CameraError if it is neither."""
    return Folder(path) if path.is_dir() else Video(path)
