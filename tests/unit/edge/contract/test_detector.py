"""The vendored cascade finds drawn faces and gives their boxes in the frame's pixels."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract import detector as module
from edge.contract.chip import to_grey
from edge.contract.detector import detect_scaled, load_detector
from edge.contract.errors import ModelUnsupported, StorageError
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View


def drawn(width: int, height: int) -> np.ndarray:
    return to_grey(draw_frame(Person.from_seed(5), View(), np.random.default_rng(0), width=width, height=height))


def test_one_face_is_found_where_it_is() -> None:
    (box,) = load_detector("haar-alt2").detect(drawn(320, 240), min_px=60)
    assert abs(box.x + box.width / 2 - 160) < 10
    assert abs(box.y + box.height / 2 - 120) < 25


def test_a_shrunk_search_gives_boxes_of_the_whole_frame() -> None:
    detector = load_detector("haar-alt2")
    (whole,) = detector.detect(drawn(640, 480), min_px=120)
    (shrunk,) = detect_scaled(detector, drawn(640, 480), search_height_px=240, min_px=120)
    assert abs(whole.width - shrunk.width) < 0.15 * whole.width
    assert abs(whole.x - shrunk.x) < 0.1 * whole.width


def test_nothing_is_found_in_nothing() -> None:
    assert load_detector("haar-alt2").detect(np.full((240, 320), 128, np.uint8), min_px=40) == []


def test_an_unknown_detector_is_named() -> None:
    with pytest.raises(ModelUnsupported, match="'yunet'"):
        load_detector("yunet")


def test_a_changed_cascade_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAAR_ALT2_SHA256", "0" * 64)
    with pytest.raises(StorageError, match="install facelatch again"):
        load_detector("haar-alt2")
