"""Watches a door: judges whoever comes, but not while re-arming, in quiet hours, locked out, or without a required intent. Logs every
decision, and starts the action on a grant. A caller may be verified from the same frames: each counts its own attempts.
"""

from __future__ import annotations

from collections.abc import Callable

from edge.action import Actor, load_action
from edge.camera import Frame
from edge.clock import seconds_since_boot
from edge.contract.errors import ActionBusy, ActionFailed, GalleryKeyError, StorageError
from edge.intent import Intent, WayIn
from edge.journal import Event
from edge.line import Judged
from edge.liveness import SENTENCES, Way, load_liveness
from edge.lockout import ANYONE
from edge.matcher import Matcher
from edge.policy import Denial, Grant, Policy
from edge.station import Station

LOOK_EVERY_S = 1.0
# Subjects' files that the disk did not give, or the key did not open, are read again this often: nothing else tells when they can be.
RETRY_S = 30.0


class Door:
    """Until the first `look` its gallery is empty, so it grants nobody."""

    def __init__(self, station: Station) -> None:
        self._station, self._journal = station, station.journal
        self._policy = Policy(station.settings.policy, liveness=load_liveness(station.settings))
        self._last_request: Way | None = None
        self._actor = Actor(load_action(station.settings.action), self._log_action)
        self.intent = Intent(station.settings.intent)
        self._matcher = Matcher(station.model.head, [])
        self._stamp: object = None
        self._gallery_checked_at = self._hours_checked_at = float("-inf")
        self._gallery_broken = False
        self._gallery_retry_at = float("inf")
        self._gallery_told: object = None
        self._lockout_stamp: object = ()
        self._lockout_broken = False
        self._lockout_checked_at = float("-inf")
        self._quiet = False
        self.enrolled = 0
        self._asks = self._skip_next = False
        self._cost_ms = 0.0
        self.cost_listeners: list[Callable[[float], None]] = []
        """Each is called with the cost of every judged frame, in seconds."""

    @property
    def failures(self) -> int:
        """Denials since the last accept, whoever stood there."""
        return self._policy.failures

    @property
    def asks(self) -> bool:
        """Whether the door asks somebody to turn the head. A verification must not ask that person for anything then."""
        return self._asks

    def judge(self, frame: Frame) -> None:
        """Judges one frame, and acts on the decision if it completes one. Skips a frame in which a verification asks for something.

        Raises:
            InputError: the frame is not a picture.
        """
        skip, self._skip_next, self._asks = self._skip_next, False, False
        if skip:
            return
        if (
            self._lockout_broken
            or self._quiet
            or self._policy.blocked(frame.at)
            or self.intent.missing(seconds_since_boot(), WayIn.DOOR)
        ):
            # Whoever was asked to turn the head no longer can: the challenge must not fall to whoever comes next, perhaps tomorrow.
            if self._policy.asked is not None and (denial := self._policy.give_up(frame.at)):
                self._act_on(denial)
            return
        judged = self._station.line.judge(frame, self._matcher, self._station.point.threshold, self._policy)
        self._report_cost(judged)
        if judged.asked not in (None, self._last_request):
            self._journal.log(Event.ASKED, SENTENCES[judged.asked])
        self._last_request, self._asks = judged.asked, judged.asked is not None
        self._cost_ms = judged.cost_ms
        if judged.decision is not None:
            self._act_on(judged.decision)

    def observe(self, judged: Judged) -> None:
        """Takes what a verification made of a frame, before the door judges that frame, if it does."""
        self._skip_next = judged.asked is not None
        self._report_cost(judged)

    def look(self, *, at_once: bool = False) -> None:
        """Picks up what changed on disk and on the clock: a removed subject must not be let in."""
        self._check_quiet_hours()
        self._check_gallery(at_once=at_once)
        self._check_failures()

    def close(self) -> None:
        """Ends the action that a grant started, and waits for it: a pulse must end before the process does."""
        self._actor.finish()
        self.intent.close()

    def _act_on(self, verdict: Grant | Denial) -> None:
        """Counts and logs a decision, and starts the action on a grant."""
        if (decision := self._record(verdict)) is None:
            return
        point = self._station.point_of(decision.subject if isinstance(decision, Grant) else None)
        self._journal.log_decision(decision, operating_point=point.name, cost_ms=self._cost_ms)
        if isinstance(decision, Grant):
            self.intent.spend(WayIn.DOOR)
            self._actor.begin(decision)

    def _record(self, decision: Grant | Denial) -> Grant | Denial | None:
        """Stores the failures before anyone learns of the decision; None if that fails and the decision is a grant."""
        try:
            decision, failures = self._station.record_decision(ANYONE, decision)
        except StorageError as error:
            self._break_lockout(error)
            return decision if isinstance(decision, Denial) else None
        self._policy.restore(failures)
        return decision

    def _check_failures(self) -> None:
        """Picks up what `edge unlock-out` or a verification changed. While the counts cannot be read, nobody is judged."""
        now = seconds_since_boot()
        if self._lockout_broken and now - self._lockout_checked_at < LOOK_EVERY_S:
            return
        self._lockout_checked_at = now
        policy, lockout = self._station.settings.policy, self._station.lockout
        try:
            if self._lockout_broken:
                # Owed failures are added first. This also shows that counts can be written, not only read, as a grant needs.
                lockout.settle(policy)
            stamp = lockout.stamp()
            if stamp == self._lockout_stamp:
                return
            self._policy.restore(lockout.read(ANYONE, policy.lockout_s))
        except StorageError as error:
            self._break_lockout(error)
            return
        self._lockout_stamp, self._lockout_broken = stamp, False

    def _break_lockout(self, error: StorageError) -> None:
        if not self._lockout_broken:
            self._journal.log(Event.LOCKOUT_BROKEN, f"{error}; nobody is judged", ERROR=error.code)
        self._lockout_broken, self._lockout_stamp = True, ()

    def _check_gallery(self, *, at_once: bool) -> None:
        now = seconds_since_boot()
        if not at_once and now - self._gallery_checked_at < LOOK_EVERY_S:
            return
        self._gallery_checked_at = now
        try:
            stamp = self._station.gallery.stamp()
            retried = stamp == self._stamp and not at_once
            if retried and now < self._gallery_retry_at:
                return
            matcher, names, refused = self._station.matcher()
        except StorageError as error:
            self._matcher, self._stamp, self.enrolled = Matcher(self._station.model.head, []), None, 0
            if not self._gallery_broken:
                self._journal.log(Event.GALLERY_REFUSED, f"{error}; nobody is recognised", ERROR=error.code)
            self._gallery_broken = True
            return
        self._gallery_broken, self._stamp = False, stamp
        self._gallery_retry_at = (
            now + RETRY_S if any(isinstance(problem, (StorageError, GalleryKeyError)) for problem in refused) else float("inf")
        )
        self._matcher, self.enrolled = matcher, len(names)
        told, self._gallery_told = self._gallery_told, (names, [str(problem) for problem in refused])
        if retried and told == self._gallery_told:
            return
        for problem in refused:
            self._journal.log(Event.GALLERY_REFUSED, str(problem), ERROR=problem.code)
        self._journal.log(
            Event.GALLERY_LOADED, f"{len(names)} subject{'' if len(names) == 1 else 's'} enrolled", SUBJECTS=len(names)
        )

    def _check_quiet_hours(self) -> None:
        # On a clock that runs during sleep: whoever wakes the machine in quiet hours must not get the rest of a second.
        spans, now = self._station.settings.policy.quiet_hours, seconds_since_boot()
        if not spans or now - self._hours_checked_at < LOOK_EVERY_S:
            return
        self._hours_checked_at = now
        quiet = self._station.is_quiet()
        if quiet != self._quiet:
            self._quiet = quiet
            if quiet:
                self._journal.log(Event.QUIET_BEGAN, f"nobody is judged: {', '.join(spans)}, or a clock that cannot be right")
            else:
                self._journal.log(Event.QUIET_ENDED, "whoever comes is judged again")

    def _report_cost(self, judged: Judged) -> None:
        """Reports a judged frame's cost to the listeners, once per frame, whoever had it judged."""
        for listener in () if judged.repeated else self.cost_listeners:
            listener(judged.cost_ms / 1000)

    def _log_action(self, grant: Grant, error: ActionFailed | None) -> None:
        kind = self._station.settings.action.kind.value
        if error is None:
            self._journal.log(Event.ACTION_DONE, f"done: {kind}", ACTION=kind, SUBJECT=grant.subject)
        elif isinstance(error, ActionBusy):
            self._journal.log(Event.ACTION_SKIPPED, str(error), ACTION=kind, SUBJECT=grant.subject)
        else:
            self._journal.log(Event.ACTION_FAILED, str(error), ACTION=kind, SUBJECT=grant.subject, ERROR=error.code)
