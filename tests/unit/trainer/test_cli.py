"""The `trainer` command: its JSON output, and what it loads before a command runs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer.main

from edge.contract.errors import PackageMissing
from tests.conftest import ADA
from trainer.cli import app
from trainer.dlibfile import find_weights

Clip = Callable[[int, int], Path]

# pydantic is not listed, because typer itself reads options with it; the recipes, which are built on it, can be left unloaded.
HEAVY = ("numpy", "cv2", "keras", "tensorflow", "trainer.settings", "trainer.prepare")


def test_help_loads_nothing_that_only_the_work_of_a_command_needs() -> None:
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr))\n"
        "import facelatch\nsys.argv[1:] = ['--help']\nfacelatch.trainer_main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "compare-models" in done.stdout


def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "trainer", *words], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def told(*words: str) -> dict[str, Any]:
    """What a command prints with --json, which must be one JSON object and nothing else."""
    found = json.loads(run(*words, "--json").stdout)
    assert isinstance(found, dict)
    return found


def commands(group: Any, name: str = "trainer") -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        yield from commands(command, f"{name} {word}") if hasattr(command, "commands") else [(f"{name} {word}", command)]


def test_every_command_but_the_demonstration_speaks_to_machines() -> None:
    found = dict(commands(typer.main.get_command(app)))
    without = {name for name, command in found.items() if not any("--json" in one.opts for one in command.params)}
    assert len(found) > 12
    assert without == {"trainer demo"}


def test_pictures_are_told_to_a_machine(clip: Clip, tmp_path: Path) -> None:
    assert told("draw", str(tmp_path / "people"), "--people", "3", "--pictures", "2") == {"people": 3, "pictures": 6}
    assert len([*tmp_path.rglob("*.png")]) == 6
    words = ("--data", str(tmp_path / "data"), "--anchors", "2", "--positives", "1", "--every", "5")
    assert told("capture", "ada", "--camera", str(clip(ADA, 1)), *words) == {
        "person": "ada",
        "taken": {"anchor": 2, "positive": 1},
    }
    with zipfile.ZipFile(tmp_path / "images_background.zip", "w") as archive:
        for drawer in range(3):
            drawing = cv2.imencode(".png", np.full((105, 105), drawer, np.uint8))[1].tobytes()
            archive.writestr(f"images_background/Greek/character01/0001_{drawer:02d}.png", drawing)
    taken = told("import", "omniglot", str(tmp_path / "images_background.zip"), "--data", str(tmp_path / "omniglot"))
    assert taken == {"characters": 1, "drawings": 3}


def test_what_a_teacher_said_is_told_to_a_machine(tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="dlib, the teacher, is not installed")
    try:
        find_weights()
    except PackageMissing as missing:
        pytest.skip(str(missing))
    run("draw", str(tmp_path / "people"), "--people", "2", "--pictures", "1")
    run("import", "people", str(tmp_path / "people"), "--data", str(tmp_path / "data"))
    run("prepare", str(tmp_path / "data"), "--several", "largest")
    written = tmp_path / "data/teacher.npz"
    assert told("teach", str(tmp_path / "data")) == {"vectors": 2, "file": str(written)}
    assert written.exists()
