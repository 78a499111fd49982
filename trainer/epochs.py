"""Trains epoch after epoch: validates each, keeps the best, and saves a checkpoint to resume from."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edge.contract.errors import InputError
from trainer.backend import keras, tf
from trainer.pairs import Batch
from trainer.progress import epoch_bar
from trainer.run import RunProgress, save_best, save_last
from trainer.settings import ScheduleSettings
from trainer.step import Siamese
from trainer.team import Team, lost_worker_errors


def learning_rate(schedule: ScheduleSettings) -> keras.optimizers.schedules.LearningRateSchedule:
    """Rises from zero over the warm-up, a quarter of the training at most, and falls to zero along a cosine until the last step."""
    total = schedule.epochs * schedule.steps
    warmup = min(schedule.warmup_steps, total // 4)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total - warmup), warmup_target=schedule.learning_rate, warmup_steps=warmup
    )


def train_epochs(
    run: Path, model: Siamese, batches: Iterator[Batch], schedule: ScheduleSettings, progress: RunProgress,
    validate: Callable[[], tuple[dict[str, float], float]], team: Team, minutes: float | None,
) -> None:  # fmt: skip
    """Trains until the last epoch, until none was better for as many as the schedule's patience, or for so many `minutes`.

    `validate` gives the figures of the model's current weights and their cost, by which epochs are compared.

    Raises:
        InputError: the loss is no longer a number.
        StorageError: a checkpoint cannot be written.
        WorkerLost: another worker is gone.
    """
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
                row, cost = validate()
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
