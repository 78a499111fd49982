"""What the `trainer` command says, and what it loads before a command runs."""

from __future__ import annotations

import subprocess
import sys

# typer itself reads options with pydantic; that recipes, which are made of it, are not loaded is what can be had.
HEAVY = ("numpy", "cv2", "keras", "tensorflow", "trainer.settings", "trainer.prepare")


def test_help_loads_nothing_that_only_the_work_of_a_command_needs() -> None:
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr))\n"
        "import facelatch\nsys.argv[1:] = ['--help']\nfacelatch.trainer_main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "compare-models" in done.stdout
