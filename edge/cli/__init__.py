"""The `edge` command: each command reads its arguments, calls one function, prints what it did. Nothing else of the device prints.

Only the module of the command that was typed is imported, and of `edge --help`, which tells of all, all of them: what a command's work
needs is imported when it begins.
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
"""Where each command is, in the order of `--help`."""


class Commands(typer.core.TyperGroup):
    """Knows all commands by name, and imports one when it is wanted."""

    def list_commands(self, ctx: Any) -> list[str]:
        """See TyperGroup."""
        self._know(MODULES)
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See TyperGroup."""
        # After a slip of the keyboard typer looks for what may have been meant among all that it knows.
        self._know([cmd_name] if cmd_name in MODULES else MODULES)
        return self.commands.get(cmd_name)

    def _know(self, names: Iterable[str]) -> None:
        missing = {MODULES[name] for name in names if name not in self.commands}
        for module in missing:
            import_module(f"edge.cli.{module}")
        if missing:
            # The modules add their commands to the application; a group made of that has them.
            self.commands.update(typer.main.get_group(app).commands)


# A callback, though an empty one: without it an application of no command is none to typer, and of one command no group.
@app.callback(cls=Commands)
def _edge() -> None:
    """Face unlock on the device."""
