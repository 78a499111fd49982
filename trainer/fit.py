"""Trains the Siamese verifier, from prepared data sets to a finished run folder. Reads top to bottom in the order of a training."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.align import Placement, crop
from edge.contract.errors import InputError
from edge.contract.score import Head
from trainer.aligner import fit_aligner
from trainer.backend import keras, tf
from trainer.choices import Precision, Strategy
from trainer.cohort import Strangers, choose_strangers, own_people, pool, write_cohort
from trainer.dataset import PICTURES_EACH, Faces, joined, kept_chips
from trainer.doubt import with_doubt
from trainer.files import write_atomically
from trainer.head import fit_head
from trainer.judges import Judges
from trainer.networks import SiameseHead, build_tower
from trainer.pairs import PairSampler, batch_size
from trainer.precision import computing_in
from trainer.progress import epoch_bar, show_status
from trainer.quantise import check_rounding, copy_ranges, measure_ranges, quantised
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
from trainer.settings import Recipe, ScheduleSettings
from trainer.split import FURTHER, check_two_names, new_split, read_split
from trainer.spread import check_end, damp
from trainer.start import check_cohort, check_start, find_start, inherit_tower, initialise, load_sets
from trainer.step import Siamese
from trainer.teacher import build_teacher_tower, check_same_teacher, check_teacher, find_teacher, with_learned, with_taught
from trainer.team import assemble, lost_worker_errors, wait_for_chief
from trainer.verifier import ALIGN_SPEC, Verifier, embed, load_aligner, save_aligner, save_verifier

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
        planned = new_split(recipe, main, further, all_faces, start.split(data) if start else None)
        with show_status("looking for pictures that stand under two names"):
            check_two_names(all_faces, planned)
        check_cohort(recipe, planned, len(pool(all_faces, planned, own).labels))
        check_start(start, recipe.tower, finished)
        if start and recipe.tower.align and start.verifier.aligner:
            start.check_chips(data[0], main.spec)
        if teacher:
            check_teacher(teacher, finished, aligned=recipe.tower.align)
            planned = with_learned(teacher, planned, data)
        if recipe.loss.teacher or recipe.loss.contrast:  # both start from the teachers' vectors
            planned = with_taught(data, planned)
        if recipe.tower.spread:
            check_end(finished)
        if recipe.tower.quantised:
            check_rounding(finished)
        team.share(batch_size(all_faces.of([*planned["train"], *planned[FURTHER]]).labels, recipe.batch))
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
    keras.utils.set_random_seed(recipe.seed)

    aligner = load_aligner(run)
    if recipe.tower.align and aligner is None and start and (aligner := start.verifier.aligner):
        aligner = aligner.with_side(side_px)
        record["aligner"] = start.aligner_record() | {"taken_from": start.name, "spec": aligner.spec.to_json()}
        write_record(run, record)
        save_aligner(run, aligner)
    if recipe.tower.align and aligner is None:
        aligner, record["aligner"] = fit_aligner(train, validation, side_px, recipe.tower.align_steps, recipe.seed)
        write_record(run, record)
        save_aligner(run, aligner)
    # Seed again, so that the tower's initial weights do not depend on whether this process or a killed one trained the aligner.
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
    rate = learning_rate(schedule)
    targets = train.teaching.vectors if train.teaching else None
    average = {"use_ema": True, "ema_momentum": schedule.average} if schedule.average else {}
    with lost_worker_errors(run, team), team.scope():
        model = Siamese(
            tower, head, keras.optimizers.Adam(rate, **average), recipe.loss, train.labels, targets, team, rounding, teacher_tower,
            recipe.augment.mixed_chance,
        )  # fmt: skip
    if not team.chief:
        wait_for_chief([run / LAST])
    progress = restore_last(run, model)
    judged_tower = finished
    if rounding:
        judged_tower = quantised(finished)
        copy_ranges(rounding, judged_tower)
    if recipe.tower.init and progress.epoch == 0 and team.chief:
        # The start is the first candidate for the best epoch: a training that only makes it worse on held-out people returns it.
        finished.set_weights(tower.get_weights())
        record["start"], progress.best_cost = judges.validate(head, judged_tower)
        progress.best_eer = record["start"]["val_eer"]
        save_best(run, model)
        write_record(run, record)
    if progress.epoch == 0 and team.chief:
        save_last(run, model, progress)  # the state that all workers start from
    teacher_px = teacher_tower.input_shape[1] if teacher_tower else None
    sampler = PairSampler(train, recipe.batch, recipe.augment, placements, side_px, team.share, teacher_px)
    batches = sampler.stream(recipe.seed, progress.epoch * schedule.steps)
    summary_writer = tf.summary.create_file_writer(str(run / "tensorboard"))

    started = time.monotonic() - progress.seconds

    def is_over() -> bool:
        out_of_time = minutes is not None and time.monotonic() - started > minutes * 60
        return out_of_time or progress.epoch >= schedule.epochs or progress.epoch - progress.best_epoch >= schedule.patience

    with lost_worker_errors(run, team), epoch_bar() as bar:
        while not team.agree(is_over()):
            task = bar.add_task(f"epoch {progress.epoch + 1}", total=schedule.steps, note="")
            losses, waited_s, pictures, began = [], 0.0, 0, time.monotonic()
            for _ in range(schedule.steps):
                before = time.monotonic()
                batch = next(batches)
                waited_s += time.monotonic() - before
                losses.append(model.step(batch))
                pictures += len(batch.rows)
                bar.update(task, advance=1, note=f"loss {np.mean(losses):.3f}")
            if not np.isfinite(losses).all():
                raise InputError(f"{run}: the loss is no longer a number; start again with a lower --learning-rate")
            elapsed_s = time.monotonic() - began
            progress.epoch += 1
            if not team.chief:
                continue
            with model.averaged():
                finished.set_weights(tower.get_weights())
                row, cost = judges.validate(head, judged_tower)
                better = cost < progress.best_cost
                if better:
                    save_best(run, model)
            row = {
                "epoch": progress.epoch,
                "loss": float(np.mean(losses)),
                **row,
                "pictures_per_s": pictures / elapsed_s,
                "waiting_share": waited_s / elapsed_s,
            }
            summary = "  ".join(f"{key} {value:.4f}" for key, value in row.items() if "loss" in key or "val" in key)
            bar.update(task, note=summary)
            if bar.disable:
                print(f"epoch {progress.epoch}: {summary}", file=sys.stderr, flush=True)
            progress.history.append(row)
            progress.seconds = time.monotonic() - started
            if better:
                progress.best_cost, progress.best_eer, progress.best_epoch = cost, row["val_eer"], progress.epoch
            save_last(run, model, progress)
            with summary_writer.as_default(step=progress.epoch):
                for name, value in row.items():
                    tf.summary.scalar(name, value)
            summary_writer.flush()
    batches.close()
    if not team.chief:
        return None
    if not progress.history:
        raise InputError(f"{run}: no epoch was finished; give more --minutes")
    restore_best(run, model)
    finished.set_weights(tower.get_weights())
    numpy_head = head.to_numpy()
    people = pool(all_faces, split, own)
    if not recipe.loss.pairs:
        rows = train.first_rows_per_person(PICTURES_EACH)
        with show_status(f"fitting the head to {len(rows)} pictures"):
            embeddings = embed(finished, train.chips.only(rows), [placements[row] for row in rows] if placements else None)
        if recipe.tower.spread:
            embeddings, record["spread"] = damp(finished, embeddings, recipe.tower.spread, judges, head)
        plain_head = Head(np.ones(embeddings.shape[1], np.float32), 0.0, True, recipe.tower.squared)
        strangers = _choose_cohort(run, Verifier(finished, plain_head, aligner), people, recipe.tower.cohort)
        numpy_head, record["head"] = fit_head(
            embeddings, train.labels[rows], judges.embed(finished), validation.labels, strangers, squared=recipe.tower.squared,
        )  # fmt: skip
    elif strangers := _choose_cohort(run, Verifier(finished, numpy_head, aligner), people, recipe.tower.cohort):
        numpy_head = strangers.as_cohort_of(numpy_head)
    verifier = Verifier(finished, numpy_head, aligner, recipe.tower.mirrored_templates)
    if verifier.mirrored_templates:
        validation_embeddings = judges.embed(finished)
        templates = verifier.templates(validation.chips, validation_embeddings)
        verifier = replace(verifier, head=with_doubt(numpy_head, validation_embeddings, templates, validation.labels))
        record["doubt"] = verifier.head.doubt
    write_atomically(run / "history.csv", _as_csv(progress.history))
    save_verifier(run, verifier)
    record |= {
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


def learning_rate(schedule: ScheduleSettings) -> keras.optimizers.schedules.LearningRateSchedule:
    """Rises from zero over the warm-up, a quarter of the training at most, and falls to zero along a cosine until the last step."""
    total = schedule.epochs * schedule.steps
    warmup = min(schedule.warmup_steps, total // 4)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total - warmup), warmup_target=schedule.learning_rate, warmup_steps=warmup
    )


def _embedding_size(train: Faces, recipe: Recipe) -> int | None:
    return train.teaching.vectors.shape[1] if train.teaching and (recipe.loss.teacher or recipe.loss.contrast) else None


def _choose_cohort(run: Path, verifier: Verifier, people: Faces, nearest: int) -> Strangers | None:
    """Chooses the finished model's cohort among `people` and writes their names to cohort.json. None if `nearest` is 0."""
    if not nearest:
        return None
    with show_status(f"choosing the cohort among {len(people.labels)} people"):
        strangers = choose_strangers(verifier.head, verifier.embed(people.chips), nearest)
    write_cohort(run, people, strangers)
    return strangers


def _sample(train: Faces, placements: list[Placement] | None, side_px: int) -> NDArray[np.uint8]:
    """Up to SAMPLE random training pictures as the tower sees them, uint8 [n, side, side] or [n, side, side, 3]."""
    rows = np.random.default_rng(0).permutation(len(train.labels))[:SAMPLE]
    chips = train.chips[rows]
    return (
        np.stack([crop(chip, placements[row], side_px) for chip, row in zip(chips, rows, strict=True)]) if placements else chips
    )


def _as_csv(rows: list[dict[str, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
