"""k of n, re-arming and lock-out, on a clock that the test moves."""

from __future__ import annotations

import math

import pytest

from edge.lockout import Failures
from edge.matcher import Match
from edge.policy import Denial, Grant, Policy
from edge.reasons import Reason
from edge.settings import PolicySettings

SETTINGS = PolicySettings(matches=2, frames=4, window_s=10, rearm_s=3, lockout_failures=2, lockout_s=30, disable_failures=4)
ADA, BOB = Match("ada", 0.9), Match("bob", 0.8)


def decisions(
    policy: Policy, outcomes: list[Match | Reason], start: float = 0.0, step: float = 0.1
) -> list[Grant | Denial | None]:
    return [policy.observe(outcome, start + step * number) for number, outcome in enumerate(outcomes)]


def test_k_matches_of_one_subject_grant() -> None:
    assert decisions(Policy(SETTINGS), [ADA, Reason.NO_MATCH, ADA]) == [None, None, Grant("ada", 0.9, 3)]


def test_matches_of_two_subjects_do_not_add_up() -> None:
    assert decisions(Policy(SETTINGS), [ADA, BOB, Reason.NO_MATCH, Reason.NO_MATCH])[-1] == Denial(Reason.NO_MATCH, 4)


def test_n_frames_without_k_matches_deny() -> None:
    found = decisions(Policy(SETTINGS), [Reason.NO_MATCH, ADA, Reason.AMBIGUOUS, Reason.NO_MATCH])
    assert found == [None, None, None, Denial(Reason.NO_MATCH, 4)]


def test_frames_that_could_not_be_judged_neither_help_nor_harm() -> None:
    unseen = [Reason.NO_FACE, Reason.TOO_DARK, Reason.BLURRED, Reason.EMPTY_GALLERY] * 20
    policy = Policy(SETTINGS)
    assert set(decisions(policy, unseen)) == {None}
    assert decisions(policy, [ADA, Reason.NO_FACE, ADA], start=8.0)[-1] == Grant("ada", 0.9, 2)


def test_frames_outside_the_window_no_longer_count() -> None:
    policy = Policy(SETTINGS)
    assert policy.observe(ADA, 0.0) is None
    assert policy.observe(ADA, 10.5) is None
    assert isinstance(policy.observe(ADA, 10.6), Grant)


def test_of_a_slow_camera_a_frame_outside_the_window_does_not_count_either() -> None:
    """The attempt goes on, as no pause is longer than the window, but its first match is too old when the second one comes."""
    policy = Policy(SETTINGS)
    assert [policy.observe(frame, at) for frame, at in ((ADA, 0.0), (Reason.NO_MATCH, 6.0), (ADA, 12.0))] == [None] * 3
    assert policy.observe(ADA, 13.0) == Grant("ada", 0.9, 3)


def test_the_score_is_the_median_of_the_frames_that_matched_the_subject() -> None:
    how = SETTINGS.model_copy(update={"matches": 3, "frames": 5})
    shown: list[Match | Reason] = [Match("ada", 0.95), Match("bob", 0.99), Match("ada", 0.7), Match("ada", 0.8)]
    assert decisions(Policy(how), shown)[-1] == Grant("ada", 0.8, 4)


def test_after_a_grant_it_rests() -> None:
    policy = Policy(SETTINGS)
    decisions(policy, [ADA, ADA])
    assert set(decisions(policy, [ADA] * 20, start=0.2)) == {None}
    assert isinstance(decisions(policy, [ADA, ADA], start=3.2)[-1], Grant)


def test_a_rest_begins_with_the_decision_however_slowly_it_came() -> None:
    """An attempt takes six seconds. The rest after a grant is three, that of a lock-out thirty, and neither is cut short by it."""
    policy = Policy(SETTINGS)
    assert isinstance(decisions(policy, [ADA, ADA], step=6.0)[-1], Grant)
    assert set(decisions(policy, [ADA] * 20, start=6.2)) == {None}
    policy = Policy(SETTINGS, before=Failures(1))
    assert decisions(policy, [Reason.NO_MATCH] * 4, step=2.0)[-1] == Denial(Reason.NO_MATCH, 4, locked_s=30)
    assert [policy.blocked(at) for at in (35.9, 36.0)] == [Reason.LOCKED_OUT, None]


