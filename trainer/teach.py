"""A teacher's word on prepared pictures, asked once: its vector of each, and where in the chip it looked.

    <data>/teacher.npz    names [n], vectors float16 [n, T], placements float32 [n, 4], made_by, asked_about

Any recogniser can be the teacher: what writes such a file can stand in for this module.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from edge.contract.chip import FaceBox, chip_window
from edge.contract.errors import InputError, PackageMissing
from edge.contract.spec import ChipSpec
from trainer.dataset import Faces, Teaching, load_faces
from trainer.dlibfile import find_weights, read_dlib
from trainer.files import write_atomically
from trainer.prepare import read_manifest, read_picture, source_pictures
from trainer.resnet import build_resnet, load_dlib

TEACHER = "teacher.npz"
# dlib's own chip for its recogniser: where, in a square of one, it moves the corners of the eyes (the subject's left eye's outer
# and inner, the right one's outer and inner) and the base of the nose to, and the margin it leaves round them.
_POINTS = np.array(
    [[0.8595675, 0.2134982], [0.6460605, 0.2289674], [0.1205751, 0.2137275], [0.3340851, 0.2290642], [0.4901123, 0.6277975]]
)
_MARGIN = 0.25
_SIDE_PX = 150
_BATCH = 64
# The teacher looks at its own chip and, closer, at one of this many times its side; students are shown what lies between the two.
# On validation people the mean of both and their mirror images has 1.8 points more TAR at FMR 1e-3 than its own chip alone.
_CLOSER = 0.94


def teach(folder: Path) -> Teaching:
    """Asks dlib's recogniser for every prepared picture of `folder` and writes teacher.npz there.

    A vector is the mean of what it says of the colour picture, aligned by dlib's five points, at two sizes and mirrored.

    Raises:
        InputError: the set is not prepared.
        PackageMissing: dlib or its models are not installed.
        StorageError: the file cannot be written.
    """
    predictor = Points()
    tower = build_resnet(_SIDE_PX, channels=3)
    load_dlib(tower, read_dlib(find_weights()))
    manifest: dict[str, Any] = read_manifest(folder)
    spec = ChipSpec.from_json(manifest["chip"])
    sources = source_pictures(folder, manifest)
    entries = manifest["chips"]
    vectors, placements = [], []
    for at in track(range(0, len(entries), _BATCH), f"asking the teacher, {folder.name}", console=Console(stderr=True)):
        aligned = []
        for entry in entries[at : at + _BATCH]:
            picture = read_picture(sources[entry["chip"]])
            box = FaceBox(*entry["box"])
            points = predictor.of(picture, box)
            window = chip_window(box, spec)
            right, down, size, turn = placement_of((points - [window.left, window.top]) / window.side)
            placements.append((right, down, size * (1 + _CLOSER) / 2, turn))
            aligned += [_aligned(picture, points, 1.0), _aligned(picture, points, _CLOSER)]
        seen = np.stack(aligned).astype(np.float32)
        said = np.asarray(tower(seen, training=False)) + np.asarray(tower(seen[:, :, ::-1], training=False))
        vectors.append(said.reshape(-1, 2, said.shape[-1]).mean(1) / 2)
    teaching = Teaching(np.concatenate(vectors).astype(np.float32), np.array(placements, np.float32))
    made_by = "dlib's face recogniser, mean over aligned colour pictures of two sizes and their mirror images"
    write_teaching(folder, [entry["chip"] for entry in entries], teaching, made_by=made_by)
    return teaching


def write_teaching(folder: Path, names: list[str], teaching: Teaching, *, made_by: str) -> None:
    """Writes teacher.npz. Raises StorageError where that fails."""
    out = io.BytesIO()
    np.savez(
        out,
        names=np.array(names),
        vectors=teaching.vectors.astype(np.float16),
        placements=teaching.placements.astype(np.float32),
        made_by=np.array(made_by),
        asked_about=np.array(_asked_about(folder)),
    )
    write_atomically(folder / TEACHER, out.getvalue())


def load_taught(folder: Path) -> Faces:
    """A prepared set with what the teacher said of it, in the order of its chips.

    Raises:
        InputError: the teacher was not asked, not about all pictures, or before they were prepared as they are now.
    """
    faces = load_faces(folder)
    path, again = folder / TEACHER, f"run `trainer teach {folder}` again"
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as saved:
            names = [str(name) for name in saved["names"]]
            vectors, placements = (saved[key].astype(np.float32) for key in ("vectors", "placements"))
            # Files from before this was noted, and those of others, may lack it.
            asked_about = str(saved["asked_about"]) if "asked_about" in saved else None
    except FileNotFoundError as error:
        raise InputError(f"{folder}: this recipe needs a teacher's vectors; run `trainer teach {folder}`") from error
    # TypeError: a lone .npy array is no archive. EOFError: an empty file.
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: unreadable ({error}); {again}") from error
    if vectors.ndim != 2 or len(vectors) != len(names) or placements.shape != (len(names), 4):
        raise InputError(f"{path}: vectors {vectors.shape} and placements {placements.shape} for {len(names)} names; {again}")
    row = {name: at for at, name in enumerate(names)}
    if unknown := [name for name in faces.names if name not in row]:
        raise InputError(f"{path}: nothing about {len(unknown)} of {len(faces.names)} pictures, such as {unknown[0]}; {again}")
    if asked_about not in (None, _asked_about(folder)):
        raise InputError(f"{path}: {folder} was prepared anew since, with other boxes or chips; {again}")
    rows = [row[name] for name in faces.names]
    teaching = Teaching(vectors[rows], placements[rows])
    # Of what is no number, a training would say so an hour later; a vector of length 0 has no direction.
    usable = np.isfinite(teaching.vectors).all(1) & teaching.vectors.any(1) & np.isfinite(teaching.placements).all(1)
    usable &= teaching.placements[:, 2] > 0
    if not usable.all():
        raise InputError(f"{path}: {(~usable).sum()} of {len(usable)} rows hold no vector or no placement; {again}")
    return replace(faces, teaching=teaching)


def _asked_about(folder: Path) -> str:
    """A digest of how a set was prepared: a placement is one in the chip of a box."""
    manifest = read_manifest(folder)
    return hashlib.sha256(json.dumps([manifest["chip"], manifest["chips"]], sort_keys=True).encode()).hexdigest()


def placement_of(points: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The placement (right, down, size, turn) of dlib's chip, from five points, float [5, 2], as shares of the chip's side.

    The similarity that moves dlib's mean points onto these with the least squares (Umeyama 1991, without reflection).
    """
    source = (_MARGIN + _POINTS) / (2 * _MARGIN + 1) - 0.5  # round the middle of dlib's chip, whose side is 1
    a, b = source - source.mean(0), points - points.mean(0)
    cosine = (a * b).sum() / (a * a).sum()
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / (a * a).sum()
    middle = points.mean(0) - np.array([[cosine, -sine], [sine, cosine]]) @ source.mean(0) - 0.5
    return float(middle[0]), float(middle[1]), float(np.hypot(cosine, sine)), float(np.degrees(np.arctan2(sine, cosine)))


