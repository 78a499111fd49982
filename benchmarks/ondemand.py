"""Mode on-demand: how long from a request to its answer, with the daemon running and the camera closed, and with no daemon running.

    python -m benchmarks.ondemand

Uses a bus of its own, and a drawn person in front of a camera with 15 frames a second. Warm: from `VerifyStart` to `match` over one
connection. Cold: from the start of the daemon's process to the `match` of the first request. Command: `edge verify`, with its own start.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.faults import ADA, MODEL
from edge.bus.client import Remote, ask
from tests.integration.private_bus import private_bus
from trainer.synth.clip import write_clip
from trainer.synth.person import Person

SETTINGS = """
[camera]
source = "{folder}/ada.avi"
replay = "real-time"
[model]
path = "{model}"
[detection]
min_face_px = 60
[service]
mode = "on-demand"
linger_s = 0.0
refuse_remote = false
"""


@contextmanager
def daemon(folder: Path) -> Iterator[float]:
    """Runs a daemon; yields when its process was started, in monotonic seconds."""
    command = [sys.executable, "-m", "edge", "run", "--config", str(folder / "edge.toml")]
    began = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | {"STATE_DIRECTORY": str(folder / "state")}, stderr=subprocess.DEVNULL)
    try:
        yield began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


async def verified(remote: Remote) -> float:
    """Seconds from the request to a match."""
    began = time.monotonic()
    reply = await remote.verify("ada", 15, lambda result, details: None)
    if reply["result"] != "match":
        raise SystemExit(f"no match: {reply}")
    await remote.call("Release")
    return time.monotonic() - began


def until_answered() -> float:
    """Seconds that a request takes, repeated until a daemon answers it."""
    while (took := ask(verified)) is None:
        time.sleep(0.01)
    return took


def main() -> None:
    """Prints p50 and p95 in seconds, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--tries", type=int, default=20)
    arguments = parser.parse_args()
    os.environ.pop("STATE_DIRECTORY", None)
    times_s: dict[str, list[float]] = {"cold": [], "warm": [], "command": []}
    with tempfile.TemporaryDirectory() as name, private_bus(Path(name)) as address:
        folder = Path(name)
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
        (folder / "state").mkdir()
        (folder / "edge.toml").write_text(SETTINGS.format(folder=folder, model=arguments.model.resolve()))
        write_clip(folder / "ada.avi", Person.from_seed(ADA), 1, 6.0, width=320, height=240)
        with daemon(folder):
            until = time.monotonic() + 20
            while (enrolled := ask(lambda remote: remote.enrol("ada", "new", lambda result, details: None))) is None:
                if time.monotonic() > until:
                    raise SystemExit("the daemon does not answer")
            if enrolled["result"] != "enrolled":
                raise SystemExit(f"not enrolled: {enrolled}")
            for _ in range(arguments.tries):
                times_s["warm"].append(until_answered())
                began = time.monotonic()
                subprocess.run([sys.executable, "-m", "edge", "verify", "ada"], check=True, stdout=subprocess.DEVNULL)
                times_s["command"].append(time.monotonic() - began)
        for _ in range(max(1, arguments.tries // 4)):
            with daemon(folder) as began:
                until_answered()
                times_s["cold"].append(time.monotonic() - began)
    report = {
        key: {"tries": len(values), **{f"p{share}_s": round(float(np.percentile(values, share)), 3) for share in (50, 95)}}
        for key, values in times_s.items()
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
