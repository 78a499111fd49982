"""What a frame costs on this machine, stage by stage, and what to change about it. Measures; prints nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from edge.camera import Frame
from edge.contract.errors import CameraError
from edge.line import Line
from edge.liveness import load_liveness
from edge.matcher import Matcher
from edge.policy import Policy
from edge.reasons import ADVICE, Reason
from edge.search import Extent
from edge.settings import Settings

# The first frames fill caches and wake the camera.
WARM_UP = 5
# Frames per second at which a person in front of a door notices no wait: three matches in half a second.
WANTED_FPS = 6.0


@dataclass(frozen=True, slots=True)
class Stage:
    """The cost of a stage over the frames that reached it: how often it ran, median and 95th percentile in milliseconds."""

    name: str
    count: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Costs:
    """`outcomes` counts how frames ended, `searched` how much of them was searched; `frame` is the cost of a whole frame."""

    frames: int
    stages: tuple[Stage, ...]
    frame: Stage
    outcomes: dict[str, int]
    searched: dict[str, int]
    search_height_px: int
    advice: tuple[str, ...]


def measure(
    line: Line, matcher: Matcher, threshold: float, frames: Iterable[Frame | None], settings: Settings, count: int
) -> Costs:
    """Judges up to `count` frames as the daemon would, after WARM_UP frames that do not count. Grants nothing: decisions are ignored.

    Raises:
        CameraError: the source gave too few frames.
    """
    policy = Policy(settings.policy, liveness=load_liveness(settings))
    stage_ms: dict[str, list[float]] = {}
    frame_ms: list[float] = []
    outcomes: Counter[str] = Counter()
    searched: Counter[Extent] = Counter()
    delivered = (frame for frame in frames if frame is not None)
    for number, frame in enumerate(islice(delivered, WARM_UP + count)):
        began = time.perf_counter()
        judged = line.judge(frame, matcher, threshold, policy)
        if number < WARM_UP:
            continue
        frame_ms.append((time.perf_counter() - began) * 1000)
        for stage, cost in line.cost_ms.items():
            stage_ms.setdefault(stage, []).append(cost)
        outcomes[judged.outcome.value if isinstance(judged.outcome, Reason) else "match"] += 1
        searched[line.search.extent] += 1
    if not frame_ms:
        raise CameraError(f"fewer than {WARM_UP + 1} frames: nothing was measured")
    stages = tuple(_stage(name, costs) for name, costs in stage_ms.items())
    frame_cost = _stage("a frame", frame_ms)
    advice = _advice(stages, frame_cost, outcomes, line, settings)
    searches = {extent.name.lower(): count for extent, count in searched.items()}
    return Costs(len(frame_ms), stages, frame_cost, dict(outcomes.most_common()), searches, line.search.height_px, advice)


def _stage(name: str, costs: list[float]) -> Stage:
    return Stage(name, len(costs), float(np.median(costs)), float(np.percentile(costs, 95)))


def _advice(stages: tuple[Stage, ...], frame: Stage, outcomes: Counter[str], line: Line, settings: Settings) -> tuple[str, ...]:
    advice = []
    cost = {stage.name: stage.p50_ms for stage in stages}
    if line.search.height_px < settings.detection.search_height_px:
        advice.append(
            f"the search was shrunk to {line.search.height_px} px to keep detection.budget_ms = {settings.detection.budget_ms:g}: "
            "faces far away are missed; raise the budget, or detection.min_face_px where nobody stands that far"
        )
    if frame.p95_ms > 1000 / WANTED_FPS:
        worst = max(cost, key=cost.__getitem__)
        advice.append(
            f"a frame takes {frame.p95_ms:.0f} ms, so that a decision takes more than half a second: most of it is {worst}; "
            + {
                "search": "lower detection.budget_ms or raise detection.min_face_px",
                "embed": "use model.threads = 2, or model.path = compact",
                "second look": "use model.threads = 2, or model.path = compact",
            }.get(worst, "close what else runs on this machine")
        )
    judged = ("match", Reason.NO_MATCH.value, Reason.AMBIGUOUS.value, Reason.EMPTY_GALLERY.value)
    unusable = sum(outcomes.values()) - sum(outcomes[outcome] for outcome in judged)
    if unusable > sum(outcomes.values()) / 2:
        reasons = [reason for reason in Reason if outcomes[reason.value] and reason.value not in judged]
        commonest = max(reasons, key=lambda reason: outcomes[reason.value])
        advice.append(f"more than half of the frames were not judged, most of them {commonest.value}: {ADVICE[commonest]}")
    return tuple(advice)
