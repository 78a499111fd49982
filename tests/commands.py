"""Commands typed in a folder: as a process of its own, or in this process, where TensorFlow's start would cost more than the command."""

from __future__ import annotations

import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest

import facelatch


def typed(folder: Path, module: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The command as a person types it."""
    done = subprocess.run([sys.executable, "-m", module, *words], cwd=folder, capture_output=True, text=True, check=False)
    return _ended(done, code)


def typed_here(folder: Path, module: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The same way in, with the same words, exit code and texts, without a process."""
    out, told = StringIO(), StringIO()
    with (
        chdir(folder),
        patch.object(sys, "argv", [module, *words]),
        redirect_stdout(out),
        redirect_stderr(told),
        pytest.raises(SystemExit) as end,
    ):
        getattr(facelatch, f"{module}_main")()
    return _ended(subprocess.CompletedProcess(words, int(end.value.code), out.getvalue(), told.getvalue()), code)


def _ended(done: subprocess.CompletedProcess[str], code: int) -> subprocess.CompletedProcess[str]:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done
