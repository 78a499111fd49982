"""Current frames: those buffered before a pause are dropped, those of a slow or faster camera are not; a repeated picture counts once."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.camera.frame import DARK_LEVEL
from edge.camera.fresh import BUFFERED, LATELY_S, LONGEST_DROP_S, Freshness

MAX_AGE_S = 0.5
# Frames, at 30 a second, after which a crowd of frames no longer counts.
OVER = round(30 * LATELY_S) + 1


def asked(intervals_s: list[float], freshness: Freshness | None = None) -> list[bool]:
    """Which frames count as current. They are `intervals_s` apart, the first at 100 s."""
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
    """The first buffered frame comes after the pause, the others as fast as they are decoded: every 5 ms instead of every 33 ms."""
    before, after = 60, 60
    answers = asked([1 / 30] * before + [pause_s] + [0.005] * buffered + [1 / 30] * after)
    assert all(answers[: before + 1])
    assert not any(answers[before + 1 : before + 2 + buffered])
    assert all(answers[before + 2 + buffered + OVER :])


def test_a_packet_that_is_late_ends_no_queue() -> None:
    """Fifty frames of 1.5 s are read in 0.25 s, with a silence of more than a frame's time in the middle."""
    answers = asked([1 / 30] * 60 + [1.5] + [0.005] * 25 + [0.04] + [0.005] * 25 + [1 / 30] * 30)
    assert not any(answers[61 : 61 + 52])
    assert all(answers[61 + 52 + OVER :])


def test_a_camera_of_one_frame_in_two_seconds_is_none_that_was_paused() -> None:
    answers = asked([2.0] * 20)
    assert answers == [True] + [False] * BUFFERED + [True] * (20 - BUFFERED)


def test_a_camera_that_became_slower_or_faster_in_a_pause_is_given_again() -> None:
    slower = asked([1 / 30] * 60 + [1.0] * 20)
    assert slower[61:] == [False] * BUFFERED + [True] * (20 - BUFFERED)
    faster = asked([0.2] * 60 + [10.0] + [1 / 30] * 300)
    assert not any(faster[61 : 61 + round(LONGEST_DROP_S * 30) - 1])
    assert all(faster[62 + round(LONGEST_DROP_S * 30) + 1 :])


@pytest.mark.parametrize("kept", [0, BUFFERED, 60])
@pytest.mark.parametrize("said_s", [1 / 15, 1 / 25, 1 / 30])
def test_what_a_camera_in_the_network_begins_with_is_of_before(kept: int, said_s: float) -> None:
    """A relay first sends what it has kept since the last key frame, as fast as it is read. The camera reports its rate roughly."""
    answers = asked([0.005] * kept + [1 / 25] * 30, Freshness(MAX_AGE_S, said_s))
    assert not any(answers[: 1 + kept])
    assert all(answers[1 + kept + OVER :])


def test_a_camera_in_the_network_that_is_quicker_than_it_says_is_not_waited_for_for_ever() -> None:
    answers = asked([1 / 60] * 300, Freshness(MAX_AGE_S, 1 / 25))
    assert not any(answers[: round(LONGEST_DROP_S * 60)])
    assert all(answers[round(LONGEST_DROP_S * 60) + 2 :])


@pytest.mark.parametrize("silent_s", [0.7, 2.0, 2.8])
def test_a_link_that_gives_its_frames_in_bursts_gives_none_of_now(silent_s: float) -> None:
    """The first frame of a burst is as old as the wait for it was long. Frames are current again once they come one by one."""
    burst = [silent_s] + [0.003] * round(30 * silent_s)
    answers = asked([1 / 30] * 60 + burst * 10 + [1 / 30] * 30)
    assert all(answers[:61])
    assert not any(answers[61:-30])
    assert all(answers[-30 + OVER :])


def test_a_driver_that_is_read_too_seldom_is_judged_all_the_same() -> None:
    """A board is now and then busy for longer than `max_age_s`. The driver keeps only a few frames, and their stamps show their age."""
    answers = asked([1 / 30] * 60 + ([0.6] + [0.003] * (BUFFERED - 1)) * 10)
    assert not any(answers[61 : 61 + BUFFERED])
    assert sum(answers[61 + BUFFERED :]) > len(answers[61 + BUFFERED :]) / 2


def test_the_same_picture_again_is_another_only_if_it_changes() -> None:
    noise = np.random.default_rng(1)
    freshness, picture = Freshness(MAX_AGE_S), noise.integers(60, 200, (480, 640, 3), np.uint8)
    assert [freshness.is_another(picture) for _ in range(3)] == [False] * 3, "a driver that hangs gives a first picture as well"
    noisy = picture + (noise.random(picture.shape) < 0.01).astype(np.uint8)
    assert [freshness.is_another(frame) for frame in (noisy, noisy.copy(), picture)] == [True, False, True]
    assert freshness.is_another(np.full((240, 320), 90, np.uint8)), "another size is another picture"


def test_slow_changes_add_up_also_in_a_buffer_that_the_driver_writes_again() -> None:
    """In each frame another row of pixels changes, 0.2 % of them. What was there before is kept, not where it was."""
    freshness, buffer = Freshness(MAX_AGE_S), np.full((480, 640), 90, np.uint8)
    given = []
    for row in range(0, 480, 8):
        given.append(freshness.is_another(buffer))
        buffer[row, : 8 * 10] += 1
    assert 5 < sum(given) < 30


def test_the_dark_is_told_as_the_dark() -> None:
    freshness = Freshness(MAX_AGE_S)
    assert [freshness.is_another(np.full((48, 64, 3), level, np.uint8)) for level in (3, 3, 3, 99, 99)] == [
        False, True, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(("size", "scale"), [((480, 640, 3), 0.6), ((480, 640, 3), 1.0), ((1080, 1920, 3), 1.6)])
def test_a_clock_in_the_picture_is_no_sign_of_life(size: tuple[int, int, int], scale: float) -> None:
    """The sensor hangs but the camera draws the time: one changed picture a second, on which a grant would be possible for ever."""
    freshness, still = Freshness(MAX_AGE_S), np.random.default_rng(1).integers(60, 200, size, np.uint8)
    given = 0
    for second in range(60):
        picture = still.copy()
        cv2.rectangle(picture, (5, 2), (round(430 * scale), round(34 * scale)), (0, 0, 0), -1)
        told = f"2026-11-28 {12 + second // 40}:{(second // 20 + 58) % 60:02}:{second:02}"
        cv2.putText(picture, told, (10, round(28 * scale)), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 2)
        given += freshness.is_another(picture)
    assert given == 0
    noisy = still + (np.random.default_rng(2).random(size) < 0.02).astype(np.uint8)
    assert freshness.is_another(noisy)


@pytest.mark.parametrize("side", [32, 100])
def test_a_lit_face_before_a_dark_room_is_not_the_dark(side: int) -> None:
    """The picture is as dark as an empty one on average. If it counted as dark, a camera frozen at it would be judged for ever."""
    room = np.full((480, 640, 3), 3, np.uint8)
    room[200 : 200 + side, 300 : 300 + side] = np.random.default_rng(1).integers(60, 200, (side, side, 3), np.uint8)
    assert room.mean() < DARK_LEVEL
    freshness = Freshness(MAX_AGE_S)
    assert [freshness.is_another(room) for _ in range(3)] == [False] * 3
