"""The shipped models: undamaged, of the size and kind that their cards say, and found by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.camera import open_camera
from edge.contract.modelfile import read_model
from edge.contract.score import score
from edge.line import Face, Line
from edge.models import DEFAULT, model_names, model_path
from edge.settings import CameraSettings, Settings

ADA, BOB = 9_000_001, 9_000_002

ROOT = Path(__file__).parents[3]
LIMIT_BYTES = {"accurate": 6_000_000, "compact": 2_500_000}


def test_the_default_comes_along() -> None:
    assert model_names() == sorted(LIMIT_BYTES)
    assert Settings().model.path == DEFAULT
    assert model_path(DEFAULT).is_file()
    assert model_path("own.tflite") == Path("own.tflite")


@pytest.mark.parametrize("name", sorted(LIMIT_BYTES))
def test_a_model_is_what_its_card_says(name: str) -> None:
    path = model_path(name)
    model = read_model(path)
    assert path.stat().st_size <= LIMIT_BYTES[name]
    assert model.name == name
    assert model.tower.input.dtype == "int8"
    assert model.aligner is not None
    assert {point.target_fmr for point in model.operating_points} >= {1e-2, 1e-3, 1e-4}
    card = (ROOT / f"docs/model-cards/{name}.md").read_text()
    assert model.model_id in card
    assert model.record["provenance"]["run"]["command"] in card
    assert model.record["provenance"]["data"]["sha256"] in card


@pytest.mark.parametrize("name", sorted(LIMIT_BYTES))
def test_a_model_knows_a_drawn_person_again(name: str, clip: Callable[[int, int], Path]) -> None:
    """Frames of one person score higher with each other than with those of another, although the model was not trained on drawings."""
    model = read_model(model_path(name))
    line = Line(model, Settings.model_validate({"detection": {"min_face_px": 60}}))

    def embeddings(person: int, take: int) -> np.ndarray:
        frames = open_camera(CameraSettings(source=str(clip(person, take)))).frames()
        looked = [line.look(frame) for frame in list(frames)[10:60:10] if frame is not None]
        return np.stack([face.embedding for face in looked if isinstance(face, Face)])

    ada, again, bob = embeddings(ADA, 1), embeddings(ADA, 2), embeddings(BOB, 1)
    same = np.median([score(model.head, probe, ada) for probe in again])
    other = np.median([score(model.head, probe, ada) for probe in bob])
    assert same > other
