"""Compares Haar alone with Haar inside regions from a coarse search or another detector, on the same frames, one thread, in one run.

    python -m benchmarks.finders ../shared/data/clips/*.mp4 --lbp /usr/share/opencv4/lbpcascades/lbpcascade_frontalface.xml
    python -m benchmarks.finders --pictures ../shared/data/lfw-deepfunneled-train.tar --sample 1000

Times are processor time of one thread. A frame turned upside down stands for a frame without a face. With --pictures, counts which of
Haar's faces the others find, alone and with a second, smaller face beside them; the tar is read in memory. Shows no picture.
"""

from __future__ import annotations

import argparse
import json
import random
import tarfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge.camera.replay import Video
from edge.coarse import CoarseFinder
from edge.contract.chip import FaceBox, as_source, cut_chip, to_grey
from edge.contract.detector import Detector, HaarDetector, detect_scaled
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder
from edge.finders import Within, load_finder, look
from edge.models import DEFAULT, model_path
from edge.search import NEXT_SIZES
from edge.settings import DetectionSettings

SEARCH_HEIGHT_PX, MIN_FACE_PX = 240, 60
# Boxes with at least this intersection over union are of one face. A second face counts from this fraction of the first one's width.
SAME, SECOND = 0.4, 0.6
HELD, BEFORE = "haar, a held face", 3


def ways_of(lbp: list[Path], yunet: list[Path]) -> dict[str, Detector]:
    """The ways to search, by name: Haar alone first, then Haar inside what the coarse search and each file's detector find."""
    haar = HaarDetector()
    ways: dict[str, Detector] = {"haar": haar, "coarse, then haar": Within(CoarseFinder(haar), haar)}
    for kind, files in (("lbp", lbp), ("yunet", yunet)):
        for file in files:
            finder = load_finder(DetectionSettings.model_validate({"detector": kind, "detector_file": str(file)}), haar)
            if finder is not None:
                ways[f"{kind} {file.stem}, then haar"] = Within(finder, haar)
    return ways


def search(way: Detector, grey: np.ndarray, min_px: int) -> tuple[list[FaceBox], float]:
    """The boxes in a grey frame, uint8 [h, w], and the search's processor time in milliseconds."""
    began = time.thread_time()
    found = detect_scaled(way, grey, search_height_px=SEARCH_HEIGHT_PX, min_px=min_px)
    return found, (time.thread_time() - began) * 1000


def follow(haar: Detector, grey: np.ndarray, held: FaceBox, min_px: int) -> tuple[list[FaceBox], float]:
    """As `search`, but only near the face `held` from an earlier frame."""
    began = time.thread_time()
    found = look(haar, grey, held, NEXT_SIZES, min_px=min_px, scale=min(1.0, SEARCH_HEIGHT_PX / grey.shape[0]))
    return found, (time.thread_time() - began) * 1000


def compare(ways: dict[str, Detector], clips: list[Path], every: int, min_px: int) -> dict[str, dict[str, float]]:
    """What each way finds in every `every`-th frame, its cost, and how far its boxes and embeddings are from Haar's own."""
    model = read_model(model_path(DEFAULT))
    embedder = Embedder(model)
    names = [*ways, HELD]
    times_ms: dict[str, list[float]] = {name: [] for name in names}
    empty_times_ms: dict[str, list[float]] = {name: [] for name in names}
    hits = dict.fromkeys(names, 0)
    differences: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    frames = []
    for clip in clips:
        recorded = [frame.pixels for frame in Video(clip).frames() if frame is not None]
        # Each frame with the one BEFORE frames, a tenth of a second, earlier.
        frames += [(recorded[max(0, index - BEFORE)], recorded[index]) for index in range(0, len(recorded), every)]
    for before, pixels in track(frames, "searching", console=Console(stderr=True)):
        grey = to_grey(pixels)
        turned = np.ascontiguousarray(grey[::-1])
        boxes = {}
        for name, way in ways.items():
            found_boxes, cost_ms = search(way, grey, min_px)
            times_ms[name].append(cost_ms)
            empty_times_ms[name].append(search(way, turned, min_px)[1])
            if found_boxes:
                hits[name] += 1
                boxes[name] = found_boxes[0]
        if "haar" not in boxes:
            continue
        held_boxes, reference = search(ways["haar"], to_grey(before), min_px)[0], boxes["haar"]
        if held_boxes:
            near_boxes, cost_ms = follow(ways["haar"], grey, held_boxes[0], min_px)
            times_ms[HELD].append(cost_ms)
            empty_times_ms[HELD].append(follow(ways["haar"], turned, held_boxes[0], min_px)[1])
            if near_boxes:
                hits[HELD] += 1
                boxes[HELD] = near_boxes[0]
        source = as_source(pixels, model.chip)
        probe = embedder.embed(cut_chip(source, reference, model.chip))
        for name, box in boxes.items():
            if name == "haar":
                continue
            other = embedder.embed(cut_chip(source, box, model.chip))
            cosine = float(probe @ other / (np.linalg.norm(probe) * np.linalg.norm(other)))
            centre = np.hypot(
                reference.x + reference.width / 2 - box.x - box.width / 2,
                reference.y + reference.height / 2 - box.y - box.height / 2,
            )
            differences[name].append((float(centre) / reference.width, abs(box.width / reference.width - 1), cosine))
    report = {}
    for name in names:
        row = {
            "frames": len(times_ms[name]),
            "found": hits[name],
            "p50_ms": np.median(times_ms[name]),
            "p95_ms": np.percentile(times_ms[name], 95),
        }
        row |= {"empty_p50_ms": np.median(empty_times_ms[name])}
        if differences[name]:
            centre, size, cosine = np.array(differences[name]).T
            row |= {
                "centre_p50": np.median(centre),
                "centre_p95": np.percentile(centre, 95),
                "size_p95": np.percentile(size, 95),
            }
            row |= {"cosine_p50": np.median(cosine), "cosine_p01": np.percentile(cosine, 1)}
        report[name] = {key: round(float(value), 4) for key, value in row.items()}
    return report


