"""The `edge` command: each command reads its arguments, calls one function, prints what it did. Nothing else of the device prints.

Only the module of the typed command is imported; `edge --help`, which lists all commands, imports all modules. What a command's work
needs is imported when that work begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import typer.core
import typer.main

from edge.cli.shared import app

__all__ = ["MODULES", "app"]

MODULES = {
    "doctor": "health",
    "verify": "judging",
    "unlock-out": "judging",
    "cameras": "looking",
    "bench": "looking",
    "events": "looking",
    "enroll": "people",
    "list": "people",
    "remove": "people",
    "takeout": "people",
    "migrate": "people",
    "run": "serving",
    "attempt": "serving",
    "status": "serving",
    "gallery-key": "keeping",
    "model": "looking",
    "config": "looking",
}
"""The module of each command, in the order of `--help`."""


class Commands(typer.core.TyperGroup):
    """Knows all commands by name, and imports one when it is wanted."""

    def list_commands(self, ctx: Any) -> list[str]:
        """See TyperGroup."""
        self._load(MODULES)
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See TyperGroup."""
        # For a mistyped name typer suggests similar ones among the commands that it knows.
        self._load([cmd_name] if cmd_name in MODULES else MODULES)
        return self.commands.get(cmd_name)

    def _load(self, names: Iterable[str]) -> None:
        missing = {MODULES[name] for name in names if name not in self.commands}
        for module in missing:
            import_module(f"edge.cli.{module}")
        if missing:
            # The modules add their commands to the application; a group made from it has them.
            self.commands.update(typer.main.get_group(app).commands)


# An empty callback: without one, typer rejects an application without commands, and makes no group of one with a single command.
@app.callback(cls=Commands)
def _edge() -> None:
    """Face unlock on the device."""
