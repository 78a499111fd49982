"""How many pictures each gate of edge/quality.py refuses, and the FNMR of genuine comparisons by what each gate measures.

    python -m benchmarks.quality ../shared/data

Of LFW it uses the people whom the model `accurate` was not trained on (its test, validation and cohort people), at most ten pictures
each. Keeps and shows no picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.turn import LFW, OTHERS, SEED, pictures
from edge.contract.chip import FaceBox, as_source, cut_chip, face_part, to_grey
from edge.contract.detector import load_detector
from edge.contract.metrics import rate
from edge.contract.modelfile import ModelFile, read_model
from edge.contract.runtime import Embedder
from edge.contract.score import compare, place_both
from edge.models import DEFAULT, model_path
from edge.settings import QualitySettings
from edge.turn import measure_turn
from trainer.errata import rightly_labelled
from trainer.prepare import Several, find_face
from trainer.split import split_identities

MOST_A_PERSON = 10
GATES = QualitySettings()


@dataclass(frozen=True, slots=True)
class Measured:
    """What the gates measure on one face, its embedding and its template."""

    person: str
    picture: str
    brightness: float
    contrast: float
    sharpness: float
    turn: float
    tilt_deg: float
    embedding: np.ndarray
    template: np.ndarray


REFUSES: dict[str, Callable[[Measured], bool]] = {
    f"too dark, below {GATES.min_brightness:g}": lambda face: face.brightness < GATES.min_brightness,
    f"too bright, above {GATES.max_brightness:g}": lambda face: face.brightness > GATES.max_brightness,
    f"low contrast, below {GATES.min_contrast:g}": lambda face: face.contrast < GATES.min_contrast,
    f"blurred, below {GATES.min_sharpness:g}": lambda face: face.sharpness < GATES.min_sharpness,
    f"turned, above {GATES.max_turn:g}": lambda face: face.turn > GATES.max_turn,
    f"tilted, above {GATES.max_tilt_deg:g} degrees": lambda face: face.tilt_deg > GATES.max_tilt_deg,
}
BINS = {
    "turn": (0, 0.05, 0.1, 0.15, 0.2, 0.25, 1),
    "tilt_deg": (0, 2, 4, 6, 8, 10, 12, 90),
    "sharpness": (0, 10, 15, 20, 30, 60, 1e9),
    "brightness": (0, 60, 75, 90, 120, 160, 256),
    "contrast": (0, 25, 30, 40, 60, 200),
}
# Measures for which the larger value of two pictures is the worse; for the others it is the smaller.
LARGER_IS_WORSE = ("turn", "tilt_deg")


def measured(source: Path, model: ModelFile) -> list[Measured]:
    """Measures the faces that the contract's cascade finds in the pictures of a source."""
    detector, embedder, faces = load_detector(model.chip.detector), Embedder(model), []
    for person, name, picture in track(pictures(source), source.name, console=Console(stderr=True)):
        box = find_face(detector, to_grey(picture), Several.CENTRAL)
        if not isinstance(box, FaceBox):
            continue
        chip = cut_chip(as_source(picture, model.chip), box, model.chip)
        part = to_grey(face_part(chip, model.chip))
        view, placement = embedder.aligned(chip)
        sharpness = float(cv2.Laplacian(part, cv2.CV_32F).var())
        turn, tilt_deg = abs(measure_turn(to_grey(view))), abs(placement.turn) if placement else 0.0
        embedding = embedder.embed_view(view)
        template = embedder.template_of_view(view, embedding)
        faces.append(
            Measured(person, name, float(part.mean()), float(part.std()), sharpness, turn, tilt_deg, embedding, template)
        )
    return faces


def not_trained_on(faces: list[Measured]) -> list[Measured]:
    """At most ten faces of each person of LFW outside the model's training part, without pictures whose labels are known to be wrong."""
    names, labels = np.unique([face.person for face in faces], return_inverse=True)
    split = split_identities(labels, list(names), SEED)
    trained, counts, selected = set(split["train"]), dict.fromkeys(names, 0), []
    for face in faces:
        if not rightly_labelled(face.person, face.picture):
            continue
        counts[face.person] += 1
        if face.person not in trained and counts[face.person] <= MOST_A_PERSON:
            selected.append(face)
    return selected


def genuine_by(faces: list[Measured], model: ModelFile, target_fmr: float) -> dict[str, list[str]]:
    """FNMR at an operating point, for each measure, by the worse value of the two pictures."""
    threshold = model.operating_point(target_fmr).threshold
    templates, embeddings = np.stack([face.template for face in faces]), np.stack([face.embedding for face in faces])
    enrolled, placed = place_both(model.head, embeddings, templates)
    pairs, missed = [], []
    for first in range(len(faces)):
        for second in range(first + 1, len(faces)):
            if faces[first].person == faces[second].person:
                pairs.append((first, second))
                missed.append(compare(model.head, enrolled[first : first + 1], placed[second : second + 1])[0] < threshold)
    report = {"all": [str(rate(sum(missed), len(missed)))]}
    for name, edges in BINS.items():
        pick = max if name in LARGER_IS_WORSE else min
        worse = np.array([pick(getattr(faces[first], name), getattr(faces[second], name)) for first, second in pairs])
        rows = [(low, high, (worse >= low) & (worse < high)) for low, high in pairwise(edges)]
        report[name] = [
            f"{low:g} to {high:g}: {rate(int(np.array(missed)[inside].sum()), int(inside.sum()))}"
            for low, high, inside in rows
            if inside.any()
        ]
    return report


def main() -> None:
    """Prints counts and intervals as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    sources = [args.data / name for name in (LFW, *OTHERS) if (args.data / name).is_file()]
    if not sources:
        print(f"no {LFW} and none of {', '.join(OTHERS)} in {args.data}: nothing was measured")
        return
    cv2.setNumThreads(1)
    model, report = read_model(model_path(DEFAULT)), {}
    for source in sources:
        faces = measured(source, model)
        if source.name == LFW:
            faces = not_trained_on(faces)
            report["genuine comparisons of LFW at FMR 1e-3, not matched"] = genuine_by(faces, model, 1e-3)
        report[source.name] = {gate: str(rate(sum(map(refuses, faces)), len(faces))) for gate, refuses in REFUSES.items()}
        report[source.name]["any"] = str(
            rate(sum(any(refuses(face) for refuses in REFUSES.values()) for face in faces), len(faces))
        )
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
