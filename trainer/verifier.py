"""A run's verifier in float: aligner, tower and head. Only this module writes and reads their files."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.align import AlignSpec, Placement, crop
from edge.contract.errors import InputError, StorageError
from edge.contract.score import Cohort, Head, merge
from trainer.aligner import Aligner
from trainer.backend import as_input, keras
from trainer.dataset import Chips
from trainer.files import write_atomically

TOWER, HEAD, ALIGNER, ALIGN_SPEC = "tower.keras", "head.npz", "aligner.keras", "align.json"
BATCH = 128


@dataclass(frozen=True, slots=True)
class Verifier:
    """Computes embeddings of chips, and scores with `head`. The tower takes float32 pixels 0..255, [n, side, side, 1 or 3]."""

    tower: keras.Model
    head: Head
    aligner: Aligner | None
    mirrored_templates: bool = False

    def templates(self, chips: Chips | NDArray[np.uint8], embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The templates that enrolment would store for chips with these `embeddings`, float32 [n, D] both."""
        if not self.mirrored_templates:
            return embeddings
        return merge(self.head, np.stack([embeddings, self.embed(chips, mirrored=True)], axis=1))

    def embed(self, chips: Chips | NDArray[np.uint8], *, mirrored: bool = False) -> NDArray[np.float32]:
        """Embeddings, float32 [n, D], of chips, uint8 [n, side, side] or [n, side, side, 3]; with `mirrored`, of their mirror images."""
        placements = self.aligner.placements(chips) if self.aligner else None
        return embed(self.tower, chips, placements, mirrored=mirrored)


def weights_digest(network: keras.Model) -> str:
    """The SHA-256 of a network's weights, by which a run or a teacher.npz identifies its teacher."""
    return hashlib.sha256(b"".join(weights.tobytes() for weights in network.get_weights())).hexdigest()


def embed(
    tower: keras.Model, chips: Chips | NDArray[np.uint8], placements: list[Placement] | None = None, *, mirrored: bool = False
) -> NDArray[np.float32]:
    """Embeddings, float32 [n, D], of chips, uint8 [n, side, side] or [n, side, side, 3], or of the squares at `placements` in them."""
    side_px = tower.input_shape[1]
    parts = []
    for start in range(0, len(chips), BATCH):
        crops = chips[start : start + BATCH]
        if placements:
            crops = np.stack(
                [
                    crop(chip, placement, side_px)
                    for chip, placement in zip(crops, placements[start : start + BATCH], strict=True)
                ]
            )
        crops = crops[:, :, ::-1] if mirrored else crops
        parts.append(np.asarray(tower(as_input(np.ascontiguousarray(crops)), training=False), np.float32))
    return np.concatenate(parts)


def save_verifier(run: Path, verifier: Verifier) -> None:
    """Writes a verifier's files into a run folder, each of them atomically. Raises StorageError if that fails."""
    if verifier.aligner:
        save_aligner(run, verifier.aligner)
    _save_network(run / TOWER, verifier.tower)
    save_head(run / HEAD, verifier.head)


def save_head(path: Path, head: Head) -> None:
    """Writes a head, as `python -m export` reads it. Raises StorageError if that fails."""
    data = io.BytesIO()
    arrays = {"weights": head.weights, "bias": np.float32(head.bias), "normalise": head.normalise, "squared": head.squared}
    if head.cohort:
        arrays |= {"cohort": head.cohort.embeddings, "nearest": head.cohort.nearest, "ceiling": head.cohort.ceiling}
    if head.doubt:
        arrays |= {"doubt": np.array(head.doubt)}
    np.savez(data, **arrays)
    write_atomically(path, data.getvalue())


def load_verifier(run: Path) -> Verifier:
    """The verifier of a finished run.

    Raises:
        InputError: `run` is not a run folder, or the run is unfinished or damaged.
    """
    from trainer.run import read_run

    record = read_run(run)
    if record["state"] != "finished":
        raise InputError(f"{run}: not finished; type its `trainer fit` again to go on: {record['command']}")
    try:
        with np.load(run / HEAD, allow_pickle=False) as saved:
            head_flags = bool(saved["normalise"]), bool(saved["squared"])
            cohort = (
                Cohort(saved["cohort"], int(saved["nearest"]), float(saved["ceiling"]))
                if int(saved.get("nearest", 0))
                else None
            )
            doubt = (float(saved["doubt"][0]), float(saved["doubt"][1])) if "doubt" in saved else None
            head = Head(saved["weights"].astype(np.float32), float(saved["bias"]), *head_flags, cohort, doubt)
        mirrors = bool(record["settings"]["tower"].get("mirrored_templates", False))
        return Verifier(keras.models.load_model(run / TOWER, compile=False), head, load_aligner(run), mirrors)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{run}: unreadable run: {type(error).__name__}: {error}; type `trainer fit` for it again") from error


def save_aligner(run: Path, aligner: Aligner) -> None:
    """Writes an aligner's two files. The specification comes last: without it an interrupted write does not count."""
    _save_network(run / ALIGNER, aligner.network)
    write_atomically(run / ALIGN_SPEC, json.dumps(aligner.spec.to_json(), indent=1).encode())


def load_aligner(run: Path) -> Aligner | None:
    """The aligner of a run folder, None if it has none."""
    if not (run / ALIGN_SPEC).exists():
        return None
    spec = AlignSpec.from_json(json.loads((run / ALIGN_SPEC).read_text()))
    return Aligner(keras.models.load_model(run / ALIGNER, compile=False), spec)


def _save_network(path: Path, network: keras.Model) -> None:
    unfinished = path.with_name(f"{path.stem}.part.keras")
    try:
        network.save(unfinished)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot write: {error.strerror or error}") from error
