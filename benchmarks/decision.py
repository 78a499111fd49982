"""Frames and milliseconds from the first frame with a face to the decision, on clips of people in front of a webcam.

    python -m benchmarks.decision CLIP.mp4 ... --json

The first part of each clip enrols its person. The rest is cut into attempts of a few seconds, each judged with a fresh policy like the
daemon's. A warm line has judged before, a cold one was just loaded. Milliseconds are those of the line alone; the seconds of the
recording, which depend on the camera's frame rate, are printed beside them.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from edge.camera import Frame
from edge.camera.replay import Video
from edge.contract.modelfile import read_model
from edge.enrol import enrol
from edge.gallery import new_subject
from edge.line import Line
from edge.matcher import Matcher
from edge.models import DEFAULT, model_path
from edge.policy import Grant, Policy
from edge.poses import Asking, Course
from edge.reasons import Reason
from edge.settings import Settings

ENROLLED_SHARE = 0.3
ATTEMPT_S = 4.0


@dataclass(frozen=True)
class Attempt:
    """One attempt: `frames` from the first with a face to the decision, the `line_ms` that they took, and `seconds` of the recording."""

    granted: bool
    frames: int
    line_ms: float
    seconds: float
    load_ms: float = 0.0


def attempts(clip: Path, settings: Settings, *, cold: bool) -> list[Attempt]:
    """The attempts of one clip that had a face, whether they came to a decision or not. Raises EnrolmentFailed, CameraError."""
    model = read_model(model_path(settings.model.path))
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    recorded = [frame for frame in Video(clip).frames() if frame is not None]
    enrolled_count = round(len(recorded) * ENROLLED_SHARE)
    line = Line(model, settings)
    enrolment = enrol(
        line,
        model.head,
        point.threshold,
        iter(recorded[:enrolled_count]),
        Matcher(model.head, []),
        Course(settings, Asking.RECORDING),
        lambda *_: None,
    )
    matcher = Matcher(model.head, [new_subject("seen", model.model_id, enrolment.templates)])
    results, rest = [], recorded[enrolled_count:]
    while rest:
        begin = rest[0].at
        part, rest = [f for f in rest if f.at < begin + ATTEMPT_S], [f for f in rest if f.at >= begin + ATTEMPT_S]
        load_ms = 0.0
        if cold:
            began = time.perf_counter()
            line = Line(model, settings)
            load_ms = (time.perf_counter() - began) * 1000
        if (attempt := _attempt(line, matcher, point.threshold, Policy(settings.policy), part)) is not None:
            results.append(replace(attempt, load_ms=load_ms))
    return results


def _attempt(line: Line, matcher: Matcher, threshold: float, policy: Policy, frames: list[Frame]) -> Attempt | None:
    first: float | None = None
    judged_count, line_ms = 0, 0.0
    for frame in frames:
        judged = line.judge(frame, matcher, threshold, policy)
        if first is None and judged.outcome is Reason.NO_FACE:
            continue
        first = frame.at if first is None else first
        judged_count, line_ms = judged_count + 1, line_ms + judged.cost_ms
        if judged.decision is not None:
            return Attempt(isinstance(judged.decision, Grant), judged_count, line_ms, frame.at - first)
    return None if first is None else Attempt(False, judged_count, line_ms, frames[-1].at - first)


def figures(results: list[Attempt]) -> dict[str, float]:
    """Counts of attempts and grants, and the p50 and p95 of each figure over the attempts."""
    summary: dict[str, float] = {"attempts": len(results), "granted": sum(attempt.granted for attempt in results)}
    for key in ("frames", "line_ms", "seconds", "load_ms"):
        values = [getattr(attempt, key) for attempt in results]
        summary |= {
            f"{key}_p50": round(float(np.percentile(values, 50)), 2),
            f"{key}_p95": round(float(np.percentile(values, 95)), 2),
        }
    return summary


def main() -> None:
    """Prints one row for warm lines and one for cold lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    settings = Settings.model_validate({"model": {"path": arguments.model}, "detection": {"min_face_px": 60}})
    report = {
        name: figures([a for clip in arguments.clips for a in attempts(clip, settings, cold=cold)])
        for name, cold in (("warm", False), ("cold", True))
    }
    if arguments.json:
        print(json.dumps(report))
        return
    table = Table("", *next(iter(report.values())))
    for name, row in report.items():
        table.add_row(name, *(f"{value:g}" for value in row.values()))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
