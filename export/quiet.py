"""Keeps the converter's log off the terminal, but shows all of it after an error."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back everything written to descriptors 1 and 2, even by C++ code, and Python's warnings."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile("w+") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        failed = True
        try:
            with warnings.catch_warnings(action="ignore"):
                yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in enumerate(saved, start=1):
                os.dup2(original, descriptor)
                os.close(original)
            if failed:
                log.seek(0)
                shutil.copyfileobj(log, sys.stderr)
