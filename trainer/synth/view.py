"""The conditions of one picture of a synthetic person: pose, expression, light and camera. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class View:
    """Angles are in degrees; `x` and `y` are the face's middle, `size` its half width, as shares of the frame's height."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    smile: float = 0.0  # -0.5 to 1
    blink: float = 0.0  # 0 open, 1 shut
    light_x: float = 0.0  # where the light comes from, -1 left to 1 right
    light_y: float = -0.4
    brightness: float = 1.0
    contrast: float = 1.0
    blur_px: float = 0.0  # standard deviation
    noise: float = 2.0  # standard deviation, grey levels
    x: float = 0.0  # from the frame's middle
    y: float = 0.0
    size: float = 0.26
    backdrop: int = 0  # seed of the background

    @classmethod
    def random(cls, rng: np.random.Generator) -> View:
        """A random view as in an unposed picture, within the range that a frontal cascade detects."""
        return cls(
            yaw_deg=float(np.clip(rng.normal(0, 7), -16, 16)),
            pitch_deg=float(np.clip(rng.normal(0, 5), -11, 11)),
            roll_deg=float(np.clip(rng.normal(0, 4), -9, 9)),
            smile=float(rng.uniform(-0.2, 0.9)),
            blink=float(rng.uniform(0, 0.4)),
            light_x=float(rng.uniform(-0.7, 0.7)),
            light_y=float(rng.uniform(-0.7, 0.0)),
            brightness=float(rng.uniform(0.75, 1.15)),
            contrast=float(rng.uniform(0.85, 1.15)),
            blur_px=float(rng.uniform(0, 0.9)),
            noise=float(rng.uniform(1, 5)),
            x=float(rng.normal(0, 0.05)),
            y=float(rng.normal(0, 0.03)),
            size=float(rng.uniform(0.23, 0.3)),
            backdrop=int(rng.integers(1 << 30)),
        )
