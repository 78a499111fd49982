"""The Siamese head against a naive loop, and numbers derived by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.contract.score import Head, score, score_all_pairs, sigmoid

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
