"""Gives the daemon a day of frames as fast as it judges them: does it leak, does it slow down, what does an empty room cost?

    python -m benchmarks.day --hours 24

Ten frames a second of recorded time: an empty room with camera noise and changing light, and every few minutes a drawn
person, enrolled or a stranger. Resident memory is read after every hour.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks.faults import MODEL, with_ada
from edge.camera import Frame
from edge.contract.modelfile import read_model
from edge.daemon import Daemon
from edge.journal import Event
from edge.settings import Settings

FPS = 10
VISIT_EVERY_S = 300.0
NOISES = 64
VISITORS = ("the enrolled person", "a stranger")


class Day:
    """A camera, see `edge.camera.Camera`."""

    live, name = False, "a day"

    def __init__(self, hours: float, visits: list[list[np.ndarray]], progress: Progress) -> None:
        self._frames, self._visits, self._progress = round(hours * 3600 * FPS), visits, progress
        random = np.random.default_rng(3)
        room = cv2.GaussianBlur(random.integers(60, 200, visits[0][0].shape, np.uint8), (0, 0), 9)
        noise = [random.normal(0, 2.0, room.shape) for _ in range(NOISES)]
        self._rooms = [np.clip(room + part, 0, 255).astype(np.uint8) for part in noise]
        self.memory_mb: list[float] = []
        self.empty_ms: list[float] = []
        self.visitor = 0
        """Who is in front of the camera, or was last: the number of the visit in `visits`."""

    def frames(self) -> Iterator[Frame | None]:
        """See `Camera.frames`."""
        task = self._progress.add_task("hours", total=self._frames)
        number = visit = 0
        while number < self._frames:
            began, empty = time.process_time(), 0
            for _ in range(round(VISIT_EVERY_S * FPS)):
                # The light changes over the day; from frame to frame only the noise changes.
                shade = 0.75 + 0.25 * np.cos(number // (60 * FPS) / 120)
                yield Frame(cv2.convertScaleAbs(self._rooms[number % NOISES], alpha=shade).astype(np.uint8), number / FPS)
                number, empty = number + 1, empty + 1
                self._sample_memory(number)
            self.empty_ms.append((time.process_time() - began) * 1000 / empty)
            self.visitor = visit % len(self._visits)
            for pixels in self._visits[self.visitor]:
                yield Frame(pixels, number / FPS)
                number += 1
                self._sample_memory(number)
            visit += 1
            self._progress.update(task, completed=number)

    def close(self) -> None:
        """See `Camera.close`."""

    def _sample_memory(self, number: int) -> None:
        if number % (3600 * FPS) == 0:
            self.memory_mb.append(resident_mb())


def resident_mb() -> float:
    """Resident memory of this process, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Prints the figures. Exit code 1: memory grew by more than 5 % after the first hour, or a stranger was granted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    settings = Settings.model_validate(
        {"detection": {"min_face_px": 60}, "policy": {"lockout_failures": 99, "disable_failures": 100}}
    )
    counted: dict[str, int] = {}

    with tempfile.TemporaryDirectory() as folder, Progress(console=Console(stderr=True)) as progress:
        station, *visits = with_ada(Path(folder), settings, read_model(arguments.model))
        day = Day(arguments.hours, visits, progress)

        def count_event(event: Event, _: dict[str, object]) -> None:
            # Only the first visitor is enrolled, so an accept of any other is told under the wrong name.
            key = f"{event.label} of {VISITORS[day.visitor]}" if event is Event.ACCEPT else event.label
            counted[key] = counted.get(key, 0) + 1

        station.journal.listeners.append(count_event)
        began = time.monotonic()
        Daemon(station, opened=lambda _: day).run()
        took_s = time.monotonic() - began
    growth = max(day.memory_mb) / day.memory_mb[0] - 1 if day.memory_mb else 0.0
    empty_ms = float(np.median(day.empty_ms))
    report = {
        "frames": round(arguments.hours * 3600 * FPS), "seconds": round(took_s, 1), "resident_mb": [round(mb, 1) for mb in day.memory_mb],
        "growth": round(growth, 4), "empty_frame_cpu_ms": round(empty_ms, 3), "empty_cpu_share_at_10_fps": round(empty_ms * FPS / 1000, 4),
        "events": counted,
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(report))
    else:
        for key, value in report.items():
            print(f"{key}: {value}")
    sys.exit(growth > 0.05 or f"{Event.ACCEPT.label} of {VISITORS[1]}" in counted)


if __name__ == "__main__":
    main()
