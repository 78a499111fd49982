"""The README's commands are commands: those that need no camera and no data run, the others at least exist with their options."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.commands import typed_here

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = [block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)]
RUNNABLE = next(block for block in BLOCKS if block[0].startswith("trainer draw"))
OURS = [line for block in BLOCKS for line in block if re.match(r"(trainer|edge|python -m export) ", line)]


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_block_that_needs_nothing_runs(tmp_path: Path) -> None:
    for line in RUNNABLE:
        done = run(shlex.split(line), tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("line", OURS)
def test_every_command_and_option_exists(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = shlex.split(line.removeprefix("python -m "))
    command = words[:3] if words[1] in ("import", "model", "config") else words[:2]
    told = typed_here(tmp_path, *command, "--help").stdout
    for option in (word for word in words[len(command) :] if word.startswith("--")):
        assert option in told, f"{line}: {option}"


def test_the_manuals_own_network_is_a_tower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.networks import own_tower

    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/training.md").read_text(), re.DOTALL)
    (tmp_path / "mine.py").write_text(block)
    monkeypatch.chdir(tmp_path)
    assert own_tower("mine:tower", 64).output_shape == (None, 64)


def test_the_format_pages_example_reads_the_models(tmp_path: Path) -> None:
    """With nothing but Python: -I keeps this project and its packages away."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/model-format.md").read_text(), re.DOTALL)
    (tmp_path / "read.py").write_text(block)
    for model in (ROOT / "edge/models/accurate.tflite", ROOT / "tests/data/synthetic.tflite"):
        done = run([sys.executable, "-I", "-S", str(tmp_path / "read.py"), str(model)], tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{model.stem} int8 embedding of 128" in done.stdout
        assert "FMR 0.001: score >= 0.9" in done.stdout


def test_the_format_page_names_every_field() -> None:
    page = (ROOT / "docs/model-format.md").read_text()
    with zipfile.ZipFile(ROOT / "edge/models/accurate.tflite") as archive:
        record = json.loads(archive.read("facelatch.json"))
    fields = [*record, *record["gates"][0], *record["operating_points"][0], *record["runtimes"][1], *record["provenance"]]
    assert [field for field in fields if f"`{field}`" not in page and f"`{field}." not in page] == []


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z0-9-]+)", TEXT)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_it_is_short_enough_to_be_read() -> None:
    assert len(TEXT.splitlines()) <= 150
