"""A prepared data set in memory, and its split by identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from edge.contract.spec import ChipSpec
from trainer.prepare import read_manifest

# Cohort and test are for the exporter and the report; training never sees them, validation only chooses the epoch.
SPLIT_SHARES = {"test": 0.10, "cohort": 0.05, "validation": 0.10, "train": 0.75}


@dataclass(frozen=True, slots=True)
class Faces:
    """Chips, uint8 [n, side, side] grey, with `labels`, int [n], into `identities`. `digest` is over chips and names."""

    spec: ChipSpec
    chips: NDArray[np.uint8]
    labels: NDArray[np.int64]
    identities: list[str]
    digest: str

    def of(self, names: list[str]) -> Faces:
        """Only the faces of these identities, labels renumbered in the order of `names`."""
        old = {name: number for number, name in enumerate(self.identities)}
        wanted = [old[name] for name in names]
        renumber = np.full(len(self.identities), -1)
        renumber[wanted] = np.arange(len(wanted))
        labels = renumber[self.labels]
        keep = labels >= 0
        return Faces(self.spec, self.chips[keep], labels[keep], names, self.digest)


def load_faces(folder: Path) -> Faces:
    """Reads every chip that prepared.json lists.

    Raises:
        InputError: the set is not prepared, or a chip is missing or of another size.
    """
    manifest = read_manifest(folder)
    spec = ChipSpec.from_json(manifest["chip"])
    entries = manifest["chips"]
    chips = np.empty((len(entries), spec.side_px, spec.side_px), np.uint8)
    digest = hashlib.sha256()
    for at, entry in enumerate(entries):
        chip = cv2.imread(str(folder / entry["chip"]), cv2.IMREAD_GRAYSCALE)
        if chip is None or chip.shape != chips.shape[1:]:
            raise InputError(
                f"{folder / entry['chip']}: missing or not {spec.side_px} px; run `trainer prepare {folder}` again"
            )
        chips[at] = chip
        digest.update(entry["identity"].encode() + b"\0" + chip.tobytes())
    identities = sorted({entry["identity"] for entry in entries})
    number = {name: at for at, name in enumerate(identities)}
    labels = np.array([number[entry["identity"]] for entry in entries], np.int64)
    return Faces(spec, chips, labels, identities, digest.hexdigest())


def split_identities(faces: Faces, seed: int) -> dict[str, list[str]]:
    """Every identity into one of train, validation, test and cohort, by a hash of its name and the seed.

    People with one picture and with several are shared out separately, so that each part has genuine pairs.

    Raises:
        InputError: fewer people with several pictures than the parts need.
    """
    counts = np.bincount(faces.labels, minlength=len(faces.identities))
    several = [name for name, count in zip(faces.identities, counts, strict=True) if count > 1]
    single = [name for name, count in zip(faces.identities, counts, strict=True) if count == 1]
    if len(several) < 10:
        raise InputError(
            f"{len(several)} people with two or more pictures: at least 10 are needed for a split by identity; "
            "add people with `trainer import lfw` or any folder of person folders"
        )
    split: dict[str, list[str]] = {part: [] for part in SPLIT_SHARES}
    for group in (several, single):
        ordered = sorted(group, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        taken = 0
        for part, share in SPLIT_SHARES.items():
            least = 2 if group is several and part != "train" else 0
            count = len(ordered) - taken if part == "train" else max(least, round(share * len(ordered)))
            split[part] += ordered[taken : taken + count]
            taken += count
    return {part: sorted(names) for part, names in split.items()}
