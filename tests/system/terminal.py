"""A terminal and its user, in the rig: runs a command, types a password when asked for one, prints what was on the screen.

usage: terminal.py [PASSWORD ...] -- COMMAND...      each password is typed once, in this order. Uses only the standard library
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
    """Reads what is shown next, and answers it if it is a password prompt."""
    global screen
    shown = os.read(terminal, 4096)
    screen += shown
    asked = screen.rpartition(b"\n")[2].rstrip()
    if passwords and b"assword" in asked and asked.endswith(b":"):
        while termios.tcgetattr(terminal)[LFLAGS] & termios.ECHO:
            time.sleep(0.01)  # polkit's agent turns the echo off after its prompt, and what was typed before is lost
        os.write(terminal, passwords.pop(0).encode() + b"\n")
    return shown


sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[at + 1 :], read)))
