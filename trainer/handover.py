"""What a run hands to the exporter: chips for calibration, and those of people the training never saw."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from edge.contract.errors import InputError
from trainer.dataset import PICTURES_EACH, load_faces
from trainer.files import write_atomically
from trainer.run import read_run

HANDOVER = "chips.npz"
CALIBRATION_CHIPS = 300
# Each costs half a kilobyte of the model file; mean and deviation of scores need no more.
COHORT_CHIPS = 128


def write_handover(run: Path, data: Path) -> None:
    """Writes chips.npz into the run folder: uint8 [n, side, side] `calibration` (of the training people), `test` with int
    `test_labels`, at most ten a person, and `cohort`, one chip a person.

    Raises:
        InputError: the data set is not the one the run was trained on.
    """
    faces = load_faces(data)
    if faces.digest != read_run(run)["data"]["main_sha256"]:
        raise InputError(f"{data}: not the first data set that {run} was trained on")
    split = json.loads((run / "split.json").read_text())
    train, test, cohort = (faces.of(split[part]).few_each(PICTURES_EACH) for part in ("train", "test", "cohort"))
    rows = np.random.default_rng(0).permutation(len(train.chips))[:CALIBRATION_CHIPS]
    _, first = np.unique(cohort.labels, return_index=True)
    out = io.BytesIO()
    np.savez(
        out,
        calibration=train.chips[rows],
        test=test.chips[:],
        test_labels=test.labels,
        cohort=cohort.chips[first[:COHORT_CHIPS]],
    )
    write_atomically(run / HANDOVER, out.getvalue())
