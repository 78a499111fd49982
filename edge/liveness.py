"""Liveness, a first step: a turn of the head to a randomly chosen side, followed and timed. Pure; clock and random choice are passed in.

It can only withhold a grant: edge/policy.py asks here after its frames matched, and grants when the answer is PASSED. docs/liveness.md
measures what it stops and what it does not; a recording that is shown at the right moment passes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from edge.contract.chip import FaceBox
from edge.matcher import Match
from edge.reasons import Reason
from edge.settings import ChallengeKind, LivenessSettings, Settings
from edge.turn import own_side


@dataclass(frozen=True, slots=True)
class Seen:
    """The one face of a frame, judged or not: its box, and how far it is turned (edge/turn.py), None where that was not measured."""

    box: FaceBox
    turn: float | None


class Way(StrEnum):
    """What a person is asked to do; left and right are the person's own."""

    LEFT = "left"
    RIGHT = "right"
    MIDDLE = "middle"


SENTENCES = {
    Way.LEFT: "turn your head a little to your left",
    Way.RIGHT: "turn your head a little to your right",
    Way.MIDDLE: "look straight into the camera again",
}


class Step(Enum):
    """The state of a challenge after a frame."""

    GOING = auto()
    PASSED = auto()
    FAILED = auto()


# Limits between two frames of one face: seconds out of sight, the move of its centre as a share of its width, and the factor by which its
# width changes. A turning head stays below these; another head beside it does not.
FOLLOW_S, _SHIFT, _SIZE = 0.4, 0.5, 1.35
# Nobody does what was asked sooner than this.
REACTION_S = 0.2
# A face is in the middle again within _BACK of where it looked at first, which is taken as at most _MIDDLE off the centre.
_BACK, _MIDDLE = 0.06, 0.08
# So many frames must match after the last turn, and in the whole challenge at most so many may fail to match.
AFTER, _STRANGE = 2, 3

Choose = Callable[[Sequence[Way]], Way]
_CHOOSE: Choose = secrets.SystemRandom().choice


class Challenge:
    """One challenge, from the frame after which it is asked to its end. Whatever is missing fails it. It passes only if one face, followed
    without a break and matching before, during and after, makes the turns that were asked for, one after the other."""

    def __init__(
        self, subject: str, ways: Sequence[Way], seen: Seen | None, now: float, settings: LivenessSettings, mirrored: bool
    ) -> None:
        self.subject = subject
        self._settings = settings
        self._mirrored = mirrored
        self._todo = [step for way in ways for step in (way, Way.MIDDLE)]
        self._asked_at = self._began_at = self._seen_at = now
        self._box = seen.box if seen else None
        turn = seen.turn if seen else None
        self._straight = None if turn is None else min(max(turn, -_MIDDLE), _MIDDLE)
        self._matching = self._strange = 0
        self._over = self._box is None or self._straight is None or not ways

    @property
    def asked(self) -> Way | None:
        """What is asked of the person now; None when it is over."""
        return None if self._over else self._todo[0]

    def observe(self, outcome: Match | Reason, seen: Seen | None, now: float) -> Step:
        """Takes the next frame. After PASSED or FAILED every further frame is FAILED."""
        if self._over or now - self._began_at > self._settings.timeout_s or not self._same(outcome, seen, now):
            self._over = True
            return Step.FAILED
        step = self._advance(outcome, seen, now) if seen else Step.GOING
        self._over = step is not Step.GOING
        return step

    def _same(self, outcome: Match | Reason, seen: Seen | None, now: float) -> bool:
        """Whether this is still the face that was asked."""
        if outcome is Reason.SEVERAL_FACES or not 0 < now - self._seen_at <= FOLLOW_S:
            return False
        if isinstance(outcome, Match):
            if outcome.subject != self.subject:
                return False
        elif outcome in (Reason.NO_MATCH, Reason.AMBIGUOUS, Reason.WRONG_SUBJECT):
            self._strange += 1
        if self._strange > _STRANGE:
            return False
        if seen is None:
            return True
        before, self._box, self._seen_at = self._box, seen.box, now
        return before is not None and _follows(before, seen.box)

    def _advance(self, outcome: Match | Reason, seen: Seen, now: float) -> Step:
        if seen.turn is None or self._straight is None:
            return Step.GOING
        matched, turned = isinstance(outcome, Match), own_side(seen.turn - self._straight, mirrored=self._mirrored)
        way = self._todo[0]
        if way is Way.MIDDLE:
            self._matching += matched and abs(turned) <= _BACK
            if self._matching < (AFTER if len(self._todo) == 1 else 1):
                return Step.GOING
        else:
            towards = turned if way is Way.LEFT else -turned
            if towards <= -self._settings.turn:
                return Step.FAILED  # the other way: shaking the head must not pass
            if towards < self._settings.turn or not matched:
                return Step.GOING
            if now - self._asked_at < REACTION_S:
                return Step.FAILED
        del self._todo[0]
        self._matching, self._asked_at = 0, now
        return Step.GOING if self._todo else Step.PASSED


class Liveness:
    """Makes the challenges of one device."""

    def __init__(self, settings: LivenessSettings, *, mirrored: bool = False, choose: Choose = _CHOOSE) -> None:
        self._settings, self._mirrored, self._choose = settings, mirrored, choose

    def ask(self, subject: str, seen: Seen | None, now: float) -> Challenge:
        """A challenge for the person who just matched. Without an observation to start from it fails with its first frame."""
        ways = [self._choose((Way.LEFT, Way.RIGHT)) for _ in range(self._settings.turns)]
        return Challenge(subject, ways, seen, now, self._settings, self._mirrored)


def load_liveness(settings: Settings) -> Liveness | None:
    """The challenges that the settings require, or None."""
    if settings.liveness.challenge is ChallengeKind.NONE:
        return None
    return Liveness(settings.liveness, mirrored=settings.camera.mirror)


def _follows(before: FaceBox, now: FaceBox) -> bool:
    right = now.x + now.width / 2 - before.x - before.width / 2
    down = now.y + now.height / 2 - before.y - before.height / 2
    least, most = sorted((before.width, now.width))
    return max(abs(right), abs(down)) <= _SHIFT * before.width and most <= _SIZE * least
