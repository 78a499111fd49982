"""What one device works with, loaded once: model, operating point, line, gallery, failure counts, journal. Commands and daemon alike
verify, enrol and remove here. It opens no camera: the caller passes the frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto

import numpy as np

from edge.camera import Frame, is_replay
from edge.contract.errors import GalleryError, InputError, StorageError, TemplatesFull
from edge.contract.modelfile import ModelFile, OperatingPoint
from edge.enrol import Enrolment, ProgressCallback, enrol
from edge.gallery import Gallery, check_name, new_subject
from edge.journal import Event, Journal
from edge.line import Judged, Line
from edge.liveness import load_liveness
from edge.lockout import ANYONE, Failures, Lockout
from edge.matcher import Matcher
from edge.policy import Denial, Grant, Policy
from edge.poses import Asking, Course
from edge.quiet import is_quiet
from edge.reasons import Reason
from edge.settings import Settings

# Per subject: every template is another chance for a stranger; with this many, the FMR is at worst 64 times that of one comparison.
MOST_TEMPLATES = 64


class Manner(Enum):
    """What to do with new templates: enrol a new subject, add them to those of a subject, or replace those."""

    NEW = auto()
    ADD = auto()
    REPLACE = auto()


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The result of an enrolment: how many templates the subject has now, and the check of the new ones."""

    subject: str
    templates: int
    enrolment: Enrolment


