"""dlib's own pipeline from a picture to a vector: five landmarks, its own colour chip, its recogniser. As a teacher, and as a peer to
compare with."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.chip import FaceBox, chip_window
from edge.contract.errors import PackageMissing
from edge.contract.spec import ChipSpec
from trainer.dataset import Teaching
from trainer.dlibfile import find_weights, read_dlib
from trainer.prepare import read_manifest, read_picture, source_pictures
from trainer.resnet import build_resnet, load_dlib

# dlib's chip for its recogniser: the positions in a unit square of the corners of the eyes (outer and inner of the subject's left eye,
# outer and inner of the right one) and of the base of the nose, and the margin around that square.
_POINTS = np.array(
    [[0.8595675, 0.2134982], [0.6460605, 0.2289674], [0.1205751, 0.2137275], [0.3340851, 0.2290642], [0.4901123, 0.6277975]]
)
_MARGIN = 0.25
_SIDE_PX = 150
# The teacher sees its own chip, and a closer one with this many times its side; students are shown the size in between. On validation
# people the mean of both and their mirror images has 1.8 points more TAR at FMR 1e-3 than dlib's own chip alone.
_CLOSER = 0.94


def placement_of(points: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The placement (right, down, size, turn in degrees) of dlib's chip within a chip, from five points in it, float [5, 2], as shares of
    its side.

    It is the least-squares similarity from dlib's mean points to these (Umeyama 1991, without reflection).
    """
    source = (_MARGIN + _POINTS) / (2 * _MARGIN + 1) - 0.5  # relative to the middle of dlib's chip, with side 1
    a, b = source - source.mean(0), points - points.mean(0)
    cosine = (a * b).sum() / (a * a).sum()
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / (a * a).sum()
    middle = points.mean(0) - np.array([[cosine, -sine], [sine, cosine]]) @ source.mean(0) - 0.5
    return float(middle[0]), float(middle[1]), float(np.hypot(cosine, sine)), float(np.degrees(np.arctan2(sine, cosine)))


def _aligned(picture: NDArray[np.uint8], points: NDArray[np.float64], scale: float) -> NDArray[np.uint8]:
    """Cuts dlib's chip, or one with `scale` times its side, from a BGR picture with five points in pixels: RGB, uint8 [150, 150, 3]."""
    # With points in pixels, the placement is one in a chip of side 1 pixel, relative to the chip's middle at 0.5.
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
        """The points of an RGB picture, in the form that dlib's own functions take."""
        return self._predictor(rgb, self._dlib.rectangle(box.x, box.y, box.x + box.width - 1, box.y + box.height - 1))


class DlibTeacher:
    """A Keras copy of dlib's recogniser as the teacher for a prepared set: the mean of its vectors of the colour picture, aligned by dlib's
    five points, at two sizes and mirrored.

    Raises:
        InputError: the set is not prepared.
        PackageMissing: dlib or its models are not installed.
    """

    made_by = "dlib's face recogniser, mean over aligned colour pictures of two sizes and their mirror images"
    learned = ()  # nobody of LFW, its author says; nobody of further sets is evaluated on

    def __init__(self, folder: Path) -> None:
        self._points = Points()
        self._tower = build_resnet(_SIDE_PX, channels=3)
        load_dlib(self._tower, read_dlib(find_weights()))
        manifest: dict[str, Any] = read_manifest(folder)
        self._spec = ChipSpec.from_json(manifest["chip"])
        self._sources = source_pictures(folder, manifest)
        self._entries = manifest["chips"]

    def ask(self, rows: range) -> Teaching:
        """Vectors and placements for these rows of the set."""
        aligned, placements = [], []
        for entry in self._entries[rows.start : rows.stop]:
            picture = read_picture(self._sources[entry["chip"]])
            box = FaceBox(*entry["box"])
            points = self._points.of(picture, box)
            window = chip_window(box, self._spec)
            right, down, size, turn = placement_of((points - [window.left, window.top]) / window.side)
            placements.append((right, down, size * (1 + _CLOSER) / 2, turn))
            aligned += [_aligned(picture, points, 1.0), _aligned(picture, points, _CLOSER)]
        pixels = np.stack(aligned).astype(np.float32)
        vectors = np.asarray(self._tower(pixels, training=False)) + np.asarray(self._tower(pixels[:, :, ::-1], training=False))
        return Teaching(vectors.reshape(-1, 2, vectors.shape[-1]).mean(1) / 2, np.array(placements, np.float32))


class DlibPeer:
    """dlib's recogniser as the installed library, not the Keras copy, for the pictures of a prepared set."""

    size = 128

    def __init__(self, folder: Path) -> None:
        self._points = Points()
        import dlib

        self._network = dlib.face_recognition_model_v1(str(find_weights()))
        manifest: dict[str, Any] = read_manifest(folder)
        self._sources = source_pictures(folder, manifest)
        self._boxes = {entry["chip"]: FaceBox(*entry["box"]) for entry in manifest["chips"]}

    def vector(self, name: str) -> NDArray[np.float32]:
        """dlib's vector, float32 [128], of the picture whose chip has this name: five points in the box, dlib's chip, one pass."""
        return self.prepare(name)()

    def prepare(self, name: str) -> Callable[[], NDArray[np.float32]]:
        """Reads the picture and returns a function that computes its vector."""
        rgb = cv2.cvtColor(read_picture(self._sources[name]), cv2.COLOR_BGR2RGB)
        box = self._boxes[name]
        return lambda: np.array(self._network.compute_face_descriptor(rgb, self._points.shape(rgb, box)), np.float32)