def test_a_forgiveness_elsewhere_does_not_end_the_rest_after_a_grant() -> None:
    """A grant elsewhere, or `edge unlock-out`, clears the failures. That must not rearm the door."""
    policy = Policy(SETTINGS)
    assert isinstance(decisions(policy, [ADA, ADA])[-1], Grant)
    policy.restore(Failures())
    assert set(decisions(policy, [ADA] * 20, start=0.2)) == {None}
    policy.restore(Failures(1))
    assert set(decisions(policy, [ADA] * 4, start=2.4)) == {None}
    assert isinstance(decisions(policy, [ADA, ADA], start=3.2)[-1], Grant)


def test_a_forgiveness_elsewhere_ends_the_rest_of_a_lock_out() -> None:
    policy = Policy(SETTINGS, before=Failures(3, 30.0))
    assert policy.blocked(0.0) is Reason.LOCKED_OUT
    policy.restore(Failures())
    assert isinstance(decisions(policy, [ADA, ADA], start=0.1)[-1], Grant)


def test_a_rest_from_before_a_restart_begins_with_the_first_frame_and_ends() -> None:
    policy = Policy(SETTINGS, before=Failures(3, 30.0))
    assert [policy.blocked(at) for at in (100.0, 129.9, 130.0)] == [Reason.LOCKED_OUT, Reason.LOCKED_OUT, None]


def test_a_count_that_is_read_again_shortens_no_rest() -> None:
    policy = Policy(SETTINGS, before=Failures(3, 30.0))
    assert policy.blocked(0.0) is Reason.LOCKED_OUT
    for rest_s in (0.0, 5.0):
        policy.restore(Failures(3, rest_s))
        assert [policy.blocked(at) for at in (1.0, 29.9)] == [Reason.LOCKED_OUT] * 2
    assert policy.blocked(35.0) is None


def test_a_verification_takes_no_other_subject() -> None:
    found = decisions(Policy(SETTINGS, only="bob"), [ADA] * 4)
    assert found[-1] == Denial(Reason.WRONG_SUBJECT, 4)
    assert not any(isinstance(decision, Grant) for decision in found)


def test_failures_lock_out_and_a_match_does_not_get_through() -> None:
    policy = Policy(SETTINGS)
    strangers = [Reason.NO_MATCH] * 4
    assert decisions(policy, strangers)[-1] == Denial(Reason.NO_MATCH, 4)
    assert decisions(policy, strangers, start=1.0)[-1] == Denial(Reason.NO_MATCH, 4, locked_s=30)
    assert policy.blocked(2.0) is Reason.LOCKED_OUT
    assert set(decisions(policy, [ADA] * 10, start=2.0)) == {None}
    assert policy.blocked(31.4) is None
    assert isinstance(decisions(policy, [ADA, ADA], start=31.4)[-1], Grant)


def test_too_many_failures_disable_for_good() -> None:
    policy = Policy(SETTINGS)
    for attempt in range(4):
        decisions(policy, [Reason.NO_MATCH] * 4, start=attempt * 100.0)
    assert policy.blocked(1e9) is Reason.DISABLED
    assert set(decisions(policy, [ADA] * 10, start=1e9)) == {None}


def test_a_grant_clears_the_failures() -> None:
    policy = Policy(SETTINGS)
    decisions(policy, [Reason.NO_MATCH] * 4)
    decisions(policy, [ADA, ADA], start=1.0)
    assert decisions(policy, [Reason.NO_MATCH] * 4, start=10.0)[-1] == Denial(Reason.NO_MATCH, 4)


