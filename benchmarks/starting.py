"""How long starts take: `edge run` until READY=1, without the camera, and commands that ask a daemon, each as a new process.

    python -m benchmarks.starting --tries 7

The daemon runs in mode on-demand, so that it is idle while the commands are timed, instead of judging frames.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.notified import prepare, running
from tests.integration.private_bus import private_bus

COMMANDS = {
    "python alone": ["-c", "pass"],
    "edge --help": ["-m", "edge", "--help"],
    "edge status": ["-m", "edge", "status"],
    "edge list": ["-m", "edge", "list"],
    "edge verify, refused": ["-m", "edge", "verify", "nobody"],
    "completion": ["-m", "edge"],
}
# What bash sets when somebody types `edge st` and the Tab key.
COMPLETION = {"_EDGE_COMPLETE": "complete_bash", "COMP_WORDS": "edge st", "COMP_CWORD": "1"}


def took_s(arguments: list[str], environment: dict[str, str]) -> float:
    """Seconds that one command takes, whatever its exit code. Ends the program if it prints a traceback."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if "Traceback" in done.stderr:
        raise SystemExit(done.stderr)
    return time.monotonic() - began


def main() -> None:
    """Prints the minimum and the median in seconds, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=7)
    parser.add_argument("--model", default="accurate")
    args = parser.parse_args()
    times_s: dict[str, list[float]] = {"edge run to READY": []} | {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as name, private_bus(Path(name)) as bus:
        folder = Path(name)
        settings = prepare(folder, args.model, seconds=1.0)
        settings.write_text(settings.read_text() + '[service]\nmode = "on-demand"\nrefuse_remote = false\n')
        for _ in range(args.tries):
            with running(folder, settings, bus) as daemon:
                times_s["edge run to READY"].append(daemon.ready_s())
        environment = {key: value for key, value in os.environ.items() if key != "STATE_DIRECTORY"}
        with running(folder, settings, bus) as daemon:
            daemon.ready_s()
            for _ in range(args.tries):
                for command, arguments in COMMANDS.items():
                    extra = COMPLETION if command == "completion" else {"DBUS_SYSTEM_BUS_ADDRESS": bus}
                    times_s[command].append(took_s(arguments, environment | extra))
    report = {
        name: {"tries": len(took), "least_s": round(min(took), 3), "median_s": round(float(np.median(took)), 3)}
        for name, took in times_s.items()
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
