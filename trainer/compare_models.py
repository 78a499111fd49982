"""Several verifiers on the same comparisons in one run: accuracy, size and time a face, as a table and a picture."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge.contract.errors import InputError
from edge.contract.score import Head, score
from trainer.comparisons import compare_all
from trainer.dataset import Chips
from trainer.evaluate import Subject, load_subject, unseen_faces
from trainer.files import write_atomically

mpl.use("Agg")
TARGETS = (1e-2, 1e-3, 1e-4)
ANCHORS = 20
TIMED = 60  # faces timed one by one; the median is told
DLIB = "dlib"


def compare_models(models: list[str], folder: Path, seen: set[str], out: Path) -> list[dict[str, Any]]:
    """Each of `models`, runs, model files or the word `dlib`, on all pairs of the people of `folder` who are not in `seen`; writes
    models.json and models.png into `out`.

    Raises:
        InputError: a model cuts other chips than the prepared set holds.
    """
    faces = unseen_faces(folder, seen)
    rows, curves = [], {}
    for name in models:
        subject, size = _subject(name, folder, faces.names)
        began = time.perf_counter()
        embeddings = subject.embed(faces.chips)
        spent = time.perf_counter() - began
        found = compare_all(subject.head, embeddings, faces.labels)
        eer = found.eer()
        row: dict[str, Any] = {"model": subject.name, "bytes": size, "genuine": len(found.genuine), "impostor": found.impostors}
        row["eer"] = [eer.value, eer.low, eer.high]
        for target in TARGETS:
            if found.impostors * target >= 3:
                tar = found.tar(target)
                row[f"tar_{target:g}"] = [tar.value, tar.low, tar.high]
        row["ms_a_face"] = _milliseconds(subject, faces.chips) if name != DLIB else spent / len(faces.labels) * 1000
        rows.append(row)
        curves[subject.name] = found.curve()
    write_atomically(out / "models.json", json.dumps(rows, indent=1).encode())
    write_atomically(out / "models.png", _draw(curves))
    return rows


def _subject(name: str, folder: Path, names: list[str]) -> tuple[Subject, int]:
    if name == DLIB and not Path(name).exists():
        return _dlib(folder, names)
    path = Path(name)
    if not path.exists():
        raise InputError(f"{name}: no such run or model file; `{DLIB}` is the peer")
    subject = load_subject(path)
    size = path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.glob("*.keras"))
    return subject, size


def _milliseconds(subject: Subject, chips: Chips) -> float:
    """Median time of one chip in, scores against 20 anchors out."""
    anchors = subject.embed(chips[:ANCHORS])
    spent = []
    for at in range(min(TIMED, len(chips))):
        chip = chips[at : at + 1]
        began = time.perf_counter()
        score(subject.head, subject.embed(chip)[0], anchors)
        spent.append(time.perf_counter() - began)
    return float(np.median(spent) * 1000)


def _dlib(folder: Path, names: list[str]) -> tuple[Subject, int]:
    """dlib's own way, from the picture's colours and its five points, timed from the detector's box to the vector."""
    from trainer.dlibfile import find_weights
    from trainer.teach import DlibPeer

    peer = DlibPeer(folder)

    def embed(chips: Chips | NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(chips) != len(names):
            raise InputError("dlib is compared on whole pictures only")
        return np.stack([peer.vector(name) for name in names])

    # Its distance is Euclidean; by it the peer is compared.
    head = Head(np.ones(peer.size, np.float32), 0.0, normalise=False, squared=True)
    return Subject("dlib, colour, five points", head, embed), find_weights().stat().st_size


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
