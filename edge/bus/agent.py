"""polkit's own agent beside a command at a console, so that it can ask for a password there. A desktop has one, which goes before."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = "pkttyagent"
READY_S = 2.0


@contextmanager
def asking_here() -> Iterator[None]:
    """Lets polkit ask in this terminal for what this process wants; nothing where nobody sits at one, for root, or without the program."""
    program = shutil.which(PROGRAM)
    if program is None or os.geteuid() == 0 or not (os.isatty(0) and os.isatty(2)):
        yield
        return
    ready, tell = os.pipe()
    # --fallback: only where there is no other agent.
    words = [program, f"--process={os.getpid()}", f"--notify-fd={tell}", "--fallback"]
    agent = subprocess.Popen(words, pass_fds=[tell])  # noqa: S603 - no shell; the program is the caller's own PATH's, run as the caller
    os.close(tell)
    try:
        # It closes its end once it is there, or has failed and said why.
        select.select([ready], [], [], READY_S)
        os.close(ready)
        yield
    finally:
        agent.terminate()
        agent.wait()
