"""Draws a frame in characters: an oval where the face is, and a dim one where it should be. Pure; uses no picture."""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from operator import itemgetter

from rich.text import Text

from edge.progress import Box

ROWS = 10
# A character is about twice as high as it is wide.
_CELL_ASPECT = 2.0
_NARROWEST, _WIDEST = 8, 40
# A detector's box is a square from the brows to the chin; a head is narrower than that, and higher.
_OVAL_WIDTH, _OVAL_HEIGHT = 0.9, 1.25
_STEPS = 240


def columns(aspect: float) -> int:
    """How wide a frame is drawn, in characters; `aspect` is its width over its height."""
    return min(max(round(ROWS * _CELL_ASPECT * aspect), _NARROWEST), _WIDEST)


def draw_outline(face: Box | None, aim: float, aspect: float, *, good: bool, plain: bool) -> Text:
    """`ROWS` lines of `columns(aspect)` characters. `aim` is the wanted face's width as a share of the frame's height; `good` is whether
    the face may be judged, `plain` keeps to ASCII."""
    width = columns(aspect)
    cells: list[list[tuple[str, str]]] = [[(" ", "")] * width for _ in range(ROWS)]
    target = Box(0.5 - aim / aspect / 2, 0.5 - aim / 2, aim / aspect, aim)
    _oval(cells, target, ("." if plain else "·", "dim"))
    if face is not None:
        _oval(cells, face, ("o" if plain else "●", "bold green" if good else "bold yellow"))
    text = Text(no_wrap=True)
    for number, row in enumerate(cells):
        text.append("\n" if number else "")
        for style, run in groupby(row, key=itemgetter(1)):
            text.append("".join(character for character, _ in run), style)
    return text


def _oval(cells: list[list[tuple[str, str]]], box: Box, mark: tuple[str, str]) -> None:
    width = len(cells[0])
    centre_x, centre_y = (box.x + box.width / 2) * width, (box.y + box.height / 2) * ROWS
    radius_x, radius_y = _OVAL_WIDTH * box.width / 2 * width, _OVAL_HEIGHT * box.height / 2 * ROWS
    angles = (2 * math.pi * step / _STEPS for step in range(_STEPS + 1))
    cells_hit = (
        (math.floor(centre_x + radius_x * math.cos(angle)), math.floor(centre_y + radius_y * math.sin(angle)))
        for angle in angles
    )
    for (column, row), after in pairwise(cells_hit):
        # Drawn once while the line stays in a cell, and not at all outside the frame.
        if (column, row) != after and 0 <= column < width and 0 <= row < ROWS:
            cells[row][column] = mark
