"""The daemon's memory: a real `edge run` on its own bus, with a drawn and enrolled person who is judged in every frame.

    python -m benchmarks.memory --frames 1500

Resident memory is the kernel's sum (/proc/PID/smaps_rollup) of two different parts. Private and anonymous: pages that belong to this
process alone, and that only its end frees. File-backed: pages of libraries and programs in the page cache, which the kernel drops when
memory is short, and shares with every process that maps the same file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.notified import prepare, running
from tests.integration.private_bus import private_bus

LOOKS = 15


def held_mb(rollup: str) -> dict[str, float]:
    """The sums of a smaps_rollup in MB of 1024 kB: resident memory, its anonymous and its file-backed part, and the proportional set."""
    kb = {key: int(value.split()[0]) for key, value in (line.split(":") for line in rollup.splitlines()[1:])}
    return {
        "resident": kb["Rss"] / 1024,
        "anonymous": kb["Anonymous"] / 1024,
        "files": (kb["Rss"] - kb["Anonymous"]) / 1024,
        "proportional": kb["Pss"] / 1024,
    }


def measured(model: str, frames: int) -> dict[str, object]:
    """Medians of `LOOKS` readings over `frames` frames, and by how much the last third of the readings exceeds the first."""
    samples: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name, private_bus(Path(name)) as bus:
        folder = Path(name)
        settings = prepare(folder, model)
        enrol = [sys.executable, "-m", "edge", "enroll", "ada", "--from", str(folder / "ada.avi"), "--config", str(settings)]
        done = subprocess.run(
            enrol, env={"STATE_DIRECTORY": str(folder / "state")}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"the drawn person cannot be enrolled: {done.stderr}")
        with running(folder, settings, bus) as daemon, Progress(console=Console(stderr=True)) as progress:
            daemon.ready_s()
            for _ in progress.track(range(LOOKS), description=model):
                daemon.see(frames // LOOKS)
                samples.append(held_mb(Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text()))
            judged_count = daemon.frames
    third = LOOKS // 3
    growth = np.median([sample["resident"] for sample in samples[-third:]]) - np.median(
        [sample["resident"] for sample in samples[:third]]
    )
    parts = {f"{part}_mb": round(float(np.median([sample[part] for sample in samples])), 1) for part in samples[0]}
    return {"model": model, "frames": judged_count, **parts, "growth_mb": round(float(growth), 2)}


def main() -> None:
    """Prints the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="accurate, compact or a file; several times for several")
    parser.add_argument("--frames", type=int, default=1500)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [measured(model, args.frames) for model in args.model or ("accurate", "compact")]
    if args.json:
        print(json.dumps(rows))
        return
    table = Table(*rows[0], title="`edge run`, a face judged in every frame")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
