"""A rig with facelatch, installed offline into an image that is then booted, with clips of drawn people and a network camera."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ADA, EVE, MODEL
from tests.system.desk import Desk, lacking
from tests.system.installed import ROOT, Installed
from tests.system.rig import SHARED, Rig, booted, missing
from trainer.synth.clip import draw_clip, write_clip
from trainer.synth.person import Person

WHEELS = ROOT / ".wheels"
SOURCES = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "facelatch.py",
    "requirements-edge.lock",
    "requirements-build.lock",
    "edge",
    "export",
    "trainer",
    "deploy",
)
TIMES = pytest.StashKey[dict[str, float]]()

_NETCAM = f"""[Unit]
Before=facelatch.service
[Service]
Type=notify
ExecStart=/usr/bin/python3 {SHARED}/netcam.py {SHARED}/people {SHARED}/now
[Install]
WantedBy=multi-user.target
"""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the measured times. No test checks them, because they depend on the machine."""
    if times := config.stash.get(TIMES, {}):
        terminalreporter.write_line("times: " + ", ".join(f"{what} {seconds:.1f} s" for what, seconds in times.items()))


@pytest.fixture(scope="session")
def installed(pytestconfig: pytest.Config) -> Iterator[Installed]:
    """A booted rig with facelatch installed, nobody enrolled, and the service neither enabled nor started."""
    if reason := missing():
        pytest.skip(reason)
    if not (WHEELS / ".ready").exists():
        pytest.skip(f"{WHEELS}: no packages to install offline; make test-system fills it")
    times: dict[str, float] = {}

    def prepare(rig: Rig) -> None:
        _share(rig.shared)
        (rig.root / "etc/systemd/system/netcam.service").write_text(_NETCAM)
        begun = time.monotonic()
        command = [rig.shared / "source/deploy/install.sh", "--root", rig.root, "--wheels", WHEELS, "--model", MODEL]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        times["install offline into an image"] = time.monotonic() - begun

    with booted(prepare) as rig:
        yield Installed(rig, times)
    pytestconfig.stash.setdefault(TIMES, {}).update(times)


@pytest.fixture
def device(installed: Installed) -> Iterator[Installed]:
    """The same rig for each test. After each, the service is stopped and drop-ins and lockout are removed; enrolled people stay."""
    rig = installed.rig
    rig.run("systemctl", "reset-failed")
    yield installed
    rig.run("systemctl", "stop", "facelatch.service", "netcam.service", check=False)
    shutil.rmtree(rig.root / "etc/systemd/system/facelatch.service.d", ignore_errors=True)
    rig.run("systemctl", "daemon-reload")
    (rig.root / "var/lib/facelatch/lockout.json").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def ada(installed: Installed) -> str:
    """A subject, enrolled by the unit for devices without a keyboard."""
    installed.configure(SHARED / "ada-1.avi")
    installed.rig.run("systemctl", "start", "facelatch-enroll@ada.service")
    return "ada"


@pytest.fixture(scope="session")
def users(installed: Installed, ada: str) -> Desk:
    """The desk with its users, before its service is started."""
    if names := lacking():
        pytest.skip(f"not installed: {names}; make test-system installs them")
    return Desk(installed)


@pytest.fixture(scope="module")
def desk(users: Desk) -> Iterator[Desk]:
    """For a module's tests: the service on demand, ada enrolled, eve not. Afterwards the service is stopped and eve removed."""
    begun = time.monotonic()
    users.open()
    yield users
    users.close()
    times = users.device.times
    times["all tests at the desk"] = times.get("all tests at the desk", 0.0) + time.monotonic() - begun


def _share(shared: Path) -> None:
    here = Path(__file__).parent
    (shared / "source").mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, shared / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, shared / "source")
    shutil.copytree(WHEELS, shared / "wheels")
    for script in ("netcam.py", "probe.sh", "terminal.py"):
        shutil.copy2(here / script, shared)
    (shared / "now").write_text("ada")
    for name, seed, takes in (("ada", ADA, (1, 2)), ("eve", EVE, (1, 2))):
        person = Person.from_seed(seed)
        for take in takes:
            write_clip(shared / f"{name}-{take}.avi", person, take, 6.0, width=320, height=240)
        folder = shared / "people" / name
        folder.mkdir(parents=True)
        for number, frame in enumerate(draw_clip(person, 3, 4.0, width=320, height=240)):
            if number >= 5:  # the first ones are dark, as when a camera starts
                cv2.imwrite(str(folder / f"{number:03}.jpg"), frame)
    room = cv2.VideoWriter(str(shared / "nobody-1.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 15, (320, 240))
    for _ in range(15):
        room.write(np.full((240, 320, 3), 128, np.uint8))
    room.release()
