"""What a run hands to the exporter: chips for calibration, and those of people the training never saw."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from edge.contract.errors import InputError
from edge.contract.modelfile import read_model
from trainer.dataset import cohort_chips, joined, load_faces
from trainer.files import write_atomically
from trainer.run import read_run
from trainer.split import SPLIT, read_split, split_of_file

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


def write_held_out(model: Path, folders: list[Path], out: Path) -> int:
    """Writes the chips of the people whom a model file's training kept for the figures, as far as they are in the first of these prepared
    sets, at most ten a person: for a file whose run is not at hand. Returns how many people they are.

    Raises:
        InputError: a set is not prepared, or whom the file was trained on is not known.
    """
    file = read_model(model)
    held = {*split_of_file(file, folders)["test"]}
    faces = load_faces(folders[0])
    if faces.spec != file.chip:
        raise InputError(
            f"{folders[0]}: its chips are cut otherwise than {model} takes them; prepare it with the file's recipe"
        )
    test = faces.of([name for name in faces.identities if name in held]).measured()
    if len(test.identities) < 2:
        raise InputError(f"{folders[0]}: has {len(test.identities)} of the {len(held)} people whom {model} was kept from")
    data = io.BytesIO()
    split = file.record["provenance"]["files"][SPLIT]
    np.savez(data, test=test.chips[:], test_labels=test.labels, told=json.dumps({"split": split, "chip": faces.spec.to_json()}))
    write_atomically(out, data.getvalue())
    return len(test.identities)
