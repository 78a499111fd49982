"""Prepares a data set: finds the face in every picture, cuts its chip as the device does, and lists what was skipped and why."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from edge.contract.chip import FaceBox, as_source, cut_chip, to_grey
from edge.contract.detector import Detector, detect_scaled, load_detector
from edge.contract.errors import InputError, StorageError
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.spec import ChipSpec
from trainer.choices import Several
from trainer.files import write_atomically
from trainer.layout import Layout, Picture, misplaced, pictures_of
from trainer.threads import threads

MANIFEST = "prepared.json"
# Chips of smaller faces would consist mostly of interpolated pixels.
MIN_FACE_PX = 30
MIN_FACE_SHARE = 0.2
SEARCH_HEIGHT_PX = 480


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one picture: the box of its face, or the reason why it has no chip."""

    picture: Picture
    box: FaceBox | None
    reason: str


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Reads a picture as uint8 [h, w, 3] BGR.

    Raises:
        InputError: it is missing, unreadable or not a picture.
    """
    try:
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from error
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as error:
        raise InputError(f"{path}: no picture that OpenCV opens; it may have too many pixels") from error
    if picture is None:
        raise InputError(f"{path}: {'not a picture, or cut off' if data.size else 'empty file'}")
    return picture.astype(np.uint8, copy=False)


def find_face(detector: Detector, grey: NDArray[np.uint8], several: Several) -> FaceBox | str:
    """The box of the face in a grey picture, uint8 [h, w], or the reason why there is none; `several` decides between more than one."""
    min_px = max(MIN_FACE_PX, round(MIN_FACE_SHARE * min(grey.shape)))
    boxes = detect_scaled(detector, grey, search_height_px=SEARCH_HEIGHT_PX, min_px=min_px)
    if not boxes:
        return "no face found"
    if len(boxes) == 1 or several is Several.LARGEST:
        return boxes[0]
    if several is Several.CENTRAL:
        height, width = grey.shape
        return min(boxes, key=lambda b: (b.x + b.width / 2 - width / 2) ** 2 + (b.y + b.height / 2 - height / 2) ** 2)
    return f"{len(boxes)} faces found"


def prepare(folder: Path, layout: Layout, spec: ChipSpec, several: Several, *, workers: int = 2) -> list[Outcome]:
    """Writes the chip of every picture of the data set, and prepared.json. Returns the outcome of each picture.

    Raises:
        InputError: there are no pictures, or none of them gave a chip.
        StorageError: a chip cannot be written.
    """
    pictures = list(pictures_of(folder, layout))
    first: dict[Path, Picture] = {}
    for picture in pictures:
        first.setdefault(picture.chip, picture)
    # While chips are being rewritten, an earlier list of them may be wrong.
    _remove_manifest(folder)
    detectors = local()

    def work(picture: Picture) -> Outcome:
        if picture is not first[picture.chip]:
            # Often one photograph in two formats, which would be the easiest genuine pair there is.
            return Outcome(picture, None, f"has the name of another, {first[picture.chip].path.name}")
        try:
            frame = read_picture(picture.path)
        except InputError as error:
            return Outcome(picture, None, str(error).removeprefix(f"{picture.path}: "))
        if not hasattr(detectors, "value"):
            detectors.value = load_detector(spec.detector)
        face = find_face(detectors.value, to_grey(frame), several)
        if isinstance(face, str):
            return Outcome(picture, None, face)
        chip = cv2.imencode(".png", cut_chip(as_source(frame, spec), face, spec))[1].tobytes()
        write_atomically(folder / picture.chip, chip, lasting=False)
        return Outcome(picture, face, "")

    # One thread per picture: OpenCV releases the GIL, and its own threads do not help with pictures this small.
    cv2.setNumThreads(1)
    outcomes = []
    with Progress(console=Console(stderr=True)) as progress, threads(workers) as pool:
        task = progress.add_task("preparing", total=len(pictures))
        for outcome in pool.map(work, pictures):
            outcomes.append(outcome)
            progress.advance(task)
    for path in misplaced(folder, layout):
        outcomes.append(Outcome(Picture(path, "", Path()), None, "lies in no person's own folder, pictures/PERSON/FILE"))
    if not any(outcome.box for outcome in outcomes):
        raise InputError(f"{folder}: not one of {len(outcomes)} pictures gave a chip: {dict(reasons(outcomes))}")
    _write_manifest(folder, layout, spec, outcomes)
    return outcomes


def reasons(outcomes: list[Outcome]) -> Counter[str]:
    """How many pictures were skipped, by reason."""
    return Counter(outcome.reason for outcome in outcomes if outcome.reason)


def source_pictures(folder: Path, manifest: dict[str, Any]) -> dict[str, Path]:
    """The source picture of each prepared chip, by the chip's name in the manifest.

    Raises:
        InputError: source pictures are gone.
    """
    sources: dict[str, Path] = {}
    for picture in pictures_of(folder, Layout(manifest["layout"])):
        sources.setdefault(str(picture.chip), picture.path)
    missing = [entry["chip"] for entry in manifest["chips"] if entry["chip"] not in sources]
    if missing:
        raise InputError(
            f"{folder}: the pictures of {len(missing)} chips are no longer there, such as that of {missing[0]}; "
            f"run `trainer prepare {folder}` again"
        )
    return sources


def _remove_manifest(folder: Path) -> None:
    try:
        (folder / MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{folder / MANIFEST}: cannot write: {error.strerror or error}") from error


def _write_manifest(folder: Path, layout: Layout, spec: ChipSpec, outcomes: list[Outcome]) -> None:
    manifest = {
        "layout": layout.value,
        "chip": spec.to_json(),
        "fingerprint": chip_fingerprint(spec),
        "chips": [{"chip": str(o.picture.chip), "identity": o.picture.identity, "box": list(o.box)} for o in outcomes if o.box],
        "skipped": [{"picture": str(o.picture.path.relative_to(folder)), "reason": o.reason} for o in outcomes if not o.box],
    }
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1).encode())


def read_manifest(folder: Path) -> dict[str, object]:
    """prepared.json of a data set.

    Raises:
        InputError: the data set was not prepared, prepared by another version of the chip contract, or prepared.json is damaged.
        StorageError: prepared.json cannot be read.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        spec = ChipSpec.from_json(manifest["chip"])
        fingerprint = manifest["fingerprint"]
        if not [(entry["chip"], entry["identity"], entry["box"]) for entry in manifest["chips"]]:
            raise ValueError("no chips")
    except FileNotFoundError as error:
        raise InputError(f"{folder}: not prepared; run `trainer prepare {folder}`") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: unreadable ({error}); run `trainer prepare {folder}` again") from error
    if fingerprint != chip_fingerprint(spec):
        raise InputError(f"{path}: these chips were cut otherwise than this version does; run `trainer prepare {folder}` again")
    return manifest
