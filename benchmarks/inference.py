"""Milliseconds and memory of one run of a network, for both runtimes, one and two threads, int8 and float32, measured together.

Measures the shipped tower and a network of MobileFaceNet's shape, each in a process of its own, in several alternating rounds, so that a
busy moment of the machine affects all of them. Also measures a whole face with each shipped model, from the chip to the scores against
20 anchors, and dlib's recogniser if it is installed. Compare the ratios: absolute times depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge.contract.modelfile import Network, TensorSpec, read_model
from edge.contract.runtime import Embedder, Interpreter
from edge.contract.score import compare, place
from edge.models import DEFAULT, model_names, model_path

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / ".venv-tflite-runtime/bin/python"
ROUNDS, ANCHORS = 3, 20
WARM_UP, CALLS, LONGEST_S = 10, 200, 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """What one process measures. `file` is a flatbuffer with `specs` beside it, or a model file for a whole face."""

    name: str
    kind: str
    python: Path
    runtime: str
    threads: int
    file: Path


def peak_kib() -> int:
    """Peak resident memory of this process, in KiB. getrusage would include that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def median_ms(work: Callable[[], object]) -> float:
    """Median time of `CALLS` calls, or of as many as fit into `LONGEST_S` seconds."""
    for _ in range(WARM_UP):
        work()
    times_ms: list[float] = []
    ends = time.perf_counter() + LONGEST_S
    while len(times_ms) < CALLS and time.perf_counter() < ends:
        began = time.perf_counter()
        work()
        times_ms.append((time.perf_counter() - began) * 1000)
    return float(np.median(times_ms))


def measure(file: Path, kind: str, threads: int) -> dict[str, float]:
    """Measures one case in this process: median milliseconds, and MiB that loading and running it add."""
    before = peak_kib()
    rng = np.random.default_rng(0)
    if kind == "face":
        model = read_model(file)
        embedder = Embedder(model, threads=threads)
        chip = rng.integers(0, 256, model.chip.shape, np.uint8)
        anchors = place(model.head, rng.normal(size=(ANCHORS, model.head.size)).astype(np.float32))
        ms = median_ms(lambda: compare(model.head, place(model.head, embedder.embed(chip)[None]), anchors))
    elif kind == "dlib":
        import dlib

        network = dlib.face_recognition_model_v1(str(file))
        picture = rng.integers(0, 256, (150, 150, 3), np.uint8)
        ms = median_ms(lambda: network.compute_face_descriptor(picture))
    else:
        specs = json.loads(file.with_suffix(".json").read_text())
        first, last = (TensorSpec(tuple(s["shape"]), s["dtype"], s["scale"], s["zero_point"]) for s in specs)
        interpreter = Interpreter(Network(file.read_bytes(), first, last), file, threads)
        pixels = rng.integers(0, 256, first.shape[1:], np.uint8)
        ms = median_ms(lambda: interpreter.answer(pixels))
    return {"ms": ms, "mib": (peak_kib() - before) / 1024}


def networks(folder: Path, run: Path | None) -> dict[str, Path]:
    """Writes the flatbuffers to measure, with their specs beside them: the shipped tower, its float version if its run is given, and
    MobileFaceNet's shape."""
    from benchmarks.mobilefacenet import SIDE_PX, build_mobilefacenet
    from export.convert import to_tflite
    from export.graph import read_graph
    from export.run import read_run
    from export.variant import Variant

    flatbuffers = {f"{DEFAULT}, int8": read_model(model_path(DEFAULT)).tower.flatbuffer}
    if run:
        trained = read_run(run)
        flatbuffers[f"{DEFAULT}, float32"] = to_tflite(trained.tower, trained.views(trained.calibration[:8]), Variant.NONE)
    chips = np.random.default_rng(0).integers(0, 256, (16, SIDE_PX, SIDE_PX, 3), np.uint8)
    for variant, name in ((Variant.INT8, "int8"), (Variant.NONE, "float32")):
        flatbuffers[f"MobileFaceNet's shape, {name}"] = to_tflite(build_mobilefacenet(), chips, variant)
    paths = {}
    for number, (name, flatbuffer) in enumerate(flatbuffers.items()):
        graph = read_graph(flatbuffer)
        paths[name] = folder / f"{number}.tflite"
        paths[name].write_bytes(flatbuffer)
        specs = [asdict(graph.tensors[index].spec) for index in (graph.inputs[0], graph.outputs[0])]
        paths[name].with_suffix(".json").write_text(json.dumps(specs))
    return paths


