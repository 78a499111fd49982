"""The range of scores in doubt, set from comparisons of people whom the tower was not trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.contract.score import Head, score_all_pairs
from tests.unit.trainer.test_comparisons import people
from trainer.doubt import with_doubt

HEAD = Head(np.full(16, 0.3, np.float32), 3.0, squared=True)


def test_doubt_is_between_three_in_a_hundred_strangers_and_the_last_three() -> None:
    embeddings, labels = people(60, 4)
    templates = people(60, 4, noise=0.3, seed=0)[0]
    head = with_doubt(HEAD, embeddings, templates, labels)
    _, impostor = score_all_pairs(HEAD, embeddings, labels, templates)
    assert head.doubt is not None
    low, high = head.doubt
    assert ((impostor >= low).sum(), (impostor >= high).sum()) == (849, 3), "of 28,320"
    assert replace(head, doubt=None) == replace(HEAD, doubt=None)
    assert with_doubt(head, embeddings, templates, labels).doubt == head.doubt, (
        "found on first looks, also of a head that has doubt"
    )


def test_few_comparisons_leave_no_doubt() -> None:
    for count, each in ((4, 3), (3, 2), (2, 1)):
        embeddings, labels = people(count, each)
        assert with_doubt(HEAD, embeddings, embeddings, labels).doubt is None


def test_scores_that_are_all_alike_leave_no_doubt() -> None:
    embeddings, labels = np.ones((200, 16), np.float32), np.arange(200) // 2
    assert with_doubt(HEAD, embeddings, embeddings, labels).doubt is None


def test_strangers_who_score_one_leave_no_doubt() -> None:
    """Twelve pictures of three people are all the same, and the head scores them 1, above which no doubt can end."""
    embeddings, labels = people(60, 4)
    embeddings[:12] = embeddings[0]
    head = replace(HEAD, bias=40.0)
    _, impostor = score_all_pairs(head, embeddings, labels)
    assert (impostor == 1).sum() > 3
    assert with_doubt(head, embeddings, embeddings, labels).doubt is None
