"""What all commands share: the application, and options that several take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    help="Data sets, training and evaluation of the face verifier.", no_args_is_help=True, pretty_exceptions_enable=False
)
# What is printed names files and keys: "[gallery]" is no markup, ":key:" no picture.
console = Console(soft_wrap=True, markup=False, emoji=False)

Data = Annotated[Path, typer.Option("--data", help="The data set's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
