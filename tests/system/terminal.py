"""A terminal and who sits at it, in the rig: runs a command, types a password where one is asked for, prints what was on the screen.

usage: terminal.py [PASSWORD ...] -- COMMAND...      each once, in this order. Of the standard library alone
"""

from __future__ import annotations

import os
import pty
import sys
import termios
import time

LFLAGS = 3
at = sys.argv.index("--")
passwords = sys.argv[1:at]
screen = b""


def read(terminal: int) -> bytes:
    """What is shown next, answered where it asks."""
    global screen
    shown = os.read(terminal, 4096)
    screen += shown
    asked = screen.rpartition(b"\n")[2].rstrip()
    if passwords and b"assword" in asked and asked.endswith(b":"):
        while termios.tcgetattr(terminal)[LFLAGS] & termios.ECHO:
            time.sleep(0.01)  # polkit's agent shows its prompt first, and what was typed before the echo is off is lost
        os.write(terminal, passwords.pop(0).encode() + b"\n")
    return shown


sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[at + 1 :], read)))
