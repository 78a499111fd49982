"""Writes the completions of `edge` for bash, zsh and fish, as the command prints them, where each shell looks. Defines none itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# Places of the package, then of the installer. Debian's fish looks nowhere below /usr/local.
PLACES = {
    "bash": "usr/share/bash-completion/completions/edge",
    "zsh": "usr/share/zsh/vendor-completions/_edge",
    "fish": "usr/share/fish/vendor_completions.d/edge.fish",
}
LOCAL_PLACES = {
    "bash": "usr/local/share/bash-completion/completions/edge",
    "zsh": "usr/local/share/zsh/site-functions/_edge",
    "fish": PLACES["fish"],
}


def completion(shell: str) -> str:
    """The script that the shell loads when it first completes `edge`."""
    environment = os.environ | {"_EDGE_COMPLETE": f"source_{shell}"}
    script = subprocess.run(
        [sys.executable, "-m", "edge"], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()
    # At the first completion, zsh loads a file from its function path as the body of a function. The command's own script only
    # registers another function; without the added call, that first completion would be empty.
    return script + ('\n\n_edge_completion "$@"\n' if shell == "zsh" else "\n")


def write_completions(root: Path, places: Mapping[str, str] = PLACES) -> None:
    """Writes all three completions below `root`, the root of a file system."""
    for shell, place in places.items():
        file = root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(completion(shell), encoding="utf-8")
