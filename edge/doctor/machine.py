"""The machine under examination: its files below a root, and the output of its tools. Changes nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

UNIT = "facelatch.service"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PATIENCE_S = 10.0


def ask(words: Sequence[str]) -> str | None:
    """The output of a tool; None if it is missing, fails or does not answer within _PATIENCE_S."""
    try:
        done = subprocess.run(  # noqa: S603 - our own fixed words, no shell
            list(words),
            env={"PATH": _PATH, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class Machine:
    """`root` is / except in tests; `ask` runs a tool; `is_root` says whether this process can see everything."""

    root: Path = Path("/")
    ask: Callable[[Sequence[str]], str | None] = ask
    is_root: bool = os.geteuid() == 0

    def text(self, name: str) -> str | None:
        """The text of a file, stripped; None if it cannot be read."""
        try:
            return (self.root / name).read_text(errors="replace").strip("\0 \n")
        except OSError:
            return None

    def has_systemd(self) -> bool:
        """Whether systemd is the machine's init."""
        return (self.root / "run/systemd/system").is_dir()

    def unit(self, name: str, *properties: str) -> dict[str, str] | None:
        """Properties of a unit; None if systemd does not run or does not answer."""
        output = self.ask(["systemctl", "show", name, f"--property={','.join(properties)}"]) if self.has_systemd() else None
        return None if output is None else dict(line.split("=", 1) for line in output.splitlines() if "=" in line)

    def user_id(self, name: str) -> int | None:
        """The number of a local user."""
        return self._number("etc/passwd", name)

    def group_id(self, name: str) -> int | None:
        """The number of a local group."""
        return self._number("etc/group", name)

    def groups_of(self, user: str, extra: Collection[str] = ()) -> set[int]:
        """The numbers of a local user's groups, and of the groups named in `extra`."""
        own = (entry[3] for entry in self._entries("etc/passwd") if entry[0] == user)
        joined = (entry[2] for entry in self._entries("etc/group") if entry[0] in extra or user in entry[3].strip().split(","))
        return {int(number) for number in (*own, *joined) if number.isdigit()}

    def _entries(self, file: str) -> list[list[str]]:
        entries = [line.split(":") for line in (self.text(file) or "").splitlines()]
        return [entry for entry in entries if len(entry) > 3]

    def _number(self, file: str, name: str) -> int | None:
        return next((int(entry[2]) for entry in self._entries(file) if entry[0] == name and entry[2].isdigit()), None)
