"""The figures of an export and its gates, on scores that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.score import Head
from export.measure import Side, agreement, agreement_gates, gates, operating_points, parity

PEOPLE, EACH = 40, 4


@pytest.fixture(scope="module")
def side() -> tuple[Side, np.ndarray]:
    """Forty people; the pictures of each scatter around one point."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(PEOPLE), EACH)
    points = rng.normal(size=(PEOPLE, 16))[labels] + rng.normal(scale=0.3, size=(PEOPLE * EACH, 16))
    return plain(Head(np.full(16, 8, np.float32), 6.0, normalise=True, squared=True), points.astype(np.float32)), labels


def plain(head: Head, embeddings: np.ndarray) -> Side:
    """A model whose templates are its embeddings."""
    return Side(head, embeddings, embeddings)


@pytest.fixture(scope="module")
def two(side: tuple[Side, np.ndarray]) -> tuple[Side, Side]:
    """A model that misses some, and a file of it that differs a little and scores everything lower."""
    rng, head = np.random.default_rng(3), side[0].head
    points = (side[0].embeddings + rng.normal(scale=0.6, size=side[0].embeddings.shape)).astype(np.float32)
    moved = (points + rng.normal(scale=0.2, size=points.shape)).astype(np.float32)
    return plain(head, points), plain(Head(head.weights, 4.0, normalise=True, squared=True), moved)


def names_missed(figures: dict) -> set[str]:
    return {gate.name for gate in gates(figures) if not gate.passed}


def test_the_same_model_passes_with_nothing_lost(side: tuple[Side, np.ndarray]) -> None:
    figures = parity(side[0], side[0], side[1])
    assert figures["genuine"] == PEOPLE * EACH * (EACH - 1) // 2
    assert figures["impostor"] == PEOPLE * (PEOPLE - 1) // 2 * EACH * EACH
    assert figures["target_fmr"] == 1e-2  # a dozen of 12,480 impostor scores would decide at 1e-3
    assert figures["tar_float"] == figures["tar_file"] > 0.9
    assert figures["decisions"] == 0
    assert figures["threshold_fmr"] <= 1e-2
    assert names_missed(figures) == set()


def test_the_figures_are_counted_one_by_one(side: tuple[Side, np.ndarray], two: tuple[Side, Side]) -> None:
    """Each model decides at its own threshold, above the highest 124 of 12,480 scores of strangers."""
    figures, labels = parity(*two, side[1]), side[1]
    (genuine, impostor), (file_genuine, file_impostor) = (one.scores(labels) for one in two)
    threshold, file_threshold = (np.nextafter(np.sort(scores)[-125], 1) for scores in (impostor, file_impostor))
    changed, strangers = (genuine >= threshold) != (file_genuine >= file_threshold), file_impostor >= file_threshold
    assert (figures["tar_float"], figures["tar_file"]) == (
        (genuine >= threshold).mean(),
        (file_genuine >= file_threshold).mean(),
    )
    assert 0.3 < figures["tar_file"] < figures["tar_float"] < 0.99
    assert figures["threshold_fmr"] == (file_impostor >= threshold).mean() < 0.005
    assert figures["genuine_decisions"] == changed.sum() > 0
    assert figures["decisions"] == changed.sum() + ((impostor >= threshold) != strangers).sum() > changed.sum()
    cosine = (two[0].embeddings * two[1].embeddings).sum(1)
    cosine /= np.linalg.norm(two[0].embeddings, axis=1) * np.linalg.norm(two[1].embeddings, axis=1)
    told = (figures["median_cosine"], figures["lowest_cosine"])
    assert told == pytest.approx((np.median(cosine), cosine.min()), abs=1e-6)
    point = {"name": "here", "threshold": float(threshold)}
    decisions = agreement(*two, labels, [point], 0.0)["decisions"]["here"]
    kept = file_genuine >= threshold
    assert decisions == {
        "changed": ((genuine >= threshold) != kept).sum() + ((impostor >= threshold) != (file_impostor >= threshold)).sum(),
        "false_matches": (file_impostor >= threshold).sum(),
        "false_non_matches": (~kept).sum(),
    }


