"""Drawn people to train on, made once per process; and restored signal handlers after a daemon ran in this process."""

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
    """`drawn(folder, people)`: puts that many people of `trainer draw` (75 at most) into the folder, four pictures each."""
    everyone = tmp_path_factory.mktemp("drawn") / "people"
    typed_here(everyone.parent, "trainer", "draw", "people", "--people", str(MOST), "--pictures", "4")
    # A person depends only on the seed and on his or her number, so the first few are the same as in a smaller set.
    folders = sorted(everyone.iterdir())
    assert len(folders) == MOST

    def put(folder: Path, people: int) -> None:
        for one in folders[:people]:
            shutil.copytree(one, folder / one.name)

    return put


@pytest.fixture
def signals() -> Iterator[None]:
    """Restores the handlers of the signals for which `Daemon.run` sets its own."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
