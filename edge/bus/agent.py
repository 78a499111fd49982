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
def polkit_agent() -> Iterator[None]:
    """Lets polkit ask in this terminal on this process's behalf. Does nothing without a terminal, for root, or without the agent."""
    program = shutil.which(PROGRAM)
    if program is None or os.geteuid() == 0 or not (os.isatty(0) and os.isatty(2)):
        yield
        return
    ready_fd, notify_fd = os.pipe()
    # --fallback: used only if there is no other agent.
    command = [program, f"--process={os.getpid()}", f"--notify-fd={notify_fd}", "--fallback"]
    agent = subprocess.Popen(command, pass_fds=[notify_fd])  # noqa: S603 - no shell; the program is the caller's own PATH's, run as the caller
    os.close(notify_fd)
    try:
        # The agent closes its end of the pipe once it is registered, or has failed and printed why.
        select.select([ready_fd], [], [], READY_S)
        os.close(ready_fd)
        yield
    finally:
        agent.terminate()
        agent.wait()
