"""Comparisons of all pairs and their resampling, checked against the plain computation on the same embeddings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.contract.metrics import clopper_pearson, eer, fnmr, threshold_at_fmr
from edge.contract.score import Head, score_all_pairs, with_cohort
from trainer import comparisons
from trainer.comparisons import Comparisons, compare_all
from trainer.enrolled import MOST_PICTURES, evaluate_enrolled
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
    rates = found.rates((1e-2, 1e-3, 1e-6))
    assert rates.eer.value == pytest.approx(eer(genuine, impostor)[0], abs=1e-9)
    assert [*rates.tar] == [1e-2, 1e-3]  # there are too few comparisons for 1e-6
    for target in rates.tar:
        assert rates.tar[target].value == pytest.approx(1 - fnmr(genuine, threshold_at_fmr(impostor, target)).value, abs=1e-9)


def test_templates_are_the_first_of_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "ROWS", 50)
    embeddings, labels = people(60, 4)
    templates = people(60, 4, noise=0.3, seed=0)[0]
    found = compare_all(HEADS[4], embeddings, labels, templates)
    genuine, impostor = score_all_pairs(HEADS[4], embeddings, labels, templates)
    assert np.allclose(found.genuine, np.sort(genuine), atol=1e-9)
    assert np.allclose(found.impostor, np.sort(impostor)[-len(found.impostor) :], atol=1e-9)
    assert found.genuine.mean() > compare_all(HEADS[4], embeddings, labels).genuine.mean()


def test_what_is_in_doubt_is_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "ROWS", 50)
    embeddings, labels = people(60, 4)
    templates = people(60, 4, noise=0.3, seed=0)[0]
    plain = np.concatenate(score_all_pairs(HEADS[4], embeddings, labels, templates))
    head = replace(HEADS[4], doubt=(float(np.quantile(plain, 0.9)), float(np.quantile(plain, 0.99))))
    found = compare_all(head, embeddings, labels, templates)
    genuine, impostor = score_all_pairs(head, embeddings, labels, templates)
    assert np.allclose(found.genuine, np.sort(genuine), atol=1e-9)
    assert np.allclose(found.impostor, np.sort(impostor)[-len(found.impostor) :], atol=1e-9)
    assert found.twice.sum() == pytest.approx(0.09 * plain.size, abs=2)
    assert not np.allclose(found.genuine, compare_all(HEADS[4], embeddings, labels, templates).genuine)
    assert compare_all(HEADS[4], embeddings, labels, templates).twice_shares() == {"genuine": 0.0, "impostor": 0.0}


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
        tar = compare_all(HEADS[3], *people(count, 4, noise=0.9)).rates((1e-2,)).tar[1e-2]
        assert tar.low <= tar.value <= tar.high
        widths.append(tar.high - tar.low)
    assert widths[1] < widths[0] / 1.5


def by_hand(found: comparisons.Comparisons, weight: np.ndarray, target: float) -> float:
    """FNMR at FMR `target` with each person copied `weight` times."""
    copies = np.repeat(np.arange(len(weight)), weight)
    genuine = np.concatenate([found.genuine[found.labels[found.genuine_rows[:, 0]] == person] for person in copies])
    one, other = found.labels[found.impostor_rows].T
    impostor = np.repeat(found.impostor, weight[one] * weight[other])
    return fnmr(genuine, threshold_at_fmr(impostor, target)).value


@pytest.mark.parametrize("most", [comparisons.RESAMPLED, 2000])
def test_a_resampling_is_people_copied(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person drawn twice counts twice in genuine comparisons, and a comparison of two people counts with the product of their weights;
    only approximately if a few evenly spaced impostor scores stand for all."""
    monkeypatch.setattr(comparisons, "RESAMPLED", most)
    monkeypatch.setattr(comparisons, "RESAMPLES", 5)
    found = compare_all(HEADS[3], *people(60, 4, noise=0.9))
    assert len(found.impostor) == found.impostors
    weights = [*found._weights()]
    close = 1e-9 if most > len(found.impostor) else 0.03
    for weight, row in zip(weights, found._error_rates([1e-1, 1e-3], weights), strict=True):
        for target, missed in zip((1e-1, 1e-3), row[1:], strict=True):
            assert missed == pytest.approx(by_hand(found, weight.astype(int), target), abs=close)


def test_the_interval_of_independent_comparisons_is_clopper_and_pearsons() -> None:
    """Two pictures of each person give one genuine comparison each, and FNMR at FMR 0.1 hardly depends on which strangers are drawn."""
    found = compare_all(HEADS[3], *people(400, 2, noise=0.8))
    tar = found.rates((0.1,)).tar[0.1]
    missed = round((1 - tar.value) * 400)
    low, high = clopper_pearson(missed, 400)
    assert 10 < missed < 100
    assert (1 - tar.high, 1 - tar.low) == pytest.approx((low, high), abs=0.01)


