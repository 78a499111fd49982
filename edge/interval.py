"""The exact confidence interval of a rate from the few trials that a device counts by itself, without SciPy. Pure."""

from __future__ import annotations

from collections.abc import Callable

from edge.contract.metrics import Rate
from edge.rates import at_least

_TAIL = 0.025
_HALVINGS = 50


def small_rate(errors: int, trials: int) -> Rate:
    """The rate `errors` / `trials` with its 95 % interval by Clopper and Pearson (1934). Its ends are the rates at which as many errors or
    more, and as many or fewer, have a probability of 1/40.

    Raises:
        ValueError: `trials` is not in 1..1000 or `errors` not in 0..trials.
    """
    if not 1 <= trials <= 1000 or not 0 <= errors <= trials:
        raise ValueError(f"{errors} errors in {trials} trials: need 1 to 1000 trials and no more errors than trials")
    low = 0.0 if errors == 0 else _bisect(lambda p: at_least(errors, trials, p) > _TAIL)
    high = 1.0 if errors == trials else _bisect(lambda p: at_least(errors + 1, trials, p) > 1 - _TAIL)
    return Rate(errors, trials, low, high)


def _bisect(predicate: Callable[[float], bool]) -> float:
    """The probability above which `predicate` holds, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if predicate(middle) else (middle, high)
    return (low + high) / 2
