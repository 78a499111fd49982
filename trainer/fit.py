"""Training of the Siamese verifier, from a prepared data set to a run folder. Reads top to bottom as one training does."""

from __future__ import annotations

import csv
import io
import json
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge.contract.errors import InputError, StorageError
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.metrics import eer
from edge.contract.score import Head, score_all_pairs
from trainer.augment import Augmentation
from trainer.backend import keras, tf
from trainer.dataset import Faces, load_faces, split_identities
from trainer.dlibfile import find_weights, read_dlib
from trainer.files import write_atomically
from trainer.networks import Network, SiameseHead, build_tower
from trainer.pairs import PairSampler
from trainer.resnet import load_dlib

# For weights that are good already: at 1e-4 and above the first steps undo what they know.
ADAPTING_RATE = 2e-5

LAST, BEST = Path("checkpoint/last.npz"), Path("checkpoint/best.npz")


@dataclass(frozen=True, slots=True)
class FitSettings:
    """The knobs of a training, saved with the run; a resumed run must have the same."""

    network: Network = Network.COMPACT
    epochs: int = 60
    steps: int = 100
    people: int = 48  # anchor-positive pairs a batch; every other person's positive is a negative too
    strangers: int = 32  # people with one picture are seen as negatives only
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    patience: int = 15  # epochs without a lower EER on the validation people
    seed: int = 0
    init: str = ""  # "dlib": the resnet tower starts from the CC0 weights of dlib's face recogniser


@dataclass(slots=True)
class Progressed:
    """How far a run has come; what a checkpoint holds beside the weights."""

    epoch: int = 0
    best_eer: float = 1.0
    best_epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] | None = None


def fit(data: Path, run: Path, settings: FitSettings, *, minutes: float | None = None, command: str = "") -> dict[str, Any]:
    """Trains on `data` into the folder `run`, or goes on where a killed run stopped. Returns the record in run.json.

    Anchor-positive pairs are labelled 1 and anchor-negative pairs 0; the loss is binary cross-entropy, in which the two kinds
    weigh the same. A batch's pictures pass the tower once, and all their pairs the head. After each epoch the validation
    people are scored pair by pair; the weights of the epoch with the lowest EER are kept.

    Raises:
        InputError: the data are unusable, or `run` belongs to another training.
        StorageError: the run folder cannot be written.
    """
    faces = load_faces(data)
    record, split = _open_run(data, run, settings, faces, command)
    if record["state"] == "finished":
        return record
    keras.utils.set_random_seed(settings.seed)
    tower = build_tower(settings.network, faces.spec.side_px)
    if settings.init:
        _initialise(tower, settings)
    # A tower that was trained to tell people by an angle is scored by it; the others learn their own measure.
    head = SiameseHead(normalise=settings.network is Network.RESNET, name="head")
    head.build((None, tower.output_shape[-1]))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        settings.epochs * settings.steps,
        warmup_target=settings.learning_rate,
        warmup_steps=min(settings.warmup_steps, settings.epochs * settings.steps // 4),
    )
    model = _Siamese(tower, head, keras.optimizers.Adam(schedule, clipnorm=1.0))
    progressed = _restore(run, model)
    sampler = PairSampler(faces.of(split["train"]), settings.people, settings.strangers, Augmentation())
    batches = sampler.stream(settings.seed, progressed.epoch * settings.steps)
    validation = faces.of(split["validation"])
    board = tf.summary.create_file_writer(str(run / "tensorboard"))

    started = time.monotonic() - progressed.seconds
    with _bar() as bar:
        while progressed.epoch < settings.epochs:
            if minutes is not None and time.monotonic() - started > minutes * 60:
                break
            if progressed.epoch - progressed.best_epoch >= settings.patience:
                break
            task = bar.add_task(f"epoch {progressed.epoch + 1}", total=settings.steps, note="")
            losses, waited, began = [], 0.0, time.monotonic()
            for _ in range(settings.steps):
                before = time.monotonic()
                batch = next(batches)
                waited += time.monotonic() - before
                losses.append(float(model.step(batch.anchors, batch.positives, batch.negatives)))
                bar.update(task, advance=1, note=f"loss {np.mean(losses):.3f}")
            if not np.isfinite(losses).all():
                raise InputError(f"{run}: the loss is no longer a number; start again with a lower --learning-rate")
            took = time.monotonic() - began
            genuine, impostor = score_all_pairs(model.numpy_head(), embed(tower, validation.chips), validation.labels)
            progressed.epoch += 1
            row = {
                "epoch": progressed.epoch,
                "loss": float(np.mean(losses)),
                "val_loss": balanced_cross_entropy(genuine, impostor),
                "val_eer": eer(genuine, impostor)[0],
                "pictures_per_s": settings.steps * (2 * len(batch.anchors) + len(batch.negatives)) / took,
                "waiting_share": waited / took,
            }
            told = f"loss {row['loss']:.3f}  val loss {row['val_loss']:.3f}  val EER {row['val_eer']:.1%}"
            bar.update(task, note=told)
            if bar.disable:
                print(f"epoch {progressed.epoch}: {told}", file=sys.stderr, flush=True)
            progressed.history = [*(progressed.history or []), row]
            progressed.seconds = time.monotonic() - started
            if row["val_eer"] < progressed.best_eer:
                progressed.best_eer, progressed.best_epoch = row["val_eer"], progressed.epoch
                _save_weights(run / BEST, model)
            _checkpoint(run, model, progressed)
            with board.as_default(step=progressed.epoch):
                for name, value in row.items():
                    tf.summary.scalar(name, value)
            board.flush()
    batches.close()
    if not progressed.history:
        raise InputError(f"{run}: no epoch was finished; give more --minutes")
    record |= {
        "state": "finished",
        "epochs_run": progressed.epoch,
        "best_epoch": progressed.best_epoch,
        "val_eer": progressed.best_eer,
        "training_seconds": round(progressed.seconds, 1),
    }
    write_atomically(run / "history.csv", _as_csv(progressed.history))
    _save_models(run, model)
    write_atomically(run / "run.json", json.dumps(record, indent=1).encode())
    shutil.rmtree(run / "checkpoint")
    return record


