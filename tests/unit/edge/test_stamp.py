"""A driver's stamps are believed if they can be true, never make a frame younger, and are given up if they make all frames too old."""

from __future__ import annotations

import pytest

from edge.camera.stamp import MOST_BUFFERS, OLDEST_S, Stamps

MAX_AGE_S = 0.5


def test_a_frame_has_the_time_of_its_exposure() -> None:
    stamps = Stamps(MAX_AGE_S)
    assert [stamps.exposed_at(at - 0.04, at) for at in (100.0, 100.1, 100.2)] == pytest.approx([99.96, 100.06, 100.16])


@pytest.mark.parametrize("stamp", [None, 100.001, 100.0 - OLDEST_S - 0.001, 0.5, 1.7e9])
def test_a_stamp_that_cannot_be_true_is_not_taken(stamp: float | None) -> None:
    """No stamp; in the future; too old for any frame, like one of a clock that started with the stream; a date in Unix time."""
    assert Stamps(MAX_AGE_S).exposed_at(stamp, 100.0) == 100.0


def test_an_old_frame_is_none_of_now_and_neither_is_one_that_was_there() -> None:
    """Four buffered frames after a pause, then a stamp that is repeated, one that goes back, and current frames."""
    stamps = Stamps(MAX_AGE_S)
    assert [stamps.exposed_at(99.0 + n / 30, 100.0) for n in range(4)] == [None] * 4
    assert [stamps.exposed_at(stamp, 100.1) for stamp in (100.06, 100.06, 100.03, 100.09)] == [100.06, None, None, 100.09]


def test_a_frame_is_not_before_one_that_had_no_stamp() -> None:
    stamps = Stamps(MAX_AGE_S)
    assert [stamps.exposed_at(*told) for told in ((None, 100.0), (99.99, 100.03), (100.02, 100.06))] == [100.0, None, 100.02]


@pytest.mark.parametrize("late_s", [0.6, 5.0])
def test_stamps_that_make_every_frame_too_old_are_given_up(late_s: float) -> None:
    """More old frames than any driver buffers mean that the clock is wrong; without this the camera would never be judged again."""
    stamps = Stamps(MAX_AGE_S)
    times = [100.0 + n / 30 for n in range(3 * MOST_BUFFERS)]
    answers = [stamps.exposed_at(at - late_s, at) for at in times]
    assert answers == [None] * MOST_BUFFERS + times[MOST_BUFFERS:]
    assert stamps.exposed_at(199.99, 200.0) == 200.0, "nor is one believed that would pass again"


def test_a_stamp_that_stands_still_is_given_up() -> None:
    stamps = Stamps(MAX_AGE_S)
    answers = [stamps.exposed_at(100.0, 100.0 + n / 1000) for n in range(MOST_BUFFERS + 2)]
    assert answers[:2] == [100.0, None]
    assert answers[-1] == 100.0 + (MOST_BUFFERS + 1) / 1000


def test_old_frames_now_and_then_do_not_add_up() -> None:
    stamps = Stamps(MAX_AGE_S)
    for n in range(4 * MOST_BUFFERS):
        assert stamps.exposed_at(100.0 + n - 0.9, 100.0 + n) is None
        assert stamps.exposed_at(100.0 + n + 0.4, 100.0 + n + 0.5) == 100.0 + n + 0.4
