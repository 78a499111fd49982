"""The device as callers see it: one caller at a time claims it, then verifies or enrols a subject. Makes no bus calls.

All methods are called from one thread. Jobs run in the camera's thread and report back through `post`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum

from edge.clock import seconds_since_boot
from edge.contract.errors import CameraError, EnrolmentFailed, FaceKnown, FacelatchError
from edge.desk import Desk, Frames, Job
from edge.door import Door
from edge.intent import WayIn
from edge.line import Judged
from edge.liveness import SENTENCES, Way
from edge.policy import Grant
from edge.poses import Pose
from edge.progress import Progress
from edge.reasons import ADVICE, MENDABLE, Reason
from edge.station import Manner, Station, remove_subject

# The same advice is not repeated sooner than this.
SAME_ADVICE_S = 2.0


class Problem(StrEnum):
    """Why a call is refused: the last part of the error's name on the bus."""

    ALREADY_IN_USE = "AlreadyInUse"
    CLAIM_DEVICE = "ClaimDevice"
    NO_ACTION = "NoActionInProgress"
    NOT_ENROLLED = "NotEnrolled"
    ALREADY_ENROLLED = "AlreadyEnrolled"
    INVALID = "InvalidSubject"
    NO_INTENT = "NoIntentAwaited"
    PERMISSION = "PermissionDenied"
    NOT_DELETED = "NotDeleted"
    INTERNAL = "Internal"


class CallRefused(FacelatchError):
    """The caller may not have what it asks for, or not now."""

    code = "bus"

    def __init__(self, problem: Problem, text: str) -> None:
        super().__init__(text)
        self.problem = problem


class Result(StrEnum):
    """What a waiting caller is told. `retry` names something the person can correct; the action goes on."""

    MATCH = "match"
    NO_MATCH = "no-match"
    RETRY = "retry"
    PROGRESS = "progress"
    ENROLLED = "enrolled"
    FAILED = "failed"
    DISCONNECTED = "disconnected"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Status:
    """One message to a caller; `done` marks the last one of an action."""

    result: Result
    done: bool
    text: str = ""
    reason: str = ""
    subject: str = ""
    frames: int = 0
    have: int = 0
    want: int = 0
    recognised: int = 0
    checked: int = 0
    score: float | None = None
    operating_point: str = ""
    progress: Progress | None = None
    poses: Mapping[Pose, int] | None = None


StatusCallback = Callable[[Status], None]
LastStep = Callable[[], AbstractContextManager[None]]