def cases(files: dict[str, Path], peer: Path | None) -> Iterator[Case]:
    """Every case to measure, including the peers that are installed."""
    this_python = Path(sys.executable)
    runtimes = [("LiteRT", this_python)] + ([("tflite-runtime", peer)] if peer else [])
    for name, file in files.items():
        for runtime, python in runtimes:
            for threads in (1, 2):
                yield Case(name, "network", python, runtime, threads, file)
    for runtime, python in runtimes:
        for model in model_names():
            yield Case(f"a face by {model}", "face", python, runtime, 1, model_path(model))
    try:
        import dlib  # noqa: F401

        from trainer.dlibfile import find_weights
    except ImportError:
        return
    yield Case("dlib's ResNet", "dlib", this_python, "dlib", 1, find_weights())


def run_case(case: Case) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [str(case.python), "-m", "benchmarks.inference", "--measure", str(case.file), case.kind, str(case.threads)]
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": str(case.threads), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    if done.returncode:
        raise SystemExit(f"{case.name}, {case.runtime}: {done.stderr[-1000:]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws a bar for each case, with its time in milliseconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.34 * len(rows) + 1), layout="constrained")
    axis = figure.subplots()
    colours = {"LiteRT": "#4c78a8", "tflite-runtime": "#f58518", "dlib": "#54a24b"}
    labels = [f"{row['name']}, {row['runtime']}, {row['threads']} thread{'s' * (row['threads'] > 1)}" for row in rows]
    bars = axis.barh(labels, [row["ms"] for row in rows], color=[colours[row["runtime"]] for row in rows])
    axis.bar_label(bars, [f"{row['ms']:.2f} ms, {row['mib']:.0f} MiB" for row in rows], padding=3, fontsize=7)
    axis.set(
        xscale="log", xlabel="milliseconds a run, median; MiB that loading and running it adds", title="one run of a network"
    )
    axis.margins(x=0.25)
    axis.tick_params(axis="y", labelsize=7)
    axis.invert_yaxis()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Prints the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="the default model's run folder, for its float tower")
    parser.add_argument("--peer", type=Path, default=PEER, help="python of an environment with tflite-runtime")
    parser.add_argument("--picture", type=Path, help="draw the times to this file")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(Path(args.measure[0]), args.measure[1], int(args.measure[2]))))
        return
    peer = args.peer if args.peer.exists() else None
    with tempfile.TemporaryDirectory() as folder:
        all_cases = list(cases(networks(Path(folder), args.run), peer))
        rounds = [[run_case(case) for case in all_cases] for _ in track(range(ROUNDS), "rounds", console=Console(stderr=True))]
    rows = [
        {
            "name": case.name,
            "runtime": case.runtime,
            "threads": case.threads,
            "ms": min(result["ms"] for result in results),
            "mib": float(np.median([result["mib"] for result in results])),
        }
        for case, results in zip(all_cases, zip(*rounds, strict=True), strict=True)
    ]
    reference = rows[0]["ms"]
    if args.picture:
        draw(rows, args.picture)
    if args.json:
        print(json.dumps({"rows": rows, "rounds": rounds}))
        return
    table = Table(
        "network", "runtime", "threads", "ms", f"times {rows[0]['name']}", "MiB", title="one run, best median of the rounds"
    )
    for row in rows:
        numbers = (f"{row['ms']:.2f}", f"{row['ms'] / reference:.2f}", f"{row['mib']:.0f}")
        table.add_row(row["name"], row["runtime"], str(row["threads"]), *numbers)
    Console().print(table)
    for missing, hint in (
        (peer, "tflite-runtime: `make test-device` sets its environment up"),
        (args.run, "float tower: --run"),
    ):
        if missing is None:
            print(f"not measured: {hint}")


if __name__ == "__main__":
    main()
