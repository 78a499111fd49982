"""Captures anchor and positive pictures of one person from a webcam or a replayed clip."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from edge.contract.errors import CameraError, StorageError
from trainer.files import write_atomically
from trainer.layout import ROLES, Layout, real_folder, real_name
from trainer.preview import open_preview

# After this many failed reads in a row a camera is taken to be broken or unplugged.
MAX_MISSED = 30


def capture_pictures(name: str, camera: str, data: Path, layout: Layout, counts: dict[str, int], every: int) -> dict[str, int]:
    """Takes one picture every `every` frames, in the order of the roles in `counts`. Returns the number of pictures saved by role.

    Numbering continues after earlier captures, so that nothing is overwritten. `q` in the preview or Ctrl-C ends early.

    Raises:
        CameraError: the source does not open, or ended before all pictures were taken; those already taken stay.
        StorageError: a picture cannot be written.
    """
    source = cv2.VideoCapture(int(camera) if re.fullmatch(r"\d+", camera) else camera)
    if not source.isOpened():
        raise CameraError(f"{camera}: cannot open; is it there, may this user read it, and is no other program using it?")
    preview = open_preview()
    taken = dict.fromkeys(counts, 0)
    frames = missed = 0
    try:
        with Progress(console=Console(stderr=True)) as bar:
            for role, count in counts.items():
                task = bar.add_task(f"{role} pictures of {name}", total=count)
                number = _next_number(real_folder(data, layout, role, name), layout, name)
                while taken[role] < count:
                    ok, frame = source.read()
                    missed = 0 if ok else missed + 1
                    if missed >= MAX_MISSED or (not ok and Path(camera).is_file()):
                        raise CameraError(
                            f"{camera}: no more frames after {sum(taken.values())} of {sum(counts.values())} pictures, "
                            "which are kept; use a longer clip or a smaller --every"
                        )
                    if not ok:
                        continue
                    frames += 1
                    if preview and preview.show(frame, f"{role} {taken[role]}/{count}"):
                        return taken
                    if frames % every:
                        continue
                    folder = real_folder(data, layout, role, name)
                    write_atomically(folder / real_name(layout, name, f"{role}-{number:04d}.png"), _png(frame))
                    if layout is Layout.IDENTITIES:
                        write_atomically(folder / "captured", b"")
                    number += 1
                    taken[role] += 1
                    bar.advance(task)
    except KeyboardInterrupt:
        return taken
    finally:
        source.release()
        if preview:
            preview.close()
    return taken


def _png(frame: NDArray[np.uint8]) -> bytes:
    ok, data = cv2.imencode(".png", frame)
    if not ok:
        raise StorageError("OpenCV cannot encode a frame as PNG; install opencv-python-headless again")
    return data.tobytes()


def _next_number(folder: Path, layout: Layout, name: str) -> int:
    # A person's folder may hold pictures from elsewhere too.
    pattern = re.compile(re.escape(real_name(layout, name, "")) + rf"(?:{'|'.join(ROLES)})-([0-9]+)\.png")
    matches = (pattern.fullmatch(path.name) for path in folder.glob("*.png"))
    return 1 + max((int(match[1]) for match in matches if match), default=-1)
