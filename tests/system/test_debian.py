"""The Debian package on a fresh Debian (`make test-deb`): built, checked by lintian, installed offline, used, upgraded, purged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.package.completions import PLACES as SHELLS
from deploy.package.stage import SOURCE
from tests.system.userspace import Debian, build_package, knows_a_person, left_of_facelatch, make_debian

DISTRIBUTION = os.environ.get("FACELATCH_DEB", "")
SHELLS_OF_DEBIAN = ["bash-completion", "zsh", "fish"]
LIBRARIES = ["libc6", "libgcc-s1", "libstdc++6", "zlib1g"]
# What Raspberry Pi OS without a desktop has, what the package depends on or recommends, and what this test runs.
PRESENT = ["python3", "python3-systemd", "systemd", "dbus", "man-db", *SHELLS_OF_DEBIAN, *LIBRARIES]
TOOLS = ("mmdebstrap", "dh", "lintian", "readelf", "unshare")

pytestmark = pytest.mark.skipif(not DISTRIBUTION, reason="minutes and a Debian mirror: `make test-deb`")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package for this machine's architecture, as `make deb` builds it. The build fails if lintian objects."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and {' '.join(missing)}")
    out = tmp_path_factory.mktemp("dist")
    return build_package(DISTRIBUTION, _own_architecture(), out)


def _own_architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def debian(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    """A fresh Debian with the package installed, and a newer version of the package at /newer.deb."""
    root = tmp_path_factory.mktemp("debian") / "root"
    fresh = make_debian(root, DISTRIBUTION, _own_architecture(), PRESENT)
    shutil.copy(package, root / "package.deb")
    _newer(package, root / "newer.deb")
    begun = time.monotonic()
    fresh.dpkg("--install", "/package.deb")
    print(f"{package.name}: {package.stat().st_size / 1e6:.1f} MB, installed in {time.monotonic() - begun:.1f} s")
    yield fresh
    shutil.rmtree(root)


def _newer(package: Path, to: Path) -> None:
    """Writes the same package with a higher version."""
    folder = to.parent / "newer"
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    control = folder / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: ", "Version: 1:"))
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--build", folder, to], check=True, capture_output=True)
    shutil.rmtree(folder)


def test_the_command_runs_as_anyone(debian: Debian) -> None:
    """As nobody, who has no home and may write nothing."""
    for words in (["--help"], ["config", "show"], ["model", "show", "accurate"], ["model", "show", "compact"]):
        done = debian.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "edge", *words, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    version = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"]
    assert debian.run("edge", "--version").stdout == f"facelatch {version}\n"
    told = json.loads(debian.run("edge", "config", "show", "--json").stdout)
    assert told["model"]["path"] == "accurate"
    assert "FMR" in told["expected"]["FAR of one attempt, one subject enrolled"]


def test_its_packages_are_the_locked_ones(debian: Debian) -> None:
    """Neither a variable of the environment nor Debian's packages take precedence over them; only `systemd` is Debian's."""
    code = (
        (debian.root / "usr/bin/edge")
        .read_text()
        .replace("edge_main()", "import cv2, numpy, systemd; print(cv2, numpy, systemd)")
    )
    (debian.root / "usr/local/bin/where").write_text(code.replace("from facelatch import edge_main", ""))
    (debian.root / "usr/local/bin/where").chmod(0o755)
    told = debian.run("env", "PYTHONPATH=/nowhere", "/usr/local/bin/where").stdout
    assert told.count("/usr/lib/facelatch/") == 2
    assert "/usr/lib/python3/dist-packages/systemd" in told


def test_everything_is_compiled(debian: Debian) -> None:
    """Otherwise each start by a user who may not write there would compile all of it again."""
    folder = debian.root / "usr/lib/facelatch"
    sources = [path for path in folder.rglob("*.py") if path.parent.name != "templates"]
    left = [path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc"))]
    assert [str(path.relative_to(folder)) for path in left] == []


def test_the_service_is_there_and_not_enabled(debian: Debian) -> None:
    assert debian.run("systemctl", "is-enabled", "facelatch", check=False).stdout.strip() == "disabled"
    assert debian.run("systemd-analyze", "verify", "/usr/lib/systemd/system/facelatch.service", check=False).stderr == ""
    assert "facelatch" in debian.run("id", "facelatch").stdout
    assert "video" in debian.run("id", "-Gn", "facelatch").stdout.split()


def test_manuals_and_catalog_are_found(debian: Debian) -> None:
    told = debian.root / "usr/share/doc/facelatch"
    assert all(
        (told / page).is_file() for page in ("README.md", "docs/README.md", "docs/privacy.md", "docs/model-cards/accurate.md")
    )
    for section, page in ((1, "edge"), (5, "edge.toml"), (8, "facelatch.service")):
        assert debian.run("man", "--where", str(section), page).stdout.startswith(f"/usr/share/man/man{section}/{page}")
    assert "f41e5bc5ffce4ff8aa585876e09290af" in debian.run("journalctl", "--list-catalog").stdout


COMPLETING = {
    "bash": ". /usr/share/bash-completion/bash_completion; _completion_loader edge; COMP_WORDS=(edge un); COMP_CWORD=1; COMP_LINE='edge un'; "  # noqa: E501
    '_edge_completion edge; echo "${COMPREPLY[@]}"',
    "zsh": "autoload -Uz compinit; compinit -u; (( $+_comps[edge] )) && words=(edge un) CURRENT=2; _arguments() { echo $@ }; "
    "_describe() { echo $@ }; autoload +X -Uz _edge; _edge",
    "fish": "complete --do-complete 'edge un'",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, debian: Debian) -> None:
    assert "unlock-out" in debian.run(shell, "-c", COMPLETING[shell]).stdout


def test_a_person_is_enrolled_and_verified(debian: Debian, clip: Callable[[int, int], Path]) -> None:
    knows_a_person(debian, clip)


def test_an_upgrade_keeps_settings_and_templates(debian: Debian) -> None:
    settings = debian.root / "etc/facelatch/edge.toml"
    assert settings.read_text() == (debian.root / "usr/share/facelatch/edge.toml").read_text()
    settings.write_text(settings.read_text().replace('#source = "/dev/video0"', 'source = "csi:0"'))
    debian.dpkg("--install", "/newer.deb")
    assert json.loads(debian.run("edge", "config", "show", "--json").stdout)["camera"]["source"] == "csi:0"
    assert (debian.root / "var/lib/facelatch/gallery/ada.faces").exists()
    assert debian.dpkg("--verify", "facelatch").stdout == ""


def test_a_purge_leaves_nothing_of_a_person(debian: Debian) -> None:
    debian.dpkg("--remove", "facelatch")
    assert (debian.root / "var/lib/facelatch/gallery/ada.faces").exists()
    assert (debian.root / "etc/facelatch/edge.toml").exists()
    debian.dpkg("--purge", "facelatch")
    assert left_of_facelatch(debian) == []


def test_it_does_not_go_over_the_installers(debian: Debian) -> None:
    (debian.root / "opt/facelatch/venv").mkdir(parents=True)
    done = debian.dpkg("--install", "/package.deb", check=False)
    assert done.returncode != 0
    assert "deploy/install.sh --uninstall" in done.stderr
    assert not (debian.root / "usr/bin/edge").exists()
