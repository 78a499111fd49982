"""Compares several verifiers on the same pairs in one process: accuracy, size and time per face, as JSON and a plot."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from edge.contract.errors import InputError
from edge.contract.metrics import clopper_pearson
from edge.contract.score import Head, compare, place
from trainer.comparisons import compare_all
from trainer.dataset import Chips, Faces
from trainer.evaluate import Subject, load_subject
from trainer.files import write_atomically
from trainer.interval import Interval
from trainer.unseen import unseen_faces

mpl.use("Agg")
TARGETS = (1e-2, 1e-3, 1e-4)
ANCHORS = 20
TIMED = 60  # faces timed one by one; the median is reported
# Takes a face's row, does everything that is not timed, and returns the function to time, which gives the embedding, float32 [D].
Prepare = Callable[[int], Callable[[], NDArray[np.float32]]]
DLIB = "dlib"


def compare_models(models: list[str], folder: Path, seen: set[str], out: Path) -> list[dict[str, Any]]:
    """Evaluates each of `models` (runs, model files, or the word `dlib`) on all pairs of the people of `folder` who are not in `seen`.
    Writes models.json and models.png into `out`, and returns the rows of the table.

    Raises:
        InputError: a model does not exist, or takes other chips than those of the prepared set.
    """
    faces = unseen_faces(folder, seen)
    rows: list[dict[str, Any]] = []
    # Two versions of a model are often files of the same name in two folders; those are shown with their paths.
    name_counts = Counter(Path(name).resolve().name for name in models)
    curves, baseline = {}, dict[str, Interval]()
    for name in models:
        subject, size, prepare = _subject(name, folder, faces)
        subject.check(faces, str(folder))
        embeddings = subject.embed(faces.chips)
        comparisons = compare_all(subject.head, embeddings, faces.labels, subject.enrol(faces.chips, embeddings))
        rates = comparisons.rates(TARGETS)
        intervals = {"eer": rates.eer} | {f"tar_{target:g}": tar for target, tar in rates.tar.items()}
        label = subject.name if name_counts[Path(name).resolve().name] == 1 else f"{subject.name}, {name}"
        row: dict[str, Any] = {
            "model": label,
            "bytes": size,
            "genuine": len(comparisons.genuine),
            "impostor": comparisons.impostors,
        }
        row |= {key: [rate.value, rate.low, rate.high] for key, rate in intervals.items()}
        baseline = baseline or intervals
        # All models are resampled with the same people, so that people who are hard for all models do not widen the interval.
        several = int((np.bincount(faces.labels) > 1).sum())
        row["more_than_first"] = {
            key: _difference(rate, baseline[key], several) for key, rate in intervals.items() if key in baseline
        }
        row["ms_a_face"] = _milliseconds(subject.head, prepare, embeddings[:ANCHORS])
        row["looked_at_twice"] = comparisons.twice_shares()
        rows.append(row)
        curves[label] = comparisons.curve()
    write_atomically(out / "models.json", json.dumps(rows, indent=1).encode())
    write_atomically(out / "models.png", _draw(curves))
    return rows


def _difference(rate: Interval, baseline: Interval, people: int) -> list[float]:
    """The difference to the first model's rate, with its 95 % interval from resampling the same `people` for both.

    If nobody makes a difference, no resampling does: the ends are then those of nobody among so many people, in either direction.
    """
    difference = rate.value - baseline.value
    low, high = np.nanpercentile(rate.resampled - baseline.resampled, [2.5, 97.5])
    if low == high and rate is not baseline:
        most = clopper_pearson(0, people)[1]
        low, high = difference - most, difference + most
    return [difference, float(low), float(high)]


def _subject(name: str, folder: Path, faces: Faces) -> tuple[Subject, int, Prepare]:
    if name == DLIB and not Path(name).exists():
        return _dlib(folder, faces.names)
    path = Path(name)
    if not path.exists():
        raise InputError(f"{name}: no such run or model file; `{DLIB}` is dlib's own recogniser")
    subject = load_subject(path)
    size = path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.glob("*.keras"))

    def prepare(row: int) -> Callable[[], NDArray[np.float32]]:
        chip = faces.chips.one(row % len(faces.labels))[None]
        return lambda: subject.embed(chip)[0]

    return subject, size, prepare


def _milliseconds(head: Head, prepare: Prepare, anchors: NDArray[np.float32]) -> float:
    """Median time from one face to its scores against the anchors, which are placed once, as on a device."""
    placed = place(head, anchors)
    times_s = []
    for row in range(TIMED):
        embed = prepare(row)
        started = time.perf_counter()
        compare(head, place(head, embed()[None]), placed)
        times_s.append(time.perf_counter() - started)
    return float(np.median(times_s) * 1000)


def _dlib(folder: Path, names: list[str]) -> tuple[Subject, int, Prepare]:
    """dlib's own pipeline on the colour picture, with its five points; timed from picture and box to the scores."""
    from trainer.dlibfile import find_weights
    from trainer.dlibway import DlibPeer

    peer = DlibPeer(folder)

    def embed(chips: Chips | NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(chips) != len(names):
            raise InputError("dlib is compared on whole pictures only")
        return np.stack([peer.vector(name) for name in track(names, "embedding by dlib", console=Console(stderr=True))])

    # dlib compares by the Euclidean distance.
    head = Head(np.ones(peer.size, np.float32), 0.0, normalise=False, squared=True)
    size = find_weights().stat().st_size
    return Subject("dlib, colour, five points", None, head, embed), size, lambda row: peer.prepare(names[row % len(names)])


def _draw(curves: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> bytes:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axis = figure.subplots()
    for name, (fmr, fnmr) in curves.items():
        axis.plot(fmr, np.maximum(fnmr, 1e-4), label=name)
    axis.set(title="DET on the same comparisons", xlabel="FMR", ylabel="FNMR", xscale="log", yscale="log")
    axis.grid(alpha=0.3)
    axis.legend()
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format="png")
    return data.getvalue()
