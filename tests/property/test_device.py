"""Properties of the device's decisions and of its store."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge.contract.errors import GalleryError
from edge.contract.score import Head
from edge.gallery import Gallery, Subject, new_subject
from edge.matcher import Match, Matcher
from edge.policy import Denial, Grant, Policy
from edge.reasons import Reason
from edge.settings import PolicySettings

HEAD = Head(np.ones(3, np.float32), 2.0)
vectors = hnp.arrays(np.float32, 3, elements=st.floats(-5, 5, width=32))
galleries = st.lists(hnp.arrays(np.float32, (2, 3), elements=st.floats(-5, 5, width=32)), max_size=4)


@given(vectors, galleries, st.randoms(), st.floats(0.01, 0.99))
def test_the_order_of_the_gallery_does_not_matter(
    probe: np.ndarray, sets: list[np.ndarray], random: object, threshold: float
) -> None:
    subjects = [Subject(f"s{number}", "m", templates, 0) for number, templates in enumerate(sets)]
    shuffled = list(subjects)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Matcher(HEAD, subjects).match(probe, threshold) == Matcher(HEAD, shuffled).match(probe, threshold)


outcomes = st.one_of(
    st.sampled_from(list(Reason)),
    st.builds(Match, st.sampled_from(["ada", "bob"]), st.floats(0.5, 1)),
)
events = st.lists(st.tuples(outcomes, st.floats(0, 40)), max_size=200)
policies = st.builds(
    PolicySettings,
    matches=st.just(2),
    frames=st.integers(2, 6),
    window_s=st.floats(0.5, 10),
    rearm_s=st.floats(0, 5),
    lockout_failures=st.integers(1, 3),
    disable_failures=st.integers(4, 6),
)


@given(events, policies)
def test_no_sequence_grants_without_k_matches_of_that_subject(
    sequence: list[tuple[Match | Reason, float]], how: PolicySettings
) -> None:
    policy, now, matched = Policy(how), 0.0, {"ada": 0, "bob": 0}
    for outcome, pause in sequence:
        now += pause
        if isinstance(outcome, Match):
            matched[outcome.subject] += 1
        decision = policy.observe(outcome, now)
        if isinstance(decision, Grant):
            assert matched[decision.subject] >= how.matches
            matched = {"ada": 0, "bob": 0}


@given(events, policies)
def test_lock_out_is_monotone_and_silent(sequence: list[tuple[Match | Reason, float]], how: PolicySettings) -> None:
    """While it lasts nothing is decided; failures without an accept only ever lead deeper into it."""
    policy, now, failures = Policy(how), 0.0, 0
    for outcome, pause in sequence:
        now += pause
        blocked = policy.blocked(now)
        decision = policy.observe(outcome, now)
        assert blocked is None or decision is None
        if isinstance(decision, Denial):
            failures += 1
            assert (decision.locked_s > 0) == (failures >= how.lockout_failures)
        elif isinstance(decision, Grant):
            assert failures < how.disable_failures
            failures = 0
        if failures >= how.disable_failures:
            assert policy.blocked(now + 1e12) is Reason.DISABLED


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_flipped_byte_of_a_template_is_an_error(at: int, flip: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        gallery = Gallery(Path(folder))
        gallery.write(new_subject("ada", "m1", np.ones((3, 8), np.float32)), replace=False)
        path = gallery.folder / "ada.faces"
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= flip
        path.write_bytes(data)
        with pytest.raises(GalleryError):
            gallery.read("ada")
