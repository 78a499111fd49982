"""The entry point of all commands: `facelatch trainer|export|edge ...`, and the scripts of those names. Turns errors into exit codes."""

from __future__ import annotations

import errno
import importlib
import io
import os
import shlex
import sys
import traceback
from types import ModuleType
from typing import NoReturn, TextIO

from edge.contract.errors import ExitCode, FacelatchError

USAGE = """usage: facelatch trainer|export|edge ...

  facelatch trainer   data sets, training, evaluation     (workstation)
  facelatch export    a trained run to one TFLite file    (workstation)
  facelatch edge      enrolment, verification, the daemon (device)

`export` alone is a word of the shell: type `python -m export`, `facelatch export` or `uv run export`.
Each has --help, and --version.
example: facelatch edge enroll ada --camera /dev/video0"""


def trainer_main() -> NoReturn:
    """The `trainer` command."""
    _run("trainer", sys.argv[1:])


def export_main() -> NoReturn:
    """The `export` command."""
    _run("export", sys.argv[1:])


def edge_main() -> NoReturn:
    """The `edge` command."""
    _run("edge", sys.argv[1:])


def main() -> NoReturn:
    """The umbrella command `facelatch`."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE)
        sys.exit(ExitCode.OK)
    if name == "--version":
        _print_version()
    if name not in ("trainer", "export", "edge"):
        print(f"error[usage]: {name!r}: no such command\n{USAGE}", file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    _run(name, rest)


def _run(name: str, arguments: list[str]) -> NoReturn:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the locale lacks, or a name that is not UTF-8, must not fail a command that did its work.
        sys.stdout.reconfigure(errors="backslashreplace")
    if arguments == ["--version"]:
        _print_version()
    try:
        try:
            _load(name).app(args=arguments, prog_name=name)
        finally:
            _flush_output()
    except FacelatchError as error:
        _print_error(f"error[{error.code}]: {error}")
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:  # a module that a command imports only when needed
        _report_missing(name, error)
    except BrokenPipeError:
        # The reader, such as `head`, has gone: there is nobody left to report to.
        _discard_output(sys.stdout)
        sys.exit(ExitCode.OK)
    except SystemExit as ended:
        # Typer turns Ctrl-C into this status, without a message.
        if ended.code == ExitCode.INTERRUPTED and (note := _interruption_note(name, arguments)):
            command_line = shlex.join([*(["python", "-m"] if name == "export" else []), name, *arguments])
            _print_error(f"interrupted: {note}: {command_line}")
        raise
    except KeyboardInterrupt:  # before Typer took over
        _print_error("interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            _report_defect()
        _print_error(f"error[storage]: the output cannot be written: {error.strerror}; what is there of it is not whole")
        _discard_output(sys.stdout)
        sys.exit(ExitCode.STORAGE)
    except Exception:  # noqa: BLE001 - the last resort: a crash must not look like a denial, whose exit code is Python's own
        _report_defect()
    sys.exit(ExitCode.OK)


def release() -> str:
    """Which release is installed; in words if none is."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("facelatch")
    except PackageNotFoundError:
        return "not installed, run from its sources"


def _print_version() -> NoReturn:
    print(f"facelatch {release()}")
    sys.exit(ExitCode.OK)


def _report_defect() -> NoReturn:
    _print_error(f"{traceback.format_exc()}error[internal]: a defect of facelatch; please report the lines above")
    sys.exit(ExitCode.INTERNAL)


def _flush_output() -> None:
    """Flushes now rather than at Python's exit, so that a full disk is reported. A reader that has gone changes no exit code."""
    try:
        if sys.stdout is not None:  # it is None if it was closed before the start
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output(sys.stdout)


def _print_error(text: str) -> None:
    """Prints to stderr. If that takes nothing, as on a full disk, the exit code still tells."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _discard_output(sys.stderr)


def _discard_output(stream: TextIO) -> None:
    """Discards the buffered output, which would fail again at Python's exit and change the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{name}.cli")
    except ModuleNotFoundError as error:
        _report_missing(name, error)


def _report_missing(name: str, error: ModuleNotFoundError) -> NoReturn:
    extra = "edge" if name == "edge" else "trainer"
    _print_error(f"error[package]: {name} needs {error.name}: pip install 'facelatch[{extra}]'")
    sys.exit(ExitCode.PACKAGE)


def _interruption_note(name: str, arguments: list[str]) -> str:
    """What an interrupted command leaves behind and how to go on, from the KEPT of its program; empty if it says nothing."""
    notes: dict[str, str] = getattr(_load(name), "KEPT", {})
    return next((note for command, note in notes.items() if arguments[: len(words := command.split())] == words), "")


if __name__ == "__main__":
    main()
