"""The report of a run: error rates on people it never saw, loss curves, score curves, and the best and worst pairs."""

from __future__ import annotations

import csv
import html
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge.contract.metrics import det, eer, fnmr, supports_fmr, threshold_at_fmr
from edge.contract.score import Head, score, score_all_pairs
from trainer.comparisons import pair_errors
from trainer.files import write_atomically
from trainer.handover import HANDOVER, write_handover
from trainer.run import read_run
from trainer.verifier import load_verifier

TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
mpl.use("Agg")


def write_report(run: Path, data: Path) -> dict[str, Any]:
    """Evaluates a finished run on its test people; writes report.html, its pictures and evaluation.json. Returns the figures."""
    write_handover(run, data)
    verifier = load_verifier(run)
    with np.load(run / HANDOVER, allow_pickle=False) as saved:
        chips, labels = saved["test"], saved["test_labels"]
    head, embeddings = verifier.head, verifier.embed(chips)
    genuine, impostor = score_all_pairs(head, embeddings, labels)
    figures = _figures(genuine, impostor, people=len(np.unique(labels)), pictures=len(labels))
    _draw_losses(run / "loss.png", run / "history.csv")
    _draw_scores(run / "scores.png", genuine, impostor)
    _draw_pairs(run / "pairs.png", head, chips, embeddings, labels)
    write_atomically(run / "evaluation.json", json.dumps(figures, indent=1).encode())
    write_atomically(run / "report.html", _page(run, figures).encode())
    return figures


def _figures(genuine: NDArray[np.float64], impostor: NDArray[np.float64], *, people: int, pictures: int) -> dict[str, Any]:
    equal, _ = eer(genuine, impostor)
    wrong = pair_errors(genuine, impostor) if min(genuine.size, impostor.size) >= 10 else None
    lines = [
        f"test people {people}, pictures {pictures}: {genuine.size} genuine and {impostor.size} impostor comparisons",
        f"EER {equal:.2%} ({genuine.size} genuine, {impostor.size} impostor)",
    ]
    result: dict[str, Any] = {
        "people": people, "pictures": pictures, "genuine": genuine.size, "impostor": impostor.size, "eer": equal
    }  # fmt: skip
    if wrong:
        result["pair_accuracy"] = [1 - wrong.value, 1 - wrong.high, 1 - wrong.low, wrong.trials]
        lines.append(
            f"pair accuracy {1 - wrong.value:.2%} ({wrong.trials} balanced pairs, 10 folds, 95 % {1 - wrong.high:.2%}-{1 - wrong.low:.2%})"
        )
    result["fnmr"] = {}
    for target in TARGETS:
        if supports_fmr(impostor.size, target):
            missed = fnmr(genuine, threshold_at_fmr(impostor, target))
            result["fnmr"][f"{target:g}"] = [missed.value, missed.low, missed.high]
            lines.append(f"FNMR at FMR {target:g}: {missed}")
    result["lines"] = lines
    return result


def _draw_losses(path: Path, history: Path) -> None:
    with history.open() as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for key, label in (("loss", "training (batch)"), ("val_loss", "validation people (all pairs)")):
        if key not in rows[0]:
            continue
        left.plot(epochs, [float(row[key]) for row in rows], label=label)
    left.set(title="loss analysis", xlabel="epoch", ylabel="loss")
    left.legend()
    right.plot(epochs, [float(row["val_eer"]) * 100 for row in rows])
    right.set(title="validation people", xlabel="epoch", ylabel="EER, %")
    figure.savefig(path, dpi=110)


def _draw_scores(path: Path, genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> None:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = np.linspace(0, 1, 51)
    left.hist(genuine, bins, density=True, alpha=0.6, label=f"genuine ({genuine.size})")
    left.hist(impostor, bins, density=True, alpha=0.6, label=f"impostor ({impostor.size})")
    left.set(title="scores of test people", xlabel="score", yscale="log")
    left.legend()
    curve = det(genuine, impostor)
    right.plot(curve.fmr, curve.fnmr)
    right.set(title="DET", xlabel="FMR", ylabel="FNMR", xscale="log", yscale="log", xlim=(max(1 / impostor.size, 1e-6), 1))
    right.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _draw_pairs(
    path: Path, head: Head, chips: NDArray[np.uint8], embeddings: NDArray[np.float32], labels: NDArray[np.int64], each: int = 8
) -> None:
    """Four rows of pairs: genuine with the highest and lowest scores, impostors with the lowest and highest."""
    best: dict[str, list[tuple[float, int, int]]] = {"same": [], "other": []}
    for row in range(len(labels) - 1):
        scores = score(head, embeddings[row], embeddings[row + 1 :])
        same = labels[row + 1 :] == labels[row]
        for kind, mask in (("same", same), ("other", ~same)):
            at = np.flatnonzero(mask)
            order = at[np.argsort(scores[at])]
            ends = {*order[:each].tolist(), *order[-each:].tolist()}
            best[kind] = _keep_ends(best[kind] + [(float(scores[i]), row, row + 1 + i) for i in ends], each)
    rows = [
        ("same person, found alike", best["same"][-each:][::-1]),
        ("same person, missed", best["same"][:each]),
        ("strangers, told apart", best["other"][:each]),
        ("strangers, confused", best["other"][-each:][::-1]),
    ]
    figure = Figure(figsize=(1.5 * each, 5.4), layout="constrained")
    axes = figure.subplots(4, each, squeeze=False)
    for line, (title, pairs) in zip(axes, rows, strict=True):
        for axis in line:
            axis.axis("off")
        line[0].set_title(title, loc="left", fontsize=10)
        for axis, (value, a, b) in zip(line, pairs, strict=False):
            axis.imshow(np.hstack([chips[a], chips[b]]), cmap="gray", vmin=0, vmax=255)
            axis.text(0.5, -0.12, f"{value:.4f}", transform=axis.transAxes, ha="center", fontsize=8)
    figure.savefig(path, dpi=110)


def _keep_ends(pairs: list[tuple[float, int, int]], each: int) -> list[tuple[float, int, int]]:
    pairs = sorted(set(pairs))
    return pairs if len(pairs) <= 2 * each else pairs[:each] + pairs[-each:]


def _page(run: Path, figures: dict[str, Any]) -> str:
    record = read_run(run)
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in figures["lines"])
    facts = html.escape(json.dumps({key: record[key] for key in ("command", "settings", "data", "versions")}, indent=1))
    pictures = "".join(f'<h2>{title}</h2><img src="{name}.png" alt="{title}">' for title, name in (
        ("Loss analysis", "loss"), ("Scores and DET", "scores"), ("Final results: best and worst pairs", "pairs")
    ))  # fmt: skip
    return (
        f"<!doctype html><meta charset=utf-8><title>facelatch run {html.escape(run.name)}</title>"
        "<style>body{font:15px sans-serif;max-width:60em;margin:2em auto}img{max-width:100%}</style>"
        f"<h1>Run {html.escape(run.name)}</h1><p>Rates on people that training and the choice of the epoch never saw.</p>"
        f"<ul>{lines}</ul>{pictures}<h2>Made by</h2><pre>{facts}</pre>"
    )
