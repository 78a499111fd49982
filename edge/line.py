"""The straight line of one frame: search, face chip, quality, pose, embedder, matcher, policy. Each stage once; no I/O."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.camera import Frame
from edge.camera.frame import DARK_LEVEL
from edge.contract.chip import FaceBox, as_source, cut_chip, face_part, to_grey
from edge.contract.detector import load_detector
from edge.contract.modelfile import ModelFile
from edge.contract.runtime import Embedder
from edge.finders import load_finder
from edge.liveness import Seen, Way
from edge.matcher import Look, Match, Matcher
from edge.policy import Denial, Grant, Policy
from edge.quality import Gate, Gauge, Refusal, check_pose, check_quality, measure_chip, measure_pose
from edge.reasons import Reason
from edge.search import Search
from edge.settings import ChallengeKind, Settings
from edge.turn import measure_turn

# A second face narrower than this share of the first stands behind the person, or is no face: the cascade errs most on small boxes.
BYSTANDER = 0.6


@dataclass(frozen=True, slots=True)
class Face:
    """The one face of a frame, fit to be judged: its embedding, float32 [D], and `twice`, which takes a second look when first called and
    returns both looks merged, float32 [D]."""

    embedding: NDArray[np.float32]
    twice: Look


@dataclass(frozen=True, slots=True)
class Enrollable:
    """A face fit to be enrolled: its embedding and the template to keep, both float32 [D]."""

    embedding: NDArray[np.float32]
    template: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Examined:
    """A frame as enrolment sees it: the refusal that `Line.look` would give, or what would be kept of the face, and every gate that could
    be measured, passed or not. `box` is set also for a face too far or too near; `turn` is as edge/turn.py measures it, None if no face
    is of a size to be judged."""

    outcome: Enrollable | Refusal
    box: FaceBox | None
    turn: float | None
    gauges: tuple[Gauge, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a frame: the outcome of its stages, the decision it completed, if any, its cost, and what is asked of the person.
    `repeated`: another policy has judged this frame before, and `cost_ms` counts the same look at it.
    """

    outcome: Match | Reason
    decision: Grant | Denial | None
    refusal: Refusal | None
    cost_ms: float
    asked: Way | None = None
    repeated: bool = False


