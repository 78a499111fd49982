"""The README's commands work: those for the device run with a clip as the camera, and those that need no data run as they are. The
others exist with their options, and those that install are commands that the rig in tests/system runs.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge.contract.errors import ExitCode
from tests.commands import typed_here
from tests.conftest import ADA, MODEL

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = [block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)]
RUNNABLE = next(block for block in BLOCKS if block[0].startswith("trainer draw"))
DEVICE = next(block for block in BLOCKS if block[0].startswith("edge "))
INSTALLER, UNIT = "deploy/install.sh", "facelatch"
INSTALL = next(block for block in BLOCKS if block[0].startswith(f"sudo {INSTALLER}"))
OURS = [line for block in BLOCKS for line in block if re.match(r"(trainer|edge|python -m export) ", line)]


def run(words: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"} | more
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_block_that_needs_nothing_runs(tmp_path: Path) -> None:
    for line in RUNNABLE:
        done = run(shlex.split(line), tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


# The installed command, but with another default path of the settings.
EDGE = """#!{python}
import pathlib
import edge.settings
edge.settings.DEFAULT_PATH = pathlib.Path("{home}/edge.toml")
import facelatch
facelatch.edge_main()
"""
SETTINGS = f"""
[camera]
source = "enrolment.avi"
[model]
path = "{MODEL}"
[detection]
min_face_px = 60
[service]
bus = false
"""
# Commands that cannot succeed here: no daemon answers for the test's own state folder, and reading the journal needs a package.
NOT_DONE = {"edge status": ExitCode.REFUSED} | ({} if find_spec("systemd") else {"edge events": ExitCode.PACKAGE})


def test_the_devices_block_runs_as_typed(tmp_path: Path, clip: Callable[[int, int], Path]) -> None:
    """The commands run in order, after the enrolment of the preceding block, with a drawn person's clip in place of the camera's path."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/edge").write_text(EDGE.format(python=sys.executable, home=tmp_path))
    (tmp_path / "bin/edge").chmod(0o755)
    (tmp_path / "edge.toml").write_text(SETTINGS)
    for name, take in (("enrolment.avi", 1), ("clip.mp4", 2)):
        (tmp_path / name).symlink_to(clip(ADA, take))
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    (first,) = (line.removeprefix("sudo ") for line in INSTALL if "edge enroll" in line)
    said = {}
    for line in (first, *DEVICE):
        words = shlex.split(line.replace("/dev/video0", "clip.mp4"))
        done = run(words, tmp_path, PATH=path, PYTHONPATH=str(ROOT), STATE_DIRECTORY=str(tmp_path / "state"))
        code = NOT_DONE.get(" ".join(words[:2]), ExitCode.OK)
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, line
        said[line] = done.stdout
    assert "enrolled ada with 8 templates" in said[first]
    assert json.loads(said["edge verify ada --camera /dev/video0 --json"])["subject"] == "ada"
    assert "16 templates, 8 of them new" in said["edge enroll ada --add"]
    assert len(json.loads((tmp_path / "ada.json").read_text())["templates"]) == 16
    assert list((tmp_path / "state/gallery").iterdir()) == []


@pytest.mark.parametrize("line", OURS)
def test_every_command_and_option_exists(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = shlex.split(line.removeprefix("python -m "))
    command = words[:3] if words[1] in ("import", "model", "config") else words[:2]
    told = typed_here(tmp_path, *command, "--help").stdout
    for option in (word for word in words[len(command) :] if word.startswith("--")):
        assert option in told, f"{line}: {option}"


def typed_in_the_rig() -> Iterator[tuple[str, ...]]:
    """The words of every call, list and tuple in tests/system, among them the commands run there. Words that are not literals are empty."""
    for path in sorted((ROOT / "tests/system").glob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call | ast.List | ast.Tuple):
                words = tuple(said(word) for word in (call.args if isinstance(call, ast.Call) else call.elts))
                # `Installed.install` runs the installer with these options.
                is_install = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "install"
                yield (INSTALLER, *words) if is_install else words


def said(word: ast.expr) -> str:
    """A word as it would be typed, with one name for all people and one for the unit."""
    if isinstance(word, ast.BinOp) and isinstance(word.op, ast.Div):  # SHARED / "deploy/install.sh"
        return said(word.right).removeprefix("source/")
    if isinstance(word, ast.Name) and word.id == "UNIT":
        return UNIT
    text = word.value if isinstance(word, ast.Constant) and isinstance(word.value, str) else ""
    return re.sub(r"\b(eve|ada)\b", "ada", text.removesuffix(".service"))


def is_typed(words: list[str], calls: list[tuple[str, ...]]) -> bool:
    """Whether some call contains these words in this order, perhaps with others between them."""
    return any(all(word in left for word in words) for call in calls if (left := iter(call)))


def test_what_installs_is_what_the_rig_types() -> None:
    """The command that follows the journal never ends, so it is only compared, not looked for in the rig."""
    calls = list(typed_in_the_rig())
    for line in INSTALL:
        words = shlex.split(line.removeprefix("sudo "))
        if words[0] == "journalctl":
            assert words == ["journalctl", "-u", UNIT, "-f"]
        else:
            assert is_typed(words, calls), line
    assert not is_typed(["systemctl", "enable", "--later", UNIT], calls)
    assert not is_typed(["edge", "enroll", "--add", "ada"], calls)


def test_the_installers_options_are_tried_in_the_rig() -> None:
    calls = list(typed_in_the_rig())
    (prose,) = re.findall(r"```\n\n(`--model FILE`.*?)```sh\nedge ", TEXT, re.DOTALL)
    options = {code.split()[0] for code in re.findall(r"`(--[^`]+)`", prose)}
    assert {"--model", "--dry-run", "--roll-back", "--uninstall", "--purge", "--root", "--wheels"} <= options
    told = subprocess.run([ROOT / INSTALLER, "--help"], capture_output=True, text=True, check=True).stdout
    for option in options:
        assert f"  {option} " in told, option
        assert any(option in call for call in calls), option


def test_the_manuals_own_network_is_a_tower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.networks import own_tower

    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/training.md").read_text(), re.DOTALL)
    (tmp_path / "mine.py").write_text(block)
    monkeypatch.chdir(tmp_path)
    assert own_tower("mine:tower", 64).output_shape == (None, 64)


def test_the_format_pages_example_reads_the_models(tmp_path: Path) -> None:
    """Plain Python is enough: -I and -S keep this project and its packages away."""
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
