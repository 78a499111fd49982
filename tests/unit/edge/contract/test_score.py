"""The Siamese head against a naive loop and against numbers derived by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.contract.score import Cohort, Head, compare, merge, place, score, score_all_pairs, sigmoid, with_cohort

HEAD = Head(np.array([1.0, 2.0, 0.0], np.float32), 1.5)


def naive(head: Head, a: np.ndarray, b: np.ndarray) -> float:
    logit = head.bias
    for weight, x, y in zip(head.weights, a, b, strict=True):
        logit -= float(weight) * abs(float(x) - float(y))
    return 1 / (1 + math.exp(-logit))


def test_a_score_derived_by_hand() -> None:
    """|(1, 2, 9) - (0, 1.5, 0)| = (1, 0.5, 9); 1.5 - (1*1 + 2*0.5 + 0*9) = -0.5; sigmoid(-0.5) = 0.37754."""
    found = score(HEAD, np.array([1, 2, 9], np.float32), np.array([[0, 1.5, 0]], np.float32))
    assert found == pytest.approx([0.377540668798])


def test_every_pair_agrees_with_the_naive_loop() -> None:
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(7, 3)).astype(np.float32)
    labels = np.array([0, 0, 1, 2, 1, 0, 3])
    genuine, impostor = score_all_pairs(HEAD, embeddings, labels)
    expected: tuple[list[float], list[float]] = ([], [])
    for i in range(7):
        for j in range(i + 1, 7):
            expected[int(labels[i] != labels[j])].append(naive(HEAD, embeddings[i], embeddings[j]))
    assert sorted(genuine) == pytest.approx(sorted(expected[0]))
    assert sorted(impostor) == pytest.approx(sorted(expected[1]))
    assert (len(genuine), len(impostor)) == (4, 17)


def test_the_first_of_a_pair_is_the_enrolled_one() -> None:
    rng = np.random.default_rng(4)
    embeddings, templates = rng.normal(size=(2, 6, 3)).astype(np.float32)
    labels = np.array([0, 0, 1, 2, 1, 0])
    genuine, impostor = score_all_pairs(HEAD, embeddings, labels, templates)
    expected: tuple[list[float], list[float]] = ([], [])
    for i in range(6):
        for j in range(i + 1, 6):
            expected[int(labels[i] != labels[j])].append(naive(HEAD, templates[i], embeddings[j]))
    assert genuine == pytest.approx(expected[0])
    assert impostor == pytest.approx(expected[1])


def test_looks_are_merged_by_what_the_head_compares() -> None:
    """(3, 4, 0) and (0, 0, 2): their mean, or with `normalise` the mean of their directions (0.6, 0.8, 0) and (0, 0, 1)."""
    looks = np.array([[3, 4, 0], [0, 0, 2]], np.float32)
    assert merge(HEAD, looks) == pytest.approx([1.5, 2, 1])
    assert merge(Head(HEAD.weights, 0.0, True), np.stack([looks, looks])) == pytest.approx(np.tile([0.3, 0.4, 0.5], (2, 1)))


def test_nothing_scores_higher_than_the_same_embedding() -> None:
    probe = np.array([3, -1, 2], np.float32)
    others = np.random.default_rng(0).normal(0, 5, (50, 3)).astype(np.float32)
    same = score(HEAD, probe, probe[None])[0]
    assert (score(HEAD, probe, others) <= same).all()


@pytest.mark.parametrize(
    ("weights", "bias"),
    [
        (np.array([-0.1, 1], np.float32), 0.0),
        (np.array([np.nan, 1], np.float32), 0.0),
        (np.array([], np.float32), 0.0),
        (np.array([[1.0]], np.float32), 0.0),
        (np.array([1.0]), 0.0),
        (np.array([1.0], np.float32), math.inf),
    ],
)
def test_a_head_that_could_reward_distance_is_refused(weights: np.ndarray, bias: float) -> None:
    with pytest.raises(ValueError, match="head weights"):
        Head(weights, bias)


def test_shapes_and_numbers_are_checked() -> None:
    good = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="expected"):
        score(HEAD, np.zeros(2, np.float32), good[None])
    with pytest.raises(ValueError, match="expected"):
        score(HEAD, good, good)
    with pytest.raises(ValueError, match="not finite"):
        score(HEAD, np.array([0, np.nan, 0], np.float32), good[None])
    with pytest.raises(ValueError, match="at least two"):
        score_all_pairs(HEAD, good[None], np.array([0]))


def test_the_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


# Strangers at 0, 1, 2 and 10 on a line, for a head that measures |a - b|.
LINE = np.array([[0], [1], [2], [10]], np.float32)


def test_a_cohort_derived_by_hand() -> None:
    """Each stranger's mean distance to the nearest two others: 0: (1 + 2) / 2; 1: (1 + 1) / 2; 2: (1 + 2) / 2; 10: (8 + 9) / 2.
    Their median, the ceiling, is 1.5. The probe at 1.5 lies 0.5 from 1 and 2: nearness 0.5, penalty 1.5 - 0.5 = 1. The template at 6
    lies 4 from 2 and 10: no penalty. Logit 5 - |1.5 - 6| - (1 + 0) / 2 = 0."""
    head = with_cohort(Head(np.ones(1, np.float32), 5.0), LINE, nearest=2)
    assert head.cohort is not None
    assert head.cohort.ceiling == 1.5
    probe, template = np.array([1.5], np.float32), np.array([[6.0]], np.float32)
    assert place(head, probe[None]).penalty.tolist() == [1.0]
    assert score(head, probe, template) == pytest.approx([0.5])
    assert score(head, template[0], probe[None]) == pytest.approx([0.5])


def test_a_squared_cohort_derived_by_hand() -> None:
    """As above for 4 |a - b|^2. The strangers' nearness is (4 + 16) / 2, (4 + 4) / 2, (4 + 16) / 2 and (256 + 324) / 2, with the median
    10. The probe has 1 to 1 and to 2, so it pays 9; the template has 64 to 2 and to 10. Logit 85.5 - 4 * 4.5^2 - 9 / 2 = 0."""
    head = with_cohort(Head(np.full(1, 4, np.float32), 85.5, squared=True), LINE, nearest=2)
    assert head.cohort is not None
    assert head.cohort.ceiling == 10
    probe, template = np.array([1.5], np.float32), np.array([[6.0]], np.float32)
    assert place(head, probe[None]).penalty == pytest.approx([9])
    assert score(head, probe, template) == pytest.approx([0.5])


def test_templates_are_placed_once() -> None:
    head = with_cohort(HEAD, np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32), nearest=3)
    probe, *templates = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
    once = compare(head, place(head, probe[None]), place(head, np.stack(templates)))
    assert np.array_equal(once, score(head, probe, np.stack(templates)))


def test_a_cohort_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to n"):
        Cohort(LINE, 5, 1.0)
    with pytest.raises(ValueError, match="finite"):
        Cohort(np.array([[np.nan]], np.float32), 1, 1.0)
    with pytest.raises(ValueError, match="not negative"):
        Cohort(LINE, 1, -1.0)
    with pytest.raises(ValueError, match="more than nearest"):
        with_cohort(Head(np.ones(1, np.float32), 0.0), LINE, nearest=4)
    with pytest.raises(ValueError, match=r"expected \[n, 3\]"):
        Head(HEAD.weights, 0.0, cohort=Cohort(LINE, 1, 1.0))


# p = sigmoid(4 - |a - b|). In doubt are distances from 6 (p = 0.119) down to 2 (p = 0.881), 2 itself excluded.
DOUBTING = Head(np.ones(1, np.float32), 4.0, doubt=(1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))))


def column(*values: float) -> np.ndarray:
    return np.array([[value] for value in values], np.float32)


def test_what_is_in_doubt_is_scored_by_both_looks() -> None:
    """The first look puts the probe at 0, both looks together at 1: distances 1, 2, 3, 6 and 7 become 1, 2, 2, 5 and 7."""
    templates = column(1, 2, 3, 6, 7)
    expected = [1 / (1 + math.exp(d - 4)) for d in (1, 2, 2, 5, 7)]
    assert score(DOUBTING, column(0)[0], templates, column(1)[0]) == pytest.approx(expected)
    probes = place(DOUBTING, column(0, 0, 0, 0, 0), column(1, 1, 1, 1, 1))
    swapped = [compare(DOUBTING, place(DOUBTING, templates)[at : at + 1], probes[at : at + 1])[0] for at in range(5)]
    assert swapped == pytest.approx(expected), "whichever side the probe is"
    once = [1 / (1 + math.exp(d - 4)) for d in (1, 2, 3, 6, 7)]
    assert score(DOUBTING, column(0)[0], templates) == pytest.approx(once), "where there is no second look"
    assert score(Head(np.ones(1, np.float32), 4.0), column(0)[0], templates, column(1)[0]) == pytest.approx(once), "nor doubt"


def test_pairs_in_doubt_are_scored_by_what_would_be_kept_of_the_probe() -> None:
    rng = np.random.default_rng(9)
    embeddings, labels = rng.uniform(0, 9, (12, 1)).astype(np.float32), np.arange(12) // 3
    templates = embeddings + rng.normal(0, 1, (12, 1)).astype(np.float32)
    genuine, impostor = score_all_pairs(DOUBTING, embeddings, labels, templates)
    expected: tuple[list[float], list[float]] = ([], [])
    changed = 0
    for i in range(12):
        for j in range(i + 1, 12):
            once, twice = naive(DOUBTING, templates[i], embeddings[j]), naive(DOUBTING, templates[i], templates[j])
            doubtful = bool(DOUBTING.doubts(np.array([once]))[0])
            changed += doubtful
            expected[int(labels[i] != labels[j])].append(twice if doubtful else once)
    assert 5 < changed < 60
    assert genuine == pytest.approx(expected[0])
    assert impostor == pytest.approx(expected[1])


@pytest.mark.parametrize("doubt", [(0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5), (0.5, float("nan"))])
def test_a_doubt_is_a_range_of_scores(doubt: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="doubt"):
        Head(np.ones(1, np.float32), 4.0, doubt=doubt)


def test_second_looks_are_as_many_as_probes() -> None:
    with pytest.raises(ValueError, match="expected as many"):
        place(DOUBTING, column(0, 1), column(0))
