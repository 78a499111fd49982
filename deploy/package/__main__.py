"""`python -m deploy.package`: builds the Debian packages from the source tree into dist/, one for each architecture. Installs nothing."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from deploy.package.licences import PRIVATE
from deploy.package.stage import SOURCE, Package, stage
from deploy.package.targets import ARCHITECTURES, DISTRIBUTIONS
from deploy.package.wheels import problems, unpack

TOOLS = {"dpkg-buildpackage": "dpkg-dev", "dh": "debhelper", "readelf": "binutils", "lintian": "lintian"}


def main(arguments: list[str]) -> int:
    """Builds the packages that the arguments name; returns 0 if all were built and lintian accepts them."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.package",
        description="Builds the Debian packages of the device. Fetches the locked wheels; runs nothing of the other architecture.",
        epilog="example: python -m deploy.package --distribution trixie --architecture arm64",
    )
    parser.add_argument("--distribution", choices=DISTRIBUTIONS, default="bookworm", help="default: bookworm")
    parser.add_argument("--architecture", choices=ARCHITECTURES, action="append", help="several by repetition; default: all")
    parser.add_argument("--out", type=Path, default=SOURCE / "dist", help="folder of the packages; default: dist")
    parser.add_argument("--without-lintian", action="store_true", help="do not check what was built")
    options = parser.parse_args(arguments)
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        print(f"error: missing {' '.join(missing)}; apt-get install {' '.join(missing)}", file=sys.stderr)
        return 10
    options.out.mkdir(parents=True, exist_ok=True)
    for architecture in options.architecture or ARCHITECTURES:
        version = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        package = Package(version, DISTRIBUTIONS[options.distribution], architecture, _maintainer(), _source_time())
        built = _build(package, SOURCE / "build" / "deb" / f"{options.distribution}-{architecture}", options.out)
        print(f"{built}: {built.stat().st_size / 1e6:.1f} MB", flush=True)
        if (
            not options.without_lintian
            and subprocess.run(
                ["lintian", "--fail-on", "error,warning", "--info", "--tag-display-limit", "0", built], check=False
            ).returncode
        ):
            print(f"error: lintian objects to {built.name}, see above", file=sys.stderr)
            return 1
    return 0


def _build(package: Package, work: Path, out: Path) -> Path:
    shutil.rmtree(work, ignore_errors=True)
    tree = work / f"facelatch-{package.version}"
    packages = tree / "root" / PRIVATE
    packages.mkdir(parents=True)
    unpack(SOURCE / "requirements-edge.lock", package.distribution, package.architecture, packages)
    if wrong := problems(packages, package.architecture):
        raise SystemExit("error: " + "\nerror: ".join(wrong))
    stage(package, tree)
    # -d: the tools of Build-Depends were checked above; dpkg would accept them only from Debian's packages.
    subprocess.run(
        ["dpkg-buildpackage", "--build=any", "--no-sign", "-d", f"--host-arch={package.architecture}"],
        cwd=tree,
        env=os.environ | {"SOURCE_DATE_EPOCH": str(int(package.at.timestamp())), "DEB_BUILD_OPTIONS": "nocheck noautodbgsym"},
        stdout=subprocess.DEVNULL if not os.environ.get("DH_VERBOSE") else None,
        check=True,
    )
    (built,) = work.glob("facelatch_*.deb")
    shutil.rmtree(tree)
    return Path(shutil.move(built, out / built.name))


def _maintainer() -> str:
    """The maintainer, from the variables that Debian's tools read."""
    return f"{os.environ.get('DEBFULLNAME', 'facelatch contributors')} <{os.environ.get('DEBEMAIL', 'facelatch@localhost')}>"


def _source_time() -> datetime:
    """SOURCE_DATE_EPOCH, else the time of the last commit, else (outside a repository) now."""
    epoch = (
        os.environ.get("SOURCE_DATE_EPOCH")
        or subprocess.run(
            ["git", "log", "-1", "--format=%ct"], cwd=SOURCE, capture_output=True, text=True, check=False
        ).stdout.strip()
    )
    return datetime.fromtimestamp(int(epoch or time.time()), UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
