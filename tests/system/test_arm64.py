"""facelatch on emulated arm64, Debian 12 and 13 (`make test-arm64`): installed offline by installer and package, imported, used, purged.

FACELATCH_ARM64 names distributions, such as `bookworm trixie`; `bookworm:armhf` is the 32-bit one. Times are printed, never checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.package.targets import DISTRIBUTIONS
from tests.system.conftest import SOURCES, TIMES
from tests.system.userspace import (
    KEPT,
    KINDS,
    ROOT,
    Debian,
    Emulation,
    build_package,
    emulation,
    kept_debian,
    knows_a_person,
    left_of_facelatch,
)

SYSTEMS = [name if ":" in name else f"{name}:arm64" for name in os.environ.get("FACELATCH_ARM64", "").split()]
# What Raspberry Pi OS has, and what the installer would install from Debian if there were a network.
PRESENT = ["python3", "python3-venv", "python3-systemd", "systemd", "passwd", "libgcc-s1", "libstdc++6", "zlib1g"]
OF_32_BITS = ["python3-numpy", "python3-opencv", "python3-cryptography"]
MACHINES = {"arm64": "aarch64", "armhf": "armv7l"}
IMPORTING = """
import importlib, pkgutil
import edge
names = ["facelatch", *(found.name for found in pkgutil.walk_packages(edge.__path__, "edge."))]
names.remove("edge.__main__")  # is the command
for name in names:
    importlib.import_module(name)
print(len(names))
"""

pytestmark = pytest.mark.skipif(not SYSTEMS, reason="half an hour and a Debian mirror: `make test-arm64`")


@dataclass(frozen=True)
class Board:
    """An emulated board with the sources and the wheels in its /srv, and `times`, in seconds, of what was done there."""

    distribution: str
    architecture: str
    debian: Debian
    emulated: Emulation
    times: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.times[f"{self.distribution} {self.architecture}: {what}"] = time.monotonic() - begun


@pytest.fixture(scope="module", params=SYSTEMS)
def board(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Board]:
    """A fresh board."""
    distribution, architecture = request.param.split(":")
    needed = ("mmdebstrap", "arch-test", "unshare", "nsenter", KINDS[architecture].emulator)
    if os.geteuid() != 0 or (absent := [tool for tool in needed if shutil.which(tool) is None]):
        pytest.skip(f"needs root and {', '.join(absent) if os.geteuid() == 0 else 'the tools'}; make test-arm64 installs them")
    root = tmp_path_factory.mktemp("board") / "root"
    packages = PRESENT + (OF_32_BITS if architecture == "armhf" else [])
    with emulation(architecture) as emulated:
        debian = kept_debian(distribution, architecture, packages, emulated, root)
        made = Board(distribution, architecture, debian, emulated)
        for name in (*SOURCES, "requirements-tflite-runtime.lock"):
            path = ROOT / name
            if path.is_dir():
                shutil.copytree(
                    path, root / "srv/source" / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
                )
            else:
                (root / "srv/source").mkdir(exist_ok=True)
                shutil.copy2(path, root / "srv/source")
        with made.timed("fill a folder of wheels, where there is none yet"):
            shutil.copytree(_wheels(architecture, "{}.{}".format(*DISTRIBUTIONS[distribution].python)), root / "srv/wheels")
        yield made
        pytestconfig.stash.setdefault(TIMES, {}).update(made.times)
    shutil.rmtree(root)


def _wheels(architecture: str, python: str) -> Path:
    """A folder of wheels, made with the manual's command and kept as long as the lock files stay the same."""
    machine = MACHINES[architecture]
    locked = b"".join((ROOT / f"requirements-{name}.lock").read_bytes() for name in ("edge", "tflite-runtime", "build"))
    kept = KEPT / f"wheels-{machine}-{python}-{hashlib.sha256(locked).hexdigest()[:12]}"
    if not kept.exists():
        unfinished = KEPT / f".{kept.name}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        told = os.environ | {"PYTHON": sys.executable}
        words = ["deploy/wheels.sh", str(unfinished), machine, python]
        done = subprocess.run(words, cwd=ROOT, env=told, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        unfinished.rename(kept)
    return kept


def test_the_installer_needs_no_network(board: Board) -> None:
    with board.timed("install"):
        done = board.debian.run("/srv/source/deploy/install.sh", "--wheels", "/srv/wheels", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (board.debian.root / "opt/facelatch/venv").readlink().is_relative_to("/opt/facelatch/releases")


def test_every_module_is_imported(board: Board) -> None:
    with board.timed("import every module"):
        done = board.debian.run("/opt/facelatch/venv/bin/python", "-c", IMPORTING, check=False)
    assert done.returncode == 0, done.stderr
    sources = [path for path in (ROOT / "edge").rglob("*.py") if path.name not in ("__init__.py", "__main__.py")]
    assert int(done.stdout) > len(sources)


def test_the_doctor_finds_the_verifier_sound(board: Board) -> None:
    """The default model gives its recorded answers there; only the check of the camera fails, because an emulated board has none."""
    with board.timed("doctor"):
        told = json.loads(board.debian.run("edge", "doctor", "--json", check=False).stdout)
    found = {check["check"]: check for check in told["checks"]}
    assert {name: found[name]["verdict"] for name in ("settings", "runtime", "opencv", "model")} == dict.fromkeys(
        ("settings", "runtime", "opencv", "model"), "pass"
    ), found
    assert ("tflite-runtime" if board.architecture == "armhf" else "ai-edge-litert") in found["runtime"]["found"]
    assert [name for name, check in found.items() if check["verdict"] == "fail"] == ["camera"], found


def test_a_person_is_enrolled_and_verified(board: Board, clip: Callable[[int, int], Path]) -> None:
    with board.timed("enrol one, verify two"):
        knows_a_person(board.debian, clip)


def test_the_installer_takes_it_out(board: Board) -> None:
    with board.timed("purge"):
        done = board.debian.run("/srv/source/deploy/install.sh", "--purge", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(board.debian.root / "srv/source")
    assert left_of_facelatch(board.debian) == []


def test_the_package_does_the_same(board: Board, clip: Callable[[int, int], Path], tmp_path: Path) -> None:
    """Built here, installed, used and purged there."""
    if board.architecture not in ("arm64", "amd64"):
        pytest.skip("there is no package for 32-bit ARM")
    with board.timed("build the package"):
        shutil.copy(build_package(board.distribution, board.architecture, tmp_path), board.debian.root / "package.deb")
    with board.timed("install the package"):
        done = board.debian.dpkg("--install", "/package.deb", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with board.timed("package: enrol one, verify two"):
        knows_a_person(board.debian, clip)
    with board.timed("purge the package"):
        board.debian.dpkg("--purge", "facelatch")
    assert left_of_facelatch(board.debian) == []
