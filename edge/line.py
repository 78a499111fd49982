"""The straight line of one frame: search, face chip, quality, pose, embedder, matcher, policy. Each stage once; no I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.camera import Frame
from edge.camera.frame import DARK_LEVEL
from edge.contract.chip import as_source, cut_chip, face_part, to_grey
from edge.contract.detector import load_detector
from edge.contract.modelfile import ModelFile
from edge.contract.runtime import Embedder
from edge.finders import load_finder
from edge.liveness import Seen, Way
from edge.matcher import Match, Matcher
from edge.policy import Denial, Grant, Policy
from edge.quality import Refusal, check_pose, check_quality
from edge.reasons import Reason
from edge.search import Search
from edge.settings import ChallengeKind, Settings
from edge.turn import measure_turn

# A second face this much smaller stands behind the person, or is none: the cascade errs most on small boxes.
BYSTANDER = 0.6


@dataclass(frozen=True, slots=True)
class Face:
    """The one face of a frame, fit to be judged: its embedding, float32 [D]."""

    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a frame: the outcome of its stages, the decision it completed, if any, its cost, and what is asked of the person."""

    outcome: Match | Reason
    decision: Grant | Denial | None
    refusal: Refusal | None
    cost_ms: float
    asked: Way | None = None


class Line:
    """The stages up to the embedding, loaded once."""

    def __init__(self, model: ModelFile, settings: Settings) -> None:
        self._spec = model.chip
        self._settings = settings
        self.search = Search(load_detector(model.chip.detector), settings.detection, load_finder(settings.detection))
        self._embedder = Embedder(model, threads=settings.model.threads)
        self.runtime = self._embedder.runtime
        self.cost_ms: dict[str, float] = {}
        self._lap_began = 0.0
        self.seen: Seen | None = None
        """The one face of the last frame, fit to be judged or not."""

    def judge(self, frame: Frame, matcher: Matcher, threshold: float, policy: Policy) -> Judged:
        """One frame from its pixels to a decision.

        Raises:
            ValueError: the settings require a challenge, and this policy asks for none.
        """
        if self._settings.liveness.challenge is not ChallengeKind.NONE and not policy.asks:
            raise ValueError("liveness.challenge is required: make the policy with load_liveness(settings)")
        began = time.perf_counter()
        face = self.look(frame)
        if isinstance(face, Refusal):
            outcome: Match | Reason = face.reason
        else:
            outcome = matcher.match(face.embedding, threshold)
            self._lap("match")
        decision = policy.observe(outcome, frame.at, self.seen)
        cost_ms = (time.perf_counter() - began) * 1000
        return Judged(outcome, decision, face if isinstance(face, Refusal) else None, cost_ms, policy.asked)

    def look(self, frame: Frame) -> Face | Refusal:
        """The face of a frame as the network sees it, or why there is none. `cost_ms` then holds what each stage took."""
        self.cost_ms, self._lap_began = {}, time.perf_counter()
        self.seen = None
        grey = to_grey(frame.pixels)
        boxes = self.search.find(grey, frame.at)
        self._lap("search")
        boxes = [box for box in boxes if box.width >= BYSTANDER * boxes[0].width]
        if not boxes and frame.brightness < DARK_LEVEL:
            return Refusal(Reason.TOO_DARK, frame.brightness, DARK_LEVEL)
        if not boxes:
            small = self.search.too_far(grey, frame.at)
            wanted = self._settings.detection.min_face_px
            return Refusal(Reason.TOO_FAR, small.width, wanted) if small else Refusal(Reason.NO_FACE, 0, 1)
        if len(boxes) > 1:
            return Refusal(Reason.SEVERAL_FACES, len(boxes), 1)
        widest = self._settings.quality.max_face * grey.shape[0]
        if boxes[0].width > widest:
            return Refusal(Reason.TOO_NEAR, boxes[0].width, widest)
        chip = cut_chip(as_source(frame.pixels, self._spec), boxes[0], self._spec)
        part = to_grey(face_part(chip, self._spec))
        refusal = check_quality(part, self._settings.quality)
        self._lap("chip and quality")
        # A face that is not fit to be judged is followed all the same.
        self.seen = Seen(boxes[0], None)
        if refusal:
            return refusal
        view, placement = self._embedder.aligned(chip)
        turn = measure_turn(to_grey(view) if placement else part)
        self.seen = Seen(boxes[0], turn)
        refusal = check_pose(turn, placement.turn if placement else 0.0, self._settings.quality)
        self._lap("pose")
        if refusal:
            return refusal
        face = Face(self._embedder.embed_view(view))
        self._lap("embed")
        return face

    def _lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.cost_ms[stage] = (now - self._lap_began) * 1000
        self._lap_began = now
