"""Hands jobs from callers' threads to the thread that has the camera, one at a time. Judges nothing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge.camera import Frame
from edge.contract.errors import CameraError, EnrolmentStopped, FacelatchError

Frames = Iterator[Frame | None]


class Job:
    """A piece of work on frames: `work` consumes them, and `on_failure` gets the error if it cannot be done. Both run in the camera thread.
    `shares`: a door may judge the same frames meanwhile.
    """

    def __init__(
        self, work: Callable[[Frames], None], on_failure: Callable[[FacelatchError], None], *, shares: bool = False
    ) -> None:
        self._work, self._on_failure, self.shares = work, on_failure, shares
        self._cancelled, self._failure_reported = threading.Event(), False
        self._last = threading.Lock()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the job any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ends the job with the next frame. On return its last step has stored its result or never will. Callable from any thread, and
        more than once."""
        with self._last:
            self._cancelled.set()

    @contextmanager
    def last_step(self) -> Iterator[None]:
        """The context in which the work stores its result; `cancel` waits for its end.

        Raises:
            EnrolmentStopped: the job was cancelled, so that its frames ended before the work was done.
        """
        with self._last:
            if self._cancelled.is_set():
                raise EnrolmentStopped("ended before it was done; nothing was kept")
            yield

    def run(self, frames: Frames) -> None:
        """Does the work.

        Raises:
            CameraError: the source failed; the caller has been told.
        """
        try:
            self._work(self._until_cancelled(frames))
        except CameraError as error:
            self.fail(error)
            raise
        except FacelatchError as error:
            self.fail(error)

    def fail(self, error: FacelatchError) -> None:
        """Tells the caller why the job is not done: once, and not if it was cancelled."""
        if not (self._failure_reported or self._cancelled.is_set()):
            self._failure_reported = True
            self._on_failure(error)

    def _until_cancelled(self, frames: Frames) -> Frames:
        for frame in frames:
            if self._cancelled.is_set():
                return
            yield frame


class Desk:
    """The queue of jobs. Safe to use from several threads."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()

    def submit(self, job: Job) -> None:
        """Appends a job."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def take(self, wait_s: float = 0.0) -> Job | None:
        """The next job that is not cancelled; None after `wait_s` seconds without one. A job cancelled before it began costs no frame:
        otherwise a caller who starts and stops in a loop would keep the camera from others long afterwards.
        """
        with self._changed:
            return self._jobs.popleft() if self._changed.wait_for(self._waiting, wait_s) else None

    def fail(self, error: FacelatchError) -> None:
        """Fails all waiting jobs."""
        while job := self.take():
            job.fail(error)

    def _waiting(self) -> bool:
        while self._jobs and self._jobs[0].cancelled:
            self._jobs.popleft()
        return bool(self._jobs)
