"""What a person chooses by name on the command line. Apart from what it means, so that reading the line loads nothing of that."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

RECIPES = Path(__file__).parent / "recipes"


class Several(StrEnum):
    """What `trainer prepare` does with a picture of several faces."""

    SKIP = "skip"
    LARGEST = "largest"
    CENTRAL = "central"


class Network(StrEnum):
    """The towers that `trainer fit` knows."""

    COMPACT = "compact"
    KOCH = "koch"
    RESNET = "resnet"


class Precision(StrEnum):
    """What `trainer fit` computes in. The machine's matter, not the recipe's: a run may go on in another."""

    AUTO = "auto"
    FLOAT32 = "float32"
    MIXED = "mixed"


class Strategy(StrEnum):
    """How `trainer fit` shares its work out: among the GPUs of a machine, or the workers that TF_CONFIG names."""

    AUTO = "auto"
    MIRRORED = "mirrored"
    MULTI_WORKER = "multi-worker"


def recipe_names() -> list[str]:
    """The recipes that come along."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))
