"""A model file on emulated ARM processors, in both runtimes: python -m benchmarks.arm64 [--model FILE] [--record]

Chips must be equal byte for byte (the reader compares their fingerprint before it returns a model). Compares answers with this machine's,
counts instructions per face and peak memory, and compares all of it with the recorded reference.json beside this file. Instructions
compare two models on one quiet host; they are not milliseconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.arm64.machine import HERE, PROCESSORS, ROOT, WHEELS, Machine, Processor
from edge.contract.chip import as_source, cut_chip, to_grey
from edge.contract.detector import load_detector
from edge.contract.modelfile import ModelFile, read_model
from edge.contract.score import score_all_pairs
from edge.models import DEFAULT, model_path
from trainer.synth.clip import draw_clip
from trainer.synth.person import Person

REFERENCE = HERE / "reference.json"
PEER = ROOT / ".venv-tflite-runtime/bin/python"
PEOPLE, EACH = 8, 3
# Relative difference of instructions and memory to the reference, beyond which something has changed, not just its measurement. On a busy
# host the counts were seen to vary by up to 14 %, on a quiet one by 1 %: some thread of the libraries spins while it waits.
TOLERANCE = 0.2


def drawn_chips(model: ModelFile) -> np.ndarray:
    """Chips of drawn people, uint8 [n, side, side] or [n, side, side, 3], EACH of a person."""
    detector = load_detector(model.chip.detector)
    chips = []
    for seed in range(PEOPLE):
        count = 0
        for frame in draw_clip(Person.from_seed(seed), 3, 2.0):
            boxes = detector.detect(to_grey(frame), min_px=80)
            if boxes and count < EACH:
                chips.append(cut_chip(as_source(frame, model.chip), boxes[0], model.chip))
                count += 1
    return np.stack(chips)


def instructions(machine: Machine, runtime: str, processor: Processor, model: Path) -> dict[str, int]:
    """The instructions for one face, from chip to embedding, as the difference of two runs so that start-up cancels; and peak memory."""
    counts, memory = [], {}
    for times in (2, 12):
        with tempfile.TemporaryDirectory() as folder:
            count = Path(folder) / "count"
            memory = json.loads(machine.run(runtime, processor, [HERE / "guest.py", model, str(times)], count_to=count))
            counts.append(int(count.read_text()))
    return {"instructions": (counts[1] - counts[0]) // 10, **memory}


def main() -> None:
    """Prints the table, or JSON. Exits with 1 if anything differs from the reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=model_path(DEFAULT))
    parser.add_argument("--folder", type=Path, default=ROOT / ".arm64", help="where the user space is kept")
    parser.add_argument("--record", action="store_true", help="write the reference anew")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    machine, model = Machine(args.folder), read_model(args.model)
    chips, output = drawn_chips(model), model.tower.output
    report: dict[str, Any] = {"model_id": model.model_id, "chips": len(chips), "runs": {}}
    with tempfile.TemporaryDirectory() as folder:
        pixels, out = Path(folder) / "chips.npy", Path(folder) / "out.npz"
        np.save(pixels, chips)
        # Each runtime is compared with itself on this machine, if it is installed here.
        local = {"ai-edge-litert": _embed_locally(Path(sys.executable), args.model, pixels, out)}
        local["tflite-runtime"] = _embed_locally(PEER, args.model, pixels, out) if PEER.exists() else local["ai-edge-litert"]
        runs = [(runtime, processor) for runtime in WHEELS for processor in PROCESSORS]
        for runtime, processor in track(runs, "emulating", console=Console(stderr=True)):
            machine.run(runtime, processor, ["-m", "edge.embed", args.model.resolve(), pixels, out])
            emulated = _read(out)
            report["runs"][f"{runtime}, {processor.name}"] = _differences(model, local[runtime], emulated) | instructions(
                machine, runtime, processor, args.model.resolve()
            )
    if args.record:
        REFERENCE.write_text(json.dumps(report, indent=1) + "\n")
    changed = (
        _changes(json.loads(REFERENCE.read_text()), report) if REFERENCE.exists() else ["there is no reference yet: --record"]
    )
    if args.json:
        print(json.dumps(report | {"changed": changed}))
    else:
        table = Table(
            "runtime, processor", "largest difference", "logit", "million instructions a face", "peak MiB", "of it libraries"
        )
        against = " and ".join(sorted({side["told"]["runtime"] for side in local.values()}))
        table.title = f"{model.name}, {output.dtype}: arm64 against {against} on {local['ai-edge-litert']['told']['machine']}"
        for name, run in report["runs"].items():
            table.add_row(
                name,
                f"{run['largest_steps']} steps, {run['equal']:.0%} equal",
                f"{run['largest_logit_change']:.3f}",
                f"{run['instructions'] / 1e6:.1f}",
                f"{run['peak_kib'] / 1024:.0f}",
                f"{run['libraries_kib'] / 1024:.0f}",
            )
        Console().print(table)
        print("\n".join(changed) or "as in the reference")
    sys.exit(1 if changed else 0)


def _embed_locally(python: Path, model: Path, pixels: Path, out: Path) -> dict[str, Any]:
    subprocess.run([python, "-m", "edge.embed", model.resolve(), pixels, out], check=True, cwd=ROOT)
    return _read(out)


def _read(path: Path) -> dict[str, Any]:
    with np.load(path) as arrays:
        return {"answers": arrays["answers"], "golden": arrays["golden"], "told": json.loads(str(arrays["told"]))}


def _differences(model: ModelFile, local: dict[str, Any], emulated: dict[str, Any]) -> dict[str, Any]:
    output = model.tower.output
    answers = [np.concatenate([side["answers"], side["golden"]]) for side in (local, emulated)]
    steps = np.abs(answers[0].astype(np.float64) - answers[1])
    logits = []
    for side in answers:
        real = output.to_real(side)
        scores = np.concatenate(score_all_pairs(model.head, real, np.arange(len(real)) // EACH))
        logits.append(np.log(scores) - np.log1p(-scores))
    return {
        "largest_steps": int(steps.max()) if output.dtype == "int8" else float(steps.max()),
        "equal": float((steps == 0).mean()),
        "largest_logit_change": float(np.abs(logits[0] - logits[1]).max()),
    }


def _changes(reference: dict[str, Any], report: dict[str, Any]) -> list[str]:
    if reference["model_id"] != report["model_id"]:
        changes = [f"another model than the reference's {reference['model_id'][:12]}: {report['model_id'][:12]}"]
    else:
        changes = []
    for name, run in report["runs"].items():
        before = reference["runs"].get(name)
        if before is None:
            changes.append(f"{name}: not in the reference")
            continue
        for key in ("instructions", "peak_kib"):
            if abs(run[key] / before[key] - 1) > TOLERANCE:
                changes.append(f"{name}: {key} {run[key]} instead of {before[key]} ({run[key] / before[key]:.2f} times)")
        if run["largest_steps"] > before["largest_steps"]:
            changes.append(f"{name}: answers differ by {run['largest_steps']} steps instead of {before['largest_steps']}")
    return changes


if __name__ == "__main__":
    main()
