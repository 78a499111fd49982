"""Draws one frame of a synthetic person: backdrop, shoulders, and a lit ellipsoid head with the face's texture on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.synth.person import Person
from trainer.synth.texture import UNIT_PX, draw_texture
from trainer.synth.view import View


def draw_frame(
    person: Person, view: View, rng: np.random.Generator, *, width: int = 640, height: int = 480
) -> NDArray[np.uint8]:
    """One frame, uint8 [height, width, 3] BGR. `rng` is used for sensor noise only."""
    frame = _backdrop(view.backdrop, width, height)
    half_width = view.size * height
    centre = np.array([width / 2 + view.x * height, height / 2 + view.y * height])
    _shoulders(frame, person, view, centre, half_width)
    _head(frame, person, view, centre, half_width)
    frame = (frame - 110) * view.contrast + 110
    frame *= view.brightness
    if view.blur_px > 0.2:
        frame = cv2.GaussianBlur(frame, (0, 0), view.blur_px)
    frame += rng.standard_normal(frame.shape, np.float32) * np.float32(view.noise)
    return np.clip(frame + 0.5, 0, 255).astype(np.uint8)


def _backdrop(seed: int, width: int, height: int) -> NDArray[np.float32]:
    # A few blots of colour, enlarged: structure on the scale of a room, none on that of a face.
    rng = np.random.default_rng(seed)
    blots = rng.uniform(80, 170, (3, 4, 1)) + rng.normal(0, 12, (3, 4, 3))
    return cv2.resize(blots.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


def _shoulders(frame: NDArray[np.float32], person: Person, view: View, centre: NDArray[np.float64], half_width: float) -> None:
    cloth = np.random.default_rng((view.backdrop, 1)).uniform(30, 200, 3)
    chin = centre[1] + person.half_height * half_width
    middle = (round(centre[0]), round(chin + 1.15 * half_width))
    cv2.ellipse(frame, middle, (round(2.1 * half_width), round(0.95 * half_width)), 0, 0, 360, cloth.tolist(), -1, cv2.LINE_AA)
    neck = tuple(c * 0.72 for c in person.skin)
    at = (round(centre[0]), round(chin))
    cv2.ellipse(frame, at, (round(0.55 * half_width), round(0.7 * half_width)), 0, 0, 360, neck, -1, cv2.LINE_AA)


def _head(frame: NDArray[np.float32], person: Person, view: View, centre: NDArray[np.float64], half_width: float) -> None:
    height, width = frame.shape[:2]
    reach = 1.25 * half_width * person.half_height
    left, top = (max(0, int(centre[i] - reach)) for i in (0, 1))
    right, bottom = min(width, int(centre[0] + reach) + 1), min(height, int(centre[1] + reach) + 1)
    across, down = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    across, down = (across - centre[0]) / half_width, (down - centre[1]) / half_width
    roll = np.radians(view.roll_deg)
    u = across * np.cos(roll) + down * np.sin(roll)
    v = (-across * np.sin(roll) + down * np.cos(roll)) / person.half_height
    # The outline narrows from cheekbones to chin; above, it is the ellipse.
    narrow = 1 - (1 - person.jaw) * np.clip(v / 0.6, 0, 1) ** 2
    u = u / narrow
    distance = np.sqrt(u * u + v * v)
    patch = frame[top:bottom, left:right]

    hair = _coverage(np.sqrt((u / 1.08) ** 2 + ((v + 0.06) / 1.07) ** 2), half_width) * (v < 0.15)
    patch += (np.array(person.hair, np.float32) * 0.8 - patch) * hair[..., None]

    # The visible surface point, rotated back to the frontal pose, gives the texture coordinates.
    z = np.sqrt(np.clip(1 - distance**2, 0, 1))
    yaw, pitch = np.radians(view.yaw_deg), np.radians(view.pitch_deg)
    x0, z0 = u * np.cos(yaw) - z * np.sin(yaw), u * np.sin(yaw) + z * np.cos(yaw)
    y0 = v * np.cos(pitch) - z0 * np.sin(pitch)
    texture = draw_texture(person, view.smile, view.blink)
    columns, rows = ((value + 1) * UNIT_PX - 0.5 for value in (x0, y0))
    skin = cv2.remap(
        texture, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    light = np.array([view.light_x, view.light_y, 1.0])
    light /= np.linalg.norm(light)
    lit = 0.5 + 0.6 * np.clip(u * light[0] + v * light[1] + z * light[2], 0, 1)
    patch += (skin * lit[..., None] - patch) * _coverage(distance, half_width)[..., None]


def _coverage(distance: NDArray[np.float32], half_width: float) -> NDArray[np.float32]:
    # A soft edge of about two pixels.
    return np.clip((1 - distance) * half_width / 2 + 0.5, 0, 1).astype(np.float32)