def _aligned(picture: NDArray[np.uint8], points: NDArray[np.float64], scale: float) -> NDArray[np.uint8]:
    """dlib's chip of a BGR picture with five points in its pixels, or one of `scale` times its side: RGB, uint8 [150, 150, 3]."""
    # In units of one pixel the placement is that in a picture of side 1, round whose middle placements are.
    right, down, size, turn = placement_of(points)
    step = size * scale / _SIDE_PX
    c, s = step * math.cos(math.radians(turn)), step * math.sin(math.radians(turn))
    view = np.array([[c, -s], [s, c]])
    offset = np.array([right, down]) + 0.5 - view @ np.full(2, (_SIDE_PX - 1) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    chip = cv2.warpAffine(picture, np.column_stack([view, offset]), (_SIDE_PX, _SIDE_PX), flags=flags)
    return cv2.cvtColor(chip, cv2.COLOR_BGR2RGB)


class Points:
    """dlib's five-point predictor."""

    def __init__(self) -> None:
        try:
            import dlib
        except ModuleNotFoundError as error:
            raise PackageMissing("the teacher is dlib: pip install 'facelatch[teacher]'") from error
        self._dlib = dlib
        self._predictor = dlib.shape_predictor(str(find_weights().with_name("shape_predictor_5_face_landmarks.dat")))

    def of(self, picture: NDArray[np.uint8], box: FaceBox) -> NDArray[np.float64]:
        """Five points, float [5, 2], in pixels of a BGR picture."""
        shape = self.shape(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), box)
        return np.array([(part.x, part.y) for part in shape.parts()], np.float64)

    def shape(self, rgb: NDArray[np.uint8], box: FaceBox) -> Any:
        """The points as dlib's own functions take them."""
        return self._predictor(rgb, self._dlib.rectangle(box.x, box.y, box.x + box.width - 1, box.y + box.height - 1))


class DlibPeer:
    """dlib's own recogniser, the installed library and not this project's copy, on the pictures of a prepared set."""

    size = 128

    def __init__(self, folder: Path) -> None:
        self._points = Points()
        import dlib

        self._network = dlib.face_recognition_model_v1(str(find_weights()))
        manifest: dict[str, Any] = read_manifest(folder)
        self._sources = source_pictures(folder, manifest)
        self._boxes = {entry["chip"]: FaceBox(*entry["box"]) for entry in manifest["chips"]}

    def vector(self, name: str) -> NDArray[np.float32]:
        """Its vector, float32 [128], of the picture whose chip has this name: five points on the box, its own chip, one pass."""
        return self.ready(name)()

    def ready(self, name: str) -> Callable[[], NDArray[np.float32]]:
        """The same once the picture is read."""
        rgb = cv2.cvtColor(read_picture(self._sources[name]), cv2.COLOR_BGR2RGB)
        box = self._boxes[name]
        return lambda: np.array(self._network.compute_face_descriptor(rgb, self._points.shape(rgb, box)), np.float32)
