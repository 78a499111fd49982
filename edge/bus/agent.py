"""Runs polkit's text agent beside a console command, so that polkit can ask for a password there. Gives way to a desktop's agent."""

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
    """Lets polkit ask in this terminal on this process's behalf. Does nothing without a terminal, for root, or without the agent."""
    program = shutil.which(PROGRAM)
    if program is None or os.geteuid() == 0 or not (os.isatty(0) and os.isatty(2)):
        yield
        return
    ready, tell = os.pipe()
    # --fallback: used only if there is no other agent.
    words = [program, f"--process={os.getpid()}", f"--notify-fd={tell}", "--fallback"]
    agent = subprocess.Popen(words, pass_fds=[tell])  # noqa: S603 - no shell; the program is the caller's own PATH's, run as the caller
    os.close(tell)
    try:
        # The agent closes its end of the pipe once it is registered, or has failed and printed why.
        select.select([ready], [], [], READY_S)
        os.close(ready)
        yield
    finally:
        agent.terminate()
        agent.wait()
