"""What a run hands to the exporter: chips for calibration, and those of people the training never saw."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from edge.contract.errors import InputError
from trainer.dataset import cohort_chips, joined, load_faces, split_identities
from trainer.files import write_atomically
from trainer.run import read_run, read_split

HANDOVER = "chips.npz"
CALIBRATION_CHIPS = 300


def write_handover(run: Path) -> None:
    """Writes chips.npz into the run folder: uint8 [n, side, side] `calibration` (of the training people), `test` with int
    `test_labels`, at most ten a person, and `cohort`, one chip a person.

    Raises:
        InputError: the data sets are not those the run was trained on.
    """
    record = read_run(run)
    main, *further = (load_faces(Path(folder)) for folder in record["data"]["folders"])
    together = joined(main, further)
    if together.digest != record["data"]["sha256"]:
        raise InputError(f"{', '.join(record['data']['folders'])}: changed since {run} was trained on them")
    split = read_split(run)
    train, test = (main.of(split[part]).measured() for part in ("train", "test"))
    rows = np.random.default_rng(0).permutation(len(train.chips))[:CALIBRATION_CHIPS]
    out = io.BytesIO()
    np.savez(
        out,
        calibration=train.chips[rows],
        test=test.chips[:],
        test_labels=test.labels,
        cohort=cohort_chips(together, split)[:],
    )
    write_atomically(run / HANDOVER, out.getvalue())


def write_held_out(folders: list[Path], seed: int, out: Path) -> int:
    """Writes the chips of the people whom every training on these sets with this seed keeps for the figures, at most ten a person: for
    a model file whose run is not at hand. Returns how many people they are.

    Raises:
        InputError: a set is not prepared, or the sets hold different chips.
    """
    main, *further = (load_faces(folder) for folder in folders)
    test = main.of(split_identities(main.labels, main.identities, seed)["test"]).measured()
    told = {"sha256": joined(main, further).digest, "seed": seed, "chip": main.spec.to_json()}
    data = io.BytesIO()
    np.savez(data, test=test.chips[:], test_labels=test.labels, told=json.dumps(told))
    write_atomically(out, data.getvalue())
    return len(test.identities)
