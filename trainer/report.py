"""The report of an evaluation: one self-contained HTML file, and its figures as JSON. Shows faces, so it must stay on the workstation."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from trainer.comparisons import Comparisons
from trainer.dataset import load_faces
from trainer.enrolled import MOST_PICTURES
from trainer.evaluate import Evaluation, evaluate, load_subject
from trainer.files import write_atomically
from trainer.handover import write_handover
from trainer.run import read_run
from trainer.split import read_split
from trainer.unseen import seen_people, unseen_faces

mpl.use("Agg")
EACH = 8


def write_run_report(run: Path, folders: list[Path]) -> dict[str, Any]:
    """Writes the exporter's chips.npz for a finished run, evaluates the run on its test people, who are in the first of its training sets,
    and writes the report. Returns the figures."""
    write_handover(run, folders)
    data = folders[0]
    seen = seen_people(run) | ({*load_faces(data).identities} - {*read_split(run)["test"]})
    evaluation = evaluate(load_subject(run), data, unseen_faces(data, seen, each=MOST_PICTURES), {})
    return write_report(evaluation, run, run)


def write_report(evaluation: Evaluation, out: Path, run: Path | None) -> dict[str, Any]:
    """Writes report.html, evaluation.json and the report's pictures into `out`, with the loss curves and record of `run` if given.

    Raises:
        StorageError: they cannot be written.
    """
    pictures = {"scores": _draw_scores(evaluation.comparisons), "pairs": _draw_pairs(evaluation)}
    if run is not None and (run / "history.csv").exists():
        pictures = {"loss": _draw_losses(run / "history.csv"), **pictures}
    for name, data in pictures.items():
        write_atomically(out / f"{name}.png", data)
    write_atomically(out / "evaluation.json", json.dumps(evaluation.figures, indent=1).encode())
    write_atomically(out / "report.html", _page(evaluation.figures, pictures, run).encode())
    return evaluation.figures


def _draw_losses(history: Path) -> bytes:
    with history.open() as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for key, label in (
        ("loss", "training (batch)"),
        ("val_loss", "validation people"),
        ("val_teacher", "off the teacher, validation"),
    ):
        if key in rows[0]:
            left.plot(epochs, [float(row[key]) for row in rows], label=label)
    left.set(title="loss analysis", xlabel="epoch", ylabel="loss")
    left.legend()
    for key in rows[0]:
        if key.startswith(("val_eer", "val_fnmr")):
            label = "EER" if key == "val_eer" else f"FNMR at FMR {key.removeprefix('val_fnmr_')}"
            right.plot(epochs, [float(row[key]) * 100 for row in rows], label=label)
    right.set(title="validation people", xlabel="epoch", ylabel="%", ylim=(0, None))
    right.legend()
    return _png(figure)


def _draw_scores(comparisons: Comparisons) -> bytes:
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    edges = np.linspace(0, 1, comparisons.histogram.shape[1] + 1)
    for counts, label in zip(
        comparisons.histogram, (f"genuine ({len(comparisons.genuine)})", f"impostor ({comparisons.impostors})"), strict=True
    ):
        left.stairs(counts / counts.sum() * len(counts), edges, fill=True, alpha=0.6, label=label)
    left.set(title="scores of unseen people", xlabel="score", ylabel="density", yscale="log")
    left.legend()
    fmr, fnmr = comparisons.curve()
    middle.plot(fmr, np.maximum(fnmr, 0.1 / len(comparisons.genuine)))
    middle.set(title="DET", xlabel="FMR", ylabel="FNMR", xscale="log", yscale="log")
    right.plot(fmr, 1 - fnmr)
    right.set(title="ROC", xlabel="FMR", ylabel="TAR", xscale="log", ylim=(None, 1))
    for axis in (middle, right):
        axis.grid(alpha=0.3)
    return _png(figure)


def _draw_pairs(evaluation: Evaluation) -> bytes:
    """Rows of pairs: genuine ones with the highest and with the lowest scores, impostor ones with the highest."""
    comparisons, chips = evaluation.comparisons, evaluation.faces.chips
    rows = [
        ("same person, most alike", comparisons.genuine[::-1], comparisons.genuine_rows[::-1]),
        ("same person, least alike", comparisons.genuine, comparisons.genuine_rows),
        ("strangers, most alike", comparisons.impostor[::-1], comparisons.impostor_rows[::-1]),
    ]
    figure = Figure(figsize=(1.5 * EACH, 4.2), layout="constrained")
    for line, (title, scores, pair_rows) in zip(figure.subplots(len(rows), EACH, squeeze=False), rows, strict=True):
        for axis in line:
            axis.axis("off")
        line[0].set_title(title, loc="left", fontsize=10)
        for axis, value, (a, b) in zip(line, scores[:EACH], pair_rows[:EACH], strict=False):
            pair = np.hstack([chips.one(a), chips.one(b)])
            axis.imshow(pair[..., ::-1] if pair.ndim == 3 else pair, cmap="gray", vmin=0, vmax=255)
            axis.text(0.5, -0.12, f"{value:.4f}", transform=axis.transAxes, ha="center", fontsize=8)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format="png")
    return data.getvalue()


def _page(figures: dict[str, Any], pictures: dict[str, bytes], run: Path | None) -> str:
    titles = {"loss": "Loss analysis", "scores": "Scores, DET and ROC", "pairs": "Final results: best and worst pairs"}
    plots = "".join(
        f'<h2>{titles[name]}</h2><img alt="{titles[name]}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        for name, data in pictures.items()
    )
    facts = ""
    if run is not None:
        record = read_run(run)
        fields = {key: record[key] for key in ("command", "settings", "data", "versions", "head", "aligner") if key in record}
        facts = f"<h2>Made by</h2><pre>{html.escape(json.dumps(fields, indent=1))}</pre>"
    failed = figures["failure_to_acquire"]
    reasons = "".join(f"; {count} {reason}" for reason, count in failed["reasons"].items())
    cost = [{"of the file": key, "value": value} for key, value in (figures["quantisation"] or {}).items()]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>facelatch: {html.escape(figures['subject'])}</title>"
        "<style>body{font:15px sans-serif;max-width:70em;margin:2em auto}img{max-width:100%}td,th{padding:.2em .8em;text-align:right}"
        "td:first-child,th:first-child{text-align:left}.warning{color:#b00}</style>"
        f"<h1>{html.escape(figures['subject'])}</h1><p>Rates on people whom neither training nor the choice of the epoch saw.</p>"
        + "".join(f'<p class="warning">{html.escape(text)}</p>' for text in figures["warnings"])
        + "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in figures["lines"]) + "</ul>"
        + f"<p>Failure to acquire: {failed['failed']} of {failed['pictures']} pictures of the whole set gave no chip "
        f"({failed['rate']:.2%}, 95 % {failed['low']:.2%}-{failed['high']:.2%}){html.escape(reasons)}; no rate above has them.</p>"
        + plots
        + "<p>Intervals in the tables below are Clopper and Pearson's, of comparisons as if each were independent: too narrow where few "
        "people give many.</p>"
        + _table("By light, sharpness and size, worse of the two pictures, threshold of FMR 1e-3 over all", figures["slices"])
        + _table("By group of people, threshold of FMR 1e-3 over all; impostors within the group", figures["groups"])
        + _table("Anchors against a probe at FMR 1e-3", figures["enrolled"])
        + _table("Within one camera's pictures and across", figures["cameras"])
        + _table("Cost of quantisation: the file against its float model, as measured when it was exported", cost)
        + facts
    )  # fmt: skip


def _table(title: str, rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(key.replace('_', ' '))}</th>" for key in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_formatted(key, value))}</td>" for key, value in row.items()) + "</tr>"
        for row in rows
    )
    return f"<h2>{html.escape(title)}</h2><table><tr>{head}</tr>{body}</table>"


def _formatted(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if key == "ratio":
        return f"{value:.2f}"
    return f"{value:.2%}" if key.startswith(("fnmr", "low", "high")) else f"{value:.3g}" if key == "value" else f"{value:.3%}"
