"""Error rates on sets small enough to count by hand, and intervals against published tables."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="a device computes no intervals, and needs no SciPy")

from edge.contract.metrics import allowed_matches, clopper_pearson, det, eer, fmr, fnmr, supports_fmr, threshold_at_fmr

GENUINE = np.array([0.9, 0.8, 0.7, 0.4])
IMPOSTOR = np.array([0.5, 0.3, 0.2, 0.1, 0.05])


def test_rates_count_what_matches_at_or_above_the_threshold() -> None:
    assert (fmr(IMPOSTOR, 0.3).errors, fmr(IMPOSTOR, 0.3).trials) == (2, 5)
    assert (fmr(IMPOSTOR, 0.31).errors, fnmr(GENUINE, 0.7).errors, fnmr(GENUINE, 0.71).errors) == (1, 1, 2)


def test_the_equal_error_rate_by_hand() -> None:
    """At threshold 0.5 FMR is 1/5 and FNMR 1/4; at no other are they closer. Their mean is 0.225."""
    assert eer(GENUINE, IMPOSTOR) == pytest.approx((0.225, 0.5))


def test_the_equal_error_rate_where_fmr_is_the_higher_one() -> None:
    """At 0.5 FMR is 1/5 and FNMR 1/10; at the next score, 0.9, they are 0 and 1/2, further apart."""
    assert eer([0.4, *[0.5] * 4, *[0.9] * 5], IMPOSTOR) == pytest.approx((0.15, 0.5))


def test_separable_scores_have_no_errors() -> None:
    assert eer([0.8, 0.9], [0.1, 0.2])[0] == 0.0


def test_the_curve_runs_from_all_to_nothing() -> None:
    curve = det(GENUINE, IMPOSTOR)
    assert (curve.fmr[0], curve.fnmr[0], curve.fmr[-1], curve.fnmr[-1]) == (1.0, 0.0, 0.0, 1.0)
    assert (np.diff(curve.fmr) <= 0).all()
    assert (np.diff(curve.fnmr) >= 0).all()


def test_the_threshold_never_gives_more_than_the_target() -> None:
    rng = np.random.default_rng(1)
    scores = rng.choice(np.linspace(0, 1, 40), 2000)  # with many ties
    for target in (0.5, 0.1, 0.01):
        assert fmr(scores, threshold_at_fmr(scores, target)).value <= target


def test_the_threshold_allows_as_many_matches_as_the_target_does() -> None:
    """Of 300 different scores three are 1 %: the fourth does not match, but a threshold any lower would let it."""
    scores = np.arange(300) / 300
    threshold = threshold_at_fmr(scores, 0.01)
    assert (fmr(scores, threshold).errors, fmr(scores, np.nextafter(threshold, 0)).errors) == (3, 4)
    for target in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            threshold_at_fmr(scores, target)
    with pytest.raises(ValueError, match="needs at least 3000 impostor trials, have 300"):
        threshold_at_fmr(scores, 1e-3)


def test_a_product_that_rounds_down_costs_no_match() -> None:
    assert 0.29 * 100 < 29
    assert allowed_matches(100, 0.29) == 29
    assert (allowed_matches(299, 0.01), allowed_matches(2_999_999, 1e-6)) == (2, 2), "nor is one match too many allowed"
    assert 3 / 47 * 47 < 3
    assert supports_fmr(47, 3 / 47)


@pytest.mark.parametrize(
    ("errors", "trials", "low", "high"),
    [(0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0)],
)
def test_intervals_as_tabulated(errors: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(errors, trials) == pytest.approx((low, high), abs=5e-5)


def test_a_rate_is_written_with_its_count_and_interval() -> None:
    assert str(fmr(IMPOSTOR, 0.5)) == "20.000% (1/5, 95 % 0.505%-71.642%)"


def test_the_rule_of_three() -> None:
    assert supports_fmr(3000, 1e-3)
    assert not supports_fmr(2999, 1e-3)


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        clopper_pearson(0, 0)
    for errors in (-1, 5):
        with pytest.raises(ValueError, match=f"{errors} errors in 4 trials"):
            clopper_pearson(errors, 4)
    with pytest.raises(ValueError, match="impostor"):
        fmr([], 0.5)
    for score in (np.nan, np.inf):
        with pytest.raises(ValueError, match="genuine"):
            fnmr([score], 0.5)
