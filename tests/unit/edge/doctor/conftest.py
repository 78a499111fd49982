"""A machine made of files in a folder, whose tools give the answers that a test prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge.doctor import Machine

Make = Callable[..., Machine]


@pytest.fixture
def machine(tmp_path: Path) -> Make:
    """`machine(files, answers, is_root=...)`: texts of files by path without the leading slash, answers by the first words of a command."""
    root = tmp_path / "root"

    def make(files: dict[str, str] | None = None, answers: dict[str, str] | None = None, *, is_root: bool = True) -> Machine:
        for name, text in (files or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

        def ask(words: Sequence[str]) -> str | None:
            # The longest match wins.
            starts = (" ".join(words[:end]) for end in range(len(words), 0, -1))
            return next((answers[start] for start in starts if answers and start in answers), None)

        return Machine(root, ask, is_root)

    return make
