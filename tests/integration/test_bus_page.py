"""docs/dbus.md shows `busctl` calls with their answers: run in order at a door that sees a person, they give these answers."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ADA, MODEL
from tests.integration.private_bus import private_bus

pytestmark = [
    pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program}: apt install {package}")
    for program, package in (("dbus-daemon", "dbus"), ("busctl", "systemd"))
]

PAGE = Path(__file__).parents[2] / "docs/dbus.md"
SETTINGS = """
[camera]
source = "{clip}"
replay = "{replay}"
[model]
path = "{model}"
[detection]
min_face_px = 60
[intent]
kind = "call"
[service]
refuse_remote = false  # there is no logind on the tests' bus
"""
# Values that differ with the device, the model or the release.
OWN = re.compile(r'"(source|model|model_id|runtime)" s "[^"]+"')


def shown() -> Iterator[tuple[str, str]]:
    """Each command of the page's block, and the answer shown below it."""
    (block,) = re.findall(r"```console\n(\$ busctl.*?)```", PAGE.read_text(), re.DOTALL)
    for part in block.removeprefix("$ ").split("\n$ "):
        command, _, answer = part.partition("\n")
        yield command, answer.strip()


@pytest.fixture
def door(tmp_path: Path, clip: Callable[[int, int], Path]) -> Iterator[dict[str, str]]:
    """The environment for programs on the bus of a daemon with ada enrolled and in front of its camera."""
    (tmp_path / "state").mkdir()
    given = {}
    for replay in ("fast", "loop"):
        path = tmp_path / f"{replay}.toml"
        path.write_text(SETTINGS.format(clip=clip(ADA, 1), replay=replay, model=MODEL))
        given[replay] = ("--config", str(path))
    with private_bus(tmp_path) as address, (tmp_path / "log").open("w") as log:
        here = {key: value for key, value in os.environ.items() if key != "STATE_DIRECTORY"}
        here["DBUS_SYSTEM_BUS_ADDRESS"] = address
        edge = [sys.executable, "-m", "edge"]
        own = here | {"STATE_DIRECTORY": str(tmp_path / "state")}
        subprocess.run([*edge, "enroll", "ada", *given["fast"]], env=own, capture_output=True, check=True)
        daemon = subprocess.Popen([*edge, "run", *given["loop"]], env=own, stdout=log, stderr=log)
        try:
            until(lambda: status(here).get("camera") == "running", daemon)
            yield here
        finally:
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(20) == 0, (tmp_path / "log").read_text()


def status(environment: dict[str, str]) -> dict[str, object]:
    """What `edge status` reports; empty while no daemon answers."""
    words = [sys.executable, "-m", "edge", "status", "--json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def until(holds: Callable[[], bool], daemon: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert daemon.poll() is None, "the daemon ended"
        assert time.monotonic() < end, "it did not happen in time"


def test_busctl_is_answered_as_the_page_shows(door: dict[str, str]) -> None:
    told = []
    for command, answer in shown():
        done = subprocess.run(shlex.split(command, posix=False), env=door, capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).strip()
        assert OWN.sub(r"\1", said) == OWN.sub(r"\1", answer), command
        told.append(done.returncode)
    assert {0, 1} == set(told)
