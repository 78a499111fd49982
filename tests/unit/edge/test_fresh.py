"""Frames of now: buffers after a pause are dropped, a slow or a faster camera is not, and the same picture twice is one."""

from __future__ import annotations

import numpy as np
import pytest

from edge.camera.fresh import BUFFERED, LONGEST_DROP_S, Freshness

MAX_AGE_S = 0.5


def asked(intervals_s: list[float], freshness: Freshness | None = None) -> list[bool]:
    """What is said of frames that are so many seconds apart, the first at 100 s."""
    freshness, at = freshness or Freshness(MAX_AGE_S), 100.0
    answers = [freshness.is_of_now(at)]
    for interval_s in intervals_s:
        at += interval_s
        answers.append(freshness.is_of_now(at))
    return answers


@pytest.mark.parametrize("period_s", [0.02, 1 / 30, 1 / 15, 0.2, 0.38])
def test_a_camera_that_is_read_all_the_time_loses_nothing(period_s: float) -> None:
    assert all(asked([period_s * (1 + 0.3 * (-1) ** n) for n in range(200)]))


@pytest.mark.parametrize("pause_s", [0.7, 5.0, 86400.0])
@pytest.mark.parametrize("buffered", [0, 1, BUFFERED - 1, BUFFERED, 100])
def test_what_was_buffered_before_a_pause_is_dropped(pause_s: float, buffered: int) -> None:
    """The first comes after the pause, the others at once, as fast as they are decoded: 5 ms each, of 33 between two."""
    before, after = 60, 60
    answers = asked([1 / 30] * before + [pause_s] + [0.005] * buffered + [1 / 30] * after)
    assert all(answers[: before + 1])
    assert not any(answers[before + 1 : before + 2 + buffered])
    assert all(answers[before + 2 + max(buffered, BUFFERED) :])


def test_a_camera_of_one_frame_in_two_seconds_is_none_that_was_paused() -> None:
    answers = asked([2.0] * 20)
    assert answers == [True] + [False] * BUFFERED + [True] * (20 - BUFFERED)


def test_a_camera_that_became_slower_or_faster_in_a_pause_is_given_again() -> None:
    slower = asked([1 / 30] * 60 + [1.0] * 20)
    assert slower[61:] == [False] * BUFFERED + [True] * (20 - BUFFERED)
    faster = asked([0.2] * 60 + [10.0] + [1 / 30] * 300)
    assert not any(faster[61 : 61 + round(LONGEST_DROP_S * 30) - 1])
    assert all(faster[62 + round(LONGEST_DROP_S * 30) + 1 :])


def test_the_same_picture_again_is_another_only_if_it_changes() -> None:
    noise = np.random.default_rng(1)
    freshness, picture = Freshness(MAX_AGE_S), noise.integers(60, 200, (480, 640, 3), np.uint8)
    assert [freshness.is_another(picture) for _ in range(3)] == [True, False, False]
    noisy = picture + (noise.random(picture.shape) < 0.01).astype(np.uint8)
    assert [freshness.is_another(frame) for frame in (noisy, noisy.copy(), picture)] == [True, False, True]
    assert freshness.is_another(np.full((240, 320), 90, np.uint8)), "another size is another picture"


def test_the_dark_is_told_as_the_dark() -> None:
    freshness = Freshness(MAX_AGE_S)
    assert [freshness.is_another(np.full((48, 64, 3), level, np.uint8)) for level in (3, 3, 3, 99, 99)] == [
        True, True, True, True, False,
    ]  # fmt: skip
