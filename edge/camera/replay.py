"""Recorded frames as a camera: a video file or a folder of pictures, as they are or in their own time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.camera.frame import Frame, silence_opencv
from edge.contract.errors import CameraError

FOLDER_FPS = 5.0
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm"})


class Video:
    """A video file, every frame of it, as fast as it can be judged; its times are those of the recording."""

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
