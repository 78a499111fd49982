"""A run's folder: its record, and the checkpoint from which a killed training resumes."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract.errors import InputError, StorageError
from edge.contract.fingerprint import chip_fingerprint
from trainer.backend import tf
from trainer.cohort import COHORT
from trainer.dataset import Faces, Teaching
from trainer.files import write_atomically
from trainer.settings import Recipe
from trainer.split import SPLIT, as_bytes
from trainer.step import Siamese
from trainer.verifier import ALIGN_SPEC, TOWER

RECORD = "run.json"
CHECKPOINTS, LAST, BEST = "checkpoint", Path("checkpoint/last.npz"), Path("checkpoint/best.npz")


@dataclass(slots=True)
class RunProgress:
    """The progress of a run, which a checkpoint holds in addition to the weights."""

    epoch: int = 0
    best_cost: float = float("inf")
    best_eer: float = 1.0
    best_epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def open_run(
    run: Path,
    recipe: Recipe,
    main: Faces,
    all_faces: Faces,
    sources: list[Path],
    command: str,
    split: dict[str, list[str]] | None,
) -> dict[str, Any]:
    """With a `split`, begins a new run and writes its record and split; without one, reads the record of a run to resume, which must have
    been begun with the same recipe and data.

    Raises:
        InputError: the folder belongs to another training.
        StorageError: the folder cannot be read or written.
    """
    record: dict[str, Any] = {
        "run": run.name,
        "state": "running",
        "settings": recipe.model_dump(mode="json"),
        "data": {
            "folders": [str(folder.resolve()) for folder in sources],
            "sha256": all_faces.digest,
            "main_sha256": main.digest,
            "pictures": len(all_faces.labels),
            "people": len(all_faces.identities),
        },
        "chip": main.spec.to_json(),
        "fingerprint": chip_fingerprint(main.spec),
        "command": command,
        "versions": {
            # TensorFlow is asked itself: its package may have another name on a GPU.
            **{name: version(name) for name in ("facelatch", "keras", "numpy", "opencv-python-headless")},
            "tensorflow": tf.version.VERSION,
            "python": platform.python_version(),
        },
    }
    if all_faces.teaching:
        record["data"]["teacher_sha256"] = _digest(all_faces.teaching)
    path = run / RECORD
    if split is None:
        previous = read_run(run)
        # A setting added since then was effectively at its default.
        old_settings = _flat(Recipe().model_dump(mode="json")) | _flat(previous["settings"])
        for key, value in _flat(record["settings"]).items():
            old_value = old_settings[key]
            if old_value != value:
                raise InputError(
                    f"{path}: this run was started with {key} = {old_value}, not {value}; choose another --run folder, or delete {run}"
                )
        if previous["fingerprint"] != record["fingerprint"]:
            raise InputError(f"{path}: this run's chips were cut otherwise; choose another --run folder, or delete {run}")
        if previous["data"]["sha256"] != all_faces.digest:
            raise InputError(f"{path}: the data set has changed since this run was started; choose another --run folder")
        # Older runs have no digest of the teacher's vectors.
        teacher_digest = previous["data"].get("teacher_sha256", record["data"].get("teacher_sha256"))
        if teacher_digest != record["data"].get("teacher_sha256"):
            raise InputError(
                f"{path}: the teacher's vectors have changed since this run was started; choose another --run folder"
            )
        return previous
    # Otherwise the run would resume from weights that may have been trained on people whom this one holds out.
    if leftovers := [name for name in (CHECKPOINTS, ALIGN_SPEC, COHORT, TOWER) if (run / name).exists()]:
        raise InputError(
            f"{run}: holds {leftovers[0]} of another training, whose {RECORD} is gone; choose another --run folder, or delete {run}"
        )
    write_atomically(run / SPLIT, as_bytes(split))
    write_record(run, record)
    return record


def read_run(run: Path) -> dict[str, Any]:
    """run.json of a run folder.

    Raises:
        InputError: the folder is not a run's, or its run.json is damaged.
        StorageError: it cannot be read.
    """
    try:
        record = json.loads((run / RECORD).read_text())
        if not isinstance(record, dict) or "state" not in record:
            raise ValueError("no state of a run")
        return record
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{run}: not a run folder (no run.json); make one with `trainer fit`") from error
    except OSError as error:
        raise StorageError(f"{run}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{run / RECORD}: unreadable ({error}); train again") from error


def write_record(run: Path, record: dict[str, Any]) -> None:
    """Writes run.json. Raises StorageError if that fails."""
    write_atomically(run / RECORD, json.dumps(record, indent=1).encode())


def save_best(run: Path, model: Siamese) -> None:
    """Saves the weights as the best so far."""
    write_atomically(run / BEST, _npz_bytes(model.weights()))


def restore_best(run: Path, model: Siamese) -> None:
    """Restores the best weights. Raises InputError as `restore_last` does."""
    with _checkpoint(run / BEST) as saved:
        _assign(model.weights(), saved)


def save_last(run: Path, model: Siamese, progress: RunProgress) -> None:
    """Writes the checkpoint as one file of weights, optimiser state and progress, so that a kill leaves the old one or the new one, never
    a mixture."""
    write_atomically(run / LAST, _npz_bytes(model.state(), progressed=np.array(json.dumps(asdict(progress)))))


def restore_last(run: Path, model: Siamese) -> RunProgress:
    """Restores the last checkpoint, if any, and returns the run's progress.

    Raises:
        InputError: the checkpoint is damaged, or of another network.
    """
    path = run / LAST
    if not path.exists():
        return RunProgress()
    with _checkpoint(path) as saved:
        _assign(model.state(), saved)
        return RunProgress(**json.loads(str(saved["progressed"])))


@contextmanager
def _checkpoint(path: Path) -> Iterator[Any]:
    try:
        with np.load(path, allow_pickle=False) as saved:
            yield saved
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: damaged, or the checkpoint of another network ({error}); choose another --run folder, or delete this one"
        ) from error


def _digest(teaching: Teaching) -> str:
    return hashlib.sha256(teaching.vectors.tobytes() + teaching.placements.tobytes()).hexdigest()


def _npz_bytes(variables: list[Any], **others: Any) -> bytes:
    data = io.BytesIO()
    np.savez(data, **others, **{f"v{index:04d}": np.asarray(variable) for index, variable in enumerate(variables)})
    return data.getvalue()


def _assign(variables: list[Any], saved: Any) -> None:
    for index, variable in enumerate(variables):
        variable.assign(saved[f"v{index:04d}"])


def _flat(tables: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        # A nested table, `narrow`, stays one value: its keys are compared too.
        flat |= _flat(value, f"{key}.") if isinstance(value, dict) and not prefix else {f"{prefix}{key}": value}
    return flat
