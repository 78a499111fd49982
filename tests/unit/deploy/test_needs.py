"""tests/system/needs.sh on a machine where nothing can be installed: it says what is skipped, and `make test` goes on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NEEDS = Path(__file__).parents[2] / "system/needs.sh"
PROGRAMS = ("sh", "dirname", "find", "sha256sum", "cut", "cat", "rm", "uname")

pytestmark = pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no /usr/bin/python3, without which no rig")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout on a machine without anything that the rig needs; its programs are in bin/."""
    for folder in ("bin", "tests/system", "deploy"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy2(NEEDS, tmp_path / "tests/system")
    for lock in ("requirements-edge.lock", "requirements-build.lock"):
        (tmp_path / lock).write_text("")
    for name in PROGRAMS:
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    program(tmp_path / "bin/id", "echo 0")
    program(tmp_path / "deploy/wheels.sh", "exit 1")
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run(machine: Path) -> subprocess.CompletedProcess[str]:
    script = machine / "tests/system/needs.sh"
    return subprocess.run([script], env={"PATH": str(machine / "bin")}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param('[ "$2" = update ]', id="an update that only warned"),
        pytest.param("exit 100", id="an update that failed"),
    ],
)
def test_what_cannot_be_installed_is_said_to_be_skipped(machine: Path, refusal: str) -> None:
    program(machine / "bin/apt-get", refusal)
    done = run(machine)
    assert done.returncode == 0, done.stderr
    assert "systemd-container" in done.stdout
    assert "not to be had: " in done.stderr
    assert "the tests of the service will be skipped" in done.stderr  # there are no wheels either
    assert not (machine / ".wheels/.ready").exists()


def test_what_was_installed_is_not_said_to_be_skipped(machine: Path) -> None:
    """And wheels that are there are not fetched again."""
    program(machine / "bin/apt-get", "exit 0")
    (machine / "bin/mkdir").symlink_to(str(shutil.which("mkdir")))
    program(machine / "deploy/wheels.sh", 'mkdir "$1"')
    assert run(machine).stderr == ""
    assert (machine / ".wheels/.ready").exists()
    program(machine / "deploy/wheels.sh", "exit 1")
    assert run(machine).stderr == ""


def test_without_apt_nothing_is_tried(machine: Path) -> None:
    done = run(machine)
    assert (done.returncode, done.stdout) == (0, "")
