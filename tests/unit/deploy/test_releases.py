"""The installer's switch, way back and taking out, in a folder as another system, whose programs answer and do nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[3] / "deploy/install.sh"
UNIT = "usr/local/lib/systemd/system/facelatch.service"
MAN = "usr/local/share/man/man1/edge.1"
FISH = "usr/share/fish/vendor_completions.d/edge.fish"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the installer must be root")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A system with two releases, of which `old` is in use and has no manual page; the next one has."""
    root = tmp_path / "image"
    (root / "usr").mkdir(parents=True)
    for name, files in (("old", [UNIT]), ("new", [UNIT, MAN, FISH])):
        release = root / "opt/facelatch/releases" / name
        for file in files:
            (release / "system" / file).parent.mkdir(parents=True)
            (release / "system" / file).write_text(name)
        (release / "complete").touch()
    (root / "opt/facelatch/venv").symlink_to("/opt/facelatch/releases/old")
    (root / "opt/facelatch/previous").symlink_to("/opt/facelatch/releases/new")
    (root / UNIT).parent.mkdir(parents=True)
    (root / UNIT).write_text("old")
    return root


def run(image: Path, *words: str) -> None:
    """`unshare`, by which the other system's programs are started, starts none."""
    programs = image.parent / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "unshare").write_text("#!/bin/sh\n")
    (programs / "unshare").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    done = subprocess.run([INSTALL, "--root", image, *words], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def installed(image: Path) -> dict[str, str]:
    return {name: (image / name).read_text() for name in (UNIT, MAN, FISH) if (image / name).exists()}


def test_each_release_has_its_own_manual_and_completions(image: Path) -> None:
    assert installed(image) == {UNIT: "old"}
    for _ in range(2):
        run(image, "--roll-back")
        assert installed(image) == {UNIT: "new", MAN: "new", FISH: "new"}
        run(image, "--roll-back")
        assert installed(image) == {UNIT: "old"}


@pytest.mark.parametrize("words", ["--uninstall", "--purge"])
def test_nothing_of_it_is_left_in_the_system(image: Path, words: str) -> None:
    run(image, "--roll-back")
    links = image / "etc/systemd/system"
    (links / "multi-user.target.wants").mkdir(parents=True)
    (links / "custom.target.requires").mkdir()
    ours = {
        "multi-user.target.wants/facelatch.service": f"/{UNIT}",
        "custom.target.requires/facelatch-enroll@ada.service": "/usr/local/lib/systemd/system/facelatch-enroll@.service",
        "dbus-io.facelatch.service": f"/{UNIT}",
        "fprintd.service": f"/{UNIT}",
        "door.service": "facelatch.service",
    }
    others = {
        "masked.service": "/dev/null",
        "multi-user.target.wants/ssh.service": "/usr/lib/systemd/system/ssh.service",
        # The Debian package's.
        "multi-user.target.wants/facelatch-packaged.service": "/usr/lib/systemd/system/facelatch.service",
    }
    for name, target in (ours | others).items():
        (links / name).symlink_to(target)
    run(image, words)
    assert {str(path.relative_to(links)) for path in links.rglob("*") if path.is_symlink()} == set(others)
    assert installed(image) == {}
    assert not (image / "opt/facelatch").exists()
