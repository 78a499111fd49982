"""A machine made of files in a folder, whose tools answer what a test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.doctor import Machine

Make = Callable[..., Machine]


@pytest.fixture
def machine(tmp_path: Path) -> Make:
    """`machine(files, answers, is_root=...)`: files by their paths without the first slash, answers by a tool's name."""
    root = tmp_path / "root"

    def make(files: dict[str, str] | None = None, answers: dict[str, str] | None = None, *, is_root: bool = True) -> Machine:
        for name, text in (files or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return Machine(root, lambda words: (answers or {}).get(words[0]), is_root)

    return make
