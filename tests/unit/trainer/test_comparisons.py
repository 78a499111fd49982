"""All comparisons, kept and resampled, against the plain computation on the same embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.metrics import eer, fnmr, threshold_at_fmr
from edge.contract.score import Head, score_all_pairs, with_cohort
from trainer import comparisons
from trainer.comparisons import compare_all
from trainer.enrolled import evaluate_enrolled
from trainer.head import fit_head


def people(count: int, each: int, size: int = 16, noise: float = 0.6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), each)
    return (rng.normal(size=(count, size))[labels] + noise * rng.normal(size=(count * each, size))).astype(np.float32), labels


HEADS = [
    Head(np.linspace(0.1, 2, 16).astype(np.float32), 3.0, normalise, squared) for normalise in (0, 1) for squared in (0, 1)
]
HEADS.append(with_cohort(HEADS[3], people(40, 1, seed=1)[0], 3))


@pytest.mark.parametrize("head", HEADS)
def test_the_same_rates_as_all_scores_give(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "ROWS", 50)
    embeddings, labels = people(60, 4)
    found = compare_all(head, embeddings, labels)
    genuine, impostor = score_all_pairs(head, embeddings, labels)
    assert np.allclose(found.genuine, np.sort(genuine), atol=1e-9)
    assert found.impostors == impostor.size
    assert found.histogram.sum() == genuine.size + impostor.size
    assert found.eer().value == pytest.approx(eer(genuine, impostor)[0], abs=2e-3)
    for target in (1e-2, 1e-3):
        assert found.tar(target).value == pytest.approx(1 - fnmr(genuine, threshold_at_fmr(impostor, target)).value, abs=1e-9)


def test_templates_are_the_first_of_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "ROWS", 50)
    embeddings, labels = people(60, 4)
    templates = people(60, 4, noise=0.3, seed=0)[0]
    found = compare_all(HEADS[4], embeddings, labels, templates)
    genuine, impostor = score_all_pairs(HEADS[4], embeddings, labels, templates)
    assert np.allclose(found.genuine, np.sort(genuine), atol=1e-9)
    assert np.allclose(found.impostor, np.sort(impostor)[-len(found.impostor) :], atol=1e-9)
    assert found.genuine.mean() > compare_all(HEADS[4], embeddings, labels).genuine.mean()


def test_only_high_impostor_scores_are_kept_and_the_rates_are_the_same() -> None:
    embeddings, labels = people(500, 4, noise=0.5)
    found = compare_all(HEADS[3], embeddings, labels)
    _, impostor = score_all_pairs(HEADS[3], embeddings, labels)
    assert len(found.impostor) < impostor.size / 2
    assert np.allclose(found.impostor, np.sort(impostor)[-len(found.impostor) :], atol=1e-9)
    assert found.threshold(1e-4) == pytest.approx(threshold_at_fmr(impostor, 1e-4), abs=1e-9)
    with pytest.raises(ValueError, match="highest"):
        found.threshold(0.99)
    with pytest.raises(ValueError, match="cannot show"):
        found.threshold(1e-8)


def test_an_interval_holds_its_value_and_narrows_with_people() -> None:
    widths = []
    for count in (60, 240):
        tar = compare_all(HEADS[3], *people(count, 4, noise=0.9)).tar(1e-2)
        assert tar.low <= tar.value <= tar.high
        widths.append(tar.high - tar.low)
    assert widths[1] < widths[0] / 1.5


def test_one_person_alone_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="0 impostor"):
        compare_all(HEADS[0], *people(1, 5))


def test_more_anchors_miss_less() -> None:
    embeddings, labels = people(80, 9, noise=0.9)
    rows = evaluate_enrolled(HEADS[3], embeddings, labels, embeddings)
    missed = {(row["anchors"], row["frames"], row["rule"]): row["fnmr"] for row in rows}
    assert missed[5, "1 frame", "best"] < missed[1, "1 frame", "best"]
    assert missed[5, "2 of 3 frames", "best"] < missed[5, "1 frame", "best"]
    assert {row["anchors"] for row in rows} == {1, 5}  # nobody has more than twenty pictures


def test_a_head_is_fitted_where_it_helps_and_its_score_is_a_probability() -> None:
    """Half of the numbers are noise: weights that are learned must find that."""
    rng = np.random.default_rng(1)
    sides = []
    for seed in (1, 2):
        embeddings, labels = people(150, 4, size=16, noise=0.5, seed=seed)
        embeddings[:, 8:] = rng.normal(size=(len(labels), 8))
        sides += [embeddings, labels]
    head, told = fit_head(*sides, squared=True)
    assert told["chosen"] == "fitted"
    assert told["validation_fnmr"]["fitted"] < told["validation_fnmr"]["equal"]
    assert head.weights[:8].mean() > 3 * head.weights[8:].mean()
    genuine, impostor = score_all_pairs(head, sides[2], sides[3])
    assert genuine.mean() == pytest.approx(1 - impostor.mean(), abs=0.1)
    assert genuine.mean() > 0.8
