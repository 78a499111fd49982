"""Omniglot as Koch et al. (2015) use it: drawings of characters as a prepared set, and the 20-way one-shot test on the official runs.

A drawing of 105x105 pixels is its own chip: there is no face to detect. A character is an identity, with a picture by each of twenty
drawers.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from edge.contract.errors import InputError
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.metrics import Rate, rate
from edge.contract.score import score
from edge.contract.spec import ChipSpec
from trainer.files import write_atomically
from trainer.prepare import MANIFEST
from trainer.verifier import Verifier

SIDE_PX = 105
LABELS = "class_labels.txt"
HOME = "github.com/brendenlake/omniglot, in its folder python"


def import_omniglot(sources: list[Path], folder: Path) -> tuple[int, int]:
    """Makes a prepared set from the drawings of one or more images_background*.zip; a drawing that two archives have is taken once.
    Returns the numbers of (characters, drawings).

    Raises:
        InputError: an archive is unreadable, or holds something else.
        StorageError: the set cannot be written.
    """
    spec = ChipSpec(side_px=SIDE_PX)
    entries: dict[str, dict[str, object]] = {}
    for source in sources:
        for name, drawing in _read_drawings(source):
            if len(parts := PurePosixPath(name).parts) < 3:
                raise InputError(
                    f"{source}: {name} is in no alphabet's and character's folder; take Omniglot's images_background zip files"
                )
            *_, alphabet, character, file = parts
            identity = f"{alphabet}-{character}".replace("(", "").replace(")", "")
            chip = f"chips/{identity}/{PurePosixPath(file).stem}.png"
            if chip not in entries:
                write_atomically(folder / chip, cv2.imencode(".png", drawing)[1].tobytes())
                entries[chip] = {"chip": chip, "identity": identity, "box": [0, 0, SIDE_PX, SIDE_PX]}
    if not entries:
        raise InputError(f"{', '.join(map(str, sources))}: no drawings; take Omniglot's images_background zip files")
    manifest = {
        "layout": "identities",
        "chip": spec.to_json(),
        "fingerprint": chip_fingerprint(spec),
        "chips": [entries[chip] for chip in sorted(entries)],
        "skipped": [],
    }
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    return len({entry["identity"] for entry in entries.values()}), len(entries)


def one_shot(verifier: Verifier, runs: Path) -> Rate:
    """Errors in the 20-way one-shot trials of Omniglot's all_runs.zip: each test drawing is given the class of the training drawing
    with the highest score.

    Raises:
        InputError: the archive is unreadable, a run of it is incomplete, or the verifier takes no drawings.
    """
    drawings = dict(_read_drawings(runs))
    labels = _read_labels(runs)
    errors = trials = 0
    for run in sorted(labels):
        tests, answers = zip(*labels[run], strict=True)
        classes = sorted(set(answers))
        try:
            test_embeddings, class_embeddings = (
                verifier.embed(np.stack([drawings[name] for name in names])) for names in (tests, classes)
            )
        except KeyError as error:
            raise InputError(f"{runs}: {run}: {error} is missing; download it again") from error
        except ValueError as error:
            raise InputError(
                f"the run takes no drawings of {SIDE_PX}x{SIDE_PX} pixels ({error}); name a finished one of `--recipe koch-omniglot`"
            ) from error
        for embedding, answer in zip(test_embeddings, answers, strict=True):
            errors += classes[int(np.argmax(score(verifier.head, embedding, class_embeddings)))] != answer
            trials += 1
    if not trials:
        raise InputError(f"{runs}: no {LABELS} in it; take Omniglot's all_runs.zip")
    return rate(errors, trials)


def _read_labels(runs: Path) -> dict[str, list[tuple[str, str]]]:
    with zipfile.ZipFile(runs) as archive:
        names = [name for name in archive.namelist() if name.endswith(f"/{LABELS}")]
        lines_by_run = {
            name: [line.split() for line in archive.read(name).decode(errors="replace").splitlines() if line.strip()]
            for name in names
        }
    for name, lines in lines_by_run.items():
        if not lines or any(len(words) != 2 for words in lines):
            raise InputError(f"{runs}: {name}: expected lines of a test drawing and a training drawing; download it again")
    return {name: [(test, answer) for test, answer in lines] for name, lines in lines_by_run.items()}


def _read_drawings(source: Path) -> list[tuple[str, NDArray[np.uint8]]]:
    drawings = []
    try:
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if name.endswith(".png") and "__MACOSX" not in name]
            for name in track(sorted(names), f"reading {source.name}", console=Console(stderr=True)):
                drawing = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)
                if drawing is None or drawing.shape != (SIDE_PX, SIDE_PX):
                    raise InputError(f"{source}: {name} is no drawing of {SIDE_PX}x{SIDE_PX} pixels")
                drawings.append((name, drawing))
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such file; download it from {HOME}") from error
    # RuntimeError: it needs a password, or uses a compression that Python does not support.
    except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise InputError(f"{source}: not a readable zip ({error}); download it again") from error
    return drawings
