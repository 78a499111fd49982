"""The chip specification: where the face chip lies in a detector box, and how large it is. Handles no pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from edge.contract.errors import ModelUnsupported

CHIP_VERSION = 1
"""To be increased whenever `cut_chip` gives different bytes for the same frame, box and specification."""

DEFAULT_SIDE_PX = 64
MIN_SIDE_PX, MAX_SIDE_PX = 32, 256


@dataclass(frozen=True, slots=True)
class ChipSpec:
    """Everything that determines the bytes of a face chip, given a frame and a detector box.

    `scale` is the side of the square, as a multiple of the box's width. `shift_down` moves its centre down, as a fraction of the
    box's height. The defaults suit a frontal Haar box: eyebrows to chin, with little hair, which changes over time. `channels` is 1
    for grey, 3 for blue, green and red.
    """

    version: int = CHIP_VERSION
    detector: str = "haar-alt2"
    scale: float = 1.0
    shift_down: float = 0.09
    side_px: int = DEFAULT_SIDE_PX
    interpolation: str = "linear-exact"
    channels: int = 1

    def __post_init__(self) -> None:
        if self.version != CHIP_VERSION:
            raise ModelUnsupported(
                f"chip contract version {self.version}: this facelatch cuts version {CHIP_VERSION}; "
                "use the release the model was made with, or export the model again"
            )
        if self.interpolation != "linear-exact":
            raise ModelUnsupported(f"chip interpolation {self.interpolation!r}: only 'linear-exact' is known")
        if self.channels not in (1, 3):
            raise ModelUnsupported(f"chip channels {self.channels}: must be 1 or 3")
        if not MIN_SIDE_PX <= self.side_px <= MAX_SIDE_PX:
            raise ModelUnsupported(f"chip side {self.side_px} px: must be {MIN_SIDE_PX} to {MAX_SIDE_PX}")
        if not 0.5 <= self.scale <= 3.0 or not -0.5 <= self.shift_down <= 0.5:
            raise ModelUnsupported(f"chip scale {self.scale}, shift {self.shift_down}: must be 0.5 to 3.0 and -0.5 to 0.5")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a chip: [side, side], or [side, side, 3] in colour."""
        return (self.side_px, self.side_px) if self.channels == 1 else (self.side_px, self.side_px, self.channels)

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: object) -> ChipSpec:
        """Reads what `to_json` wrote.

        Raises:
            ModelUnsupported: a key is missing, unknown or of the wrong type, or the version differs.
        """
        if not isinstance(record, dict):
            raise ModelUnsupported(f"chip specification: expected a table, found {type(record).__name__}")
        values: dict[str, Any] = {"channels": 1, **record}  # all chips were grey before colour was added
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise ModelUnsupported(f"chip specification: keys differ from this version's: {sorted(set(values) ^ known)}")
        default = cls()
        for key, value in values.items():
            expected = type(getattr(default, key))
            accepted: tuple[type, ...] = (int, float) if expected is float else (expected,)
            if isinstance(value, bool) or not isinstance(value, accepted):
                raise ModelUnsupported(f"chip specification: {key} = {value!r} is not of type {expected.__name__}")
        return cls(**values)
