"""Compares two pictures with a trained run, and draws both crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from edge.contract.chip import as_source, cut_chip, to_grey
from edge.contract.detector import load_detector
from edge.contract.errors import InputError, StorageError
from edge.contract.score import score
from edge.contract.spec import ChipSpec
from trainer.choices import Several
from trainer.prepare import find_face, read_picture
from trainer.run import read_run
from trainer.verifier import load_verifier


def compare_pictures(first: Path, second: Path, run: Path, out: Path) -> float:
    """The probability in [0, 1] that both pictures show one person; also writes a picture of the crops and the probability to `out`.

    Raises:
        InputError: a picture has no face or several, or cannot be read; or the run is not finished.
        StorageError: `out` cannot be written.
    """
    spec = ChipSpec.from_json(read_run(run)["chip"])
    verifier = load_verifier(run)
    detector = load_detector(spec.detector)
    chips = []
    for path in (first, second):
        frame = read_picture(path)
        face = find_face(detector, to_grey(frame), Several.SKIP)
        if isinstance(face, str):
            raise InputError(f"{path}: {face}; take a picture of one face, from the front")
        chips.append(cut_chip(as_source(frame, spec), face, spec))
    left, right = verifier.embed(np.stack(chips))
    probability = float(score(verifier.head, left, right[None])[0])

    figure = Figure(figsize=(5, 3), layout="constrained")
    figure.suptitle(f"similarity {probability:.4f}")
    for axis, chip, path in zip(figure.subplots(1, 2), chips, (first, second), strict=True):
        axis.imshow(chip[..., ::-1] if chip.ndim == 3 else chip, cmap="gray", vmin=0, vmax=255)
        axis.set_title(path.name, fontsize=9)
        axis.axis("off")
    try:
        figure.savefig(out, dpi=120)
    except (OSError, ValueError) as error:
        raise StorageError(f"{out}: cannot write the picture: {error}") from error
    return probability
