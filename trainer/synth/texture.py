"""The flat texture of a synthetic face, seen from the front: skin, eyes, brows, nose, mouth, hair. Knows no pose and no light."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.synth.person import Person

UNIT_PX = 100
WIDTH_PX, HEIGHT_PX = 2 * UNIT_PX, 2 * UNIT_PX
_SHIFT = 4  # fractional bits of cv2's drawing calls


def draw_texture(person: Person, smile: float, blink: float) -> NDArray[np.float32]:
    """The texture, float32 [200, 200, 3] BGR, 0 to 255; the face's middle is at (100, 100), its cheekbones are 100 px from it."""
    canvas = _Canvas(person)
    canvas.shade(0, person.eye_height - 0.45, 0.7, 0.25, 0.05)
    for side in (-1, 1):
        _eye(canvas, person, side, blink)
        _brow(canvas, person, side)
        canvas.shade(side * 0.42, person.eye_height + 0.24, 0.2, 0.1, 0.18)
        canvas.shade(side * 0.62, 0.3, 0.22, 0.25, -person.cheek)
    _nose(canvas, person)
    _mouth(canvas, person, smile)
    if person.beard:
        for x, y, wide, high in ((0, 0.82, 0.5, 0.2), (-0.6, 0.6, 0.22, 0.35), (0.6, 0.6, 0.22, 0.35)):
            canvas.tint(x, y, wide, high, person.hair, person.beard)
    canvas.shade(0, 0.84, 0.05, 0.06, -person.chin_cleft)
    for x, y in person.moles:
        canvas.ellipse(x, y, 0.028, 0.028 / person.half_height, 0, tuple(c * 0.45 for c in person.skin))
    if person.glasses:
        _glasses(canvas, person)
    _hair(canvas, person)
    return np.clip(canvas.pixels, 0, 255)


class _Canvas:
    """Draws in the units of `Person`: lengths in half widths of the face, heights in half heights."""

    def __init__(self, person: Person) -> None:
        self._stretch = person.half_height
        axis = (np.arange(WIDTH_PX, dtype=np.float32) + 0.5) / UNIT_PX - 1
        self.x, self.y = np.meshgrid(axis, axis)
        self.pixels = np.empty((HEIGHT_PX, WIDTH_PX, 3), np.float32)
        self.pixels[:] = person.skin

    def shade(self, x: float, y: float, wide: float, high: float, amount: float) -> None:
        """Lightens or darkens a soft spot; `wide` and `high` are standard deviations."""
        if amount:
            self.pixels *= (1 + amount * self._spot(x, y, wide, high))[..., None]

    def tint(self, x: float, y: float, wide: float, high: float, tone: tuple[float, ...], share: float) -> None:
        """Mixes a tone into a soft spot."""
        share_here = (share * self._spot(x, y, wide, high))[..., None]
        self.pixels += (np.array(tone, np.float32) - self.pixels) * share_here

    def ellipse(
        self, x: float, y: float, wide: float, high: float, turn_deg: float, tone: tuple[float, ...], line: int = -1
    ) -> None:
        """A filled ellipse with half axes `wide` and `high`, or its outline."""
        centre = (self._at(x), self._at(y))
        axes = (max(1, round(wide * UNIT_PX * 16)), max(1, round(high * UNIT_PX * 16)))
        cv2.ellipse(self.pixels, centre, axes, turn_deg, 0, 360, tone, line, cv2.LINE_AA, _SHIFT)

    def line(self, points: list[tuple[float, float]], tone: tuple[float, ...], thick_px: float) -> None:
        """An open line through `points`."""
        corners = np.array([[self._at(x), self._at(y)] for x, y in points], np.int32)
        cv2.polylines(self.pixels, [corners], False, tone, max(1, round(thick_px)), cv2.LINE_AA, _SHIFT)

    def area(self, points: list[tuple[float, float]], tone: tuple[float, ...]) -> None:
        """A filled polygon."""
        corners = np.array([[self._at(x), self._at(y)] for x, y in points], np.int32)
        cv2.fillPoly(self.pixels, [corners], tone, cv2.LINE_AA, _SHIFT)

    def _spot(self, x: float, y: float, wide: float, high: float) -> NDArray[np.float32]:
        return np.exp(-0.5 * (((self.x - x) / wide) ** 2 + ((self.y - y) / high) ** 2)).astype(np.float32)

    @staticmethod
    def _at(value: float) -> int:
        return round((value + 1) * UNIT_PX * 16)


def _eye(canvas: _Canvas, person: Person, side: int, blink: float) -> None:
    x, y = side * person.eye_distance, person.eye_height
    canvas.shade(x, y - 0.03, 0.2, 0.12, -person.socket * 0.55)
    canvas.shade(x, y + 0.14, 0.18, 0.05, -person.socket * 0.12)
    opened = person.eye_open * (1 - blink)
    turn = side * np.degrees(person.eye_slant)
    lid = tuple(c * 0.35 for c in person.skin)
    if opened > 0.015:
        canvas.ellipse(x, y, person.eye_width, opened, turn, (215, 220, 225))
        iris = min(opened * 1.05, 0.085)
        canvas.ellipse(x, y - 0.005, 0.075, iris, 0, person.iris)
        canvas.ellipse(x, y - 0.005, 0.035, iris * 0.5, 0, (15, 15, 15))
        canvas.ellipse(x + 0.02, y - 0.025, 0.014, 0.011, 0, (240, 240, 240))
    inner, outer = (x - side * person.eye_width, x + side * person.eye_width)
    rise = person.eye_slant * person.eye_width
    canvas.line([(inner, y + rise), (x, y - opened - 0.005), (outer, y - rise)], lid, 3)