def test_what_is_shown_at_a_low_fmr_holds_at_a_higher_one() -> None:
    """The misses at FMR 0.1 come from even fewer people than those at 1e-3, so by themselves they say less."""
    tar = compare_all(HEADS[3], *people(100, 4, noise=0.65)).rates((1e-1, 1e-2, 1e-3)).tar
    assert 0 < 1 - tar[1e-1].value < 1 - tar[1e-3].value
    assert tar[1e-1].low >= tar[1e-2].low >= tar[1e-3].low


def test_what_one_person_alone_misses_is_bounded_by_what_a_lower_fmr_shows() -> None:
    """At FMR 0.1 one of 101 people makes all six misses, which by themselves would leave up to 17 % possible. At 1e-2 eight others are
    missed as well: more misses, of more people, and a lower upper bound."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(101), 4)
    where = rng.uniform(0, 100, 101)[labels] + rng.uniform(0, 0.01, 404)
    where[:4] = [5, 35, 65, 95]
    where[4 * np.arange(1, 9)] += 2
    tar = compare_all(Head(np.ones(1, np.float32), 5.0), where.astype(np.float32)[:, None], labels).rates((1e-1, 1e-2)).tar
    assert (1 - tar[1e-1].value, 1 - tar[1e-2].value) == pytest.approx((6 / 606, 30 / 606))
    assert tar[1e-1].low == tar[1e-2].low == pytest.approx(0.90, abs=0.005)


def kept(genuine: list[float], impostor: list[float], impostors: int) -> Comparisons:
    """The genuine scores of a person each, and the highest of the impostor scores."""
    rows = np.arange(2 * len(genuine)).reshape(-1, 2)
    labels = np.repeat(np.arange(len(genuine)), 2)
    strangers = np.column_stack([np.zeros(len(impostor), int), np.full(len(impostor), 2)])
    histogram, twice = np.zeros((2, 100), np.int64), np.array([1, 6])
    return Comparisons(np.sort(genuine), rows, np.sort(impostor), strangers, impostors, labels, histogram, twice)


def test_what_was_kept_is_counted_among_all() -> None:
    """Of 60 scores of strangers four are kept. At FMR 0.05 three may match, at 0.0667 four, and then the threshold is not known."""
    found = kept([0.3, 0.5, 0.7, 0.9], [0.4, 0.5, 0.6, 0.8], 60)
    assert found.threshold(0.05) == np.nextafter(0.4, 1)
    with pytest.raises(ValueError, match="only the 4 highest of 60 scores"):
        found.threshold(4 / 60)
    assert found.twice_shares() == {"genuine": 1 / 4, "impostor": 6 / 60}
    assert (found.miss_rate(0.5).errors, found.miss_rate(0.5, np.array([False, True, True, False])).errors) == (1, 0)
    fmr, missed = found.curve()
    assert fmr.tolist() == pytest.approx([1 / 60, 2 / 60, 3 / 60, 4 / 60])
    assert missed.tolist() == [0.75, 0.5, 0.25, 0.25]


def test_a_target_beyond_what_was_kept_has_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "RESAMPLES", 5)
    found = compare_all(HEADS[3], *people(500, 4, noise=0.5))
    assert len(found.impostor) < 0.1 * found.impostors
    assert [*found.rates((1e-1, 1e-2)).tar] == [1e-2]


def test_everybody_missed_is_not_nobody_ever_found() -> None:
    """Each template is the negated embedding, further away than any stranger's: the upper end of the TAR is that of 60 misses in 60."""
    embeddings, labels = people(60, 4, noise=0.3)
    rates = compare_all(HEADS[3], embeddings, labels, -embeddings).rates((1e-2,))
    assert (rates.tar[1e-2].value, rates.tar[1e-2].low) == (0.0, 0.0)
    assert rates.tar[1e-2].high == pytest.approx(1 - 0.025 ** (1 / 60))


def test_nobody_missed_is_not_nobody_ever_missed() -> None:
    """A resampling of people without misses has no misses either, so the bound is that of no misses in 60 people, 6 %."""
    rates = compare_all(HEADS[3], *people(60, 4, noise=0.01)).rates((1e-1, 1e-2))
    assert (rates.tar[1e-2].value, rates.tar[1e-2].high) == (1.0, 1.0)
    assert rates.tar[1e-2].low == rates.tar[1e-1].low == pytest.approx(0.025 ** (1 / 60))
    assert rates.eer.high == pytest.approx(1 - 0.025 ** (1 / 60))


