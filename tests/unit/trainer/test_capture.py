"""Capture from a clip: numbered pictures of both roles, never overwriting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edge.contract.errors import CameraError
from tests.conftest import ADA
from trainer.capture import capture_pictures
from trainer.importer import captured_subjects
from trainer.layout import Layout, real_folder

Clip = Callable[[int, int], Path]


def test_anchors_then_positives(clip: Clip, tmp_path: Path) -> None:
    wanted = {"anchor": 4, "positive": 3}
    assert capture_pictures("ada", str(clip(ADA, 1)), tmp_path, Layout.SIX_FOLDERS, wanted, every=5) == wanted
    anchors = sorted(path.name for path in (tmp_path / "anchor_real").iterdir())
    assert anchors == [f"ada__anchor-000{n}.png" for n in range(4)]
    assert len(list((tmp_path / "positive_real").iterdir())) == 3
    assert cv2.imread(str(tmp_path / "anchor_real" / anchors[0])).shape == (240, 320, 3)
    assert captured_subjects(tmp_path) == {"ada"}


@pytest.mark.parametrize("layout", list(Layout))
def test_a_second_capture_goes_on_counting(clip: Clip, tmp_path: Path, layout: Layout) -> None:
    for stray in ("at-home.png", "ada__anchor-old.png"):
        path = real_folder(tmp_path, layout, "anchor", "ada") / stray
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"from elsewhere")
    for _ in range(2):
        capture_pictures("ada", str(clip(ADA, 1)), tmp_path, layout, {"anchor": 2, "positive": 1}, every=5)
    assert len(list(tmp_path.rglob("*-000*.png"))) == 6
    assert captured_subjects(tmp_path) == {"ada"}


def test_a_clip_that_is_too_short_keeps_what_was_taken(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="after 9 of 40 pictures, which are kept"):
        capture_pictures("ada", str(clip(ADA, 1)), tmp_path, Layout.SIX_FOLDERS, {"anchor": 20, "positive": 20}, every=10)
    assert len(list(tmp_path.rglob("*.png"))) == 9


def test_no_camera_is_told(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="cannot open"):
        capture_pictures("ada", str(tmp_path / "none.avi"), tmp_path, Layout.SIX_FOLDERS, {"anchor": 1}, every=1)
