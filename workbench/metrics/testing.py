"""Tests of differences, what they show, and how large a test set they need.

Near-duplicates share a group, so a permutation swaps two models' scores over a whole group. Speed: a swap is a vector
of group weights, so nothing is ever sorted twice (`ranking`); swaps have the shape (groups, draws) throughout.

A paired difference of two models is, over many test sets, about normal with standard error `se`, which falls with the
square root of the independent pieces of evidence (groups with a positive). So one measured test set tells what another
of the same kind and another size would be worth. Source: Chow, Shao and Wang 2008, Sample Size Calculations in Clinical
Research, ch. 3. `workbench prove` holds the promised power against simulation.

Open doubt: the standard error is itself estimated; below 50 positive groups it is often a fifth too small or too large.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from scipy import sparse, stats

from workbench.metrics.classification import Curve
from workbench.metrics.intervals import RecipeDifference, Statistic, chunk_of, defined_draws, student_reach
from workbench.metrics.ranking import Ranking, tied_apart

# ---------------------------------------------------------------------------------------------------------- permutation

_TIED = 0.05  # the share of pairs of posts from which on a ranking that ties them is not exchangeable with another


def swapped_ranking(
    y,
    a,
    b,
    codes,
    groups: int,
    *,
    metric: Callable[[Curve], np.ndarray] = Curve.average_precision,
    known=None,
    weight=None,
) -> Statistic:
    """Return the function swaps S (groups, draws) -> metric of list A minus that of list B, after the swaps.

    a, b (n,) are two models' scores of the same posts, weight (n,) how much each counts. Where S is 1 a group keeps its
    scores, where 0 the two models' are exchanged. Scores of two models share no scale, so each model's are first
    replaced by its mid-ranks, which changes neither model's metric. The 2n ranks are sorted once; list A under S is the
    pooled list with weights (S, 1 - S), and list B has the weights that A leaves.

    A ranking that ties many pairs of posts which the other tells apart, such as a constant, is not exchangeable with
    it: its mid-ranks lie in the middle of the other's, where a swap nearly always makes either worse. The function's
    `exchangeable` says so.
    """
    y = np.asarray(y)
    known = np.ones(len(y), dtype=bool) if known is None else np.asarray(known, dtype=bool)
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    y, codes, weight = y[known], np.asarray(codes)[known], weight[known]
    pooled = np.concatenate([stats.rankdata(np.asarray(side)[known]) for side in (a, b)])
    places, both = np.r_[codes, codes + groups], np.r_[weight, weight]
    ranking = Ranking.build(np.r_[y, y], pooled, places, 2 * groups, weight=both)
    negatives = float(np.sum(weight[y == 0]))
    positives, passed, tied = (_swapped(part, groups) for part in (ranking.positives, ranking.negatives, ranking.tied))

    def difference(S: np.ndarray) -> np.ndarray:
        gained, alarms, level = positives(S), passed(S), cache(lambda: tied(S))
        first, second = (
            metric(Curve(gained[side], alarms[side], lambda side=side: level()[side], negatives)) for side in (0, 1)
        )
        return first - second

    difference.rows = max(groups, ranking.positives.shape[0])
    difference.exchangeable = not tied_apart(y, pooled[: len(y)], pooled[len(y) :]) > _TIED
    return difference


def _swapped(part: sparse.csr_array, groups: int) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return swaps S (groups, draws) -> a part (segments, 2 * groups) of list A and of list B (segments, draws)."""
    # under the weights (S, 1 - S) it holds part[:, :groups] @ S + part[:, groups:] @ (1 - S)
    signed = part[:, :groups] - part[:, groups:]
    start, whole = np.asarray(part[:, groups:].sum(axis=1))[:, None], np.asarray(part.sum(axis=1))[:, None]

    def lists(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kept = np.add(signed @ S, start)
        return kept, whole - kept

    return lists


def swapped_pieces(a: np.ndarray, b: np.ndarray, metric: Callable[[np.ndarray], np.ndarray]) -> Statistic:
    """Return the function swaps S (groups, draws) -> metric of the sums of pieces A minus that of B, after the swaps.

    a, b (pieces, ..., groups): what each group adds, such as the counts of `group_confusions`.
    """

    def difference(S: np.ndarray) -> np.ndarray:
        first = (a - b) @ S + b.sum(axis=-1, keepdims=True)
        second = (a + b).sum(axis=-1, keepdims=True) - first
        return metric(first) - metric(second)

    difference.rows = a[0].size
    return difference


def permutation_test(
    differences: Sequence[Statistic], groups: int, *, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Return the observed difference and its two-sided p when two models' scores of whole groups are exchanged.

    The statistic is the mean of `differences`, one per label and seed, all under the same swaps. Under the hypothesis
    that the models are exchangeable the test is exact: p = (1 + draws at least as extreme) / (1 + draws) (Phipson &
    Smyth 2010, arXiv 1603.05766). A draw in which the statistic is undefined counts as extreme. Both are NaN when the
    observed difference is undefined, and p is where two rankings are not exchangeable (`swapped_ranking`): there
    `intervals.recipe_difference` has one, by the variance of posts.
    """
    rng, extreme = np.random.default_rng(seed), 0
    mean = lambda S: sum(difference(S) for difference in differences) / len(differences)  # noqa: E731
    observed = float(mean(np.ones((groups, 1)))[0]) if differences else np.nan
    if np.isnan(observed):
        return np.nan, np.nan
    if not all(getattr(difference, "exchangeable", True) for difference in differences):
        return observed, np.nan
    chunk = chunk_of(max(difference.rows for difference in differences))
    for start in range(0, draws, chunk):
        S = rng.integers(0, 2, size=(min(chunk, draws - start), groups), dtype=np.int8).T.astype(np.float64, order="C")
        # rounding must not decide a tie between a draw and the observed value
        extreme += int(np.sum(~(np.abs(mean(S)) < abs(observed) - 1e-12)))
    return observed, (1 + extreme) / (1 + draws)


def mcnemar(right_a, right_b, codes) -> tuple[int, int, float]:
    """Return how many groups model a decides better than b, how many b does, and the exact two-sided p.

    right_a, right_b (n,) bool: whether each model decides a post rightly; codes (n,) of `group_codes`. A group goes to
    the model that is right about more of its posts, so near-duplicates are one piece of evidence; with one post a group
    this is McNemar's exact test (McNemar 1947, Psychometrika 12:153-157). p is NaN where the models never differ.

    >>> mcnemar([1, 1, 1, 0], [0, 0, 1, 1], [0, 1, 2, 3])  # 2 against 1: any split of 3 is as extreme
    (2, 1, 1.0)
    """
    lead = np.bincount(np.asarray(codes), weights=np.asarray(right_a, dtype=float) - np.asarray(right_b, dtype=float))
    a, b = int(np.sum(lead > 0)), int(np.sum(lead < 0))
    return a, b, float(stats.binomtest(a, a + b).pvalue) if a + b else np.nan


def one_sided_p(delta: float, samples) -> float:
    """Return the bootstrap p of "the difference is not above 0", given resampled differences on the same draws.

    Counted as (1 + resamples at or below 0) / (1 + resamples), or the normal tail of delta / standard error where that
    is larger: resamples of a few groups reach below 0 too rarely. A count cannot fall below 1 / (1 + resamples), which
    would make any family of more tests than that untouchable by Holm's correction; so where no resample reaches 0 the
    tail alone counts. NaN when over half the resamples are.
    """
    _, defined = defined_draws(np.r_[delta, samples])
    if not len(defined):
        return np.nan
    below, spread = int(np.sum(defined <= 0)), defined.std(ddof=1) if len(defined) > 1 else 0.0
    tail = float(stats.norm.sf(delta / spread)) if spread > 0 else float(delta <= 0)
    return max(tail, (1 + below) / (1 + len(defined))) if below else tail


def holm(p, planned: int = 0) -> np.ndarray:
    """Return Holm's step-down adjusted p-values (m,), in the order given; NaN stays NaN and does not count.

    planned: how many tests there were to be; those that are missing count as if theirs were the largest p, so that a
    result cannot pass before they have run and fail afterwards. Source: Holm 1979, Scandinavian Journal of Statistics
    6:65-70. They are monotone in p and at most 1.

    >>> holm([0.01, 0.04, 0.03]).round(2)  # 3 * .01, then 2 * .03, then max(.06, 1 * .04)
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = [i for i in np.argsort(p, kind="stable") if not np.isnan(p[i])]
    if order:
        factors = max(planned, len(order)) - np.arange(len(order))
        adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted


# ------------------------------------------------------------------------------------------- what a test set can find


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
    single = [n * part for n, part in zip(found.seeds, found.training, strict=True) if part > 0]
    posts, half = (found.posts, found.of_posts), (found.hi - found.lo) / 4

    def enough(seeds: int) -> bool:
        trainings = [(variance / seeds, seeds - 1) for variance in single]
        error = math.sqrt(found.posts + sum(variance for variance, _ in trainings))
        return student_reach(alpha, posts, trainings) * error <= half

    if not single or not half > 0 or not enough(_MOST_SEEDS):
        return None
    return bisect.bisect_left(range(_MOST_SEEDS + 1), True, lo=max(found.seeds) + 1, key=enough)


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
