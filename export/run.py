"""A finished training run as the exporter sees it: files, read once and checked. Writes nothing."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.align import AlignSpec, crop, shrink
from edge.contract.errors import InputError
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.modelfile import TemplateKind
from edge.contract.score import Cohort, Head, merge
from edge.contract.spec import ChipSpec
from export.quiet import quiet

with quiet():
    import keras


@dataclass(frozen=True, slots=True)
class Run:
    """`tower` and `aligner` take float32 pixels [n, side, side, 1]; the chips are uint8 [n, side, side]. `test` and `cohort` show people
    whom the training never saw, `calibration` shows people it was trained on."""

    path: Path
    record: dict[str, Any]
    chip: ChipSpec
    tower: Any
    head: Head
    template: TemplateKind
    aligner: Any
    align: AlignSpec | None
    calibration: NDArray[np.uint8]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    cohort: NDArray[np.uint8]
    digests: dict[str, str]

    @property
    def side_px(self) -> int:
        """The side of the tower's input, in pixels."""
        return self.align.side_px if self.align else self.chip.side_px

    def views(self, chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the tower sees of chips, uint8 [n, side, side], aligned by the float aligner if there is one."""
        if self.align is None:
            return chips
        small = np.stack([shrink(chip, self.align.input_px) for chip in chips])[..., None].astype(np.float32)
        outputs = np.concatenate(
            [np.asarray(self.aligner(part, training=False)) for part in np.array_split(small, 8) if len(part)]
        )
        placements = [self.align.placement(row) for row in outputs]
        return np.stack([crop(chip, placement, self.align.side_px) for chip, placement in zip(chips, placements, strict=True)])

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The float model's embeddings, float32 [n, D], of chips, uint8 [n, side, side]."""
        return self._embed_views(self.views(chips))

    def templates(self, chips: NDArray[np.uint8], embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The float model's templates, float32 [n, D], of chips, uint8 [n, side, side], whose `embeddings` are known."""
        if self.template is TemplateKind.PLAIN:
            return embeddings
        mirrored = self._embed_views(self.views(chips)[:, :, ::-1])
        return merge(self.head, np.stack([embeddings, mirrored], axis=1))

    def _embed_views(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = views.astype(np.float32).reshape(*views.shape[:3], -1)
        parts = [part for part in np.array_split(pixels, 16) if len(part)]
        return np.concatenate([np.asarray(self.tower(part, training=False), np.float32) for part in parts])


def read_head(path: Path) -> Head:
    """Reads a head that the trainer wrote. For any other file it raises OSError, ValueError or whatever else np.load raises."""
    with np.load(path, allow_pickle=False) as saved:
        kind = bool(saved["normalise"]), bool(saved["squared"])
        nearest = int(saved.get("nearest", 0))
        cohort = Cohort(saved["cohort"], nearest, float(saved["ceiling"])) if nearest else None
        doubt = (float(saved["doubt"][0]), float(saved["doubt"][1])) if "doubt" in saved else None
        return Head(saved["weights"].astype(np.float32), float(saved["bias"]), *kind, cohort, doubt)


def check_held_out(path: Path, chips: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """Raises InputError if the held-out people of `path`, chips [n, ...] and labels [n], give no genuine or no impostor comparison."""
    counts = np.unique(labels, return_counts=True)[1]
    if len(chips) != len(labels) or len(counts) < 2 or counts.max() < 2:
        raise InputError(
            f"{path}: {len(chips)} pictures of {len(counts)} people who were held out, {counts.max(initial=0)} of one at most: two people "
            "are compared at least, one of them with two pictures"
        )


def read_run(path: Path) -> Run:
    """Reads a run folder written by `trainer fit`.

    Raises:
        InputError: it is not a finished run, a file is missing or damaged, or this version cuts chips differently.
    """
    if not (path / "run.json").is_file():
        raise InputError(f"{path}: not a run folder (no run.json); make one with `trainer fit`")
    try:
        record = json.loads((path / "run.json").read_text())
        if record["state"] != "finished":
            raise InputError(f"{path}: the training is not finished; type its command again: {record['command']}")
        with np.load(path / "chips.npz", allow_pickle=False) as saved:
            chips = {name: saved[name] for name in ("calibration", "test", "test_labels", "cohort")}
        head = read_head(path / "head.npz")
        tower = keras.models.load_model(path / "tower.keras", compile=False)
        has_aligner = (path / "align.json").exists()
        mirrored = record["settings"]["tower"].get("mirrored_templates", False)
        align = AlignSpec.from_json(json.loads((path / "align.json").read_text())) if has_aligner else None
        aligner = keras.models.load_model(path / "aligner.keras", compile=False) if has_aligner else None
        names = ["tower.keras", "head.npz", "split.json", *(["aligner.keras", "align.json"] if has_aligner else [])]
        digests = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in names}
        if lacking := sorted({"run", "command", "versions", "data", "chip", "fingerprint"} - {*record}):
            raise InputError(f"{path}: run.json has no {', '.join(lacking)}; type `trainer fit` for it again")
        check_held_out(path, chips["test"], chips["test_labels"])
        if not len(chips["calibration"]):
            raise InputError(f"{path}: holds no chips to calibrate with; type `trainer fit` for it again")
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: unreadable run: {type(error).__name__}: {error}; type `trainer fit` for it again") from error
    spec = ChipSpec.from_json(record["chip"])
    if record["fingerprint"] != chip_fingerprint(spec):
        raise InputError(f"{path}: its chips were cut otherwise than this version does; prepare the data and train again")
    template = TemplateKind.MIRRORED if mirrored else TemplateKind.PLAIN
    return Run(path, record, spec, tower, head, template, aligner, align, digests=digests, **chips)
