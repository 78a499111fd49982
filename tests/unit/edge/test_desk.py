"""Jobs for the daemon run in order, can be cancelled by whoever submitted them, and report an error once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from edge.camera import Frame
from edge.contract.errors import CameraError, EnrolmentStopped, FacelatchError, StorageError
from edge.desk import Desk, Frames, Job


def endless() -> Iterator[Frame | None]:
    while True:
        yield Frame(np.zeros((4, 4), np.uint8), 0.0)


def test_a_cancelled_job_ends_with_the_next_frame_and_hears_nothing() -> None:
    seen: list[int] = []
    told: list[FacelatchError] = []

    def work(frames: Frames) -> None:
        for _ in frames:
            seen.append(1)
            if len(seen) == 3:
                job.cancel()
        raise StorageError("too late")

    job = Job(work, told.append)
    job.run(endless())
    assert (len(seen), told) == (3, [])


def test_a_frame_that_comes_after_the_cancelling_is_not_judged() -> None:
    """The caller is told that it is over, while the camera thread waits for this frame."""
    seen: list[float] = []

    def frames() -> Iterator[Frame | None]:
        yield Frame(np.zeros((4, 4), np.uint8), 1.0)
        job.cancel()
        yield Frame(np.zeros((4, 4), np.uint8), 2.0)

    job = Job(lambda frames: seen.extend(frame.at for frame in frames if frame), lambda error: None)
    job.run(frames())
    assert seen == [1.0]


def test_what_a_cancelled_job_would_keep_is_not_kept() -> None:
    told: list[FacelatchError] = []
    kept: list[str] = []

    def work(frames: Frames) -> None:
        with job.last_step():
            kept.append("first")
        job.cancel()
        with job.last_step():
            kept.append("second")

    job = Job(work, told.append)
    job.run(endless())
    assert (kept, told) == (["first"], [])
    with pytest.raises(EnrolmentStopped, match="nothing was kept"), job.last_step():
        pass


def test_who_cancels_waits_until_what_is_being_kept_is_kept() -> None:
    """A subject is removed while an enrolment writes: the removal comes afterwards, or what it removed would be written again."""
    order: list[str] = []

    def cancel() -> None:
        job.cancel()
        order.append("cancelled")

    job = Job(lambda frames: None, lambda error: None)
    canceller = threading.Thread(target=cancel)
    with job.last_step():
        canceller.start()
        canceller.join(0.2)
        order.append("kept")
    canceller.join()
    assert order == ["kept", "cancelled"]


def test_an_error_is_told_once_and_a_broken_camera_goes_on_to_the_daemon() -> None:
    told: list[FacelatchError] = []

    def broken(frames: Frames) -> None:
        raise CameraError("unplugged")

    job = Job(broken, told.append)
    with pytest.raises(CameraError, match="unplugged"):
        job.run(endless())
    job.fail(CameraError("again"))
    assert [str(error) for error in told] == ["unplugged"]

    def full(frames: Frames) -> None:
        raise StorageError("disk full")

    Job(full, told.append).run(endless())
    assert str(told[-1]) == "disk full"


def test_jobs_are_taken_in_their_order_and_waited_for() -> None:
    desk, order = Desk(), []
    assert desk.take() is None
    jobs = [Job(lambda frames: None, order.append) for _ in range(3)]
    threading.Timer(0.02, lambda: desk.submit(jobs[0])).start()
    assert desk.take(5.0) is jobs[0]
    desk.submit(jobs[1])
    desk.submit(jobs[2])
    desk.fail(CameraError("gone"))
    assert [str(error) for error in order] == ["gone", "gone"]
    assert desk.take() is None
    for job in jobs:
        desk.submit(job)
    assert [desk.take() for _ in jobs] == jobs


def test_a_job_that_was_cancelled_before_it_began_is_nobodys() -> None:
    desk, told = Desk(), list[FacelatchError]()
    jobs = [Job(lambda frames: None, told.append) for _ in range(4)]
    for job in jobs:
        desk.submit(job)
    for job in (jobs[0], jobs[1], jobs[3]):
        job.cancel()
    assert desk.take() is jobs[2]
    assert desk.take(0.01) is None
    assert told == []
