"""The `trainer` command: each command reads its arguments, calls one function, prints what it did.

What loads OpenCV, Keras or a data set is imported where it is used, in the commands: `trainer --help`, and completing a word, are there
at once.
"""

from __future__ import annotations

from importlib import import_module

from trainer.cli.shared import app

__all__ = ["app"]

for module in ("pictures", "training", "figures"):  # in the order of `--help`
    import_module(f"trainer.cli.{module}")
