"""deploy/wheels.sh without a network: what it asks pip for, with a Python whose pip only logs its arguments and lock files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

WHEELS = Path(__file__).parents[3] / "deploy/wheels.sh"


def asked(tmp_path: Path, *words: str, folder: str = "wheels") -> tuple[str, dict[str, str]]:
    """The arguments of pip, one line per call, and the packages of all lock files that it was given, with their environment markers."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -m ] || exec {sys.executable} "$@"\n'
        f'echo "$*" >>{log}\nfor word; do echo "<$word>" >>{log}.words; done\n'
        f'while [ $# -gt 1 ]; do shift; [ "$1" != -r ] || cat "$2" >>{log}.locked; done\n'
    )
    python.chmod(0o755)
    command = ["sh", WHEELS, tmp_path / folder, *words]
    done = subprocess.run(command, env=os.environ | {"PYTHON": str(python)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    locked = re.findall(r"^([a-z][a-z0-9-]*==\S+) *;? *(.*?) *\\$", Path(f"{log}.locked").read_text(), re.MULTILINE)
    return log.read_text(), dict(locked)


@pytest.mark.parametrize(("device", "below"), [("3.11", True), ("3.13", False)])
def test_conditions_are_those_of_the_device(device: str, below: bool, tmp_path: Path) -> None:
    """numpy is locked twice, below 3.12 and from 3.12 on; pip would use this machine's version. The script replaces a condition that holds
    for the device by `>= '3'`, one that does not by `< '3'`."""
    told, locked = asked(tmp_path, "aarch64", device)
    assert f"--python-version {device} " in told
    numpy = {name: condition for name, condition in locked.items() if name.startswith("numpy==")}
    assert len(numpy) == 2
    holding = [condition == "python_version >= '3'" for condition in numpy.values()]
    assert holding == [below, not below]
    assert not [name for name, condition in locked.items() if "python_full_version" in condition]


def test_what_32_bit_arm_has_no_wheel_for_comes_from_debian(tmp_path: Path) -> None:
    """Except dbus-fast, which is fetched as sources, with what builds them."""
    told, locked = asked(tmp_path, "armv7l", "3.11")
    names = {name.partition("==")[0] for name in locked}
    assert {"tflite-runtime", "pydantic-core", "dbus-fast", "typer"} <= names
    assert not names & {"numpy", "opencv-python-headless", "cryptography", "cffi", "pycparser"}
    sources = [line for line in told.splitlines() if "--no-binary" in line]
    assert len(sources) == 1
    assert "--platform" not in sources[0]
    assert {"cython", "packaging", "poetry-core", "setuptools", "wheel"} <= names


@pytest.mark.parametrize("machine", ["aarch64", "armv7l"])
def test_nothing_is_fetched_without_a_digest(tmp_path: Path, machine: str) -> None:
    """Not even what builds the package on the device, where it runs as root."""
    told, locked = asked(tmp_path, machine)
    assert [line for line in told.splitlines() if "--require-hashes" not in line] == []
    assert any(name.startswith("setuptools==") for name in locked)


def test_another_machine_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(["sh", WHEELS, tmp_path, "riscv64"], capture_output=True, text=True, check=False)
    assert (done.returncode, "riscv64: a folder of wheels is for" in done.stderr) == (1, True)


def test_a_folder_may_have_a_blank_in_its_name(tmp_path: Path) -> None:
    asked(tmp_path, "aarch64", folder="my stick")
    assert f"<{tmp_path / 'my stick'}>" in (tmp_path / "log.words").read_text().splitlines()


@pytest.mark.parametrize("version", ["python3", "3", "3.x", "2.7"])
def test_what_is_no_python_is_refused(tmp_path: Path, version: str) -> None:
    done = subprocess.run(["sh", WHEELS, tmp_path, "aarch64", version], capture_output=True, text=True, check=False)
    assert (done.returncode, f"error: {version}: a Python is named such as 3.11" in done.stderr) == (1, True)
