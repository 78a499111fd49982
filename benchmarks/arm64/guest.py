"""Runs in the emulated machine: python guest.py MODEL TIMES embeds one generated chip that many times and prints its peak memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2

from edge.contract.fingerprint import golden_chips
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder


def peak_kib() -> int:
    """The peak resident memory of this process in KiB, including the emulator's own."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    cv2.setNumThreads(1)  # threads that wait for work add instructions, more of them on a busy host
    before = peak_kib()
    model = read_model(Path(sys.argv[1]))
    embedder, chip = Embedder(model), golden_chips(model.chip)[0]
    for _ in range(int(sys.argv[2])):
        embedder.embed(chip)
    print(json.dumps({"peak_kib": peak_kib(), "libraries_kib": before}))
