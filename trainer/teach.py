"""A teacher's word on prepared pictures, asked once: its vector of each, and where in the chip it looked.

    <data>/teacher.npz    names [n], vectors float16 [n, T], placements float32 [n, 4], made_by

Any recogniser can be the teacher: what writes such a file can stand in for this module.
"""

from __future__ import annotations

import io
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
from trainer.layout import Layout, pictures_of
from trainer.prepare import read_manifest, read_picture
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
    sources = {str(picture.chip): picture.path for picture in pictures_of(folder, Layout(manifest["layout"]))}
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
    )
    write_atomically(folder / TEACHER, out.getvalue())


def load_taught(folder: Path) -> Faces:
    """A prepared set with what the teacher said of it, in the order of its chips.

    Raises:
        InputError: the teacher was not asked, or not about all pictures.
    """
    faces = load_faces(folder)
    path = folder / TEACHER
    try:
        with np.load(path, allow_pickle=False) as saved:
            row = {str(name): at for at, name in enumerate(saved["names"])}
            rows = [row[name] for name in faces.names]
            teaching = Teaching(saved["vectors"].astype(np.float32)[rows], saved["placements"].astype(np.float32)[rows])
    except FileNotFoundError as error:
        raise InputError(f"{folder}: this recipe needs a teacher's vectors; run `trainer teach {folder}`") from error
    except KeyError as error:
        raise InputError(f"{path}: nothing about {error}; run `trainer teach {folder}` again") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: unreadable ({error}); run `trainer teach {folder}` again") from error
    if len(teaching.vectors) != len(faces.labels) or teaching.placements.shape != (len(faces.labels), 4):
        raise InputError(
            f"{path}: {teaching.vectors.shape} vectors and {teaching.placements.shape} placements do not fit the set"
        )
    return replace(faces, teaching=teaching)


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
        self._sources = {str(picture.chip): picture.path for picture in pictures_of(folder, Layout(manifest["layout"]))}
        self._boxes = {entry["chip"]: FaceBox(*entry["box"]) for entry in manifest["chips"]}

    def vector(self, name: str) -> NDArray[np.float32]:
        """Its vector, float32 [128], of the picture whose chip has this name: five points on the box, its own chip, one pass."""
        return self.ready(name)()

    def ready(self, name: str) -> Callable[[], NDArray[np.float32]]:
        """The same once the picture is read."""
        rgb = cv2.cvtColor(read_picture(self._sources[name]), cv2.COLOR_BGR2RGB)
        box = self._boxes[name]
        return lambda: np.array(self._network.compute_face_descriptor(rgb, self._points.shape(rgb, box)), np.float32)