def test_whoever_steps_aside_before_the_last_frame_has_been_counted() -> None:
    """Three of four frames, then away for longer than frames count: such tries must not be free for ever. Four frames are a failure."""
    policy, failures = Policy(SETTINGS), []
    for attempt in range(4):
        assert set(decisions(policy, [Reason.NO_MATCH] * 3, start=attempt * 100.0)) == {None}
        assert policy.observe(Reason.NO_FACE, attempt * 100.0 + 9.0) is None
        ended = policy.observe(Reason.NO_FACE, attempt * 100.0 + 11.0)
        assert ended is None or (ended.__class__, ended.reason) == (Denial, Reason.NO_MATCH)  # type: ignore[union-attr]
        failures.append(policy.failures)
    assert failures == [0, 1, 2, 3]


def test_a_grant_forgives_those_who_stepped_aside() -> None:
    policy = Policy(SETTINGS)
    decisions(policy, [Reason.NO_MATCH] * 3)
    assert isinstance(decisions(policy, [ADA, ADA], start=20.0)[-1], Grant)
    decisions(policy, [Reason.NO_MATCH] * 3, start=40.0)
    assert policy.observe(Reason.NO_FACE, 60.0) is None
    assert policy.failures == 0


def test_whoever_walks_past_is_no_failure() -> None:
    """There are fewer frames than a grant needs."""
    policy = Policy(SETTINGS)
    for attempt in range(20):
        assert policy.observe(Reason.NO_MATCH, attempt * 11.0) is None
    assert policy.failures == 0


def test_a_slow_camera_denies_as_a_quick_one_does() -> None:
    """Its first frames expire before the last one comes, but the denial still comes with the last one."""
    found = decisions(Policy(SETTINGS), [Reason.NO_MATCH] * 4, step=9.0)
    assert found == [None, None, None, Denial(Reason.NO_MATCH, 4)]


def test_the_last_denial_is_for_good_and_says_so() -> None:
    policy = Policy(SETTINGS)
    found = [decisions(policy, [Reason.NO_MATCH] * 4, start=attempt * 100.0)[-1] for attempt in range(4)]
    assert [decision.locked_s for decision in found if isinstance(decision, Denial)] == [0, 30, 30, math.inf]


@pytest.mark.parametrize("wrong", [{"target_fmr": 1e-4, "subject_fmr": {"ada": 1e-3}}, {"subject_fmr": {"ada": 0.0}}])
def test_a_subject_is_never_recognised_more_easily(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"subject_fmr\.ada"):
        PolicySettings.model_validate(wrong)


def test_a_decision_knows_how_long_its_attempt_took() -> None:
    """The time counts from the first judged frame; unusable frames before it do not count."""
    found = decisions(Policy(SETTINGS), [Reason.NO_FACE, ADA, Reason.NO_MATCH, ADA])[-1]
    assert isinstance(found, Grant)
    assert found.took_s == pytest.approx(0.2)
    denied = decisions(Policy(SETTINGS), [Reason.NO_MATCH] * 4)[-1]
    assert isinstance(denied, Denial)
    assert denied.took_s == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("shown", "denied"),
    [
        ([Reason.NO_MATCH] * 3, Denial(Reason.NO_MATCH, 3)),
        ([Reason.NO_MATCH] * 3 + [Reason.NO_FACE] * 120, Denial(Reason.NO_MATCH, 3)),
        ([ADA, BOB, Reason.WRONG_SUBJECT] + [Reason.NO_FACE] * 120 + [BOB], Denial(Reason.TOO_FEW, 4)),
        ([ADA, BOB], Denial(Reason.AMBIGUOUS, 2)),
        ([ADA], Denial(Reason.TOO_FEW, 1)),
        ([Reason.NO_MATCH] + [Reason.NO_FACE] * 120, None),  # too few frames for a grant: somebody walks past
        ([Reason.NO_FACE] * 9, None),
    ],
)
def test_an_attempt_that_is_given_up_has_failed_also_if_its_person_stepped_aside(
    shown: list[Match | Reason], denied: Denial | None
) -> None:
    policy = Policy(SETTINGS)
    assert set(decisions(policy, shown)) == {None}
    assert policy.give_up(20.0) == denied
    assert policy.failures == (denied is not None)
    assert policy.give_up(21.0) is None, "what was counted is not counted again"