def test_a_sample_with_few_genuine_comparisons_misleads_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The floor is where a sample without a single miss would put it, above the EER threshold of all comparisons."""
    embeddings, labels = people(200, 3, noise=1.6)
    monkeypatch.setattr(comparisons, "_floor", lambda head, *_: 0.999)
    genuine, impostor = score_all_pairs(HEADS[3], embeddings, labels)
    assert compare_all(HEADS[3], embeddings, labels).rates(()).eer.value == pytest.approx(eer(genuine, impostor)[0], abs=2e-3)


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
    people_of, genuine = np.bincount(labels) > 5, {(row["anchors"], row["frames"]): row["genuine"] for row in rows}
    assert genuine == {
        (1, "1 frame"): 640,
        (1, "2 of 3 frames"): 160,
        (5, "1 frame"): 4 * people_of.sum(),
        (5, "2 of 3 frames"): 80,
    }


def test_twenty_anchors_take_more_pictures_than_count_elsewhere() -> None:
    embeddings, labels = people(25, 40, noise=0.9)
    rows = evaluate_enrolled(HEADS[3], embeddings, labels, embeddings)
    assert {(row["anchors"], row["genuine"]) for row in rows if row["frames"] == "1 frame"} == {(1, 225), (5, 125), (20, 250)}
    few = np.arange(len(labels)) % 40 < MOST_PICTURES
    assert evaluate_enrolled(HEADS[3], embeddings[few], labels[few], embeddings[few]) == rows, "no more are ever read"


def test_no_anchor_is_its_own_probe() -> None:
    """Pictures that have nothing in common, whoever they show, match only themselves: of nine, one in nine would."""
    _, labels = people(80, 9, noise=0.3)
    embeddings = np.random.default_rng(2).normal(size=(len(labels), 16)).astype(np.float32)
    rows = evaluate_enrolled(Head(np.ones(16, np.float32), 3.0), embeddings, labels, embeddings)
    assert {row["anchors"] for row in rows} == {1, 5}
    assert min(row["fnmr"] for row in rows) > 0.95


def test_a_head_is_fitted_where_it_helps_and_its_score_is_a_probability() -> None:
    """Half of the dimensions are noise, and the fitted weights must find that out."""
    rng = np.random.default_rng(1)
    sides = []
    for seed in (1, 2):
        embeddings, labels = people(150, 4, size=16, noise=0.5, seed=seed)
        embeddings[:, 8:] = rng.normal(size=(len(labels), 8))
        sides += [embeddings, labels]
    head, told = fit_head(*sides, squared=True)
    assert told["chosen"] == "fitted"
    assert told["validation"]["fitted"]["eer"] < told["validation"]["equal"]["eer"]
    assert head.weights[:8].mean() > 3 * head.weights[8:].mean()
    genuine, impostor = score_all_pairs(head, sides[2], sides[3])
    assert genuine.mean() == pytest.approx(1 - impostor.mean(), abs=0.1)
    assert genuine.mean() > 0.8


def test_a_network_that_tells_nobody_apart_has_an_eer_of_a_half() -> None:
    """Every score is the same: at any threshold all match, or none does."""
    embeddings, labels = np.ones((30, 16), np.float32), np.repeat(np.arange(10), 3)
    found = compare_all(HEADS[0], embeddings, labels)
    rates = found.rates((1e-1,))
    assert (rates.eer.value, rates.tar[1e-1].value) == (0.5, 0.0)
    fmr, fnmr = found.curve()
    assert (set(fmr), set(fnmr)) == ({1.0}, {0.0})


def test_people_who_are_all_told_apart_have_no_eer() -> None:
    embeddings, labels = np.eye(16, dtype=np.float32)[np.repeat(np.arange(4), 3)] * 50, np.repeat(np.arange(4), 3)
    assert compare_all(HEADS[0], embeddings, labels).rates(()).eer.value == 0.0


@pytest.mark.parametrize("seed", range(60))
def test_the_eer_is_that_of_all_thresholds_also_of_people_copied(seed: int) -> None:
    """Scores take only a few values, so that many are equal."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(5), 3)
    rows = np.column_stack(np.triu_indices(len(labels), 1)).astype(np.int32)
    same = labels[rows[:, 0]] == labels[rows[:, 1]]
    scores = (rng.integers(0, rng.integers(1, 40), len(rows)) + same * rng.integers(0, 30)) / 100
    first, second = (np.flatnonzero(kind)[np.argsort(scores[kind])] for kind in (same, ~same))
    counts = np.zeros((2, 100), np.int64), np.zeros(2, np.int64)
    found = Comparisons(scores[first], rows[first], scores[second], rows[second], len(second), labels, *counts)
    weights = [np.ones(5), *rng.multinomial(5, np.full(5, 1 / 5), 5).astype(float)]
    for weight, (rate,) in zip(weights, found._error_rates([], weights), strict=True):
        times = weight[labels[rows]].astype(int)
        genuine, impostor = np.repeat(scores[same], times[same, 0]), np.repeat(scores[~same], times[~same].prod(1))
        assert rate == pytest.approx(eer(genuine, impostor)[0], abs=1e-12)
