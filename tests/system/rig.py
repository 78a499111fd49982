"""A booted Debian to install into: systemd, journald and D-Bus on a throw-away overlay of this machine's own root; no network.

Its changes are in memory and gone after `close`. It starts none of this machine's own services. It supports a unit's sandbox, sd_notify,
watchdog and restarts, but not MemoryMax=, TasksMax= and DeviceAllow=, which need cgroups and BPF of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TOOLS = ("/usr/bin/python3", "systemd-nspawn", "nsenter", "unshare", "dbus-daemon", "journalctl", "systemd-sysusers")
# Debian's Python modules that are needed as well; with a network the installer would install them.
MODULES = "import ensurepip, venv, systemd.journal"
# The path of `Rig.shared` in the rig.
SHARED = Path("/srv")

_TARGET = """[Unit]
Requires=basic.target dbus.service systemd-journald.service
After=basic.target dbus.service
AllowIsolate=yes
"""
# The traces of an installation on this machine itself, removed from the overlay.
_FOREIGN = (
    "opt/facelatch",
    "etc/facelatch",
    "var/lib/facelatch",
    "usr/local/bin/edge",
    "etc/systemd/system/multi-user.target.wants",
)


def missing() -> str:
    """Why there can be no rig on this machine; empty if there can."""
    if os.geteuid() != 0:
        return "needs root"
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"not installed: {', '.join(absent)}; make test-system installs them"
    if subprocess.run(["/usr/bin/python3", "-c", MODULES], capture_output=True, check=False).returncode:
        return "Debian's python3-venv or python3-systemd is not installed; make test-system installs them"
    if subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode:
        return "this machine lets nobody mount"
    return ""


class Rig:
    """One booted system. `shared` is a folder of this machine that the rig has as /srv."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="facelatch-rig-"))
        self.root, self.shared = self._home / "root", self._home / "srv"
        memory = self._home / "memory"
        for folder in (self.root, self.shared, memory):
            folder.mkdir()
            folder.chmod(0o755)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        _do("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", memory)
        (memory / "upper").mkdir()
        (memory / "work").mkdir()
        layers = f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work"
        _do("mount", "-t", "overlay", "-o", layers, "overlay", self.root)
        for name in _FOREIGN:
            path = self.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        (self.root / "etc/fstab").unlink(missing_ok=True)
        (self.root / "etc/machine-id").write_text("")
        (self.root / "etc/systemd/system/multi-user.target").write_text(_TARGET)
        shutil.rmtree(self.root / "usr/lib/systemd/system/multi-user.target.wants", ignore_errors=True)
        (self.root / "var/log/journal").mkdir(exist_ok=True)  # kept over reboots

    def boot(self) -> float:
        """Boots the rig. Returns the seconds until systemd says that it is up."""
        begun = time.monotonic()
        command = [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={self.root}", "--private-network", "--console=pipe",
            f"--bind-ro={self.shared}:{SHARED}", "--boot", "systemd.unit=multi-user.target", "systemd.log_target=journal",
        ]  # fmt: skip
        unified = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with (self._home / "console").open("wb") as console:
            self._nspawn = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=unified,
            )
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")

        def up() -> bool:
            if self._nspawn is None or self._nspawn.poll() is not None:
                raise RuntimeError(f"the rig does not boot: {(self._home / 'console').read_text()}")
            self._leader = int((children.read_text().split() or ["0"])[0])
            return bool(self._leader) and not self.run("test", "-S", "/run/systemd/private", check=False).returncode

        until(up, 30, "systemd's socket")
        self.run("systemctl", "is-system-running", "--wait", check=False)
        return time.monotonic() - begun

    def power_off(self) -> None:
        """Shuts it down in order, as `poweroff` does."""
        assert self._nspawn is not None
        os.kill(self._leader, signal.SIGRTMIN + 4)
        try:
            self._nspawn.wait(60)
        except subprocess.TimeoutExpired:
            os.kill(self._leader, signal.SIGKILL)
            self._nspawn.wait()
            raise
        finally:
            self._nspawn = None

    def close(self) -> None:
        """Shuts the rig down and removes all of it."""
        try:
            if self._nspawn is not None:
                self.power_off()
        finally:
            _do("umount", self.root)
            _do("umount", self._home / "memory")
            shutil.rmtree(self._home)

    def run(self, *words: object, check: bool = True, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs a command in the rig, as root. Raises AssertionError with the end of the journal if it fails, unless `check` is False."""
        inside = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]
        done = subprocess.run(
            [*inside, *clean, *map(str, words)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
        )
        if check and done.returncode:
            told = self.run("journalctl", "--no-pager", "--lines=20", check=False).stdout
            raise AssertionError(
                f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}\nthe journal's end:\n{told}"
            )
        return done

    def entries(self, since: str = "", **fields: str) -> list[dict[str, Any]]:
        """The journal's entries with these fields, oldest first; after the cursor `since`."""
        after = [f"--after-cursor={since}"] if since else []
        told = self.run("journalctl", "--output=json", "--no-pager", *after).stdout
        # Not filtered by journalctl, which with --after-cursor skips the first match even if it is not the cursor's entry.
        found = [json.loads(line) for line in told.splitlines()]
        return [
            entry
            for entry in found
            if fields.items() <= {key: value for key, value in entry.items() if isinstance(value, str)}.items()
        ]

    def cursor(self) -> str:
        """Where the journal ends now."""
        told = self.run("journalctl", "--lines=0", "--show-cursor", "--quiet").stdout
        return told.removeprefix("-- cursor: ").strip()

    def wait_for(self, since: str, timeout_s: float = 30, **fields: str) -> dict[str, Any]:
        """Waits for the first entry with these fields after the cursor `since`. Raises TimeoutError."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = self.entries(since, **fields)
            return bool(found)

        try:
            until(there, timeout_s, str(fields))
        except TimeoutError as error:
            told = self.run("journalctl", "--no-pager", "--output=short", f"--after-cursor={since}").stdout
            raise TimeoutError(f"{error}; the journal since:\n{told}") from None
        return found[0]

    def property(self, unit: str, name: str) -> str:
        """A unit's property, as `systemctl show` prints it."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()


@contextmanager
def booted(prepare: Callable[[Rig], None]) -> Iterator[Rig]:
    """A booted rig, removed afterwards; `prepare` may write into its root and its /srv before it boots."""
    rig = Rig()
    try:
        prepare(rig)
        rig.boot()
        yield rig
    finally:
        rig.close()


def until(true: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Polls until `true()` holds. Raises TimeoutError."""
    end = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.05)


def _do(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)
