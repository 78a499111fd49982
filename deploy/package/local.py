"""`python -m deploy.package.local FOLDER`: writes manual pages, completions and examples below FOLDER; deploy/install.sh passes /.

Run by a release's own Python, so that they match its commands and settings.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from deploy.package import manual
from deploy.package.completions import LOCAL_PLACES, write_completions

SOURCE = Path(__file__).parents[2]
MAN, EXAMPLES = "usr/local/share/man", "usr/share/doc/facelatch/examples"


def write_local(root: Path) -> None:
    """Writes all of them below `root`, dated today: a release is installed once."""
    version = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    today = datetime.now(UTC).date()
    pages = {"man1/edge.1": manual.edge_1(version, today), "man5/edge.toml.5": manual.edge_toml_5(version, today)}
    pages["man8/facelatch.service.8"] = (SOURCE / "deploy/debian/facelatch.service.8").read_text(encoding="utf-8")
    for name, text in pages.items():
        page = root / MAN / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
    write_completions(root, LOCAL_PLACES)
    shutil.copytree(SOURCE / "deploy/options", root / EXAMPLES, dirs_exist_ok=True)
    # Each example says how to install it; the path there must be its own.
    for example in (root / EXAMPLES).iterdir():
        example.write_text(example.read_text(encoding="utf-8").replace("deploy/options", f"/{EXAMPLES}"), encoding="utf-8")


if __name__ == "__main__":
    write_local(Path(sys.argv[1]))
