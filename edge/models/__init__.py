"""The models that come along, by name; their cards are in docs/model-cards."""

from __future__ import annotations

from pathlib import Path

DEFAULT = "accurate"
FOLDER = Path(__file__).parent


def model_names() -> list[str]:
    """The models that come along."""
    return sorted(path.stem for path in FOLDER.glob("*.tflite"))


def model_path(named: str) -> Path:
    """The file of a model that comes along, or the file of that path."""
    return FOLDER / f"{named}.tflite" if named in model_names() else Path(named)
