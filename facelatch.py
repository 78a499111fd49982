"""The commands' one way in: `facelatch trainer|export|edge ...`, and the scripts of those names. Turns errors into exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from edge.contract.errors import ExitCode, FacelatchError

USAGE = """usage: facelatch trainer|export|edge ...

  facelatch trainer   data sets, training, evaluation     (workstation)
  facelatch export    a trained run to one TFLite file    (workstation)
  facelatch edge      enrolment, verification, the daemon (device)

`export` alone is a word of the shell: type `python -m export`, `facelatch export` or `uv run export`.
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
    if name not in ("trainer", "export", "edge"):
        print(f"error[usage]: {name!r}: no such command\n{USAGE}", file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    _run(name, rest)


def _run(name: str, arguments: list[str]) -> NoReturn:
    try:
        _load(name)(args=arguments, prog_name=name)
    except FacelatchError as error:
        print(f"error[{error.code}]: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader, such as `head`, has gone: nothing is left to tell anyone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(ExitCode.INTERRUPTED)
    except Exception:  # noqa: BLE001 - the last resort: a crash must not look like a denial, whose exit code is Python's own
        traceback.print_exc()
        print("error[internal]: a defect of facelatch; please report the lines above", file=sys.stderr)
        sys.exit(ExitCode.INTERNAL)
    sys.exit(ExitCode.OK)


def _load(name: str) -> Callable[..., object]:
    try:
        app: Callable[..., object] = importlib.import_module(f"{name}.cli").app
    except ModuleNotFoundError as error:
        extra = "edge" if name == "edge" else "trainer"
        print(f"error[package]: {name} needs {error.name}: pip install 'facelatch[{extra}]'", file=sys.stderr)
        sys.exit(ExitCode.PACKAGE)
    return app


if __name__ == "__main__":
    main()
