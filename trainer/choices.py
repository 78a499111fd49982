"""The named choices of the command line. Separate from the code that uses them, so that parsing a command loads none of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

RECIPES = Path(__file__).parent / "recipes"


class Several(StrEnum):
    """What `trainer prepare` does with a picture that shows several faces."""

    SKIP = "skip"
    LARGEST = "largest"
    CENTRAL = "central"


class Network(StrEnum):
    """The towers that are built into `trainer fit`."""

    COMPACT = "compact"
    KOCH = "koch"
    RESNET = "resnet"


class Precision(StrEnum):
    """The precision that `trainer fit` computes in. It depends on the machine, not the recipe: a run may be resumed in another one."""

    AUTO = "auto"
    FLOAT32 = "float32"
    MIXED = "mixed"


class Strategy(StrEnum):
    """How `trainer fit` distributes its work: over the GPUs of one machine, or the workers that TF_CONFIG names."""

    AUTO = "auto"
    MIRRORED = "mirrored"
    MULTI_WORKER = "multi-worker"


def recipe_names() -> list[str]:
    """The names of the included recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))
