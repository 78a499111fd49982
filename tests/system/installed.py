"""An installation in the rig: changes it and reads its state."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from edge.journal import Event
from tests.system.rig import SHARED, Rig

ROOT = Path(__file__).parents[2]
UNIT = "facelatch.service"
NETWORK = (ROOT / "deploy/options/network-camera.conf").read_text()
STREAM = "http://127.0.0.1:8080/"


@dataclass
class Installed:
    """A rig that facelatch is installed in."""

    rig: Rig
    times: dict[str, float] = field(default_factory=dict)

    def configure(self, source: object, more: str = "", replay: str = "fast") -> None:
        """Writes the administrator's edge.toml, for clips of 320x240."""
        text = f'[camera]\nsource = "{source}"\nreplay = "{replay}"\nstall_s = 1.0\n'
        text += '[model]\npath = "/etc/facelatch/model.tflite"\n[detection]\nmin_face_px = 60\n'
        (self.rig.root / "etc/facelatch/edge.toml").write_text(text + more)

    def drop_in(self, text: str, name: str = "test.conf") -> None:
        """Adds a drop-in to the service, as an administrator does with `systemctl edit`."""
        folder = self.rig.root / "etc/systemd/system/facelatch.service.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        self.rig.run("systemctl", "daemon-reload")

    def install(self, *options: object, source: str = "source", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs the installer in the rig."""
        return self.rig.run(SHARED / source / "deploy/install.sh", *options, check=check, timeout_s=300)

    def release(self) -> str:
        """The release in use."""
        return (self.rig.root / "opt/facelatch/venv").readlink().name

    def show(self, who: str) -> None:
        """Sets the person that the network camera shows, or `stall` for no more frames."""
        (self.rig.shared / "now").write_text(who)

    def source(self, name: str, version: str) -> Path:
        """Copies the sources in the rig's /srv as a later version, which the test may change."""
        path = self.rig.shared / name
        shutil.copytree(self.rig.shared / "source", path)
        project = path / "pyproject.toml"
        project.write_text(re.sub(r'^version = ".*"', f'version = "{version}"', project.read_text(), flags=re.MULTILINE))
        with (path / "deploy/facelatch.service").open("a") as unit:
            unit.write(f"# of {version}\n")
        return path


def event(kind: Event, **more: str) -> dict[str, str]:
    """The journal fields of one kind of event. Not _SYSTEMD_UNIT, which the journal cannot determine for a process that has just ended."""
    return {"MESSAGE_ID": kind.message_id, "SYSLOG_IDENTIFIER": "facelatch", **more}


def files(folder: Path) -> dict[str, tuple[object, ...]]:
    """The digest, owner, mode and time of all files in a folder, and the targets of its links, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = (path.readlink(),)
        elif path.is_file():
            state = path.stat()
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path)] = (content, state.st_uid, state.st_mode, state.st_mtime_ns)
    return found


def gallery(device: Installed) -> dict[str, tuple[object, ...]]:
    """The `files` of the gallery, which must include ada's."""
    folder = device.rig.root / "var/lib/facelatch/gallery"
    found = files(folder)
    assert str(folder / "ada.faces") in found
    return found
