"""From frames to decisions: k of n, re-arming and lock-out. Pure; the clock is passed in. The only place that can grant."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from edge.liveness import Challenge, Liveness, Seen, Step, Way
from edge.lockout import Failures
from edge.matcher import Match
from edge.reasons import Reason
from edge.settings import PolicySettings


@dataclass(frozen=True, slots=True)
class Grant:
    """`subject` matched in k of the last n judged frames; `score` is the median of the matching frames' scores, `took_s` the time from
    the attempt's first judged frame to the last."""

    subject: str
    score: float
    frames: int
    took_s: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Denial:
    """An attempt that ended without a grant. No further one is judged for `locked_s` seconds; infinite: until the failures are cleared."""

    reason: Reason
    frames: int
    locked_s: float = 0.0
    took_s: float | None = field(default=None, compare=False)


# The reasons of judged frames, which count towards an attempt.
_JUDGED = frozenset({Reason.NO_MATCH, Reason.AMBIGUOUS, Reason.WRONG_SUBJECT})


class Policy:
    """Counts frames of one attempt and failures over attempts (the shape of NIST SP 800-63B-4, section 3.2.3).

    With `only`, this verifies that subject: a match of another one counts against the attempt. `before` are the failures counted by
    earlier processes (edge/lockout.py). With `liveness`, a match is granted only after a challenge is passed.
    """

    def __init__(
        self,
        settings: PolicySettings,
        only: str | None = None,
        before: Failures | None = None,
        liveness: Liveness | None = None,
    ) -> None:
        self._settings = settings
        self._only = only
        self._liveness = liveness
        self._challenge: Challenge | None = None
        self._frames: deque[tuple[float, Match | Reason]] = deque()
        # The number of judged frames in the attempt, those too old to match included, and the times of the first and the last.
        self._judged, self._began, self._last = 0, 0.0, float("-inf")
        # Judged frames of attempts that stopped early, since the last grant.
        self._owed = 0
        self._resting_until = self._rearmed_at = float("-inf")
        self.restore(before or Failures())

    @property
    def failures(self) -> int:
        """Denials since the last grant."""
        return self._failures

    @property
    def asks(self) -> bool:
        """Whether a match needs a passed challenge to be granted."""
        return self._liveness is not None

    @property
    def asked(self) -> Way | None:
        """What the person is asked to do now, or None."""
        return self._challenge.asked if self._challenge else None

    def restore(self, before: Failures) -> None:
        """Takes over failures that were counted elsewhere; their rest begins with the next frame. A pause after an accept stays."""
        self._failures = before.count
        self._rest_s = before.rest_s
        if not before.count:
            self._resting_until = float("-inf")

    def blocked(self, now: float) -> Reason | None:
        """The reason why nothing is judged at `now`, monotonic seconds, or None."""
        if self._rest_s:
            self._resting_until, self._rest_s = max(self._resting_until, now + self._rest_s), 0.0
        if self._failures >= self._settings.disable_failures:
            return Reason.DISABLED
        if self._failures >= self._settings.lockout_failures and now < self._resting_until:
            return Reason.LOCKED_OUT
        return None

    def observe(self, outcome: Match | Reason, now: float, seen: Seen | None = None) -> Grant | Denial | None:
        """Takes one frame's outcome; returns the decision it completes, if any.

        Frames that could not be judged (dark, no face) neither help nor harm. `now` is the frame's own time, `seen` its one face.

        An attempt ends with its n-th judged frame, however slowly frames come, or when no frame was judged for `window_s`. In the latter
        case, if it had k frames or more, these are owed, and n owed frames make a failure: whoever keeps stepping aside before the n-th
        frame fails as often as by staying.
        """
        if self.blocked(now) or now < max(self._resting_until, self._rearmed_at):
            return None
        if self._challenge is not None:
            return self._follow(self._challenge, outcome, seen, now)
        if self._judged and now - self._last > self._settings.window_s:
            self._owed += self._judged if self._judged >= self._settings.matches else 0
            if self._owed >= self._settings.frames:
                self._owed -= self._settings.frames
                return self._deny(now)
            self._forget()
        if isinstance(outcome, Reason) and outcome not in _JUDGED:
            return None
        if isinstance(outcome, Match) and self._only is not None and outcome.subject != self._only:
            outcome = Reason.WRONG_SUBJECT
        self._frames.append((now, outcome))
        self._began = now if not self._judged else self._began
        self._judged, self._last = self._judged + 1, now
        while self._frames and now - self._frames[0][0] > self._settings.window_s:
            self._frames.popleft()
        matches = [frame for _, frame in self._frames if isinstance(frame, Match)]
        for subject, count in Counter(match.subject for match in matches).items():
            if count >= self._settings.matches:
                if self._liveness is None:
                    return self._grant(subject, matches, now)
                self._challenge = self._liveness.ask(subject, seen, now)
                return None
        return self._deny(now) if self._judged >= self._settings.frames else None

    def give_up(self, now: float) -> Denial | None:
        """Ends an undecided attempt: a failure like any other if frames were judged or are owed, else None. Stepping aside before the end
        is not the same as staying away."""
        self._judged, self._owed = self._judged + self._owed, 0
        return self._deny(now) if self._judged else None

    def _follow(self, challenge: Challenge, outcome: Match | Reason, seen: Seen | None, now: float) -> Grant | Denial | None:
        step = challenge.observe(outcome, seen, now)
        if step is Step.PASSED:
            matches = [frame for _, frame in self._frames if isinstance(frame, Match)]
            return self._grant(challenge.subject, matches, now)
        return self._deny(now) if step is Step.FAILED else None

    def _grant(self, subject: str, matches: list[Match], now: float) -> Grant:
        scores = sorted(match.score for match in matches if match.subject == subject)
        grant = Grant(subject, scores[len(scores) // 2], len(self._frames), now - self._began)
        self._forget()
        self._failures = self._owed = 0
        self._rearmed_at = now + self._settings.rearm_s
        return grant

    def _deny(self, now: float) -> Denial:
        reasons = Counter(frame for _, frame in self._frames if isinstance(frame, Reason))
        subjects = {frame.subject for _, frame in self._frames if isinstance(frame, Match)}
        # What owed frames showed is not kept. With matches of one subject only, there were too few of them.
        fallback = {0: Reason.NO_MATCH, 1: Reason.TOO_FEW}.get(len(subjects), Reason.AMBIGUOUS)
        reason = reasons.most_common(1)[0][0] if reasons else fallback
        if self._challenge is not None:
            reason = Reason.CHALLENGE_FAILED
        count, began = self._judged, self._began
        self._forget()
        self._failures += 1
        rest_s = self._settings.rest_after(self._failures)
        self._resting_until = now + rest_s
        return Denial(reason, count, Failures(self._failures, rest_s).locked_s(self._settings), now - began)

    def _forget(self) -> None:
        """The attempt is over."""
        self._frames.clear()
        self._judged, self._challenge = 0, None
