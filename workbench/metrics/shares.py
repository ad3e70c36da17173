"""Shares of posts that come in families or stand for unequal numbers of others: their intervals, and what is few.

A share of a hundred posts of which sixty are copies of one post rests on forty-one posts, and mostly on one. Kish's
number says on how many equal ones; where it is under half of the groups, resamples and Wilson's interval promise too
much (`workbench prove --only copies-60-1`), and the interval of Fay and Feuer (1997, Statistics in Medicine 16:791-801)
takes their place: a sum of weighted Poisson counts with an exact gamma interval, here its mid-P form (Fay and Kim 2017,
Biometrical Journal 59:549-571).

Open doubt: a share is no Poisson rate; of the two sides the smaller one is taken, so that up to a half the interval is
at most 1.4 times too wide.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats

HEAVY, CARRIES, ENOUGH_HEAVY = 5, 0.2, 10  # of few_groups: times the median, share of the weight, so many suffice


def kish(weight) -> float:
    """Return how many equal weights are worth these (groups,): (sum w)^2 / sum w^2; 0 without any.

    Source: Kish 1965, Survey Sampling, ch. 11.7.

    >>> kish([1, 1, 1, 1]), round(kish([60, 1, 1, 1]), 2), kish([1e300, 1e300])
    (4.0, 1.1, 2.0)
    """
    weight = np.asarray(weight, dtype=np.float64)
    if weight.max(initial=0) > 1e100:  # its square may be no number
        weight = weight / weight.max()
    squares = float(np.sum(weight**2))
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0


def uneven(whole) -> bool:
    """Return whether so much lies in a few groups (groups,) that they are worth less than half of their number."""
    whole = np.asarray(whole, dtype=np.float64)
    return kish(whole) < np.count_nonzero(whole) / 2


def few_groups(weight, few: float = 20) -> bool:
    """Return whether a number rests on few groups, given what each weighs (groups,), 0 for those that say nothing.

    It does where Kish's number of groups is under `few`, or where under ten groups of more than five times the median
    weight carry over a fifth of all weight.

    >>> few_groups([1] * 30), few_groups([1] * 19), few_groups([1] * 100 + [30] * 4), few_groups([1] * 100 + [30] * 16)
    (False, True, True, False)
    """
    weight = np.asarray(weight, dtype=np.float64)
    weight = weight[weight > 0]
    if kish(weight) < few:
        return True
    heavy = weight > HEAVY * np.median(weight)
    return bool(heavy.sum() < ENOUGH_HEAVY and weight[heavy].sum() > CARRIES * weight.sum())


def fay_feuer(part, whole, alpha: float = 0.05) -> tuple[float, float]:
    """Return the mid-P interval of sum(part) / sum(whole), both totals of groups (groups,), part at most whole.

    NaN without posts. The groups are independent, whatever their sizes; within one anything goes.

    >>> [round(bound, 3) for bound in fay_feuer([0] * 10, [1] * 10)]  # none of ten: 1 - e^-x at x = 3.0
    [0.0, 0.3]
    """
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    total = whole.sum()
    if not total > 0:
        return math.nan, math.nan
    value, largest = part.sum() / total, whole.max() / total
    if value > 0.5:
        low, high = fay_feuer(whole - part, whole, alpha)
        return 1 - high, 1 - low
    variance = float(np.sum((part / total) ** 2))
    above, spread = value + largest, variance + largest**2
    upper = stats.gamma(above**2 / spread, scale=spread / above)
    # without a hit the lower law is all at 0
    lower = stats.gamma(value**2 / variance, scale=variance / value) if variance > 0 else None

    def mixed(rate: float) -> float:
        return ((1.0 if lower is None else lower.cdf(rate)) + upper.cdf(rate)) / 2

    def limit(level: float) -> float:
        return optimize.brentq(lambda rate: mixed(rate) - level, 0, upper.isf(alpha / 4), xtol=1e-12)

    return 0.0 if lower is None else limit(alpha / 2), min(limit(1 - alpha / 2), 1.0)


def hybrid_difference(a: float, of_a: tuple[float, float], b: float, of_b: tuple[float, float]) -> tuple[float, float]:
    """Return the interval of a - b from an interval of each, which need not be symmetric.

    Source: Newcombe 1998, Statistics in Medicine 17:873-890, method 10. It takes a and b for independent, so that of
    paired values it is too wide rather than too narrow where these agree.

    >>> [round(bound, 3) for bound in hybrid_difference(1.0, (0.9, 1.0), 0.5, (0.4, 0.6))]
    [0.359, 0.6]
    """
    low = a - b - math.hypot(a - of_a[0], of_b[1] - b)
    return low, a - b + math.hypot(of_a[1] - a, b - of_b[0])
