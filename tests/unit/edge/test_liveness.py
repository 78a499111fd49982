"""The challenge: what passes it, and everything that must not."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Sequence

import pytest

from edge.contract.chip import FaceBox
from edge.liveness import FOLLOW_S, Challenge, Liveness, Seen, Step, Way, load_liveness
from edge.matcher import Match
from edge.policy import Denial, Grant, Policy
from edge.reasons import Reason
from edge.settings import LivenessSettings, PolicySettings, Settings

ADA, BOB = Match("ada", 0.9), Match("bob", 0.9)
ONE = LivenessSettings.model_validate({"challenge": "head-turn", "turns": 1, "turn": 0.12, "timeout_s": 5.0})
BOX = FaceBox(100, 60, 100, 100)
LEFT = [0.0, 0.05, 0.1, 0.15, 0.16, 0.1, 0.03, 0.0, 0.01]

Outcome = Match | Reason


def seen(turn: float | None, right: int = 0, width: int = 100) -> Seen:
    return Seen(FaceBox(100 + right, 60, width, width), turn)


def begin(*ways: Way, mirrored: bool = False, turn: float | None = 0.0) -> Challenge:
    return Challenge("ada", ways or (Way.LEFT,), seen(turn), 0.0, ONE, mirrored)


def steps(challenge: Challenge, turns: list[float], start: float = 0.1, outcome: Outcome = ADA) -> list[Step]:
    return [challenge.observe(outcome, seen(turn), start + 0.1 * n) for n, turn in enumerate(turns)]


def test_the_turn_that_was_asked_for_passes() -> None:
    challenge = begin()
    assert challenge.asked is Way.LEFT
    found = steps(challenge, LEFT)
    assert found == [Step.GOING] * 7 + [Step.PASSED] + [Step.FAILED]  # passed at the second match in the middle; then over
    assert challenge.asked is None


def test_left_is_the_persons_own_and_a_mirroring_camera_changes_the_sides() -> None:
    assert Step.PASSED in steps(begin(mirrored=True), [-turn for turn in LEFT])
    assert Step.PASSED in steps(begin(Way.RIGHT), [-turn for turn in LEFT])
    assert Step.PASSED not in steps(begin(mirrored=True), LEFT)


def test_the_other_way_fails_at_once() -> None:
    challenge = begin(Way.RIGHT)
    assert steps(challenge, LEFT)[3:] == [Step.FAILED] * 6
    assert set(steps(challenge, [-turn for turn in LEFT], start=1.0)) == {Step.FAILED}, "and no second try is given"


def test_a_turn_that_was_not_measured_passes_nothing() -> None:
    assert begin().observe(ADA, seen(None), 0.1) is Step.GOING


def test_turns_are_asked_for_one_after_the_other() -> None:
    challenge = begin(Way.LEFT, Way.RIGHT)
    assert Step.PASSED not in steps(challenge, LEFT[:7])
    assert challenge.asked is Way.RIGHT
    assert steps(challenge, [-turn for turn in LEFT], start=0.8)[7] is Step.PASSED


@pytest.mark.parametrize("turns", [[0.0] * 30, [0.1] * 30, [0.05, 0.11] * 15, LEFT[:5] * 1 + [0.16] * 30])
def test_less_than_the_turn_and_the_way_back_does_not_pass(turns: list[float]) -> None:
    assert Step.PASSED not in steps(begin(), turns)


def test_it_ends_in_time() -> None:
    assert steps(begin(), [0.0] * 60)[-9:] == [Step.FAILED] * 9
    assert Step.PASSED not in steps(begin(), [0.0] * 46 + LEFT)


def test_nobody_reacts_in_no_time() -> None:
    assert steps(begin(), [0.15, 0.15, 0.0, 0.0, 0.0])[0] is Step.FAILED


def test_a_turn_counts_only_in_frames_that_match() -> None:
    challenge = begin()
    found = []
    for number, turn in enumerate(LEFT):
        outcome: Outcome = Reason.NO_MATCH if turn >= 0.12 else ADA
        found.append(challenge.observe(outcome, seen(turn), 0.1 + 0.1 * number))
    assert Step.PASSED not in found


@pytest.mark.parametrize(
    ("outcome", "face"),
    [
        (BOB, seen(0.1)),
        (Reason.SEVERAL_FACES, None),
        (ADA, seen(0.1, right=60)),  # too far from where the face was
        (ADA, seen(0.1, right=-60)),
        (ADA, Seen(FaceBox(100, 120, 100, 100), 0.1)),
        (ADA, Seen(FaceBox(100, 0, 100, 100), 0.1)),
        (ADA, seen(0.1, width=160)),
        (ADA, seen(0.1, width=60)),
    ],
)
def test_another_face_ends_it(outcome: Outcome, face: Seen | None) -> None:
    challenge = begin()
    steps(challenge, LEFT[:2])
    assert challenge.observe(outcome, face, 0.3) is Step.FAILED
    assert Step.PASSED not in steps(challenge, LEFT, start=0.4)


def test_a_face_that_moves_on_slowly_is_followed() -> None:
    challenge = begin()
    assert Step.PASSED in [challenge.observe(ADA, seen(turn, right=20 * n), 0.1 + 0.1 * n) for n, turn in enumerate(LEFT)]


@pytest.mark.parametrize("strange", [Reason.NO_MATCH, Reason.AMBIGUOUS, Reason.WRONG_SUBJECT])
def test_a_few_frames_may_fail_to_match_and_no_more(strange: Reason) -> None:
    assert steps(begin(), [0.0] * 4, outcome=strange) == [Step.GOING] * 3 + [Step.FAILED]
    assert steps(begin(), [0.0] * 40, outcome=Reason.TOO_TURNED) == [Step.GOING] * 40, "what was not judged is not strange"


def test_the_way_back_counts_only_in_frames_that_match_and_ends_in_the_middle() -> None:
    challenge = begin()
    assert set(steps(challenge, LEFT[:6])) == {Step.GOING}
    assert Step.PASSED not in steps(challenge, [0.0] * 20, start=0.7, outcome=Reason.BLURRED)
    assert Step.PASSED not in steps(begin(), LEFT[:5] + [-0.1] * 20), "it went past the middle"


def test_nobody_turns_the_other_way_in_no_time_either() -> None:
    challenge = begin(Way.LEFT, Way.RIGHT)
    steps(challenge, LEFT[:7])
    assert challenge.asked is Way.RIGHT
    assert challenge.observe(ADA, seen(-0.15), 0.8) is Step.FAILED


@pytest.mark.parametrize(("start", "needed"), [(0.05, 0.17), (-0.05, 0.07), (0.3, 0.2), (-0.3, 0.04)])
def test_a_turn_counts_from_where_the_face_looked_at_first(start: float, needed: float) -> None:
    """A face that was turned far to a side when it was asked is taken as a little turned, or turning it to the front would do."""
    middle = min(max(start, -0.08), 0.08)
    turns = [needed, middle, middle]
    assert Step.PASSED in steps(begin(turn=start), [turn + 0.001 for turn in turns], start=0.3)
    assert Step.PASSED not in steps(begin(turn=start), [turn - 0.001 for turn in turns], start=0.3)


def test_out_of_sight_for_a_moment_is_borne_and_for_longer_not() -> None:
    challenge = begin()
    assert challenge.observe(Reason.NO_FACE, None, 0.3) is Step.GOING
    assert Step.PASSED in steps(challenge, LEFT, start=FOLLOW_S)
    challenge = begin()
    assert [challenge.observe(Reason.NO_FACE, None, 0.1 * n) for n in range(1, 6)][-1] is Step.FAILED


def test_a_clock_that_stands_or_goes_back_ends_it() -> None:
    for at in (0.0, -1.0):
        assert begin().observe(ADA, seen(0.0), at) is Step.FAILED


@pytest.mark.parametrize("start", [None, seen(None)])
def test_without_an_observation_to_start_from_it_fails(start: Seen | None) -> None:
    challenge = Challenge("ada", (Way.LEFT,), start, 0.0, ONE, False)
    assert challenge.asked is None
    assert set(steps(challenge, LEFT)) == {Step.FAILED}


def policy(*ways: Way) -> Policy:
    how = PolicySettings(matches=2, frames=4)
    chosen = iter(ways * 10)
    return Policy(how, liveness=Liveness(ONE, choose=lambda of: next(chosen)))


def test_a_match_alone_grants_nothing_and_the_turn_completes_it() -> None:
    judge = policy(Way.LEFT)
    assert judge.asks
    assert [judge.observe(ADA, 0.1 * n, seen(0.0)) for n in range(2)] == [None, None]
    assert judge.asked is Way.LEFT
    found = [judge.observe(ADA, 0.2 + 0.1 * n, seen(turn)) for n, turn in enumerate(LEFT)]
    (grant,) = [decision for decision in found if decision is not None]
    assert grant == Grant("ada", 0.9, 2)
    assert judge.asked is None


def test_a_failed_challenge_is_a_failure_with_its_reason() -> None:
    judge = policy(Way.RIGHT)
    for n in range(2):
        judge.observe(ADA, 0.1 * n, seen(0.0))
    found = [judge.observe(ADA, 0.2 + 0.1 * n, seen(turn)) for n, turn in enumerate(LEFT)]
    assert Denial(Reason.CHALLENGE_FAILED, 2) in found
    assert judge.failures >= 1
    judge = policy(Way.RIGHT)
    for n in range(2):
        judge.observe(ADA, 0.1 * n, seen(0.0))
    assert judge.give_up(9.0) == Denial(Reason.CHALLENGE_FAILED, 2)


def test_a_match_in_the_last_frame_of_an_attempt_is_asked_too() -> None:
    judge = Policy(PolicySettings(matches=2, frames=2), liveness=Liveness(ONE))
    assert [judge.observe(ADA, 0.1 * n, seen(0.0)) for n in range(2)] == [None, None]
    assert judge.asked is not None


def test_who_failed_a_challenge_may_pass_the_next() -> None:
    judge, found = policy(Way.LEFT), []
    for start, turns in ((0.0, [0.0, 0.0, -0.15]), (10.0, [0.0, 0.0, *LEFT])):
        found += [judge.observe(ADA, start + 0.1 * n, seen(turn)) for n, turn in enumerate(turns)]
    assert [decision for decision in found if decision] == [Denial(Reason.CHALLENGE_FAILED, 2), Grant("ada", 0.9, 2)]


def test_as_many_turns_are_asked_for_as_the_settings_say_and_nobody_knows_which() -> None:
    asked: list[Way] = []

    def choose(ways: Sequence[Way]) -> Way:
        asked.append(ways[len(asked) % 2])
        return asked[-1]

    Liveness(ONE.model_copy(update={"turns": 3}), choose=choose).ask("ada", seen(0.0), 0.0)
    assert asked == [Way.LEFT, Way.RIGHT, Way.LEFT]
    assert {Liveness(ONE).ask("ada", seen(0.0), 0.0).asked for _ in range(64)} == {Way.LEFT, Way.RIGHT}
    assert isinstance(inspect.signature(Liveness).parameters["choose"].default.__self__, secrets.SystemRandom), (
        "nor can foresee"
    )
    assert Challenge("ada", (), seen(0.0), 0.0, ONE, False).observe(ADA, seen(0.0), 0.1) is Step.FAILED, "none is not passed"


def test_a_camera_that_mirrors_is_known_from_the_settings() -> None:
    for mirror, turns in ((False, LEFT), (True, [-turn for turn in LEFT])):
        made = load_liveness(
            Settings.model_validate({"liveness": {"challenge": "head-turn", "turns": 1}, "camera": {"mirror": mirror}})
        )
        assert made is not None
        challenge = made.ask("ada", seen(0.0), 0.0)
        assert Step.PASSED in steps(challenge, turns if challenge.asked is Way.LEFT else [-turn for turn in turns])


def test_settings_choose_it_and_default_to_none() -> None:
    assert load_liveness(Settings()) is None
    assert load_liveness(Settings.model_validate({"liveness": {"challenge": "head-turn"}})) is not None
