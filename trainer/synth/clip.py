"""A synthetic person moving in front of a camera, as frames or as a video file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import StorageError
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View

FPS = 15
WARM_UP_FRAMES = 5
# (amplitude, period in seconds): about two turns of the head a clip, with no two motions in step.
_PERIODS_S = {"yaw_deg": (9.0, 3.7), "pitch_deg": (5.0, 4.9), "roll_deg": (4.0, 6.1), "x": (0.03, 5.3), "y": (0.02, 4.1)}


def draw_clip(person: Person, seed: int, seconds: float, *, width: int = 640, height: int = 480) -> Iterator[NDArray[np.uint8]]:
    """Frames at `FPS`, uint8 [height, width, 3] BGR: a swaying head that blinks and smiles; the first few are dark, like those of a camera
    that is starting."""
    rng = np.random.default_rng((seed, 0xC11B))
    still = View.random(rng)
    phases = {name: rng.uniform(0, 2 * np.pi) for name in (*_PERIODS_S, "smile", "blink")}
    for number in range(round(seconds * FPS)):
        time_s = number / FPS
        moved = {
            name: 0.3 * getattr(still, name) + amplitude * np.sin(2 * np.pi * time_s / period + phases[name])
            for name, (amplitude, period) in _PERIODS_S.items()
        }
        view = replace(
            still,
            **moved,
            smile=0.35 + 0.45 * np.sin(2 * np.pi * time_s / 7.3 + phases["smile"]),
            blink=0.95 if (time_s + phases["blink"]) % 3.1 < 0.14 else 0.1,
            brightness=still.brightness * min(1.0, 0.1 + number / WARM_UP_FRAMES),
        )
        yield draw_frame(person, view, rng, width=width, height=height)


def write_clip(path: Path, person: Person, seed: int, seconds: float, *, width: int = 640, height: int = 480) -> None:
    """Writes `draw_clip` as a Motion JPEG AVI, which every OpenCV build reads.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot write: {error.strerror}") from error
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (width, height))
    if not writer.isOpened():
        raise StorageError(f"{path}: cannot write a video here")
    for frame in draw_clip(person, seed, seconds, width=width, height=height):
        writer.write(frame)
    writer.release()
