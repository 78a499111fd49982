"""People to train on, drawn once for all the tests of a process; and signals as a daemon in this process found them."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands import typed_here

MOST = 75


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, int], None]:
    """`drawn(folder, people)`: what `trainer draw` makes there of so many people, 75 at the most, four pictures each."""
    everyone = tmp_path_factory.mktemp("drawn") / "people"
    typed_here(everyone.parent, "trainer", "draw", "people", "--people", str(MOST), "--pictures", "4")
    # A seed draws each person by his or her number, however many are drawn.
    folders = sorted(everyone.iterdir())
    assert len(folders) == MOST

    def put(folder: Path, people: int) -> None:
        for one in folders[:people]:
            shutil.copytree(one, folder / one.name)

    return put


@pytest.fixture
def signals() -> Iterator[None]:
    """The handlers that `Daemon.run` sets, put back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
