"""Haar alone against another detector that finds the region for it, on the same frames, one thread, one run.

    python -m benchmarks.finders ../shared/data/clips/*.mp4 --lbp /usr/share/opencv4/lbpcascades/lbpcascade_frontalface.xml

Processor time of one thread. A frame turned upside down stands for a frame without a face. Shows no picture.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge.camera.replay import Video
from edge.contract.chip import FaceBox, as_source, cut_chip, to_grey
from edge.contract.detector import Detector, detect_scaled, load_detector
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder
from edge.finders import Within, load_finder
from edge.models import DEFAULT, model_path
from edge.settings import DetectionSettings

SEARCH_HEIGHT_PX, MIN_FACE_PX = 240, 60


def ways_of(lbp: list[Path], yunet: list[Path]) -> dict[str, Detector]:
    """Haar alone first, then Haar in what each file finds."""
    haar = load_detector("haar-alt2")
    ways: dict[str, Detector] = {"haar": haar}
    for kind, files in (("lbp", lbp), ("yunet", yunet)):
        for file in files:
            finder = load_finder(DetectionSettings.model_validate({"detector": kind, "detector_file": str(file)}))
            if finder is not None:
                ways[f"{kind} {file.stem}, then haar"] = Within(finder, haar)
    return ways


def search(way: Detector, grey: np.ndarray) -> tuple[list[FaceBox], float]:
    """The boxes, and the milliseconds of processor time they cost."""
    began = time.thread_time()
    found = detect_scaled(way, grey, search_height_px=SEARCH_HEIGHT_PX, min_px=MIN_FACE_PX)
    return found, (time.thread_time() - began) * 1000


def compare(ways: dict[str, Detector], clips: list[Path], every: int) -> dict[str, dict[str, float]]:
    """What each way found in every `every`-th frame, what it cost, and how far its boxes and embeddings are from Haar's own."""
    model = read_model(model_path(DEFAULT))
    embedder = Embedder(model)
    took: dict[str, list[float]] = {name: [] for name in ways}
    empty: dict[str, list[float]] = {name: [] for name in ways}
    found = dict.fromkeys(ways, 0)
    apart: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    frames = [frame for clip in clips for frame in list(Video(clip).frames())[::every] if frame is not None]
    for frame in track(frames, "searching", console=Console(stderr=True)):
        grey = to_grey(frame.pixels)
        turned = np.ascontiguousarray(grey[::-1])
        boxes = {}
        for name, way in ways.items():
            seen, cost_ms = search(way, grey)
            took[name].append(cost_ms)
            empty[name].append(search(way, turned)[1])
            if seen:
                found[name] += 1
                boxes[name] = seen[0]
        if "haar" not in boxes:
            continue
        own = boxes["haar"]
        source = as_source(frame.pixels, model.chip)
        probe = embedder.embed(cut_chip(source, own, model.chip))
        for name, box in boxes.items():
            if name == "haar":
                continue
            other = embedder.embed(cut_chip(source, box, model.chip))
            cosine = float(probe @ other / (np.linalg.norm(probe) * np.linalg.norm(other)))
            centre = np.hypot(own.x + own.width / 2 - box.x - box.width / 2, own.y + own.height / 2 - box.y - box.height / 2)
            apart[name].append((float(centre) / own.width, abs(box.width / own.width - 1), cosine))
    told = {}
    for name in ways:
        row = {
            "frames": len(frames),
            "found": found[name],
            "p50_ms": np.median(took[name]),
            "p95_ms": np.percentile(took[name], 95),
        }
        row |= {"empty_p50_ms": np.median(empty[name])}
        if apart[name]:
            centre, size, cosine = np.array(apart[name]).T
            row |= {
                "centre_p50": np.median(centre),
                "centre_p95": np.percentile(centre, 95),
                "size_p95": np.percentile(size, 95),
            }
            row |= {"cosine_p50": np.median(cosine), "cosine_p01": np.percentile(cosine, 1)}
        told[name] = {key: round(float(value), 4) for key, value in row.items()}
    return told


def main() -> None:
    """Prints the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--lbp", type=Path, action="append", default=[], help="an LBP cascade; may be given several times")
    parser.add_argument("--yunet", type=Path, action="append", default=[], help="a YuNet network; may be given several times")
    parser.add_argument("--every", type=int, default=5, help="so many frames are one step")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    missing = [str(clip) for clip in given.clips if not clip.is_file()]
    if missing:
        print(f"no {', '.join(missing)}: nothing was measured")
        return
    cv2.setNumThreads(1)
    told = compare(ways_of(given.lbp, given.yunet), given.clips, given.every)
    if given.json:
        print(json.dumps(told))
        return
    table = Table("", *next(reversed(told.values())), title="one thread; boxes and embeddings against Haar's own")
    for name, row in told.items():
        table.add_row(name, *(f"{value:g}" for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