class Line:
    """The stages up to the embedding, loaded once."""

    def __init__(self, model: ModelFile, settings: Settings) -> None:
        self._spec = model.chip
        self._settings = settings
        detector = load_detector(model.chip.detector)
        self.search = Search(detector, settings.detection, load_finder(settings.detection, detector))
        self._embedder = Embedder(model, threads=settings.model.threads)
        self.runtime = self._embedder.runtime
        self.cost_ms: dict[str, float] = {}
        self._lap_began = 0.0
        self.seen: Seen | None = None
        """The one face of the last frame, fit to be judged or not."""
        self._last_observation: _Observation | None = None

    def judge(self, frame: Frame, matcher: Matcher, threshold: float, policy: Policy) -> Judged:
        """Takes one frame from its pixels to a decision. Another policy, with this matcher or its own, may judge the same frame afterwards:
        the face is searched for and embedded only once.

        Raises:
            ValueError: the settings require a challenge, and this policy asks for none.
        """
        if self._settings.liveness.challenge is not ChallengeKind.NONE and not policy.asks:
            raise ValueError("liveness.challenge is required: make the policy with load_liveness(settings)")
        observation, repeated = self._look_once(frame)
        began = self._lap_began = time.perf_counter()
        if isinstance(observation.face, Refusal):
            outcome: Match | Reason = observation.face.reason
        else:
            outcome = matcher.match(observation.face.embedding, threshold, observation.face.twice)
            self._lap("match")
        seen = observation.seen
        if frame.is_of_before_a_sleep:
            # It shows who was there then. A machine that fell asleep in the middle of it may wake up before somebody else.
            outcome, seen = Reason.NO_FRAMES, None
        decision = policy.observe(outcome, frame.at, seen)
        cost_ms = observation.cost_ms + (time.perf_counter() - began) * 1000
        refusal = observation.face if isinstance(observation.face, Refusal) else None
        return Judged(outcome, decision, refusal, cost_ms, policy.asked, repeated)

    def look(self, frame: Frame) -> Face | Refusal:
        """The face of a frame as the network sees it, or why there is none. Afterwards `cost_ms` holds the milliseconds of each stage."""
        found = self._find(frame)
        if isinstance(found, _Unfit):
            return found.refusal
        chip, part = self._cut(frame, found)
        refusal = check_quality(part, self._settings.quality)
        self._lap("chip and quality")
        # Set before any refusal: a challenge follows a face that is not fit to be judged all the same.
        self.seen = Seen(found, None)
        if refusal:
            return refusal
        view, turn, tilt_deg = self._pose(chip, part)
        self.seen = Seen(found, turn)
        refusal = check_pose(turn, tilt_deg or 0.0, self._settings.quality)
        self._lap("pose")
        if refusal:
            return refusal
        embedding = self._embedder.embed_view(view)
        self._lap("embed")
        # Cached: a second policy that judges this frame reuses the second look.
        return Face(embedding, cache(partial(self._look_again, view, embedding)))

    def examine(self, frame: Frame) -> Examined:
        """As `look`, by the same stages, but measures every gate of a face, also those after the first that it does not pass."""
        found, quality = self._find(frame), self._settings.quality
        if isinstance(found, _Unfit):
            sizes = () if found.box is None else (self._size(found.box, frame),)
            return Examined(found.refusal, found.box, None, sizes)
        chip, part = self._cut(frame, found)
        view, turn, tilt_deg = self._pose(chip, part)
        self.seen = Seen(found, turn)
        gauges = (*measure_chip(part, quality), self._size(found, frame), *measure_pose(turn, tilt_deg, quality))
        refusal = check_quality(part, quality) or check_pose(turn, tilt_deg or 0.0, quality)
        if refusal:
            return Examined(refusal, found, turn, gauges)
        embedding = self._embedder.embed_view(view)
        return Examined(Enrollable(embedding, self._embedder.template_of_view(view, embedding)), found, turn, gauges)

    def _look_again(self, view: NDArray[np.uint8], embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        self._lap("match")
        twice = self._embedder.template_of_view(view, embedding)
        self._lap("second look")
        return twice

    def _look_once(self, frame: Frame) -> tuple[_Observation, bool]:
        """As `look`, and whether this very frame was looked at before, when its result is reused."""
        if (previous := self._last_observation) is not None and previous.frame() is frame:
            return previous, True
        began = time.perf_counter()
        face = self.look(frame)
        # By a weak reference: what is known of a face is dropped with its picture.
        observation = _Observation(weakref.ref(frame, self._forget), face, self.seen, (time.perf_counter() - began) * 1000)
        self._last_observation = observation
        return observation, False

    def _forget(self, reference: weakref.ref[Frame]) -> None:
        if self._last_observation is not None and self._last_observation.frame is reference:
            self._last_observation = None

    def _find(self, frame: Frame) -> FaceBox | _Unfit:
        """The one face of a frame, if it is alone and of a size to be judged."""
        self.cost_ms, self._lap_began = {}, time.perf_counter()
        self.seen = None
        grey = to_grey(frame.pixels)
        boxes = self.search.find(grey, frame.at)
        self._lap("search")
        boxes = [box for box in boxes if box.width >= BYSTANDER * boxes[0].width]
        if not boxes and frame.brightness < DARK_LEVEL:
            return _Unfit(Refusal(Reason.TOO_DARK, frame.brightness, DARK_LEVEL))
        if not boxes:
            small = self.search.too_far(grey, frame.at)
            min_px = self._settings.detection.min_face_px
            return _Unfit(Refusal(Reason.TOO_FAR, small.width, min_px) if small else Refusal(Reason.NO_FACE, 0, 1), small)
        if len(boxes) > 1:
            return _Unfit(Refusal(Reason.SEVERAL_FACES, len(boxes), 1))
        widest = self._widest(frame)
        if boxes[0].width > widest:
            return _Unfit(Refusal(Reason.TOO_NEAR, boxes[0].width, widest), boxes[0])
        return boxes[0]

    def _cut(self, frame: Frame, box: FaceBox) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The chip, and the grey part of it on which quality is measured."""
        chip = cut_chip(as_source(frame.pixels, self._spec), box, self._spec)
        return chip, to_grey(face_part(chip, self._spec))

    def _pose(self, chip: NDArray[np.uint8], part: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float, float | None]:
        """What the tower sees, its turn, and its tilt in degrees, None if the model has no aligner."""
        view, placement = self._embedder.aligned(chip)
        turn = measure_turn(to_grey(view) if placement else part)
        return view, turn, placement.turn if placement else None

    def _size(self, box: FaceBox, frame: Frame) -> Gauge:
        return Gauge(Gate.SIZE, box.width, self._settings.detection.min_face_px, self._widest(frame))

    def _widest(self, frame: Frame) -> float:
        height: int = frame.pixels.shape[0]
        return self._settings.quality.max_face * height

    def _lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.cost_ms[stage] = self.cost_ms.get(stage, 0.0) + (now - self._lap_began) * 1000
        self._lap_began = now


class _Observation(NamedTuple):
    """What `look` found in a frame, and what that took."""

    frame: weakref.ref[Frame]
    face: Face | Refusal
    seen: Seen | None
    cost_ms: float


class _Unfit(NamedTuple):
    """No face to cut a chip from; `box` is that of a face too far or too near."""

    refusal: Refusal
    box: FaceBox | None = None
