"""Open-set matching: one subject, or a reason for none."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.score import Head
from edge.gallery import Subject
from edge.matcher import Match, Matcher
from edge.reasons import Reason

# p = sigmoid(4 - |a - b|): 0.982 at distance 0, 0.5 at distance 4.
HEAD = Head(np.ones(1, np.float32), 4.0)


def enrolled(name: str, *values: float) -> Subject:
    return Subject(name, "m1", np.array([[v] for v in values], np.float32), 0)


def probe(value: float) -> np.ndarray:
    return np.array([value], np.float32)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_an_empty_gallery_matches_at_no_threshold(threshold: float) -> None:
    assert Matcher(HEAD, []).match(probe(0), threshold) is Reason.EMPTY_GALLERY


def test_the_closest_template_counts() -> None:
    matcher = Matcher(HEAD, [enrolled("ada", 100, 0, -100), enrolled("bob", 50)])
    found = matcher.match(probe(0), 0.9)
    assert isinstance(found, Match)
    assert (found.subject, found.score) == ("ada", pytest.approx(0.98201379))


def test_below_the_threshold_is_no_match_and_at_it_is_one() -> None:
    matcher = Matcher(HEAD, [enrolled("ada", 0)])
    assert matcher.match(probe(4.001), 0.5) is Reason.NO_MATCH
    assert isinstance(matcher.match(probe(4), 0.5), Match)


def test_two_subjects_at_once_are_ambiguous() -> None:
    assert Matcher(HEAD, [enrolled("ada", 0), enrolled("bob", 1)]).match(probe(0), 0.5) is Reason.AMBIGUOUS


def test_a_subject_may_have_a_stricter_threshold() -> None:
    subjects = [enrolled("ada", 0), enrolled("bob", 100)]
    score = Matcher(HEAD, subjects).match(probe(0), 0.5)
    assert isinstance(score, Match)
    assert Matcher(HEAD, subjects, {"ada": score.score}).match(probe(0), 0.5) == score
    assert Matcher(HEAD, subjects, {"ada": score.score + 1e-6}).match(probe(0), 0.5) is Reason.NO_MATCH
    assert Matcher(HEAD, subjects, {"ada": 0.1}).match(probe(0), 0.5) == score, "a looser one changes nothing"
    assert Matcher(HEAD, subjects, {"ada": 0.1}).match(probe(5), 0.5) is Reason.NO_MATCH, "nor does it let more in"
    assert isinstance(Matcher(HEAD, subjects, {"ada": 1.0}).match(probe(100), 0.5), Match), "nobody else's"


def test_a_face_is_looked_at_twice_where_the_closest_template_leaves_doubt() -> None:
    """Distances above 2, up to 6, are in doubt. Both looks together put the probe at 1."""
    head = Head(np.ones(1, np.float32), 4.0, doubt=(1 / (1 + np.exp(2)), 1 / (1 + np.exp(-2))))
    looks = []

    def twice() -> np.ndarray:
        looks.append(1)
        return probe(1)

    matcher = Matcher(head, [enrolled("ada", 3), enrolled("bob", 60)])
    once, both = (matcher.match(probe(0), 0.0001, look) for look in (None, twice))
    assert isinstance(once, Match)
    assert isinstance(both, Match)
    assert (once.score, both.score) == (pytest.approx(0.731058578), pytest.approx(0.880797077))
    assert looks == [1]
    assert isinstance(matcher.match(probe(1.5), 0.5, twice), Match), "it is beyond doubt"
    assert matcher.match(probe(20), 0.5, twice) is Reason.NO_MATCH, "so is this"
    near = Matcher(head, [enrolled("ada", 3), enrolled("bob", 1)])
    assert isinstance(near.match(probe(0), 0.8, twice), Match), "one beyond doubt is enough"
    assert near.match(probe(0), 0.5, twice) is Reason.AMBIGUOUS, "also where another one is in doubt"
    assert Matcher(head, []).match(probe(0), 0.5, twice) is Reason.EMPTY_GALLERY
    assert looks == [1]
    assert isinstance(Matcher(HEAD, [enrolled("ada", 3)]).match(probe(0), 0.5, twice), Match), "a model that has no doubt"
    assert looks == [1]


def test_a_second_look_can_speak_against_and_for() -> None:
    head = Head(np.ones(1, np.float32), 4.0, doubt=(0.1, 0.9))
    matcher = Matcher(head, [enrolled("ada", 2.5)])
    assert isinstance(matcher.match(probe(0), 0.8), Match)
    assert matcher.match(probe(0), 0.8, lambda: probe(-1)) is Reason.NO_MATCH
    assert matcher.match(probe(0), 0.85) is Reason.NO_MATCH
    assert isinstance(matcher.match(probe(0), 0.85, lambda: probe(1)), Match)


def test_nobody_is_let_in_by_one_look_that_leaves_doubt_beside_one_who_is_not_matched() -> None:
    """Ada is beyond doubt at distance 1.5, but misses her own stricter threshold. Bob is in doubt at 2.5, and both looks together lie
    3.5 from him."""
    head = Head(np.ones(1, np.float32), 4.0, doubt=(1 / (1 + np.exp(2)), 1 / (1 + np.exp(-2))))
    matcher = Matcher(head, [enrolled("ada", 1.5), enrolled("bob", -2.5)], {"ada": 0.95})
    found = matcher.match(probe(0), 0.8)
    assert isinstance(found, Match)
    assert (found.subject, found.score) == ("bob", pytest.approx(0.817574476)), "by one look it is Bob, by his own score"
    assert matcher.match(probe(0), 0.8, lambda: probe(1)) is Reason.NO_MATCH
