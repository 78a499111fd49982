"""Runs a real `edge run` and listens in the service manager's place: when it is ready, and when it has handled a frame."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.synth.clip import write_clip
from trainer.synth.person import Person

ADA = 9_000_001
SLOWEST_S = 120.0

_SETTINGS = """
[camera]
source = "{folder}/ada.avi"
replay = "loop"
[model]
path = "{model}"
"""


def prepare(folder: Path, model: str, *, seconds: float = 8.0) -> Path:
    """Writes a settings file for `model`, and a 640x480 clip of a drawn person at 15 frames a second, which it plays in a loop."""
    (folder / "state").mkdir()
    settings = folder / "edge.toml"
    settings.write_text(_SETTINGS.format(folder=folder, model=model))
    write_clip(folder / "ada.avi", Person.from_seed(ADA), 1, seconds)
    return settings


class Running:
    """A daemon's process. `frames` counts how often it fed the watchdog since it was ready, which is once a frame."""

    def __init__(self, process: subprocess.Popen[bytes], notify_socket: socket.socket, began: float) -> None:
        self.process, self.frames = process, 0
        self._notify_socket, self._began, self._ready_at = notify_socket, began, 0.0
        self._news = threading.Condition()
        # Read all the time: a daemon whose messages nobody takes blocks on the next one.
        threading.Thread(target=self._listen, daemon=True).start()

    def ready_s(self) -> float:
        """Waits for READY=1 and returns the seconds from the start of the process until then."""
        self._wait_until(lambda: self._ready_at > 0)
        return self._ready_at - self._began

    def see(self, frames: int) -> None:
        """Waits until the daemon has handled this many more frames."""
        until = self.frames + frames
        self._wait_until(lambda: self.frames >= until)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        with self._news:
            if not self._news.wait_for(condition, SLOWEST_S):
                raise SystemExit(f"not seen within {SLOWEST_S:g} s (the daemon's exit status is {self.process.poll()})")

    def _listen(self) -> None:
        while message := self._notify_socket.recv(4096).decode():
            with self._news:
                if "READY=1" in message:
                    self._ready_at = time.monotonic()
                self.frames += bool(self._ready_at) and "WATCHDOG=1" in message
                self._news.notify_all()


@contextmanager
def running(folder: Path, settings: Path, bus: str) -> Iterator[Running]:
    """Runs `edge run` with the state folder that `prepare` made, and the address `bus` as the system bus."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify_socket:
        notify_socket.bind(str(folder / "notify"))
        environment = {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "STATE_DIRECTORY": str(folder / "state"),
            "DBUS_SYSTEM_BUS_ADDRESS": bus,
        }
        command = [sys.executable, "-m", "edge", "run", "--config", str(settings)]
        began = time.monotonic()
        process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
        try:
            yield Running(process, notify_socket, began)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            (folder / "notify").unlink()
