"""Intervals of rates over people, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract.metrics import clopper_pearson
from trainer.interval import independent_trials, interval_of, of_independent


def test_so_many_trials_as_scatter_alike_and_fewer_by_the_few_people() -> None:
    """Twenty of 200 people are missed, with one comparison each: the variance is that of 200 independent trials, 0.1 * 0.9 / 200. The
    contributions are 0.9 twenty times and -0.1 180 times; the sum of their squares is 18, that of their fourth powers 13.14. This gives
    2 * 18^2 / (13.14 - 18^2 / 200) = 56.25 degrees of freedom; t = 2.003 in place of 1.960 takes away 4 % of the trials.

    One of ten people has all ten misses of a hundred comparisons: the contributions are 9 once and -1 nine times, with squares of 90
    and fourth powers of 6,570 in sum. This gives 2 * 90^2 / (6570 - 90^2 / 10) = 2.81 degrees of freedom and t = 3.306, which leaves a
    third of the trials."""
    even = independent_trials(np.repeat([1, 0], [20, 180]), np.ones(200, int), 0.1 * 0.9 / 200)
    assert even == pytest.approx(200 * (1.960 / 2.003) ** 2, rel=1e-3)
    one_alone = independent_trials(np.repeat([10, 0], [1, 9]), np.full(10, 10), 0.1 * 0.9 / 50)
    assert one_alone == pytest.approx(50 * (1.960 / 3.306) ** 2, rel=1e-3)
    # So evenly shared that the scatter itself is well known; but ten people are no more than nine degrees of freedom, t = 2.262.
    for missed in (5, 6):
        shared = independent_trials(
            np.repeat([1, 0], [missed, 10 - missed]), np.ones(10, int), missed / 10 * (1 - missed / 10) / 10
        )
        assert shared == pytest.approx(10 * (1.960 / 2.262) ** 2, rel=1e-3)
    assert independent_trials(np.array([4]), np.array([45]), 0.0) == pytest.approx((1.960 / 12.706) ** 2, rel=1e-3)


def test_the_interval_is_clopper_and_pearsons_of_so_many() -> None:
    """600 people with one comparison each: t for 169 degrees of freedom is 1.974, which takes away 1.4 % of the 600 trials."""
    missed, each = np.repeat([1, 0], [60, 540]), np.ones(600, int)
    resampled = 0.1 + np.sqrt(0.1 * 0.9 / 600) * np.repeat([1.0, -1.0], 200)
    found = interval_of(0.1, missed, each, resampled, 1.0)
    assert (found.low, found.high) == pytest.approx(clopper_pearson(60, 600), abs=5e-4)
    assert found.high > clopper_pearson(60, 600)[1]
    assert interval_of(0.1, missed, each, resampled, 0.11).high == 0.11


@pytest.mark.parametrize(("share", "ends"), [(0.0, (0.0, 1 - 0.025 ** (1 / 60))), (1.0, (0.025 ** (1 / 60), 1.0))])
def test_nobody_and_everybody_of_sixty_people(share: float, ends: tuple[float, float]) -> None:
    each = np.full(60, 6)
    found = interval_of(share, (share * each).astype(int), each, np.full(400, share), 1.0)
    assert (found.low, found.high) == pytest.approx(ends)


@pytest.mark.parametrize(("errors", "trials"), [(0, 9), (1, 9), (4, 9), (9, 9)])
def test_whole_numbers_give_the_usual_interval(errors: int, trials: int) -> None:
    assert of_independent(errors / trials, trials) == pytest.approx(clopper_pearson(errors, trials))


def test_a_resampling_without_a_rate_counts_for_nothing() -> None:
    """As one does in which nobody with two pictures was drawn."""
    missed, each = np.repeat([1, 0], [6, 54]), np.ones(60, int)
    resampled = 0.1 + 0.04 * np.repeat([1.0, -1.0], 200)
    expected = interval_of(0.1, missed, each, resampled, 1.0)
    assert expected.high < 0.3
    found = interval_of(0.1, missed, each, np.append(resampled, np.nan), 1.0)
    assert (found.low, found.high) == (expected.low, expected.high)


def test_one_person_alone_has_an_interval_though_resamplings_round() -> None:
    """One person, or each of two, has one miss in six comparisons: all resamplings give the same rate but for the last digit."""
    resampled = np.full(400, 1 / 6)
    resampled[::2] = np.nextafter(1 / 6, 1)
    assert 0 < np.var(resampled) < 1e-30
    for missed, each in ((np.array([1]), np.array([6])), (np.array([1, 1]), np.array([6, 6]))):
        found = interval_of(1 / 6, missed, each, resampled, 1.0)
        assert 0 <= found.low < 1 / 6 < found.high <= 1