class Station:
    """See the module. Not safe to use from two threads at once."""

    def __init__(
        self, settings: Settings, model: ModelFile, point: OperatingPoint, gallery: Gallery, lockout: Lockout, journal: Journal
    ) -> None:
        self.settings, self.model, self.point = settings, model, point
        self.gallery, self.lockout, self.journal = gallery, lockout, journal
        self.line = Line(model, settings)
        self._own_points = {
            name: model.operating_point(fmr, allow_failed_gate=settings.policy.allow_failed_gate)
            for name, fmr in settings.policy.subject_fmr.items()
        }

    def point_of(self, name: str | None) -> OperatingPoint:
        """The operating point for a subject: the device's, or the subject's own stricter one."""
        return self._own_points.get(name or ANYONE, self.point)

    def matcher(self) -> tuple[Matcher, list[str], list[GalleryError | StorageError]]:
        """A matcher of all subjects who can be recognised, their names, and an error for each who cannot."""
        subjects, refused = self.gallery.read_for(self.model.model_id, self.model.head.size)
        thresholds = {name: point.threshold for name, point in self._own_points.items()}
        return Matcher(self.model.head, subjects, thresholds), [subject.name for subject in subjects], refused

    def verify(
        self,
        name: str | None,
        frames: Iterator[Frame | None],
        timeout_s: float,
        on_judged: Callable[[Judged], None] = lambda judged: None,
        missing: Callable[[], bool] = lambda: False,
    ) -> Grant | Denial:
        """Decides whether the person before the camera is `name`, or anyone enrolled if None. Counts and logs it before returning it.

        `on_judged` is called after every judged frame. While `missing()`, because a required intent has not come, frames are not judged.

        Raises:
            InputError: nobody of this name is enrolled.
            GalleryError, StorageError: the templates asked for cannot be used, or failures cannot be counted.
            CameraError: the source failed.
        """
        if name is not None:
            self.gallery.read_own(check_name(name), self.model.model_id, self.model.head.size)
        enrolled = self.gallery.stamp()
        matcher, names, _ = self.matcher()
        key = name or ANYONE
        failures = self.lockout.read(key, self.settings.policy.lockout_s)
        policy = Policy(self.settings.policy, only=name, before=failures, liveness=load_liveness(self.settings))
        cost_ms = 0.0
        if failures.count >= self.settings.policy.disable_failures:
            decision: Grant | Denial = Denial(Reason.DISABLED, 0)
        elif failures.rest_s:
            decision = Denial(Reason.LOCKED_OUT, 0)
        elif self.is_quiet():
            decision = Denial(Reason.QUIET_HOURS, 0)
        elif not names:
            decision = Denial(Reason.EMPTY_GALLERY, 0)
        else:
            decision, cost_ms = self._decide(key, policy, matcher, frames, timeout_s, on_judged, missing)
            # Before anyone learns of it: a grant whose failures cannot be cleared, or a failure that cannot be counted, is an error.
            if isinstance(decision, Grant):
                decision = self._recheck(decision, enrolled)
            if isinstance(decision, Grant) or policy.failures > failures.count:
                decision, _ = self.record_decision(key, decision)
        subject = decision.subject if isinstance(decision, Grant) else name
        self.journal.log_decision(decision, operating_point=self.point_of(subject).name, cost_ms=cost_ms)
        return decision

    def _count_broken_off(self, key: str, denial: Grant | Denial, cost_ms: float) -> None:
        """Counts and logs a failure while another exception propagates, which must not be lost: a count that cannot be written is owed."""
        try:
            denial, _ = self.record_decision(key, denial)
        except StorageError as error:
            self.journal.log(Event.LOCKOUT_BROKEN, f"{error}; the failure will be counted later", ERROR=error.code)
        self.journal.log_decision(denial, operating_point=self.point_of(key).name, cost_ms=cost_ms)

    def _recheck(self, grant: Grant, enrolled: object) -> Grant | Denial:
        """Checks a grant again at its end: during the minutes of a verification, quiet hours may begin and people may be removed."""
        if self.is_quiet():
            return Denial(Reason.QUIET_HOURS, grant.frames)
        if self.gallery.stamp() != enrolled:
            return Denial(Reason.GALLERY_CHANGED, grant.frames)
        return grant

    def record_decision(self, key: str, decision: Grant | Denial) -> tuple[Grant | Denial, Failures]:
        """Records a decision in the failure count of `key`; returns the decision as it then stands, and the failures. A grant becomes a
        denial if the key was locked out meanwhile. A denial that cannot be written is owed, see `Lockout.fail`.

        Raises:
            StorageError: the failures cannot be counted, so nothing may be granted.
        """
        policy = self.settings.policy
        if isinstance(decision, Denial):
            failures = self.lockout.fail(key, policy)
            if key != ANYONE and key not in self.gallery.names():
                # The subject was removed during the attempt, and the count with it: it must not come back.
                self.lockout.clear(key)
            return replace(decision, locked_s=failures.locked_s(policy)), failures
        failures = self.lockout.succeed(key, policy)
        return (Denial(Reason.LOCKED_OUT, decision.frames) if failures.count else decision), failures

    def is_quiet(self) -> bool:
        """Whether quiet hours are in force now."""
        time.tzset()  # the C library reads the time zone only once: without this, a later change would wait for the next start
        return is_quiet(self.settings.policy.quiet_hours, datetime.now())

    def enrol(
        self,
        name: str,
        frames: Iterator[Frame | None],
        on_progress: ProgressCallback,
        manner: Manner,
        *,
        asks: bool = True,
        last_step: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Enrolled:
        """Makes templates of the person before the camera and stores them, within `last_step`. `asks`: the person gets to see what
        `on_progress` is given; otherwise no pose is waited for.

        Raises:
            InputError: the name is taken, or with `Manner.ADD` not enrolled, or this changed before the end.
            EnrolmentFailed: as `edge.enrol.enrol`; with `Manner.ADD` TemplatesFull; and what `last_step` raises.
            GalleryError, StorageError, CameraError: the gallery cannot be read, the disk cannot be written, the source failed.
        """
        is_enrolled = check_name(name) in self.gallery.names()
        if is_enrolled and manner is Manner.NEW:
            raise InputError(
                f"{name}: already enrolled; --add learns another look, --replace enrols again, `edge remove {name}` removes the person"
            )
        self.gallery.check_key()
        model_id, size = self.model.model_id, self.model.head.size
        existing = self.gallery.read_own(name, model_id, size) if manner is Manner.ADD else None
        if existing is not None and len(existing.templates) + self.settings.enrolment.anchors > MOST_TEMPLATES:
            raise TemplatesFull(
                f"{name}: has {len(existing.templates)} templates, and of one subject at most {MOST_TEMPLATES} are kept, because each is "
                "another chance for a stranger; --replace enrols again"
            )
        others, _ = self.gallery.read_for(model_id, size)
        recorded = is_replay(self.settings.camera.source)
        asking = Asking.NOBODY if not asks else Asking.RECORDING if recorded else Asking.PERSON
        enrolment = enrol(
            self.line,
            self.model.head,
            self.point_of(name).threshold,
            frames,
            Matcher(self.model.head, [subject for subject in others if subject.name != name]),
            Course(self.settings, asking),
            on_progress,
            existing=None if existing is None else existing.templates,
            # The others match at the door from here on, also where this subject's own point is stricter: a face of both is nobody's there.
            known_at=self.point.threshold,
        )
        templates = enrolment.templates if existing is None else np.concatenate([existing.templates, enrolment.templates])
        with last_step():
            self.gallery.write(new_subject(name, model_id, templates), replace=is_enrolled, after=existing)
        self.journal.log(Event.ENROLLED, f"enrolled {name}", SUBJECT=name, FRAMES=len(templates), MODEL_ID=model_id)
        return Enrolled(name, len(templates), enrolment)

    def _decide(
        self,
        key: str,
        policy: Policy,
        matcher: Matcher,
        frames: Iterator[Frame | None],
        timeout_s: float,
        on_judged: Callable[[Judged], None],
        missing: Callable[[], bool],
    ) -> tuple[Grant | Denial, float]:
        reason, cost_ms, first, last_at = Reason.NO_FRAMES, 0.0, None, 0.0
        decided: Grant | Denial | None = None
        deadline = time.monotonic() + timeout_s
        try:
            for frame in frames:
                if frame is None or missing():
                    # Time is that of the frames, but it must also run out where there are none.
                    if time.monotonic() > deadline:
                        break
                    reason = Reason.NOT_ASKED if missing() else reason
                    continue
                first = frame.at if first is None else first
                if frame.at - first > timeout_s:
                    break
                last_at = frame.at
                judged = self.line.judge(frame, matcher, self.point.threshold, policy)
                cost_ms, decided = judged.cost_ms, judged.decision
                on_judged(judged)
                if decided is not None:
                    return decided, cost_ms
                if isinstance(judged.outcome, Reason):
                    reason = judged.outcome
        except BaseException:
            # Judged frames count: pulling the cable before the last frame, or Ctrl-C at it, must not spare anybody the failure.
            if denial := decided if isinstance(decided, Denial) else policy.give_up(last_at):
                self._count_broken_off(key, denial, cost_ms)
            raise
        return policy.give_up(last_at) or Denial(reason, 0), cost_ms


def remove_subject(gallery: Gallery, lockout: Lockout, journal: Journal, name: str, *, overwrite: bool = False) -> None:
    """Removes a subject, and her or his failure count.

    Raises:
        InputError: nobody of this name is enrolled.
        StorageError: the file cannot be removed.
    """
    gallery.remove(check_name(name), overwrite=overwrite)
    # Logged before anything else can fail: the templates are gone.
    journal.log(Event.REMOVED, f"removed {name}", SUBJECT=name)
    try:
        lockout.clear(name)
    except StorageError as error:
        raise StorageError(f"{error}; {name} is removed, the failures counted are not: `edge unlock-out {name}`") from error
