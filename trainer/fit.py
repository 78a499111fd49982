"""Trains the Siamese verifier, from prepared data sets to a finished run folder. Reads top to bottom in the order of a training."""

from __future__ import annotations

import csv
import io
import shutil
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.align import Placement, crop
from edge.contract.errors import InputError
from trainer.aligner import Aligner, fit_aligner
from trainer.augment import with_margin
from trainer.backend import keras
from trainer.choices import Precision, Strategy
from trainer.cohort import own_people, pool
from trainer.dataset import Faces, joined, kept_chips
from trainer.epochs import learning_rate, train_epochs
from trainer.files import write_atomically
from trainer.finish import make_verifier
from trainer.judges import Judges
from trainer.networks import SiameseHead, build_tower
from trainer.pairs import PairSampler
from trainer.plan import plan
from trainer.precision import computing_in
from trainer.progress import show_status
from trainer.quantise import copy_ranges, measure_ranges, quantised
from trainer.run import (
    CHECKPOINTS,
    LAST,
    RECORD,
    open_run,
    read_run,
    restore_best,
    restore_last,
    save_best,
    save_last,
    write_record,
)
from trainer.settings import Recipe
from trainer.split import FURTHER, read_split
from trainer.start import Start, find_start, inherit_tower, initialise, load_sets, margin_of
from trainer.step import Siamese
from trainer.teacher import build_teacher_tower, check_same_teacher, find_teacher
from trainer.team import assemble, lost_worker_errors, wait_for_chief
from trainer.verifier import ALIGN_SPEC, load_aligner, save_aligner, save_verifier

__all__ = ["fit", "read_run"]

SAMPLE = 1500  # training pictures that pruning fits the smaller tower to
RANGES = 256  # of these, the pictures that activation ranges are measured on for quantisation-aware training


def fit(
    data: list[Path],
    run: Path,
    recipe: Recipe,
    *,
    minutes: float | None = None,
    command: str = "",
    precision: Precision = Precision.AUTO,
    strategy: Strategy = Strategy.AUTO,
) -> dict[str, Any] | None:
    """Trains into the folder `run`, or resumes the training that was killed there. Returns the record in run.json, or None in every
    worker but the chief, which alone writes files.

    The people of the first set are split; further sets are for training only, and leave out anyone whom the split holds out.
    After each epoch all pairs of the validation people are compared; the weights of the best epoch are kept.

    Raises:
        InputError: the data are unusable, or `run` belongs to another training.
        StorageError: the run folder cannot be written.
        WorkerLost: another worker is gone.
    """
    team = assemble(strategy)
    if not team.chief:
        wait_for_chief([run / RECORD, *([run / ALIGN_SPEC] if recipe.tower.align else [])])
    start = find_start(recipe)
    recipe = inherit_tower(recipe, start)
    teacher = find_teacher(recipe, start)
    main, further = load_sets(data, recipe)
    side_px = recipe.tower.side or main.spec.side_px
    # The tower that is validated and saved is float32, whatever precision the trained one computes in.
    finished = build_tower(recipe.tower, side_px, _embedding_size(main, recipe), main.spec.channels)
    all_faces, own = joined(main, further), own_people(data, main, further)
    planned = None
    if not (run / RECORD).exists():
        planned = plan(recipe, data, main, further, all_faces, own, finished, start, teacher, team)
    record = open_run(run, recipe, main, all_faces, data, command, planned)
    if record["state"] == "finished":
        return record if team.chief else None
    if teacher:
        check_same_teacher(teacher, record, run)
        if team.chief:
            write_record(run, record)
    split = read_split(run)
    train = all_faces.of([*split["train"], *split[FURTHER]])
    validation = main.of(split["validation"]).measured()

    aligner = _aligner(run, record, recipe, start, train, validation, side_px) if recipe.tower.align else None
    # Seeded here, so that the tower's initial weights do not depend on whether this process or a killed one trained the aligner.
    keras.utils.set_random_seed(recipe.seed)
    placements = None
    if aligner:
        with show_status("finding the faces in the chips"):
            placements = aligner.placements(train.chips)
    judges = Judges.placed(validation, kept_chips(all_faces, split) if recipe.tower.cohort else None, recipe, aligner)

    # bfloat16 rounds as coarsely as int8 but in other places: with both, the tower would be trained for neither.
    tower_precision = Precision.FLOAT32 if recipe.tower.quantised else precision
    with lost_worker_errors(run, team), computing_in(tower_precision) as record["precision"], team.scope():
        tower = build_tower(recipe.tower, side_px, _embedding_size(train, recipe), main.spec.channels)
        head = SiameseHead(recipe.tower.normalise, recipe.tower.squared, dtype="float32", name="head")
        head.build((None, tower.output_shape[-1]))
        rounding = quantised(tower) if recipe.tower.quantised else None
        teacher_tower = build_teacher_tower(teacher) if teacher else None
    if not (run / LAST).exists():
        sample = partial(_sample, train, placements)
        if recipe.tower.init:
            with show_status(f"starting the tower from {recipe.tower.init}"):
                # In float32 whatever the training precision: the least-squares fits need the digits.
                initialise(finished, recipe.tower, start, sample)
                tower.set_weights(finished.get_weights())
                if start and recipe.loss.pairs:
                    head.copy_from(start.verifier.head)
        if rounding:
            measure_ranges(rounding, tower, sample(side_px)[:RANGES])
    schedule = recipe.schedule
    targets = train.teaching.vectors if train.teaching else None
    average = {"use_ema": True, "ema_momentum": schedule.average} if schedule.average else {}
    with lost_worker_errors(run, team), team.scope():
        optimizer = keras.optimizers.Adam(learning_rate(schedule), **average)
        model = Siamese(
            tower,
            head,
            optimizer,
            recipe.loss,
            train.labels,
            targets,
            team,
            rounding,
            teacher_tower,
            recipe.augment.mixed_chance,
        )
    if not team.chief:
        wait_for_chief([run / LAST])
    progress = restore_last(run, model)

    judged_tower = finished
    if rounding:
        judged_tower = quantised(finished)
        copy_ranges(rounding, judged_tower)

    def validate() -> tuple[dict[str, float], float]:
        finished.set_weights(tower.get_weights())
        return judges.validate(head, judged_tower)

    if progress.epoch == 0 and team.chief:
        if recipe.tower.init:
            # The start is the first candidate for the best epoch: a training that only makes it worse on held-out people returns it.
            record["start"], progress.best_cost = validate()
            progress.best_eer = record["start"]["val_eer"]
            save_best(run, model)
            write_record(run, record)
        save_last(run, model, progress)  # the state that all workers start from
    teacher_px = teacher_tower.input_shape[1] if teacher_tower else None
    margin = margin_of(recipe.tower, teacher) if teacher else 0
    sampler = PairSampler(train, recipe.batch, recipe.augment, placements, side_px, team.share, teacher_px, margin)
    with closing(sampler.stream(recipe.seed, progress.epoch * schedule.steps)) as batches:
        train_epochs(run, model, batches, schedule, progress, validate, team, minutes)
    if not team.chief:
        return None
    if not progress.history:
        raise InputError(f"{run}: no epoch was finished; give more --minutes")

    restore_best(run, model)
    finished.set_weights(tower.get_weights())
    people = pool(all_faces, split, own)
    verifier, found = make_verifier(run, recipe, finished, head, aligner, train, placements, people, judges)
    write_atomically(run / "history.csv", _as_csv(progress.history))
    save_verifier(run, verifier)
    record |= found | {
        "state": "finished",
        "epochs_run": progress.epoch,
        "best_epoch": progress.best_epoch,
        "val_eer": progress.best_eer,
        "training_seconds": round(progress.seconds, 1),
        "trained_on": {"people": len(train.identities), "pictures": len(train.labels)},
    }
    write_record(run, record)
    shutil.rmtree(run / CHECKPOINTS)
    return record


