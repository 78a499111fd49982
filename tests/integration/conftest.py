"""People to train on, drawn once for all the tests of a process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
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
