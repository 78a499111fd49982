"""The device's confidence interval equals that of SciPy on the workstation."""

from __future__ import annotations

import pytest

from edge.contract.metrics import rate
from edge.interval import small_rate


@pytest.mark.parametrize("trials", [1, 2, 7, 24, 60, 200, 1000])
def test_it_is_scipys(trials: int) -> None:
    pytest.importorskip("scipy", reason="a device has none, which is why it computes this by itself")
    for errors in {0, 1, trials // 3, trials // 2, trials - 1, trials}:
        ours, theirs = small_rate(errors, trials), rate(errors, trials)
        assert (ours.errors, ours.trials) == (errors, trials)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_no_error_in_24_by_hand() -> None:
    """At the upper bound p, 24 trials without an error have a probability of 1 in 40: (1 - p) ** 24 = 0.025."""
    assert small_rate(0, 24).high == pytest.approx(1 - 0.025 ** (1 / 24))


@pytest.mark.parametrize(("errors", "trials"), [(0, 0), (2, 1), (-1, 4), (0, 1001)])
def test_what_is_no_count_is_refused(errors: int, trials: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000 trials"):
        small_rate(errors, trials)
