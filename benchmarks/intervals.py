"""How often the 95 % interval of an error rate contains the true rate, on simulated people whose true rates are known.

    python -m benchmarks.intervals --sets 1000

A person is a point, and a picture is that point with noise. The number of pictures of a person is drawn from LFW's own counts, at most
ten. Each set is evaluated like `trainer evaluate`; the true rates are those of a population of many more people. The reported interval
is compared with the plain percentiles of the same resampled people. One thread, half a minute for each hundred sets.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge.contract.score import Head
from trainer.comparisons import compare_all
from trainer.interval import Interval

# How many of LFW's people have one picture, two, ... and ten or more.
LFW = np.array([4069, 779, 291, 187, 112, 55, 39, 33, 26, 158])
TARGETS = (1e-2, 1e-3, 1e-4)
POPULATION, STRANGERS = 150_000, 24_000
NEEDED_PER_CENT = 90  # of the sets must have a rate for it to get a row


@dataclass(frozen=True, slots=True)
class Situation:
    """`people` as points in `size` dimensions. `noise` is the deviation of a picture; `pictures_differ` and `people_differ` are the
    deviations of its logarithm between pictures and between people. Everybody has `each` pictures, or with 0, LFW's counts."""

    people: int
    size: int
    noise: float
    pictures_differ: float
    people_differ: float
    each: int = 0


SITUATIONS = {
    "as LFW": Situation(475, 48, 0.8, 0.1, 0.1),
    "fewer missed": Situation(475, 40, 0.6, 0.2, 0.1),
    "hardly any missed": Situation(475, 60, 0.6, 0.15, 0.1),
    "some people are hard": Situation(475, 36, 0.6, 0.1, 0.25),
    "150 people of four": Situation(150, 48, 0.75, 0.1, 0.1, each=4),
}


def draw(situation: Situation, people: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of unit length, float32 [n, D], and labels, int [n]."""
    one = situation
    each = np.full(people, one.each) if one.each else rng.choice(len(LFW), people, p=LFW / LFW.sum()) + 1
    labels = np.repeat(np.arange(people), each)
    noise = one.noise * np.exp(one.people_differ * rng.normal(size=people))[labels]
    noise *= np.exp(one.pictures_differ * rng.normal(size=len(labels)))
    faces = rng.normal(size=(people, one.size))[labels] + noise[:, None] * rng.normal(size=(len(labels), one.size))
    return (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32), labels


def true_rates(situation: Situation, rng: np.random.Generator) -> list[float]:
    """The EER, and the FNMR at each target, of a population: from all its genuine comparisons, and all impostor comparisons of a sample."""
    faces, labels = draw(situation, POPULATION, rng)
    genuine = []
    for offset in range(1, np.bincount(labels).max()):
        row = np.flatnonzero(labels[:-offset] == labels[offset:])
        genuine.append((faces[row] * faces[row + offset]).sum(1))
    edges = np.linspace(-1, 1, 200_001)
    fnmr = np.searchsorted(np.sort(np.concatenate(genuine)), edges) / sum(map(len, genuine))
    counts, chosen = np.zeros(len(edges) - 1), np.sort(rng.permutation(len(labels))[:STRANGERS])
    chosen_faces, chosen_labels = faces[chosen], labels[chosen]
    for start in range(0, len(chosen_faces), 500):
        scores = chosen_faces[start : start + 500] @ chosen_faces[start:].T
        later = np.arange(scores.shape[1]) > np.arange(len(scores))[:, None]
        counts += np.histogram(scores[later & (chosen_labels[start : start + 500, None] != chosen_labels[start:])], edges)[0]
    fmr = np.append(np.cumsum(counts[::-1])[::-1], 0) / counts.sum()
    equal = np.argmin(abs(fmr - fnmr))
    falling = slice(None, None, -1)
    known = fmr > 0
    at_targets = np.interp(np.log(TARGETS), np.log(fmr[known])[falling], fnmr[known][falling])
    return [float(fmr[equal] + fnmr[equal]) / 2, *map(float, at_targets)]


def measure(situation: Situation, sets: int, seed: int) -> list[dict[str, object]]:
    """A row for each rate that nearly all sets have: its true value and, for both kinds of interval, the fraction of sets whose interval
    lies above it or below it, and the median width."""
    rng = np.random.default_rng(seed)
    true = true_rates(situation, rng)
    head = Head(np.ones(situation.size, np.float32), 3.0, normalise=True, squared=True)
    intervals: list[list[Interval]] = [[] for _ in true]
    for _ in track(range(sets), "evaluating", console=Console(stderr=True)):
        rates = compare_all(head, *draw(situation, situation.people, rng)).rates(TARGETS)
        for index, rate in enumerate([rates.eer, *(rates.tar.get(target) for target in TARGETS)]):
            if rate is not None:
                intervals[index].append(rate)
    rows = []
    for name, share, rate_intervals in zip(
        ["EER", *(f"TAR at FMR {target:g}" for target in TARGETS)], true, intervals, strict=True
    ):
        value = share if name == "EER" else 1 - share
        if 100 * len(rate_intervals) < NEEDED_PER_CENT * sets:
            continue
        row: dict[str, object] = {"rate": name, "true": value, "sets": len(rate_intervals)}
        plain = np.array([np.nanpercentile(interval.resampled, [2.5, 97.5]) for interval in rate_intervals])
        for kind, ends in (
            ("told", np.array([(interval.low, interval.high) for interval in rate_intervals])),
            ("percentiles", plain),
        ):
            above, below = float((ends[:, 0] > value).mean()), float((ends[:, 1] < value).mean())
            row[kind] = {
                "holds": 1 - above - below,
                "above": above,
                "below": below,
                "width": float(np.median(np.ptp(ends, axis=1))),
            }
        rows.append(row)
    return rows


def main() -> None:
    """Prints the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000, help="so many sets of people are drawn and evaluated")
    parser.add_argument("--only", choices=[*SITUATIONS], action="append", help="this situation; may be given several times")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    report = {name: measure(SITUATIONS[name], args.sets, args.seed) for name in args.only or SITUATIONS}
    if args.json:
        print(json.dumps(report))
        return
    titles = ("people", "rate", "true", "told holds it", "is above", "is below", "width", "percentiles hold it", "width")
    table = Table(*titles, title=f"{args.sets} sets each, 95 % intervals")
    for name, rows in report.items():
        for row in rows:
            cells = [f"{row['true']:.2%}"]
            for kind, keys in (("told", ("holds", "above", "below", "width")), ("percentiles", ("holds", "width"))):
                cells += [f"{row[kind][key]:.1%}" for key in keys]  # type: ignore[index]
            table.add_row(name, str(row["rate"]), *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
