"""The parameters of a synthetic identity: all that stays the same from picture to picture. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Tone = tuple[float, float, float]  # blue, green, red, 0 to 255


@dataclass(frozen=True, slots=True)
class Person:
    """Lengths are in half widths of the face, heights in half heights, relative to its middle; y points down."""

    half_height: float  # of the face, in half widths
    jaw: float  # width at the mouth's height, 1 is that of the cheekbones
    skin: Tone
    hair: Tone
    hairline: float  # y of the hair's lower edge at the forehead's middle
    temples: float  # how far the hair comes in at the sides
    parting: float  # -1 left to 1 right
    eye_distance: float  # x of an eye's middle
    eye_height: float  # y of the eyes
    eye_width: float
    eye_open: float
    eye_slant: float
    iris: Tone
    socket: float  # darkness around the eyes, 0 to 1
    brow_gap: float
    brow_thickness: float
    brow_slant: float
    brow_arch: float
    brow_tone: float  # 0 as the skin, 1 as the hair or darker
    nose_width: float
    nose_tip: float  # y
    nose_bridge: float  # brightness of the bridge
    mouth_width: float
    mouth_height: float  # y
    lips: float  # thickness
    lip_tone: float  # redness and darkness, 0 to 1
    chin_cleft: float
    cheek: float  # shadow below the cheekbones
    beard: float  # shadow of a beard, 0 to 1
    moustache: float
    glasses: float  # 0 none, else thickness of the rim
    moles: tuple[tuple[float, float], ...]

    @classmethod
    def from_seed(cls, seed: int) -> Person:
        """A random person; the same seed gives the same person."""
        rng = np.random.default_rng((seed, 0xFACE))
        uniform = rng.uniform
        tone = uniform(0.0, 1.0)
        light, dark = np.array([175.0, 200.0, 235.0]), np.array([85.0, 112.0, 158.0])
        skin = light + (dark - light) * tone + rng.normal(0, 6, 3)
        grey = uniform(0, 1) < 0.15
        hair = np.array([150.0, 150.0, 155.0]) if grey else np.array([20.0, 35.0, 55.0]) * uniform(0.4, 2.4)
        man = uniform(0, 1) < 0.5
        return cls(
            half_height=uniform(1.22, 1.5),
            jaw=uniform(0.68, 0.95),
            skin=_tone(skin),
            hair=_tone(hair),
            hairline=uniform(-0.78, -0.5),
            temples=uniform(0.02, 0.16),
            parting=uniform(-1, 1),
            eye_distance=uniform(0.36, 0.47),
            eye_height=uniform(-0.14, -0.02),
            eye_width=uniform(0.15, 0.22),
            eye_open=uniform(0.055, 0.1),
            eye_slant=uniform(-0.12, 0.12),
            iris=_tone(np.array([90.0, 70.0, 50.0]) * uniform(0.4, 1.9, 3)),
            socket=uniform(0.35, 0.8),
            brow_gap=uniform(0.13, 0.22),
            brow_thickness=uniform(0.03, 0.085),
            brow_slant=uniform(-0.07, 0.07),
            brow_arch=uniform(0.0, 0.07),
            brow_tone=uniform(0.45, 1.0),
            nose_width=uniform(0.13, 0.24),
            nose_tip=uniform(0.2, 0.36),
            nose_bridge=uniform(0.1, 0.3),
            mouth_width=uniform(0.24, 0.42),
            mouth_height=uniform(0.48, 0.62),
            lips=uniform(0.025, 0.075),
            lip_tone=uniform(0.25, 1.0),
            chin_cleft=uniform(0.0, 0.35),
            cheek=uniform(0.0, 0.25),
            beard=uniform(0.15, 0.6) if man and uniform(0, 1) < 0.45 else 0.0,
            moustache=uniform(0.3, 0.8) if man and uniform(0, 1) < 0.3 else 0.0,
            glasses=uniform(0.015, 0.035) if uniform(0, 1) < 0.2 else 0.0,
            moles=tuple((uniform(-0.6, 0.6), uniform(0.1, 0.8)) for _ in range(rng.integers(0, 4))),
        )


def _tone(values: np.ndarray) -> Tone:
    blue, green, red = (float(v) for v in np.clip(values, 5, 250))
    return blue, green, red
