"""What runs in the emulated machine: python guest.py MODEL TIMES embeds one generated chip so often and tells the peak of its memory."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from edge.contract.fingerprint import golden_chips
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder


def peak_kib() -> int:
    """The most memory this process has held, KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    before = peak_kib()
    model = read_model(Path(sys.argv[1]))
    embedder, chip = Embedder(model), golden_chips(model.chip)[0]
    for _ in range(int(sys.argv[2])):
        embedder.embed(chip)
    print(json.dumps({"peak_kib": peak_kib(), "libraries_kib": before}))
