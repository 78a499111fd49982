"""A rig with facelatch in it: installed offline into an image, then booted, with clips of drawn people and a camera in its network."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import pytest

from tests.conftest import ADA, EVE, MODEL
from tests.system.rig import SHARED, Rig, booted, missing
from trainer.synth.clip import draw_clip, write_clip
from trainer.synth.person import Person

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / ".wheels"
SOURCES = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "facelatch.py",
    "requirements-edge.lock",
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
    """The times are told, never judged: they are this machine's."""
    if times := config.stash.get(TIMES, {}):
        terminalreporter.write_line("rig: " + ", ".join(f"{what} {seconds:.1f} s" for what, seconds in times.items()))


@dataclass
class Installed:
    """A rig that facelatch is installed in."""

    rig: Rig
    times: dict[str, float] = field(default_factory=dict)

    def configure(self, source: object, more: str = "") -> None:
        """Writes the administrator's edge.toml, for clips of 320x240."""
        text = f'[camera]\nsource = "{source}"\nstall_s = 1.0\n'
        text += '[model]\npath = "/etc/facelatch/model.tflite"\n[detection]\nmin_face_px = 60\n'
        (self.rig.root / "etc/facelatch/edge.toml").write_text(text + more)

    def drop_in(self, text: str, name: str = "test.conf") -> None:
        """An administrator's `systemctl edit`."""
        folder = self.rig.root / "etc/systemd/system/facelatch.service.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        self.rig.run("systemctl", "daemon-reload")

    def install(self, *options: object, source: str = "source", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Types the installer's command in the rig."""
        return self.rig.run(SHARED / source / "deploy/install.sh", *options, check=check, timeout_s=300)

    def release(self) -> str:
        """The release in use."""
        return (self.rig.root / "opt/facelatch/venv").readlink().name

    def show(self, who: str) -> None:
        """Puts a person before the camera in the network, or `stall`."""
        (self.rig.shared / "now").write_text(who)

    def source(self, name: str, version: str) -> Path:
        """A later version of the sources in the rig's /srv; the test may change them."""
        path = self.rig.shared / name
        shutil.copytree(self.rig.shared / "source", path)
        project = path / "pyproject.toml"
        project.write_text(re.sub(r'^version = ".*"', f'version = "{version}"', project.read_text(), flags=re.MULTILINE))
        with (path / "deploy/facelatch.service").open("a") as unit:
            unit.write(f"# of {version}\n")
        return path


@pytest.fixture(scope="session")
def installed(pytestconfig: pytest.Config) -> Iterator[Installed]:
    """Installed, booted, nobody enrolled, the service neither enabled nor started."""
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
    pytestconfig.stash[TIMES] = times


@pytest.fixture
def device(installed: Installed) -> Iterator[Installed]:
    """The same for each test, and as stopped, as plain and as forgiving as the first found it; who is enrolled stays."""
    rig = installed.rig
    rig.run("systemctl", "reset-failed")
    yield installed
    rig.run("systemctl", "stop", "facelatch.service", "netcam.service", check=False)
    shutil.rmtree(rig.root / "etc/systemd/system/facelatch.service.d", ignore_errors=True)
    rig.run("systemctl", "daemon-reload")
    (rig.root / "var/lib/facelatch/lockout.json").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def ada(installed: Installed) -> str:
    """Enrolled by the unit for devices without a keyboard."""
    installed.configure(SHARED / "ada-1.avi")
    installed.rig.run("systemctl", "start", "facelatch-enroll@ada.service")
    return "ada"


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
    for script in ("netcam.py", "probe.sh"):
        shutil.copy2(here / script, shared)
    (shared / "now").write_text("ada")
    for name, seed, takes in (("ada", ADA, (1, 2)), ("eve", EVE, (1,))):
        person = Person.from_seed(seed)
        for take in takes:
            write_clip(shared / f"{name}-{take}.avi", person, take, 6.0, width=320, height=240)
        folder = shared / "people" / name
        folder.mkdir(parents=True)
        for number, frame in enumerate(draw_clip(person, 3, 4.0, width=320, height=240)):
            if number >= 5:  # the dark ones, as a camera starts
                cv2.imwrite(str(folder / f"{number:03}.jpg"), frame)