def test_gates_are_measured_where_enough_strangers_decide(
    side: tuple[Side, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred false matches, at no lower an FMR than 1e-3; with fewer than that at every FMR, at 0.1."""
    few = 24
    assert parity(*[plain(side[0].head, side[0].embeddings[:few])] * 2, side[1][:few])["target_fmr"] == 0.1
    monkeypatch.setattr("export.measure.GATE_FMR", 0.1)
    assert parity(side[0], side[0], side[1])["target_fmr"] == 0.1


def test_each_gate_is_missed_by_its_own_figure() -> None:
    figures = {
        "genuine": 100_000, "impostor": 1_000_000, "median_cosine": 0.99, "eer_float": 0.02, "eer_file": 0.02, "target_fmr": 1e-3,
        "tar_float": 0.8, "tar_file": 0.8, "threshold_fmr": 1e-3, "genuine_decisions": 0,
    }  # fmt: skip
    assert names_missed(figures) == set()
    for changed, missed in (
        ({"median_cosine": 0.97}, {"median cosine to float"}),
        ({"eer_file": 0.0249}, set()),
        ({"eer_file": 0.0251}, {"rise of the EER"}),
        ({"eer_file": 0.001}, set()),
        ({"tar_file": 0.7899}, {"loss of TAR at FMR 0.001"}),
        ({"tar_file": 0.99}, set()),
        ({"threshold_fmr": 1.51e-3}, {"FMR at the float threshold of 0.001"}),
        ({"threshold_fmr": 1.51e-3, "impostor": 25_000}, set()),
        ({"threshold_fmr": 1.61e-3, "impostor": 25_000}, {"FMR at the float threshold of 0.001"}),
    ):
        assert names_missed(figures | changed) == missed, changed


def test_a_file_that_lost_the_people_misses_every_gate(side: tuple[Side, np.ndarray]) -> None:
    broken = plain(side[0].head, np.random.default_rng(1).permutation(side[0].embeddings))
    assert len(names_missed(parity(side[0], broken, side[1]))) >= 3


def test_a_shift_of_all_scores_is_seen_although_the_threshold_follows(side: tuple[Side, np.ndarray]) -> None:
    """A higher bias raises every score: cosine, EER and TAR at the file's own threshold stay, but the float threshold no longer holds."""
    shifted = plain(Head(side[0].head.weights, 9.0, normalise=True, squared=True), side[0].embeddings)
    figures = parity(side[0], shifted, side[1])
    assert figures["eer_float"] == figures["eer_file"]
    assert figures["tar_float"] == figures["tar_file"]
    assert names_missed(figures) == {"FMR at the float threshold of 0.01"}


def test_limits_widen_where_the_counts_force_them(side: tuple[Side, np.ndarray]) -> None:
    """Of 240 genuine comparisons, three are 1.25 points, more than the limit of one point; of 24,000 they are negligible."""
    figures = parity(side[0], side[0], side[1])
    by_name = {gate.name: gate.limit for gate in gates(figures)}
    assert by_name["loss of TAR at FMR 0.01"] == 3 / 240
    assert {gate.name: gate.limit for gate in gates(figures | {"genuine": 24000})}["loss of TAR at FMR 0.01"] == 0.01


def test_what_may_be_chance_is_no_loss() -> None:
    """Losing five of 470 and winning none is 1.06 points, below 1 plus two standard deviations (2 sqrt(5) / 470, 0.95 points); twenty are
    above it."""
    figures = {
        "genuine": 470,
        "impostor": 50_000,
        "median_cosine": 0.999,
        "eer_float": 0.02,
        "eer_file": 0.02,
        "target_fmr": 1e-3,
    }
    figures |= {"tar_float": 0.8, "threshold_fmr": 1e-3}
    assert names_missed(figures | {"tar_file": 0.8 - 5 / 470, "genuine_decisions": 5}) == set()
    assert names_missed(figures | {"tar_file": 0.8 - 20 / 470, "genuine_decisions": 20}) == {"loss of TAR at FMR 0.001"}


def test_too_few_comparisons_have_no_operating_point_to_gate() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 2)
    few = plain(Head(np.ones(4, np.float32), 1.0), rng.normal(size=(6, 4)).astype(np.float32))
    figures = parity(few, few, labels)
    assert "tar_file" not in figures
    assert len(gates(figures)) == 2
    assert operating_points(np.array([0.9]), np.linspace(0, 0.8, 12)) == []


def test_targets_beyond_the_rule_of_three_are_not_written() -> None:
    """3,000 impostor scores support 1e-3 but not 1e-4."""
    points = operating_points(np.full(10, 0.99), np.linspace(0, 0.9, 3000))
    assert [point["target_fmr"] for point in points] == [1e-1, 1e-2, 1e-3]
    assert [point["false_matches"] for point in points] == [300, 30, 3]


def test_no_threshold_lies_above_a_score_of_one() -> None:
    """100 of 3,000 strangers score 1: that leaves a threshold for FMR 0.1, and none for 0.01 and 0.001."""
    points = operating_points(np.array([0.5, 0.95, 1.0]), np.append(np.linspace(0, 0.9, 2900), np.ones(100)))
    assert [(point["target_fmr"], point["false_matches"], point["false_non_matches"]) for point in points] == [(0.1, 300, 1)]


def test_agreement_counts_steps_and_decisions(side: tuple[Side, np.ndarray]) -> None:
    here, labels = side
    points = [{"name": "fmr-0.001", "threshold": 0.5}]
    nothing = agreement(here, here, labels, points, 0.01)
    assert (nothing["largest_steps"], nothing["equal"], nothing["decisions"]["fmr-0.001"]["changed"]) == (0, 1.0, 0)
    moved = here.embeddings.copy()
    moved[3, 5] += 0.02
    one = agreement(here, plain(here.head, moved), labels, points, 0.01)
    assert one["largest_steps"] == 2
    assert one["equal"] == 1 - 1 / moved.size
    assert 0 < one["largest_score_change"] < 0.1
    turned = agreement(here, plain(here.head, -here.embeddings[::-1]), labels, points, 0.01)
    assert turned["decisions"]["fmr-0.001"]["changed"] > 0
    assert not agreement_gates("other 1.0", turned)[0].passed
