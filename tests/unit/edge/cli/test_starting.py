"""Commands import their own module, and nothing that only the daemon's work needs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import edge.cli
from edge.cli import MODULES, app

# pydantic is not in the list because typer itself uses it; edge.settings, which is built on it, is.
HEAVY = ("numpy", "cv2", "edge.camera", "edge.station", "edge.settings", "edge.journal")
# Prepared answers replace the daemon at `ask`, where commands would call it over the bus.
ASKING = """
import json, sys
import edge.cli.shared as shared
answers = json.loads(sys.argv.pop(1))
shared.ask = lambda work: answers
import facelatch, atexit
atexit.register(lambda: print([name for name in {heavy} if name in sys.modules], file=sys.stderr))
facelatch.edge_main()
"""
ACCEPTED = '{"accepted": true, "subject": "ada", "score": 0.99, "frames": 3, "operating_point": "fmr-1e-3"}'
DENIED = '{"accepted": false, "reason": "too-dark", "frames": 3, "operating_point": "fmr-1e-3"}'


@pytest.mark.parametrize(
    ("answer", "words", "code", "said"),
    [
        ('{"camera": "closed"}', ["status"], 0, "closed"),
        ('{"camera": "closed"}', ["status", "--json"], 0, "closed"),
        (ACCEPTED, ["verify", "ada"], 0, "accepted: ada"),
        (DENIED, ["verify"], 1, "turn a light on"),
        ("[]", ["attempt"], 0, "is judged, unless locked out"),
        ("[]", ["remove", "ada"], 0, "removed ada"),
    ],
)
def test_a_command_that_a_daemon_answers_imports_none_of_its_work(answer: str, words: list[str], code: int, said: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "STATE_DIRECTORY"}
    command = [sys.executable, "-c", ASKING.format(heavy=HEAVY), answer, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "[]\n")
    assert said in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["bench", "--help"], ["gallery-key", "--help"]])
def test_help_imports_none_of_what_it_tells_of(words: list[str]) -> None:
    """The help of all commands, of a command that works with a camera and a model, and of a group."""
    command = [sys.executable, "-c", ASKING.format(heavy=HEAVY), "null", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "Usage: edge" in done.stdout


def test_completing_a_command_imports_none_of_it() -> None:
    code = f"import sys, edge.cli.serving\nprint([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    asked = os.environ | {"_EDGE_COMPLETE": "complete_bash", "COMP_WORDS": "edge sta", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-m", "edge"], env=asked, capture_output=True, text=True, check=True)
    assert done.stdout == "status\n"


def test_every_command_is_where_the_table_says() -> None:
    """Once all modules are loaded, the registered commands are those of the table, each from the module that it names."""
    for path in Path(edge.cli.__file__).parent.glob("*.py"):
        import_module(f"edge.cli.{path.stem}" if path.stem != "__init__" else "edge.cli")
    found = {info.name or info.callback.__name__: info.callback.__module__ for info in app.registered_commands}
    groups = {info.name: info.typer_instance.registered_commands[0].callback.__module__ for info in app.registered_groups}
    assert found | groups == {name: f"edge.cli.{module}" for name, module in MODULES.items()}


def test_a_slip_of_the_keyboard_is_answered_with_what_was_meant() -> None:
    done = subprocess.run([sys.executable, "-m", "edge", "statsu"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'status'" in done.stderr