def pictures(tar: Path, count: int) -> Iterator[np.ndarray]:
    """A fixed random sample of a tar's pictures, grey uint8, SEARCH_HEIGHT_PX high."""
    with tarfile.open(tar) as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".jpg")]
        for member in random.Random(0).sample(members, min(count, len(members))):  # noqa: S311 - draws no secret
            file = archive.extractfile(member)
            picture = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_GRAYSCALE) if file else None
            if picture is not None:
                width = round(picture.shape[1] * SEARCH_HEIGHT_PX / picture.shape[0])
                yield cv2.resize(picture, (width, SEARCH_HEIGHT_PX), interpolation=cv2.INTER_AREA)


def beside(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One frame of the middles of two pictures side by side, the second shrunk to 0.7."""
    wide = [picture[:, picture.shape[1] // 2 - 80 : picture.shape[1] // 2 + 80] for picture in (first, second)]
    small = cv2.resize(wide[1], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    return np.hstack([wide[0], cv2.copyMakeBorder(small, 240 - small.shape[0], 0, 0, 0, cv2.BORDER_REPLICATE)])


def recall(ways: dict[str, Detector], greys: list[np.ndarray], min_px: int) -> dict[str, dict[str, float]]:
    """How many of Haar's boxes each way finds; `again` counts a first or a second look. `two` counts the frames with two faces in which
    it sees both."""
    frames = [("alone", grey) for grey in greys] + [("beside", beside(*both)) for both in pairwise(greys)]
    counts = {name: dict.fromkeys(("boxes", "largest", "again", "two", "two_again", "turned"), 0) for name in ways}
    for kind, grey in track(frames, "searching", console=Console(stderr=True)):
        reference_boxes = search(ways["haar"], grey, min_px)[0]
        turned = np.ascontiguousarray(grey[::-1])
        for name, way in ways.items():
            row, looks = counts[name], [search(way, grey, min_px)[0] for _ in range(2)]
            if kind == "alone":
                row["boxes"] += sum(any(same(box, other) for other in looks[0]) for box in reference_boxes)
                largest = [bool(reference_boxes) and any(same(reference_boxes[0], other) for other in look) for look in looks]
                row["largest"] += largest[0]
                row["again"] += any(largest)
                row["turned"] += len(search(way, turned, min_px)[0])
            elif several(reference_boxes):
                row["two"] += several(looks[0])
                row["two_again"] += any(several(look) for look in looks)
    return {name: {key: float(value) for key, value in row.items()} for name, row in counts.items()}


def several(boxes: list[FaceBox]) -> bool:
    """Whether there is a second face large enough to count."""
    return sum(box.width >= SECOND * boxes[0].width for box in boxes) > 1


def same(a: FaceBox, b: FaceBox) -> bool:
    """Whether two boxes are of the same face."""
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(0, across) * max(0, down)
    return shared >= SAME * (a.width * a.height + b.width * b.height - shared)


def main() -> None:
    """Prints the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="*")
    parser.add_argument("--pictures", type=Path, help="a tar of pictures, in place of clips")
    parser.add_argument("--sample", type=int, default=1000, help="so many of the tar's pictures")
    parser.add_argument("--min-face", type=int, default=MIN_FACE_PX, help="smallest face, in pixels of the frame")
    parser.add_argument("--lbp", type=Path, action="append", default=[], help="an LBP cascade; may be given several times")
    parser.add_argument("--yunet", type=Path, action="append", default=[], help="a YuNet network; may be given several times")
    parser.add_argument("--every", type=int, default=5, help="so many frames are one step")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if bool(args.clips) == bool(args.pictures):
        parser.error("give clips, or --pictures")
    missing = [str(path) for path in args.clips or [args.pictures] if not path.is_file()]
    if missing:
        print(f"no {', '.join(missing)}: nothing was measured")
        return
    cv2.setNumThreads(1)
    ways = ways_of(args.lbp, args.yunet)
    if args.pictures:
        report = recall(ways, list(pictures(args.pictures, args.sample)), args.min_face)
    else:
        report = compare(ways, args.clips, args.every, args.min_face)
    if args.json:
        print(json.dumps(report))
        return
    table = Table("", *next(reversed(report.values())), title="one thread; boxes and embeddings against Haar's own")
    for name, row in report.items():
        table.add_row(name, *(f"{value:g}" for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
