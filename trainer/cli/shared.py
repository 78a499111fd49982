"""The Typer application, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    help="Data sets, training and evaluation of the face verifier.", no_args_is_help=True, pretty_exceptions_enable=False
)
# Output contains file names and keys: "[gallery]" must not be taken for markup, nor ":key:" for an emoji.
console = Console(soft_wrap=True, markup=False, emoji=False)

Data = Annotated[Path, typer.Option("--data", help="The data set's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