def _brow(canvas: _Canvas, person: Person, side: int) -> None:
    y = person.eye_height - person.brow_gap
    inner, middle, outer = (side * (person.eye_distance + offset) for offset in (-0.2, 0.03, 0.22))
    tone = tuple(s + (h * 0.9 - s) * person.brow_tone for s, h in zip(person.skin, person.hair, strict=True))
    points = [(inner, y + person.brow_slant), (middle, y - person.brow_arch), (outer, y - person.brow_slant * 0.5 + 0.02)]
    canvas.line(points, tone, person.brow_thickness * UNIT_PX)


def _nose(canvas: _Canvas, person: Person) -> None:
    tip = person.nose_tip
    canvas.shade(0, (person.eye_height + tip) / 2, 0.055, 0.2, person.nose_bridge)
    canvas.shade(0, tip - 0.04, 0.08, 0.06, person.nose_bridge * 0.8)
    dark = tuple(c * 0.4 for c in person.skin)
    for side in (-1, 1):
        canvas.shade(side * (person.nose_width * 0.75), (person.eye_height + tip) / 2 + 0.05, 0.045, 0.14, -0.16)
        canvas.shade(side * person.nose_width, tip, 0.04, 0.05, -0.3)
        canvas.ellipse(side * person.nose_width * 0.5, tip + 0.035, 0.04, 0.018, side * 15, dark)
    canvas.shade(0, tip + 0.07, person.nose_width, 0.035, -0.22)


def _mouth(canvas: _Canvas, person: Person, smile: float) -> None:
    wide, y = person.mouth_width * (1 + 0.18 * smile), person.mouth_height
    lift = 0.06 * smile
    if person.moustache:
        canvas.tint(0, y - 0.1, wide * 0.75, 0.035, person.hair, person.moustache)
    red = np.array([0.75, 0.62, 0.92]) - 0.3 * person.lip_tone * np.array([0.9, 1.0, 0.35])
    tone = tuple(float(s * r) for s, r in zip(person.skin, red, strict=True))
    upper = [
        (-wide, y - lift),
        (-wide * 0.3, y - person.lips),
        (0, y - person.lips * 0.7),
        (wide * 0.3, y - person.lips),
        (wide, y - lift),
    ]
    lower = [(wide * 0.5, y + person.lips * 1.1), (0, y + person.lips * 1.5), (-wide * 0.5, y + person.lips * 1.1)]
    canvas.area(upper + lower, tone)
    slit = tuple(c * 0.3 for c in person.skin)
    if smile > 0.45:
        canvas.area([(-wide * 0.7, y - lift * 0.5), (wide * 0.7, y - lift * 0.5), (0, y + 0.05 * smile)], (205, 212, 218))
    canvas.line([(-wide, y - lift), (-wide * 0.4, y), (0, y + 0.008), (wide * 0.4, y), (wide, y - lift)], slit, 2.5)
    canvas.shade(0, y + person.lips * 1.5 + 0.05, wide * 0.6, 0.03, -0.2)
    for side in (-1, 1):
        canvas.shade(side * (wide + 0.05), y - 0.1, 0.035, 0.09, -0.12 - 0.12 * max(smile, 0))


def _glasses(canvas: _Canvas, person: Person) -> None:
    rim, thick = (35.0, 30.0, 30.0), max(2, round(person.glasses * UNIT_PX))
    for side in (-1, 1):
        canvas.ellipse(side * person.eye_distance, person.eye_height + 0.02, 0.27, 0.17, 0, rim, thick)
        canvas.line([(side * (person.eye_distance + 0.27), person.eye_height), (side, person.eye_height - 0.03)], rim, thick)
    gap = person.eye_distance - 0.27
    canvas.line([(-gap, person.eye_height), (gap, person.eye_height)], rim, thick)


def _hair(canvas: _Canvas, person: Person) -> None:
    edge = person.hairline + 0.16 * canvas.x**2 + 0.05 * person.parting * canvas.x
    sides = 1 - person.temples * 1.2 - 0.1 * np.clip(canvas.y, 0, None)
    share = np.clip((edge - canvas.y) * 14, 0, 1)
    share = np.maximum(share, np.clip((np.abs(canvas.x) - sides) * 14, 0, 1) * (canvas.y < 0.1))
    strands = 1 + 0.12 * np.sin(canvas.x * 60 + 3 * np.sin(canvas.y * 9 + person.parting))
    tone = np.array(person.hair, np.float32) * strands[..., None]
    canvas.pixels += (tone - canvas.pixels) * share[..., None]
