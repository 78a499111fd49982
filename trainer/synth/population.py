"""Draws synthetic people into a folder with a folder for each, as `trainer import` takes it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from edge.contract.errors import InputError
from trainer.files import write_atomically
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View
from trainer.threads import threads


def write_population(folder: Path, *, people: int, pictures: int, seed: int, size_px: int = 160) -> None:
    """Writes <folder>/person-0000/00.png and so on, square BGR pictures. The same seed gives the same people.

    Raises:
        InputError: the folder holds other pictures of an earlier drawing, which would be mixed up with the people drawn now.
        StorageError: the folder cannot be written.
    """
    names = {f"person-{number:04d}/{picture:02d}.png" for number in range(people) for picture in range(pictures)}
    if left := sorted({str(path.relative_to(folder)) for path in folder.glob("person-*/*.png")} - names):
        raise InputError(
            f"{folder}: holds {left[0]} of another drawing, which would stay; delete it, or draw into another folder"
        )

    def draw(number: int) -> None:
        person = Person.from_seed(seed * 1_000_000 + number)
        for picture in range(pictures):
            rng = np.random.default_rng((seed, number, picture))
            frame = draw_frame(person, View.random(rng), rng, width=size_px, height=size_px)
            data = cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
            write_atomically(folder / f"person-{number:04d}" / f"{picture:02d}.png", data)

    with threads(2) as pool:
        done = pool.map(draw, range(people))
        for _ in track(done, "drawing people", total=people, console=Console(stderr=True)):
            pass
