"""The completions of `edge` for bash, zsh and fish, as the command itself gives them, in the folders where each shell looks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# The package's, and the installer's: Debian's fish looks nowhere below /usr/local.
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
    """What the shell reads when it first completes `edge`."""
    asked = os.environ | {"_EDGE_COMPLETE": f"source_{shell}"}
    script = subprocess.run(
        [sys.executable, "-m", "edge"], env=asked, check=True, capture_output=True, text=True
    ).stdout.strip()
    # zsh loads a file of its function path as the body of a function, at the first completion. The command's own script only
    # registers another function: without the call that first completion would be empty.
    return script + ('\n\n_edge_completion "$@"\n' if shell == "zsh" else "\n")


def write_completions(root: Path, places: Mapping[str, str] = PLACES) -> None:
    """Writes all three below the root of a file system."""
    for shell, place in places.items():
        file = root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(completion(shell), encoding="utf-8")