def embed(tower: keras.Model, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Embeddings, float32 [n, D], of chips, uint8 [n, side, side]."""
    parts = [tower(chips[at : at + 256, :, :, None].astype(np.float32), training=False) for at in range(0, len(chips), 256)]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])


def balanced_cross_entropy(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> float:
    """Binary cross-entropy of scores, genuine and impostor weighing the same."""
    tiny = 1e-12
    return float(-(np.log(genuine + tiny).mean() + np.log(1 - impostor + tiny).mean()) / 2)


def _initialise(tower: keras.Model, settings: FitSettings) -> None:
    if settings.init != "dlib" or settings.network is not Network.RESNET:
        raise InputError(f"--init {settings.init} --network {settings.network}: known is --init dlib with --network resnet")
    load_dlib(tower, read_dlib(find_weights()))


class _Siamese:
    """The two towers are one tower called on both sides' pictures at once: the weights are shared by being the same."""

    def __init__(self, tower: keras.Model, head: SiameseHead, optimizer: keras.Optimizer) -> None:
        self.tower, self.head, self.optimizer = tower, head, optimizer
        self.variables = tower.trainable_variables + head.trainable_variables
        optimizer.build(self.variables)
        self._traced = tf.function(self._step, reduce_retracing=True)

    def step(self, anchors: NDArray[np.uint8], positives: NDArray[np.uint8], negatives: NDArray[np.uint8]) -> tf.Tensor:
        return self._traced(tf.constant(np.concatenate([anchors, positives, negatives])), tf.constant(len(anchors)))

    def _step(self, chips: tf.Tensor, people: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            embeddings = self.tower(tf.cast(chips, tf.float32)[..., None], training=True)
            logits = self.head(embeddings[:people], embeddings[people:])  # [p, p + n]
            same = tf.eye(people, tf.shape(logits)[1])
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=same, logits=logits)
            positive = tf.reduce_sum(losses * same) / tf.reduce_sum(same)
            negative = tf.reduce_sum(losses * (1 - same)) / tf.reduce_sum(1 - same)
            loss = (positive + negative) / 2
            total = loss + tf.add_n(self.tower.losses) if self.tower.losses else loss
        self.optimizer.apply(tape.gradient(total, self.variables), self.variables)
        return loss

    def numpy_head(self) -> Head:
        return self.head.in_numpy()

    def weights(self) -> list[Any]:
        return [*self.tower.variables, *self.head.variables]

    def state(self) -> list[Any]:
        return [*self.weights(), *self.optimizer.variables]


def _open_run(
    data: Path, run: Path, settings: FitSettings, faces: Faces, command: str
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    record: dict[str, Any] = {
        "run": run.name,
        "state": "running",
        "settings": asdict(settings),
        "data": {
            "folder": str(data.resolve()),
            "sha256": faces.digest,
            "pictures": len(faces.labels),
            "people": len(faces.identities),
        },
        "chip": faces.spec.to_json(),
        "fingerprint": chip_fingerprint(faces.spec),
        "command": command,
        "versions": {
            name: version(name) for name in ("facelatch", "tensorflow-cpu", "keras", "numpy", "opencv-python-headless")
        }
        | {"python": platform.python_version()},
    }
    path = run / "run.json"
    if path.exists():
        before = read_run(run)
        for key, value in json.loads(json.dumps(record["settings"])).items():
            if before["settings"].get(key) != value:
                raise InputError(
                    f"{path}: this run was started with {key} = {before['settings'].get(key)}, asked for is {value}; "
                    "choose another --run folder, or delete it"
                )
        if before["fingerprint"] != record["fingerprint"]:
            raise InputError(f"{path}: this run's chips were cut otherwise; choose another --run folder, or delete it")
        if before["data"]["sha256"] != faces.digest:
            raise InputError(f"{path}: the data set has changed since this run was started; choose another --run folder")
        return before, json.loads((run / "split.json").read_text())
    split = split_identities(faces, settings.seed)
    write_atomically(run / "split.json", json.dumps(split, indent=1).encode())
    write_atomically(path, json.dumps(record, indent=1).encode())
    return record, split


def read_run(run: Path) -> dict[str, Any]:
    """run.json of a run folder.

    Raises:
        InputError: the folder is no run.
        StorageError: it cannot be read.
    """
    try:
        return json.loads((run / "run.json").read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{run}: not a run folder (no run.json); make one with `trainer fit`") from error
    except OSError as error:
        raise StorageError(f"{run}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{run / 'run.json'}: unreadable ({error}); train again") from error


def _save_weights(path: Path, model: _Siamese) -> None:
    data = io.BytesIO()
    np.savez(data, **{f"v{at:04d}": np.asarray(variable) for at, variable in enumerate(model.weights())})
    write_atomically(path, data.getvalue())


def _save_models(run: Path, model: _Siamese) -> None:
    with np.load(run / BEST, allow_pickle=False) as saved:
        for at, variable in enumerate(model.weights()):
            variable.assign(saved[f"v{at:04d}"])
    unfinished = run / "tower.part.keras"
    model.tower.save(unfinished)
    unfinished.replace(run / "tower.keras")
    head, data = model.numpy_head(), io.BytesIO()
    np.savez(data, weights=head.weights, bias=np.float32(head.bias), normalise=head.normalise)
    write_atomically(run / "head.npz", data.getvalue())


def _checkpoint(run: Path, model: _Siamese, progressed: Progressed) -> None:
    # One file holds weights, optimiser and progress: a kill leaves the last checkpoint or this one, never a mixture.
    arrays = {f"v{at:04d}": np.asarray(variable) for at, variable in enumerate(model.state())}
    data = io.BytesIO()
    np.savez(data, progressed=np.array(json.dumps(asdict(progressed))), **arrays)
    write_atomically(run / LAST, data.getvalue())


def _restore(run: Path, model: _Siamese) -> Progressed:
    path = run / LAST
    if not path.exists():
        return Progressed()
    with np.load(path, allow_pickle=False) as saved:
        for at, variable in enumerate(model.state()):
            variable.assign(saved[f"v{at:04d}"])
        return Progressed(**json.loads(str(saved["progressed"])))


def _as_csv(rows: list[dict[str, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
