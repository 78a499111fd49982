"""Embeds many chips with one model file, as a process: python -m edge.embed MODEL CHIPS.npy OUT.npz

It serves to compare runtimes and machines. CHIPS is uint8 [n, side, side] or [n, side, side, 3]. OUT holds `answers`, [n, D], the
network's raw outputs; `templates`, float32 [n, D], what would be kept of the same faces; `golden`, the outputs for the generated chips;
and `told`, JSON about where it ran.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import numpy as np

from edge.contract.fingerprint import golden_chips
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder


def main(model: Path, chips: Path, out: Path) -> None:
    """Embeds all of `chips` and the golden ones. Raises what `read_model` and `Embedder` raise."""
    verifier = read_model(model)
    embedder = Embedder(verifier)
    runtime_info = {
        "runtime": embedder.runtime,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    pictures = np.load(chips, allow_pickle=False, mmap_mode="r")
    embeddings, templates = zip(*(embedder.both(np.ascontiguousarray(chip)) for chip in pictures), strict=True)
    answers = verifier.tower.output.to_raw(np.stack(embeddings))
    golden = [embedder.answer(chip) for chip in golden_chips(verifier.chip)]
    np.savez(out, answers=answers, templates=np.stack(templates), golden=np.stack(golden), told=json.dumps(runtime_info))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
