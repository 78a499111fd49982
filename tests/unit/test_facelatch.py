"""The commands' common entry point: what a command interrupted with Ctrl-C has kept and how to go on, and errors of its output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main

import edge.cli.shared
import export.cli
import trainer.cli
import trainer.cli.shared

# Imported before a test replaces a function: a module that is first imported meanwhile would keep the replacement for all later tests.
import trainer.compare_models
import trainer.handover
import trainer.report
from tests.commands import typed_here

BEGINS_AGAIN = "; begin again with: "


@pytest.mark.parametrize(
    ("work", "words", "kept"),
    [
        ("trainer.prepare.prepare", ["prepare"], f"not prepared until every picture was looked at{BEGINS_AGAIN}"),
        ("trainer.dlibway.DlibTeacher", ["teach"], "until half a minute ago is kept; go on from there with: "),
        (
            "trainer.fit.fit",
            ["fit", "--data"],
            "last whole epoch is kept, and a finished training whole; go on from there with: ",
        ),
        ("trainer.evaluate.load_subject", ["evaluate"], f"model and the data stay as they are{BEGINS_AGAIN}"),
        ("trainer.importer.import_people", ["import", "lfw"], "that were written stay; the others come with: "),
        ("export.run.read_run", ["tflite"], f"or not at all, and its report after it{BEGINS_AGAIN}"),
    ],
)
def test_what_was_kept_and_how_it_goes_on(
    work: str, words: list[str], kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, stop)
    (tmp_path / "my data/pictures").mkdir(parents=True)
    program = work.partition(".")[0]
    done = typed_here(tmp_path, program, *words, "my data", code=130)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    shown = " ".join(["python -m export" if program == "export" else program, *words, "'my data'"])
    assert line.startswith("interrupted: ")
    assert line.endswith(kept + shown)


def commands(group: Any, above: str = "") -> Iterator[str]:
    for word, command in group.commands.items():
        yield from commands(command, f"{above}{word} ") if hasattr(command, "commands") else [f"{above}{word}"]


@pytest.mark.parametrize(
    ("program", "quick"), [(trainer.cli, {"compare"}), (export.cli, {"inspect", "diff"})], ids=["trainer", "export"]
)
def test_every_command_but_the_quick_ones_says_it(program: Any, quick: set[str]) -> None:
    known = {*commands(typer.main.get_command(program.app))}
    assert {name for name in known if not any(name.startswith(kept) for kept in program.KEPT)} == quick
    assert all(any(name.startswith(kept) for name in known) for kept in program.KEPT)


def test_a_package_that_a_command_turns_out_to_need_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'dbus_fast'", name="dbus_fast")

    monkeypatch.setattr("edge.cli.serving.ask_daemon", lacks)
    done = typed_here(tmp_path, "edge", "status", code=10)
    assert done.stderr == "error[package]: edge needs dbus_fast: pip install 'facelatch[edge]'\n"


def test_what_is_printed_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    for module in (edge.cli.shared, trainer.cli.shared, export.cli):
        module.console.print("name the key in [gallery], or in a[0]:key:")
        assert capsys.readouterr().out == "name the key in [gallery], or in a[0]:key:\n"


def printed_to(out: int) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "edge", "gallery-key", "new", "-"]
    return subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, env=environment, check=False)


def test_an_output_that_a_full_disk_does_not_take_is_told_and_a_reader_that_left_is_not() -> None:
    """Python writes short output only at exit; the error used to be `Exception ignored` and an exit code of Python's own."""
    with open("/dev/full", "wb", 0) as full:
        done = printed_to(full.fileno())
    assert (done.returncode, done.stderr) == (
        9,
        "error[storage]: the output cannot be written: No space left on device; what is there of it is not whole\n",
    )
    ours, theirs = os.pipe()
    os.close(ours)
    done = printed_to(theirs)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_that_nobody_can_be_told_keeps_its_exit_code(tmp_path: Path) -> None:
    """stderr on the same full disk, or closed; 1 of Python's own would be a denial."""
    environment = os.environ | {"STATE_DIRECTORY": str(tmp_path)}
    for words, stderr, code in (
        (["config", "show"], "/dev/full", 9),
        (["config", "show", "--config", str(tmp_path / "none")], "/dev/full", 4),
        (["config", "show", "--config", str(tmp_path / "none")], "&-", 4),
        (["verify", "ada"], "&-", 3),
    ):
        out = "/dev/full" if code == 9 else "/dev/null"
        command = ["sh", "-c", f'exec "$@" >{out} 2>{stderr}', "sh", sys.executable, "-m", "edge", *words]
        assert subprocess.run(command, env=environment, check=False).returncode == code, words


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_what_the_locale_cannot_write_is_written_otherwise(tmp_path: Path, encoding: str) -> None:
    """Formerly the key was made, but an internal error reported, and `edge doctor`, which prints arrows, failed in other locales."""
    key = os.fsencode(tmp_path) + b"/J\xfcrgen.key"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "STATE_DIRECTORY": str(tmp_path)}
    command = [sys.executable, "-m", "edge", "gallery-key", "new", key]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"J\\udcfcrgen.key: key " in done.stdout


@pytest.mark.parametrize("words", [["trainer"], ["export"], ["edge"], []])
def test_each_says_which_release_it_is(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "facelatch", *words, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"facelatch {version('facelatch')}\n"
