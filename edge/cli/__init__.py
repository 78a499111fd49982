"""The `edge` command: each command reads its arguments, calls one function, prints what it did. Nothing else of the device prints."""

from edge.cli import judging, keeping, looking, people
from edge.cli.shared import app

__all__ = ["app", "judging", "keeping", "looking", "people"]
