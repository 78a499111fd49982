"""Progress of long operations on standard error: bars and a spinner on a terminal, one line each elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def show_status(message: str) -> Iterator[None]:
    """Shows `message` while its block runs, for work of unknown length."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(message):
            yield
    else:
        print(message, file=sys.stderr, flush=True)
        yield


def epoch_bar() -> Progress:
    """A bar for each epoch, followed by a `note`; disabled without a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
