"""What a person sees of what takes long, on standard error: bars and words on a terminal, one line each elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Within, `what` is being done, nobody knows for how long."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(what):
            yield
    else:
        print(what, file=sys.stderr, flush=True)
        yield


def epoch_bar() -> Progress:
    """A bar for each epoch, with a `note` behind it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
