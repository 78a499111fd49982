"""Work that others ask of the daemon, handed from their threads to the one that has the camera, one piece at a time. Judges nothing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge.camera import Frame
from edge.contract.errors import CameraError, EnrolmentStopped, FacelatchError

Frames = Iterator[Frame | None]


class Job:
    """Something to be done with frames: `work` takes them, and `failed` hears why it could not be done. Both run where the camera is.
    `shares`: a door may judge the same frames meanwhile.
    """

    def __init__(
        self, work: Callable[[Frames], None], failed: Callable[[FacelatchError], None], *, shares: bool = False
    ) -> None:
        self._work, self._failed, self.shares = work, failed, shares
        self._cancelled, self._told = threading.Event(), False
        self._last = threading.Lock()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ends it with the next frame; what its last step keeps is kept by now, or never. From any thread, more than once."""
        with self._last:
            self._cancelled.set()

    @contextmanager
    def last_step(self) -> Iterator[None]:
        """Within it the work keeps what it made.

        Raises:
            EnrolmentStopped: it was cancelled: the end of the frames was not the end of what was asked for.
        """
        with self._last:
            if self._cancelled.is_set():
                raise EnrolmentStopped("ended before it was done; nothing was kept")
            yield

    def run(self, frames: Frames) -> None:
        """Does it.

        Raises:
            CameraError: the source broke; whoever asked has been told.
        """
        try:
            self._work(self._until_cancelled(frames))
        except CameraError as error:
            self.fail(error)
            raise
        except FacelatchError as error:
            self.fail(error)

    def fail(self, error: FacelatchError) -> None:
        """Tells whoever asked why it is not done, once, unless nobody waits any more."""
        if not (self._told or self._cancelled.is_set()):
            self._told = True
            self._failed(error)

    def _until_cancelled(self, frames: Frames) -> Frames:
        for frame in frames:
            if self._cancelled.is_set():
                return
            yield frame


class Desk:
    """Where jobs wait. Safe to use from several threads."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()

    def submit(self, job: Job) -> None:
        """Puts a job at the end."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def take(self, wait_s: float = 0.0) -> Job | None:
        """The next job that somebody waits for; None where there is none for `wait_s` seconds. One that was cancelled before it began
        costs no frame: who begins and ends in a loop would keep the camera from others long after.
        """
        with self._changed:
            return self._jobs.popleft() if self._changed.wait_for(self._waiting, wait_s) else None

    def fail(self, error: FacelatchError) -> None:
        """Ends all that wait."""
        while job := self.take():
            job.fail(error)

    def _waiting(self) -> bool:
        while self._jobs and self._jobs[0].cancelled:
            self._jobs.popleft()
        return bool(self._jobs)
