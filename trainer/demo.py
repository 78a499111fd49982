"""The demo: runs the whole pipeline on drawn people with the commands that a user would type. Decides nothing itself and hides no
failure."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from edge.contract.errors import InputError, StorageError
from trainer.files import write_atomically
from trainer.synth.clip import write_clip
from trainer.synth.person import Person

MARK = "made-by-facelatch-demo"
ENROLLED, STRANGERS = 7_000_001, (7_000_002, 7_000_003, 7_000_004)
SECONDS = 8.0
SETTINGS = """# What differs from the defaults on drawn people and replayed clips.
[detection]
min_face_px = 60

[policy]
target_fmr = 1e-3
"""


@dataclass(frozen=True, slots=True)
class ClipResult:
    """Who was shown to the daemon, and the events it reported."""

    name: str
    events: list[dict[str, Any]]

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """The accept and deny events, in order."""
        return [event for event in self.events if event["event"] in ("accept", "deny")]


def run_demo(folder: Path, *, people: int, epochs: int, console: Console) -> None:
    """Draws people, trains, exports, enrols a person and shows the daemon clips of that person and of strangers.

    Raises:
        InputError: `folder` holds something other than an earlier demo, a step failed, or the daemon decided wrongly.
        StorageError: `folder` cannot be written.
    """
    _make_empty(folder)
    steps = _Steps(folder, console)
    console.rule("people")
    steps.command("trainer", "draw", "people", "--people", f"{people}")
    steps.command("trainer", "import", "lfw", "people", "--data", "data")
    steps.command("trainer", "prepare", "data", "--several", "largest")
    console.rule("training and export")
    # Epochs, not minutes: a slow or busy machine takes longer, but the result is as good.
    fit = ("trainer", "fit", "--data", "data", "--run", "run", "--epochs", f"{epochs}", "--steps", "30", "--seed", "1")
    steps.command(*fit)
    steps.command("export", "tflite", "--quantize", "run", "-o", "model.tflite")
    console.rule("the device")
    write_atomically(folder / "edge.toml", SETTINGS.encode())
    device = ("--model", "model.tflite", "--config", "edge.toml")
    write_clip(folder / "clips" / "ada-enrolment.avi", Person.from_seed(ENROLLED), 1, SECONDS, width=480, height=360)
    steps.command("edge", "enroll", "ada", "--camera", "clips/ada-enrolment.avi", *device)
    results = []
    for name, seed in (("ada", ENROLLED), *((f"stranger-{number}", seed) for number, seed in enumerate(STRANGERS, start=1))):
        clip = folder / "clips" / f"{name}.avi"
        write_clip(clip, Person.from_seed(seed), 2, SECONDS, width=480, height=360)
        output = steps.command("edge", "run", "--json", "--camera", f"clips/{clip.name}", *device, capture=True)
        results.append(ClipResult(name, [json.loads(line) for line in output.splitlines()]))
        # A stranger's failures lock out the next one too, as they should at a door. Here each must get a decision.
        steps.command("edge", "unlock-out", "--all")
    _report(folder, results, console)


class _Steps:
    """Runs commands in the demo's folder and prints each as a user would type it."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder, self._console = folder, console
        # A state directory of its own keeps the demo away from the machine's gallery and journal readers.
        self._environment = os.environ | {"STATE_DIRECTORY": str((folder / "state").resolve())}

    def command(self, module: str, *arguments: str, capture: bool = False) -> str:
        typed = shlex.join([f"python -m {module}" if module == "export" else module, *arguments]).replace("'", "")
        self._console.print(f"$ {typed}", style="bold")
        completed = subprocess.run(  # noqa: S603 - our own commands, no shell
            [sys.executable, "-m", module, *arguments],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
        if completed.returncode:
            raise InputError(f"demo: `{typed}` ended with exit code {completed.returncode}; its message is above")
        return completed.stdout or ""


def _make_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: not a folder; choose another --folder")
    if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds something else than an earlier demo; choose another --folder")
    try:
        shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot make it anew: {error.strerror}") from error
    write_atomically(folder / MARK, b"")


def _report(folder: Path, results: list[ClipResult], console: Console) -> None:
    console.rule("what the daemon told the journal")
    table = Table("shown", "decision", "frames", "score", "reason", "a frame")
    for result in results:
        for decision in result.decisions:
            table.add_row(
                result.name, f"{decision['event']} {decision.get('subject', '')}", str(decision["frames"]),
                decision.get("score", "-"), decision.get("reason", "-"), f"{decision['cost_ms']} ms",
            )  # fmt: skip
    console.print(table)
    for line in json.loads((folder / "run" / "evaluation.json").read_text())["lines"]:
        console.print(line)
    _draw(folder / "report.png", folder / "run")
    console.print(f"report: {folder / 'run' / 'report.html'}, as one picture: {folder / 'report.png'}")
    _check(results)


def _check(results: list[ClipResult]) -> None:
    genuine, *strangers = results
    accepts = [d for d in genuine.decisions if d["event"] == "accept"]
    false_accepts = [d for result in strangers for d in result.decisions if d["event"] == "accept"]
    undecided = [result.name for result in results if not result.decisions]
    if not accepts or false_accepts or undecided or any(d["subject"] != "ada" for d in accepts):
        raise InputError(
            f"demo: ada was accepted {len(accepts)} times and strangers {len(false_accepts)} times, no decision for "
            f"{undecided or 'nobody'}: a short training can fail like this; train longer with --epochs 30"
        )


def _draw(path: Path, run: Path) -> None:
    pictures = [cv2.imread(str(run / f"{name}.png")) for name in ("loss", "scores", "pairs")]
    width = max(picture.shape[1] for picture in pictures)
    rows = []
    for picture in pictures:
        margin = width - picture.shape[1]
        rows.append(
            cv2.copyMakeBorder(picture, 0, 0, margin // 2, margin - margin // 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        )
    write_atomically(path, cv2.imencode(".png", np.vstack(rows))[1].tobytes())