def _aligner(
    run: Path, record: dict[str, Any], recipe: Recipe, start: Start | None, train: Faces, validation: Faces, side_px: int
) -> Aligner:
    """The run's aligner: the saved one, else that of the start, else a newly trained one. Saves it, and notes in the record where it is
    from."""
    if saved := load_aligner(run):
        return saved
    if start and start.verifier.aligner:
        aligner = start.verifier.aligner.with_side(side_px, margin_of(recipe.tower, start))
        record["aligner"] = start.aligner_record() | {"taken_from": start.name, "spec": aligner.spec.to_json()}
    else:
        keras.utils.set_random_seed(recipe.seed)
        whole_px = side_px + 2 * recipe.tower.trim
        aligner, record["aligner"] = fit_aligner(train, validation, whole_px, recipe.tower.align_steps, recipe.seed)
        aligner = aligner.with_side(side_px, recipe.tower.trim)
        record["aligner"]["spec"] = aligner.spec.to_json()
    write_record(run, record)
    save_aligner(run, aligner)
    return aligner


def _embedding_size(train: Faces, recipe: Recipe) -> int | None:
    return train.teaching.vectors.shape[1] if train.teaching and (recipe.loss.teacher or recipe.loss.contrast) else None


def _sample(train: Faces, placements: list[Placement] | None, side_px: int, margin: int = 0) -> NDArray[np.uint8]:
    """Up to SAMPLE random training pictures as the tower sees them, with `margin` more pixels on each side, uint8 [n, side, side] or
    [n, side, side, 3]; `side_px` includes the margin."""
    rows = np.random.default_rng(0).permutation(len(train.labels))[:SAMPLE]
    chips = train.chips[rows]
    return (
        np.stack(
            [crop(chip, with_margin(placements[row], margin, side_px), side_px) for chip, row in zip(chips, rows, strict=True)]
        )
        if placements
        else chips
    )


def _as_csv(rows: list[dict[str, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
