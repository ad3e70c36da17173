"""How large a test set must be: the difference it would find, the chance to find one, the positives needed.

A paired difference of two models is, over many test sets, about normal with standard error `se`, which falls with the
square root of the independent pieces of evidence (groups with a positive). So one measured test set tells what another
of the same kind and another size would be worth. Source: Chow, Shao and Wang 2008, Sample Size Calculations in Clinical
Research, ch. 3. `workbench prove` holds the promised power against simulation.

Open doubt: the standard error is itself estimated; below 50 positive groups it is often a fifth too small or too large.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from workbench.metrics.intervals import RecipeDifference, combined_freedom


def detectable(se: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest difference that a two-sided test at alpha finds with probability `power`.

    >>> round(detectable(0.01), 3)  # (1.96 + 0.84) standard errors
    0.028
    """
    return float(se * (stats.norm.isf(alpha / 2) + stats.norm.ppf(power)))


def chance_to_find(difference: float, se: float, *, alpha: float = 0.05) -> float:
    """Return the probability that a two-sided test at alpha finds a true difference, on either side.

    >>> round(chance_to_find(0.028, 0.01), 2)
    0.8
    """
    if not se > 0:
        return float("nan") if np.isnan(se) else float(difference != 0)
    limit, shift = stats.norm.isf(alpha / 2), difference / se
    return float(stats.norm.sf(limit - shift) + stats.norm.cdf(-limit - shift))


def rescaled(se: float, have: float, planned: float) -> float:
    """Return the standard error at `planned` positive groups, given that at the `have` of a measured test set.

    >>> rescaled(0.02, 100, 400)
    0.01
    """
    if not have > 0 or not planned > 0:
        raise ValueError(f"numbers of positive groups must be above 0, not {have:g} and {planned:g}")
    return float(se * math.sqrt(have / planned))


def positives_needed(
    difference: float, se: float, have: float, *, training: float = 0.0, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Return how many positive groups a test set needs to find a difference with probability `power`.

    se: that of the posts, which falls as `have` grows; training: the variance that trainings add, which does not. None
    where trainings alone vary too much for any test set.

    >>> positives_needed(0.028, 0.02, 100)  # four times as many halve the standard error
    401
    >>> positives_needed(0.028, 0.02, 100, training=0.01**2) is None
    True
    """
    if not abs(difference) > 0:
        raise ValueError("no test set is large enough to find a difference of 0; name the smallest that matters")
    allowed = (difference / detectable(1.0, alpha=alpha, power=power)) ** 2 - training
    return math.ceil(have * se**2 / allowed) if allowed > 0 else None


def trials_needed(share: float, least: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return how many trials prove, by a one-sided test at alpha, that a share is above `least` with chance `power`.

    The normal approximation of one share (Chow, Shao and Wang 2008, ch. 4), and never fewer than trials without one
    failure take.

    >>> trials_needed(0.95, 0.9), trials_needed(1.0, 0.9)
    (184, 29)
    """
    if not least < share:
        raise ValueError(f"a share of {share:g} is not above {least:g}, so that no number of trials shows that it is")
    reach = stats.norm.isf(alpha) * math.sqrt(least * (1 - least)) + stats.norm.ppf(power) * math.sqrt(
        share * (1 - share)
    )
    return max(math.ceil((reach / (share - least)) ** 2), math.ceil(math.log(alpha) / math.log(least)))


_MOST_SEEDS = 1000


def seeds_to_halve(found: RecipeDifference, alpha: float = 0.05) -> int | None:
    """Return how many seeds a side would halve the interval of a difference; None where no number of them does.

    Only sides whose training varies count. None also where neither does.
    """
    seeds = [n for n, part in zip(found.seeds, found.training, strict=True) if part > 0]
    half = (found.hi - found.lo) / 4
    if not seeds or not half > 0:
        return None
    single = [n * part for n, part in zip(found.seeds, found.training, strict=True) if part > 0]
    for more in range(max(seeds) + 1, _MOST_SEEDS + 1):
        parts = [(variance / more, more - 1) for variance in single]
        freedom = combined_freedom((found.posts, found.of_posts), *parts)
        variance = found.posts + sum(part for part, _ in parts)
        if stats.t.isf(alpha / 2, freedom) * math.sqrt(variance) <= half:
            return more
    return None


def verdict(
    p: float, interval: tuple[float, float], inner: tuple[float, float], margin: float, sign: int, alpha: float = 0.05
) -> str:
    """Return what a difference shows: its corrected test for better and worse, its inner interval for the rest.

    p: corrected for the other tests of its family; better and worse need an `interval` without 0 as well. inner: the
    1 - 2 alpha interval, alpha corrected too. sign: -1 where less is better. Equivalence by two one-sided tests
    (Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15:657-680).

    >>> verdict(0.01, (0.01, 0.2), (0.02, 0.1), 0.01, 1), verdict(0.06, (0.01, 0.2), (0.02, 0.1), 0.01, 1)
    ('better', 'no worse')
    """
    (low, high), (inner_low, inner_high) = (sorted((sign * side[0], sign * side[1])) for side in (interval, inner))
    if np.isnan([low, high, inner_low, inner_high]).any():
        return "undefined"
    if p < alpha and (low > 0 or high < 0):
        return "better" if low > 0 else "worse"
    sides = inner_low > -margin, inner_high < margin
    return {(True, True): "equivalent", (True, False): "no worse", (False, True): "no better"}.get(sides, "undecided")
