"""The poses of an enrolment: asked for in turn, filled in any order, given up after a time."""

from __future__ import annotations

import pytest

from edge.poses import MEASURED, SETTLE_S, TURNED, Asking, Course, Pose
from edge.settings import Settings

LEFT, RIGHT = 0.15, -0.15
STEP_S = 0.2


def course(asking: Asking = Asking.PERSON, **tables: dict[str, object]) -> Course:
    return Course(Settings.model_validate({"enrolment": {"anchors": 8, "timeout_s": 60.0}, **tables}), asking)


def take(at: Course, turn: float, times: int, now: float = 0.0) -> float:
    """Takes good frames in a row, `STEP_S` apart. Returns the time after the last."""
    for _ in range(times):
        at.tick(now, face=True)
        at.take(turn, now)
        now += STEP_S
    return now


def shares(at: Course) -> dict[Pose, int]:
    return {count.pose: count.want for count in at.counts()}


def test_the_shares_make_up_what_is_wanted() -> None:
    """Four candidates for each of eight anchors make 32: a fifth, rounded down, for each of five poses, and the remainder for the first."""
    assert shares(course()) == {Pose.STRAIGHT: 8, Pose.LEFT: 6, Pose.RIGHT: 6, Pose.UP: 6, Pose.DOWN: 6}
    assert shares(course(Asking.RECORDING)) == {Pose.STRAIGHT: 12, Pose.LEFT: 10, Pose.RIGHT: 10}


@pytest.mark.parametrize("anchors", [5, 6, 50])
def test_there_are_no_more_poses_than_anchors(anchors: int) -> None:
    at = course(enrolment={"anchors": anchors, "timeout_s": 60.0})
    assert list(shares(at)) == list(Pose)
    assert len(Pose) <= anchors
    assert sum(shares(at).values()) == at.want == 4 * anchors


def test_fewer_anchors_than_poses_are_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 5"):
        course(enrolment={"anchors": len(Pose) - 1, "timeout_s": 60.0})


def test_a_person_who_does_as_asked_is_asked_for_each_pose_once() -> None:
    at, now, asked = course(), 0.0, []
    doing = {Pose.STRAIGHT: 0.0, Pose.LEFT: LEFT, Pose.RIGHT: RIGHT, Pose.UP: 0.0, Pose.DOWN: 0.0}
    while not at.done:
        assert at.asked is not None
        if at.asked not in asked:
            asked.append(at.asked)
        now = take(at, doing[at.asked], 1, now)
    assert asked == list(Pose)
    assert at.have == at.want == 32
    assert now < 32 * STEP_S + 2 * (SETTLE_S + STEP_S)


def test_left_is_the_persons_own_whatever_the_camera_does() -> None:
    """An unmirrored camera has the person's left at the right of the picture, where turns are positive (edge/turn.py)."""
    assert course().take(LEFT, 0.0) == (Pose.LEFT, True)
    assert course().take(RIGHT, 0.0) == (Pose.RIGHT, True)
    assert course(camera={"mirror": True}).take(LEFT, 0.0) == (Pose.RIGHT, True)


def test_a_limit_of_the_turn_leaves_room_for_a_side() -> None:
    assert course().turned == TURNED
    assert course(quality={"max_turn": 0.1}).turned == pytest.approx(0.06)


def test_frames_fill_whichever_pose_they_fit_before_it_is_asked_for() -> None:
    at = course(Asking.RECORDING)
    take(at, RIGHT, 10, take(at, LEFT, 10))
    assert at.asked is Pose.STRAIGHT
    take(at, 0.0, 12, 4.0)
    assert at.done


def test_what_a_pose_has_enough_of_is_spare_and_counts_for_one_that_cannot_be_had() -> None:
    at = course()
    now = take(at, 0.0, 40)
    assert at.have == 8
    assert at.asked is Pose.LEFT
    at.tick(now + 9.1, face=True)
    assert at.asked is Pose.RIGHT
    # 8 straight frames, and as many of the spare ones as the left pose lacks.
    assert at.have == 8 + 6
    assert [count.over for count in at.counts()] == [False, True, False, False, False]


def test_a_stiff_neck_is_waited_for_and_then_enrolled() -> None:
    """A pose is given up after 9 s, three quarters of 60 s / 5 poses. Two are given up here; the other three take some seconds more."""
    at, now = course(), 0.0
    while not at.done:
        now = take(at, 0.0, 1, now)
    assert {count.pose for count in at.counts() if count.over} == {Pose.LEFT, Pose.RIGHT}
    assert 18 < now < 30


def test_the_clock_begins_with_the_first_face() -> None:
    at = course()
    for second in range(50):
        at.tick(float(second), face=False)
    assert at.asked is Pose.STRAIGHT
    at.tick(50.0, face=True)
    at.tick(58.9, face=False)
    assert at.asked is Pose.STRAIGHT
    at.tick(59.1, face=False)
    assert at.asked is Pose.LEFT


def test_what_is_only_said_counts_from_a_moment_after_it_was() -> None:
    at = course()
    now = take(at, RIGHT, 6, take(at, LEFT, 6, take(at, 0.0, 8)))
    assert at.asked is Pose.UP
    asked_at = now - STEP_S
    assert at.take(0.0, asked_at + SETTLE_S - 0.01) == (Pose.STRAIGHT, False)
    assert at.take(0.0, asked_at + SETTLE_S + 0.01) == (Pose.UP, True)
    assert at.take(LEFT, asked_at + SETTLE_S + 0.02) == (Pose.LEFT, False)


def test_where_nobody_is_asked_any_frames_will_do_and_none_is_waited_for() -> None:
    at = course(Asking.NOBODY)
    assert at.asked is None
    for number in range(32):
        assert (at.have, at.done) == (number, False)
        at.take(0.0, number * STEP_S)
    assert at.done


def test_a_recording_is_not_said_to_show_what_only_words_ask_for() -> None:
    assert set(shares(course(Asking.RECORDING))) == set(MEASURED)
