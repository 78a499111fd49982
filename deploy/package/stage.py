"""Lays out the tree for debhelper: the package's files under root/, manual pages, documents and debian/. Builds nothing."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from deploy.package import manual
from deploy.package.completions import write_completions
from deploy.package.licences import PRIVATE, copyright_text
from deploy.package.targets import Distribution
from edge.settings import Settings, as_toml

SOURCE = Path(__file__).parents[2]
# Where each file of deploy/ goes in the package; others are not packaged. debian/rules moves units to usr/lib.
PLACES = {
    "facelatch*.service": "lib/systemd/system/{name}",
    "facelatch.sysusers": "usr/lib/sysusers.d/facelatch.conf",
    "facelatch.tmpfiles": "usr/lib/tmpfiles.d/facelatch.conf",
    "facelatch.catalog": "usr/lib/systemd/catalog/facelatch.catalog",
    "facelatch.rules": "usr/lib/udev/rules.d/61-facelatch.rules",
    "io.facelatch.conf": "usr/share/dbus-1/system.d/{name}",
    "io.facelatch.service": "usr/share/dbus-1/system-services/{name}",
    "io.facelatch.policy": "usr/share/polkit-1/actions/{name}",
    "options/*": "usr/share/doc/facelatch/examples/{name}",
}
# The installer's paths in those files, and the package's paths that replace them.
REPLACED = {"/usr/local/bin/edge": "/usr/bin/edge", "deploy/options": "/usr/share/doc/facelatch/examples"}


@dataclass(frozen=True)
class Package:
    """What is built, when and by whom. `at` is the time recorded in the package, so that the same source gives the same bytes."""

    version: str
    distribution: Distribution
    architecture: str
    maintainer: str
    at: datetime

    @property
    def debian_version(self) -> str:
        """Sorts by distribution, so that a system upgrade brings the new one's package, and below any package of Debian itself."""
        return f"{self.version}-1~deb{self.distribution.number}"


def stage(package: Package, folder: Path) -> None:
    """Lays out everything in `folder`, except the wheels, which are already in root/."""
    root = folder / "root"
    _own_code(root / PRIVATE)
    _system_files(root)
    write_completions(root)
    _write(root / "etc/facelatch/.keep", "").unlink()
    _write(root / "usr/share/facelatch/edge.toml", sample())
    _write(folder / "man/edge.1", manual.edge_1(package.version, package.at.date()))
    _write(folder / "man/edge.toml.5", manual.edge_toml_5(package.version, package.at.date()))
    for name in ("README.md", "CHANGELOG.md"):
        shutil.copy(SOURCE / name, folder)
    _manuals(root)
    _debian(package, folder)
    # After the copyright file, which lists what is not ours by these. `edge --version` and the doctor's report read the version from it.
    metadata = f"Metadata-Version: 2.1\nName: facelatch\nVersion: {package.version}\n"
    _write(root / PRIVATE / f"facelatch-{package.version}.dist-info/METADATA", metadata)


def sample() -> str:
    """The settings file of a fresh installation: every key is a comment, so that the program's defaults stay in force."""
    head = (
        "# Settings of facelatch: edge.toml(5). A key is in force once its # is taken away; else the program's default is.\n\n"
    )
    return head + "".join(
        line + "\n" if line.startswith("[") or not line else f"#{line}\n" for line in as_toml(Settings()).strip().splitlines()
    )


def _own_code(private: Path) -> None:
    shutil.copytree(SOURCE / "edge", private / "edge", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(SOURCE / "facelatch.py", private)


def _manuals(root: Path) -> None:
    """Not among debhelper's documents, which all lie in one folder: the pages link to one another, and the README to them."""
    for page in (*(SOURCE / "docs").glob("*.md"), *(SOURCE / "docs/model-cards").glob("*.md")):
        _write(root / "usr/share/doc/facelatch" / page.relative_to(SOURCE), page.read_text(encoding="utf-8"))


def _system_files(root: Path) -> None:
    for pattern, place in PLACES.items():
        for file in sorted((SOURCE / "deploy").glob(pattern)):
            text = file.read_text(encoding="utf-8")
            for ours, theirs in REPLACED.items():
                text = text.replace(ours, theirs)
            _write(root / place.format(name=file.name), text)
    command = _write(root / "usr/bin/edge", (SOURCE / "deploy/debian/edge").read_text(encoding="utf-8"))
    command.chmod(0o755)


def _debian(package: Package, folder: Path) -> None:
    debian = folder / "debian"
    shutil.copytree(SOURCE / "deploy/debian", debian, ignore=shutil.ignore_patterns("*.in", "edge"))
    _fill_template(debian / "control", {"MAINTAINER": package.maintainer, "DEPENDS": package.distribution.depends})
    licence = "\n\n".join(
        textwrap.fill(part, 78) for part in (SOURCE / "LICENSE").read_text(encoding="utf-8").split("\n\n")[2:]
    )
    own = (SOURCE / "deploy/debian/copyright.in").read_text(encoding="utf-8").replace("@LICENSE@", licence)
    _write(debian / "copyright", copyright_text(own, folder / "root" / PRIVATE))
    _write(
        debian / "changelog",
        f"facelatch ({package.debian_version}) {package.distribution.name}; urgency=medium\n\n"
        f"  * facelatch {package.version} for Debian {package.distribution.number}; see changelog.gz for what changed.\n\n"
        f" -- {package.maintainer}  {format_datetime(package.at.astimezone(UTC))}\n",
    )


def _fill_template(file: Path, values: dict[str, str]) -> None:
    text = (SOURCE / "deploy/debian" / f"{file.name}.in").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    _write(file, text)


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file
