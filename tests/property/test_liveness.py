"""Properties of the challenge between a match and a grant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.contract.chip import FaceBox
from edge.liveness import Liveness, Seen, Way
from edge.matcher import Match
from edge.policy import Grant, Policy
from edge.reasons import Reason
from edge.settings import LivenessSettings, PolicySettings

outcomes = st.one_of(
    st.sampled_from(list(Reason)),
    st.builds(Match, st.sampled_from(["ada", "bob"]), st.floats(0.5, 1)),
)
faces = st.one_of(
    st.none(),
    st.builds(
        Seen,
        st.builds(lambda x, width: FaceBox(x, 60, width, width), st.integers(80, 120), st.integers(90, 110)),
        st.one_of(st.none(), st.floats(-0.4, 0.4)),
    ),
)
shows = st.lists(st.tuples(outcomes, faces, st.floats(0, 0.6)), max_size=120)


@given(shows, st.sampled_from([Way.LEFT, Way.RIGHT]))
def test_no_sequence_without_the_turn_that_was_asked_for_is_granted(
    sequence: list[tuple[Match | Reason, Seen | None, float]], way: Way
) -> None:
    """A grant needs a matching frame turned to the requested side by at least `turn`, less 0.08 by which the start may be off centre."""
    required = LivenessSettings.model_validate({"challenge": "head-turn", "turns": 1})
    policy, now = Policy(PolicySettings(matches=2, frames=4), liveness=Liveness(required, choose=lambda ways: way)), 0.0
    turned = False
    for outcome, seen, pause in sequence:
        now += pause
        asked = policy.asked
        if asked is way and isinstance(outcome, Match) and seen is not None and seen.turn is not None:
            turned |= (seen.turn if way is Way.LEFT else -seen.turn) >= required.turn - 0.08
        decision = policy.observe(outcome, now, seen)
        if decision is not None:
            assert turned or not isinstance(decision, Grant)
            turned = False


@given(shows)
def test_with_a_challenge_nothing_is_granted_when_nothing_is_observed(
    sequence: list[tuple[Match | Reason, Seen | None, float]],
) -> None:
    required = LivenessSettings.model_validate({"challenge": "head-turn"})
    policy, now = Policy(PolicySettings(matches=2, frames=4), liveness=Liveness(required)), 0.0
    for outcome, seen, pause in sequence:
        now += pause
        blind = None if seen is None else Seen(seen.box, None)
        assert not isinstance(policy.observe(outcome, now, blind), Grant)