class Seat:
    """See the module. `post` runs a function in the callers' thread."""

    def __init__(self, station: Station, desk: Desk, door: Door, post: Callable[[Callable[[], None]], None]) -> None:
        self._station, self._desk, self._door, self._post = station, desk, door, post
        self.holder: str | None = None
        self.subject = ""
        self.on_change: Callable[[], None] = lambda: None
        """Called when the holder changes, and when a face starts or ceases to be wanted."""
        self._job: Job | None = None
        self._verifying = self._ended = False

    @property
    def busy(self) -> bool:
        """Whether a verification or an enrolment was begun and not yet stopped, even if it has ended."""
        return self._job is not None

    @property
    def wants_face(self) -> bool:
        """Whether a verification or an enrolment was begun and has not ended."""
        return self._job is not None and not self._ended

    def claim(self, caller: str, subject: str) -> None:
        """Claims the device for `caller`, to act for `subject`; with an empty one the caller can only verify anyone."""
        if self.holder is not None:
            raise CallRefused(Problem.ALREADY_IN_USE, "the device is claimed by another program; try again when it is done")
        self.holder, self.subject = caller, subject
        self.on_change()

    def release(self, caller: str) -> None:
        """Gives the device back and stops what is going on."""
        self.must_hold(caller)
        self._abandon()
        self.holder, self.subject = None, ""
        self.on_change()

    def vanished(self, caller: str) -> None:
        """Handles a caller that has left the bus."""
        if caller == self.holder:
            self.release(caller)

    def names(self) -> list[str]:
        """The names of the enrolled subjects."""
        return self._station.gallery.names()

    def is_enrolled(self, subject: str) -> bool:
        """Whether there are templates under a name, readable or not."""
        return subject in self.names()

    def verify(
        self, caller: str, on_status: StatusCallback, timeout_s: float, way: WayIn, *, anyone: bool
    ) -> Callable[[], bool]:
        """Begins to verify the claimed subject, or anyone. Returns a function that says whether this verification has not been stopped."""
        self._must_be_free(caller)
        name = None if anyone else self.subject
        if name is not None and not self.is_enrolled(name):
            raise CallRefused(Problem.NOT_ENROLLED, f"{name or 'nobody'}: not enrolled; `edge enroll` does it")
        hints = _Hints()

        def on_judged(judged: Judged, notify: StatusCallback) -> None:
            self._door.observe(judged)
            hints.observe(judged, notify)

        def work(frames: Frames, notify: StatusCallback, _: LastStep) -> None:
            decision = self._station.verify(
                name,
                frames,
                timeout_s,
                lambda judged: on_judged(judged, notify),
                lambda: self._door.intent.missing(seconds_since_boot(), way),
            )
            point = self._station.point_of(decision.subject if isinstance(decision, Grant) else name).name
            if isinstance(decision, Grant):
                # One press serves one grant: it must not open the door as well.
                self._door.intent.spend(way)
                status = Status(Result.MATCH, True, subject=decision.subject, frames=decision.frames, score=decision.score)
            else:
                status = Status(
                    Result.NO_MATCH, True, ADVICE[decision.reason], decision.reason.value, name or "", decision.frames
                )
            notify(replace(status, operating_point=point))

        return self._begin(work, on_status, verifying=True)

    def enrol(self, caller: str, on_status: StatusCallback, manner: Manner, *, asks: bool = True, own: bool = False) -> None:
        """Begins to enrol the claimed subject. `asks`: the caller can tell the person which pose to take. `own`: the subject is the caller,
        who is not told which other name the face has: the camera may see a picture of somebody else.
        """
        self._must_be_free(caller)
        name = self.subject
        if not name:
            raise CallRefused(Problem.INVALID, "nobody to enrol: claim the device with the subject's name")
        if manner is Manner.NEW and self.is_enrolled(name):
            raise CallRefused(Problem.ALREADY_ENROLLED, f"{name}: already enrolled; add another look, or replace")
        if manner is Manner.ADD and not self.is_enrolled(name):
            raise CallRefused(Problem.NOT_ENROLLED, f"{name}: not enrolled; nothing to add to")

        def work(frames: Frames, notify: StatusCallback, last_step: LastStep) -> None:
            def on_progress(progress: Progress) -> None:
                result = Result.RETRY if progress.reason else Result.PROGRESS
                notify(
                    Status(
                        result,
                        False,
                        progress.advice,
                        progress.reason,
                        name,
                        have=progress.have,
                        want=progress.want,
                        progress=progress,
                    )
                )

            try:
                enrolled = self._station.enrol(name, frames, on_progress, manner, asks=asks, last_step=last_step)
            except FaceKnown as error:
                if own:
                    raise FaceKnown(
                        "this face is enrolled already, under another name; `sudo edge enroll` says which"
                    ) from error
                raise
            enrolment = enrolled.enrolment
            notify(
                Status(
                    Result.ENROLLED,
                    True,
                    subject=name,
                    have=enrolled.templates,
                    recognised=enrolment.recognised,
                    checked=enrolment.checked,
                    operating_point=self._station.point_of(name).name,
                    poses=enrolment.by_pose,
                )
            )

        self._begin(work, on_status, verifying=False)

    def stop(self, caller: str, *, verifying: bool) -> None:
        """Stops a verification or an enrolment, whether or not it has ended."""
        self.must_hold(caller)
        if self._job is None or self._verifying is not verifying:
            raise CallRefused(Problem.NO_ACTION, f"no {'verification' if verifying else 'enrolment'} is going on")
        self._abandon()

    def remove(self, subject: str) -> None:
        """Removes a subject from the gallery, whoever holds the device: the person to be removed could hold it for ever. What is going on
        then neither grants nor stores anything for the removed subject.
        """
        if not self.is_enrolled(subject):
            raise CallRefused(Problem.NOT_ENROLLED, f"{subject}: not enrolled")
        try:
            remove_subject(self._station.gallery, self._station.lockout, self._station.journal, subject)
        except FacelatchError as error:
            # The templates may be gone although the failure count is not.
            raise CallRefused(Problem.NOT_DELETED if self.is_enrolled(subject) else Problem.INTERNAL, str(error)) from error

    def _begin(
        self, work: Callable[[Frames, StatusCallback, LastStep], None], on_status: StatusCallback, *, verifying: bool
    ) -> Callable[[], bool]:
        def is_current() -> bool:
            return self._job is job

        def deliver(status: Status) -> None:
            # What an abandoned job still reports is dropped: another caller may hold the device by now.
            if not is_current():
                return
            on_status(status)
            if status.done:
                self._ended = True
                self.on_change()

        def notify(status: Status) -> None:
            self._post(lambda: deliver(status))

        def failed(error: FacelatchError) -> None:
            if isinstance(error, CameraError):
                notify(Status(Result.DISCONNECTED, True, str(error), error.code))
            else:
                result = Result.FAILED if isinstance(error, EnrolmentFailed) else Result.ERROR
                notify(Status(result, True, str(error), error.code))

        job = Job(lambda frames: work(frames, notify, job.last_step), failed, shares=verifying)
        self._job, self._verifying, self._ended = job, verifying, False
        self.on_change()
        self._desk.submit(job)
        return is_current

    def _abandon(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None
            self.on_change()

    def must_hold(self, caller: str) -> str:
        """Returns the claimed subject; refuses everyone but the holder."""
        if caller != self.holder:
            raise CallRefused(Problem.CLAIM_DEVICE, "claim the device first")
        return self.subject

    def _must_be_free(self, caller: str) -> None:
        self.must_hold(caller)
        if self._job is not None:
            raise CallRefused(Problem.ALREADY_IN_USE, "something is going on already; stop it first")


class _Hints:
    """Hints about what the person can correct: sent when they change, and repeated at most every SAME_ADVICE_S."""

    def __init__(self) -> None:
        self._last: Reason | Way | None = None
        self._last_at = 0.0

    def observe(self, judged: Judged, notify: StatusCallback) -> None:
        if judged.asked is not None:
            if judged.asked is not self._last:
                self._last = judged.asked
                notify(Status(Result.RETRY, False, SENTENCES[judged.asked], judged.asked.value))
            return
        reason = judged.outcome
        if not isinstance(reason, Reason) or reason not in MENDABLE:
            return
        now = time.monotonic()
        if reason is self._last and now - self._last_at < SAME_ADVICE_S:
            return
        self._last, self._last_at = reason, now
        notify(Status(Result.RETRY, False, ADVICE[reason], reason.value))
