"""The `edge` command: each command reads its arguments, calls one function, prints what it did. Nothing else of the device prints."""

from edge.cli import health, judging, keeping, looking, people, serving
from edge.cli.shared import app

__all__ = ["app", "health", "judging", "keeping", "looking", "people", "serving"]
