"""Writes what the exporter needs: for a run, chips for calibration and chips of unseen people; for a model file without its run, chips of
unseen people and a head with a new cohort."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from edge.contract.errors import InputError
from edge.contract.metrics import Rate
from edge.contract.modelfile import TemplateKind, read_model
from trainer.cohort import choose_strangers, cohort_chips, own_people, pool
from trainer.dataset import joined, load_faces
from trainer.doubt import with_doubt
from trainer.evaluate import load_subject
from trainer.files import write_atomically
from trainer.head import calibrated, fnmr_at_target
from trainer.progress import show_status
from trainer.run import read_run
from trainer.split import read_split, split_digest, split_of_file
from trainer.verifier import save_head

HANDOVER = "chips.npz"
CALIBRATION_CHIPS = 300


def write_handover(run: Path, folders: list[Path]) -> None:
    """Writes chips.npz into the run folder. Its chips are uint8 [n, side, side] or [n, side, side, 3]: `calibration`, of training people,
    `test` with int `test_labels`, at most ten a person, and `cohort`, one a person. `folders` are the sets that the run was trained on;
    they may have moved.

    Raises:
        InputError: the data sets are not those that the run was trained on.
    """
    main, *further = map(load_faces, folders)
    all_faces = joined(main, further)
    if all_faces.digest != read_run(run)["data"]["sha256"]:
        raise InputError(f"{', '.join(map(str, folders))}: changed since {run} was trained on them")
    split = read_split(run)
    train, test = (main.of(split[part]).measured() for part in ("train", "test"))
    rows = np.random.default_rng(0).permutation(len(train.chips))[:CALIBRATION_CHIPS]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        calibration=train.chips[rows],
        test=test.chips[:],
        test_labels=test.labels,
        cohort=cohort_chips(run, all_faces, split, own_people(folders, main, further))[:],
    )
    write_atomically(run / HANDOVER, buffer.getvalue())


def write_held_out(model: Path, folders: list[Path], out: Path) -> int:
    """Writes the chips of the test people of a model file's training that are in the first of these prepared sets, at most ten a person,
    for use without the file's run. Returns the number of people.

    Raises:
        InputError: a set is not prepared, whom the file was trained on cannot be determined, or too few of its test people are here.
    """
    file = read_model(model)
    test_names = {*split_of_file(file, folders)["test"]}
    faces = load_faces(folders[0])
    load_subject(model).check(faces, str(folders[0]))
    test = faces.of([name for name in faces.identities if name in test_names]).measured()
    if len(test.identities) < 2:
        raise InputError(
            f"{folders[0]}: has only {len(test.identities)} of the {len(test_names)} people who were kept out of the training of {model}"
        )
    data = io.BytesIO()
    origin = {"split": split_digest(file), "chip": faces.spec.to_json()}
    np.savez(data, test=test.chips[:], test_labels=test.labels, told=json.dumps(origin))
    write_atomically(out, data.getvalue())
    return len(test.identities)


def write_head(model: Path, folders: list[Path], out: Path) -> tuple[float, Rate, Rate]:
    """Writes a model file's head with a new cohort, chosen from the people of these prepared sets whom the file's training knew, and
    calibrated on its validation people. Returns an FMR, 1e-3 or the lowest that the validation comparisons support, and the FNMR there
    before and after, both for plain embeddings, without second looks.

    Raises:
        InputError: a set is not prepared, whom the file was trained on cannot be determined, too few of those people are here, or the
            file has no cohort.
        StorageError: the head cannot be written.
    """
    file = read_model(model)
    if file.head.cohort is None:
        raise InputError(f"{model}: holds faces against no cohort; train with tower.cohort in the recipe")
    split = split_of_file(file, folders)
    main, *further = (load_faces(folder) for folder in folders)
    subject = load_subject(model)
    subject.check(main, str(folders[0]))
    all_faces, nearest = joined(main, further), file.head.cohort.nearest
    people, present = pool(all_faces, split, own_people(folders, main, further)), {*main.identities}
    validation = main.of([name for name in split["validation"] if name in present]).measured()
    if len(people.labels) <= nearest or len(validation.identities) < 2:
        raise InputError(
            f"{', '.join(map(str, folders))}: {len(people.labels)} people for a cohort and {len(validation.identities)} to judge by; more "
            f"than {nearest} and two are needed"
        )
    people_embeddings, validation_embeddings = subject.embed(people.chips), subject.embed(validation.chips)
    target, before = fnmr_at_target(file.head, validation_embeddings, validation.labels)
    with show_status(f"choosing the cohort among {len(people_embeddings)} people"):
        strangers = choose_strangers(file.head, people_embeddings, nearest)
        head = calibrated(strangers.as_cohort_of(file.head), validation_embeddings, validation.labels)
        if file.template is TemplateKind.MIRRORED:
            head = with_doubt(
                head, validation_embeddings, subject.enrol(validation.chips, validation_embeddings), validation.labels
            )
    save_head(out, head)
    return target, before, fnmr_at_target(head, validation_embeddings, validation.labels)[1]
