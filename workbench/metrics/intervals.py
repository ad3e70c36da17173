"""How sure a number is: bootstrap intervals, permutation tests and corrections, all resampled by group.

Near-duplicates share a group, so groups, not posts, are the independent units: a resample draws whole groups with
replacement (Efron & Tibshirani 1993, ch. 8), a permutation swaps two models' scores over a whole group.

Speed: a resample is a vector of group weights, so nothing is ever sorted twice (`ranking`). Weightings have the shape
(groups, draws) throughout.

Intervals. Plain percentiles are narrow and lie too high where a metric is near 1, because harm that a model ranks far
down is rare in any one sample: with 110 positive groups and an average precision of .91 they covered 89 % where 95 %
was promised (500 samples of the synthetic world). Intervals of a value are therefore Student's on the scale of
log-odds, with the spread of the resamples there, those of a difference Student's with the spread of the resampled
differences; the degrees of freedom fall where a few groups decide (`value_interval`, `difference_interval`). A share
of counted posts (recall, precision) has Wilson's interval of as many posts as the resamples are worth, for log-odds
cover a share of few posts too well. In the same kind of samples all of them cover 93 to 97 %. For average precision
BCa, the reversed interval, Hall's transformation and Wilson's covered less. `workbench prove` measures it again.

Open doubt: with 30 positive groups intervals of an average precision near 1 still cover less than 90 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special, stats

from workbench.metrics.shares import fay_feuer, hybrid_difference, uneven

Statistic = Callable[[np.ndarray], np.ndarray]
BLOCKS = 200  # of groups, left out one at a time
ENOUGH_DECIDE = 10  # groups
_CHUNK_BYTES = 1_000_000  # of one dense block; small blocks stay in the processor's cache and bound the memory


def group_codes(group) -> tuple[np.ndarray, int]:
    """Return `codes (n,)`, 0 to groups - 1 in sorted order of the names, and the number of groups.

    >>> group_codes(["b", "a", "b"])
    (array([1, 0, 1]), 2)
    """
    names, codes = np.unique(np.asarray(group), return_inverse=True)
    return codes.reshape(-1), len(names)


# ------------------------------------------------------------------------------ statistics under many group weightings


def group_confusions(y, flagged, codes, groups: int, *, weight=None, known=None) -> np.ndarray:
    """Return the counts (4, groups) of tn, fp, fn, tp per group, so that `Confusion(*(counts @ W))` resamples them."""
    cell = 2 * np.asarray(y, dtype=bool) + np.asarray(flagged, dtype=bool)
    weight = np.ones(len(cell)) if weight is None else np.asarray(weight, dtype=np.float64)
    weight = weight if known is None else weight * np.asarray(known, dtype=bool)
    return np.bincount(cell * groups + codes, weights=weight, minlength=4 * groups).reshape(4, groups)


# ------------------------------------------------------------------------------------------------------------ bootstrap


def bootstrap_weights(groups: int, resamples: int, *, seed: int, chunk: int | None = None) -> Iterator[np.ndarray]:
    """Yield blocks W (groups, up to `chunk`) of how often each group is drawn; the very first column is all ones.

    That first column is the sample itself, so estimate and resamples come out of the same code. The draws depend on the
    seed and the number of groups alone, not on `chunk`: two statistics with the same seed are resampled as pairs.
    """
    rng, chunk = np.random.default_rng(seed), chunk or chunk_of(groups)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(0, max(groups, 1), size=(size, groups)) * size + np.arange(size)[:, None]
        W = np.bincount(drawn.ravel(), minlength=groups * size).reshape(groups, size).astype(np.float64)
        yield np.column_stack([np.ones(groups), W]) if start == 0 else W


def bootstrap(statistic: Statistic, groups: int, resamples: int, *, seed: int, rows: int = 0) -> np.ndarray:
    """Return `statistic` (..., 1 + resamples): the sample's own value first, then one value per resample of groups.

    statistic maps weights (groups, draws) to (..., draws); `rows` is the number of rows of its largest matrix with a
    column per draw (by default groups), from which the number of draws taken at once follows.
    """
    blocks = bootstrap_weights(groups, resamples, seed=seed, chunk=chunk_of(rows or groups))
    return np.concatenate([statistic(W) for W in blocks], axis=-1)


def chunk_of(rows: int) -> int:
    """Return how many draws keep a dense block of `rows` rows within the size aimed at."""
    return int(np.clip(_CHUNK_BYTES // (8 * max(rows, 1)), 16, 1000))


def leave_out(statistic: Statistic, groups: int, *, seed: int, rows: int = 0) -> np.ndarray:
    """Return `statistic` (..., blocks) without each of up to BLOCKS random blocks of groups, of about equal size.

    How unevenly these lie says how far a number hangs on a few groups, which `value_interval` needs to know. rows: as
    for `bootstrap`.
    """
    blocks, size = max(min(BLOCKS, groups), 1), chunk_of(rows or groups)
    block = np.random.default_rng([seed, 1]).permutation(groups) % blocks
    parts = (np.arange(start, min(start + size, blocks)) for start in range(0, blocks, size))
    return np.concatenate([statistic((block[:, None] != part).astype(np.float64)) for part in parts], axis=-1)


def value_interval(
    draws,
    left_out=None,
    *,
    alpha: float = 0.05,
    units: float | None = None,
    share: bool = False,
    top: float = 1.0,
    totals: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[float, float]:
    """Return the interval of a metric in [0, top] from draws as `bootstrap` gives them, the sample's own first.

    draws: (1 + resamples,), or (S, 1 + resamples) of S trainings, whose mean it then is the interval of, trained again
    on other seeds too (`Spread`).

    share: whether it is a share of counted posts, as recall. Then the interval is Wilson's of v (1 - v) / variance
    posts, v being the value, since so many independent posts would make a share as uncertain. Given totals, the hits
    and the posts of each group, it is `shares.fay_feuer`'s where most posts lie in few groups. For all others it is
    Student's on the scale of log-odds, where v has the standard error of its draws over v (1 - v); that number of posts
    less 1 is the degrees of freedom. Given `left_out` (blocks,) of `leave_out` there are fewer where few groups decide:
    a variance is worth 2 / (share of the fourth powers of their influence in its squared squares), as in Satterthwaite
    1946, Biometrics Bulletin 2:110-114. Without a top (a log loss) the scale is that of logarithms, and the posts are
    as many as make a mean so uncertain whose parts vary as much as they are large: v squared / variance.

    Where all draws agree on 0 or 1 it is Wilson's interval of `units` independent pieces of evidence. NaN when the
    value or over half of the draws are undefined: a resample without a positive says nothing, and where that is the
    rule, so does the interval.

    >>> [round(bound, 2) for bound in value_interval([0.5, 0.4, 0.5, 0.6])]
    [0.3, 0.7]
    """
    spread = Spread.of(draws)
    value, variance = spread.value, spread.variance
    if np.isnan(variance):
        return np.nan, np.nan
    if share and totals is not None and uneven(totals[1]):
        low, high = fay_feuer(*totals, alpha)
        reach = math.sqrt(spread.training) * (stats.t.isf(alpha / 2, spread.seeds - 1) if spread.training else 0.0)
        return max(value - math.hypot(value - low, reach), 0.0), min(value + math.hypot(high - value, reach), 1.0)
    if variance > 0 and top == np.inf:
        half = math.sqrt(variance) / value * spread.reach(alpha, _freedom(_worth(value**2, spread.posts), left_out))
        return float(value * np.exp(-half)), float(value * np.exp(half))
    if not variance > 0 or not 0 < value < 1:
        return wilson(value * units, units, alpha) if value in (0.0, 1.0) and units else (value, value)
    middle, most = special.logit(value), value * (1 - value)
    if share:
        return wilson(value * most / variance, most / variance, alpha, spread.reach(alpha))
    half = math.sqrt(variance) / most * spread.reach(alpha, _freedom(_worth(most, spread.posts), left_out))
    return float(special.expit(middle - half)), float(special.expit(middle + half))


class Spread(NamedTuple):
    """How uncertain a mean over S trainings is: its value, and the variances that other posts and trainings give it.

    posts: the mean covariance of two trainings under the same resamples of posts, which is what they share; training:
    the variance of the S values over S, which holds what a training and the posts do together. One training has no
    second part, and speaks of itself. NaN where nothing is defined.
    """

    value: float
    posts: float
    training: float
    seeds: int

    @classmethod
    def of(cls, draws) -> Spread:
        """Return the spread of draws (1 + resamples,) or (S, 1 + resamples), the sample's own first."""
        by_seed = np.atleast_2d(np.asarray(draws, dtype=np.float64))
        value, defined = defined_draws(by_seed.mean(axis=0))
        if not len(defined):
            return cls(value, np.nan, np.nan, len(by_seed))
        together, training = _variance(defined), 0.0
        if len(by_seed) > 1:
            together -= _own(by_seed)
            training = float(by_seed[:, 0].var(ddof=1)) / len(by_seed)
        return cls(value, max(together, 0.0), training, len(by_seed))

    @property
    def variance(self) -> float:
        """The variance of the mean, posts and trainings drawn anew."""
        return self.posts + self.training

    def reach(self, alpha: float, of_posts: float = np.inf) -> float:
        """Return how many standard errors an interval reaches, given the degrees of freedom of the posts' part."""
        return student_reach(alpha, (self.posts, of_posts), [(self.training, self.seeds - 1)])


def student_tail(t: float, posts: tuple[float, float], trainings: Sequence[tuple[float, float]]) -> float:
    """Return the two-sided p of t, an estimate over the root of a sum of variances that are themselves estimated.

    posts, trainings: (variance, degrees of freedom) of each part. Satterthwaite's degrees of freedom for the sum (1946,
    Biometrics Bulletin 2:110-114) are too sure where one side of few seeds has most of the variance; the tails of posts
    and of all trainings together, mixed by their shares of the variance, are too strict elsewhere. The p is the mean of
    both, the mixture weighing 1 and Satterthwaite's one less than the trainings' degrees of freedom. At a level of 5 %
    it rejects 3.5 to 6.5 % with three seeds a side, 4.4 to 5.6 % with five, and with two 2 to 8 %, whatever the shares
    (Satterthwaite's alone up to 7.8, 5.8 and 13 %; 200,000 draws each).

    >>> round(student_tail(2.0, (1.0, 2), [(1.0, 2), (0.0, 2)]), 3), round(student_tail(2.0, (0.0, 9), [(1.0, 2)]), 3)
    (0.15, 0.184)
    >>> round(student_tail(2.0, (0.0, 9), [(1.0, 2), (1.0, 2)]), 3)  # Welch's, on four degrees of freedom
    0.116
    """
    parts, trained = [part for part in (posts, *trainings) if part[0] > 0], _pooled(trainings)
    whole = _pooled(parts)
    single = 2 * _student_sf(abs(t), whole[1])
    if not (trained[0] > 0 and posts[0] > 0):
        return single
    mixed = sum(variance / whole[0] * 2 * _student_sf(abs(t), freedom) for variance, freedom in (posts, trained))
    return float(single + (mixed - single) / max(trained[1], 1.0))


def student_reach(alpha: float, posts: tuple[float, float], trainings: Sequence[tuple[float, float]]) -> float:
    """Return the t whose `student_tail` is alpha: how many standard errors an interval reaches."""
    ends = [_student_isf(alpha / 2, freedom) for _, freedom in (posts, _pooled(trainings), (0.0, np.inf))]
    ends = min(ends) * (1 - 1e-9), max(ends) * (1 + 1e-9)  # rounding must not lose the sign at an end
    return float(optimize.brentq(lambda t: student_tail(t, posts, trainings) - alpha, *ends))


def _pooled(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the sum of variances and Satterthwaite's degrees of freedom of it; of nothing those of the normal law."""
    together = sum(variance for variance, _ in parts)
    weight = sum(variance**2 / freedom for variance, freedom in parts if variance > 0)
    return together, together**2 / weight if weight > 0 else np.inf


def _student_sf(t: float, freedom: float) -> float:
    """Return Student's upper tail, as `scipy.stats.t.sf` has it, which takes ten times as long over one number."""
    return float(special.ndtr(-t) if freedom == np.inf else special.stdtr(freedom, -t))


def _student_isf(tail: float, freedom: float) -> float:
    """Return what `scipy.stats.t.isf` has, which takes forty times as long over one number."""
    return float(-special.stdtrit(freedom, tail))


def _variance(defined: np.ndarray) -> float:
    return float(defined.var(ddof=1)) if len(defined) > 1 else 0.0


def _own(by_seed: np.ndarray) -> float:
    """Return what of the variance of a mean over trainings (S, 1 + resamples) each adds by itself with the posts.

    It is the mean variance of one less the mean covariance of two, over S.
    """
    draws = by_seed[:, 1:][:, ~np.isnan(by_seed[:, 1:]).any(axis=0)]
    if draws.shape[1] < 2 or len(draws) < 2:
        return 0.0
    each = draws.var(axis=1, ddof=1).mean()
    shared = (len(draws) * draws.mean(axis=0).var(ddof=1) - each) / (len(draws) - 1)
    return float(max(each - shared, 0.0)) / len(draws)


class RecipeDifference(NamedTuple):
    """a - b of two means over trainings, its interval and its p, and what its variance is made of.

    posts: the part of posts, on `deciding` groups' worth of degrees of freedom; training: that of each side's
    trainings; seeds: how many each side has.
    """

    delta: float
    lo: float
    hi: float
    p: float
    posts: float
    training: tuple[float, float]
    seeds: tuple[int, int]
    of_posts: float

    @property
    def se(self) -> float:
        """The standard error, posts and trainings drawn anew."""
        return math.sqrt(self.posts + sum(self.training))


def recipe_difference(
    a,
    b,
    left_out=None,
    *,
    alpha: float = 0.05,
    top: float = 1.0,
    own: tuple[tuple[float, float], tuple[float, float]] | None = None,
) -> RecipeDifference:
    """Return the difference of two recipes from draws (1 + resamples,) or (S, 1 + resamples) under the same resamples.

    A recipe is a way to train; with several trainings the question is what others of its trainings would differ by, and
    resamples of posts alone say too little: two equal recipes of three trainings each would differ "significantly" in
    14 to 59 % of test sets. The variance is that of the resampled difference of the means, less what each training
    moves by itself (`_own`), plus the variance of each side's values over its number; the interval and the two-sided p
    are Student's (`student_tail`) with S - 1 degrees of freedom of each side, and for the posts those of
    `value_interval` of the less certain side, left_out being the difference (blocks,) of both sides' `leave_out`.

    The interval stays within [-top, top]. own: each value's own interval; where a side's resamples cannot vary (all
    hits), or both sides always agree, the interval is Newcombe's hybrid of the two, and p follows from it. NaN when the
    difference or over half of its draws are undefined.

    >>> found = recipe_difference([0.6, 0.5, 0.6, 0.7], [0.5, 0.5, 0.5, 0.5])
    >>> round(found.lo, 3), round(found.hi, 3)
    (-0.107, 0.307)
    """
    a, b = (np.atleast_2d(np.asarray(side, dtype=np.float64)) for side in (a, b))
    sides = [Spread.of(side) for side in (a, b)]
    delta, defined = defined_draws(a.mean(axis=0) - b.mean(axis=0))
    training, seeds = (sides[0].training, sides[1].training), (sides[0].seeds, sides[1].seeds)
    if not len(defined):
        return RecipeDifference(delta, np.nan, np.nan, np.nan, np.nan, training, seeds, np.nan)
    posts = max(_variance(defined) - _own(a) - _own(b), 0.0)
    of_posts = _freedom(min(_posts(a.mean(axis=0)), _posts(b.mean(axis=0))), left_out)
    parts = (posts, of_posts), [(part, n - 1) for part, n in zip(training, seeds, strict=True)]
    error, quantile = math.sqrt(posts + sum(training)), student_reach(alpha, *parts)
    low, high = delta - quantile * error, delta + quantile * error
    if own is not None and not (error > 0 and all(side.posts > 0 for side in sides)):
        low, high = hybrid_difference(sides[0].value, own[0], sides[1].value, own[1])
        error = (delta - low if delta > 0 else high - delta) / quantile
    p = student_tail(delta / error, *parts) if error > 0 else np.nan
    return RecipeDifference(delta, max(low, -top), min(high, top), p, posts, training, seeds, of_posts)


def difference_interval(a, b, left_out=None, **about: Any) -> tuple[float, float]:
    """Return the interval of a - b, as `recipe_difference` has it.

    >>> [round(bound, 3) for bound in difference_interval([0.6, 0.5, 0.6, 0.7], [0.5, 0.5, 0.5, 0.5])]
    [-0.107, 0.307]
    """
    found = recipe_difference(a, b, left_out, **about)
    return found.lo, found.hi


def defined_draws(draws) -> tuple[float, np.ndarray]:
    """Return the sample's own value and the defined resamples, none where that value or over half are undefined."""
    draws = np.asarray(draws, dtype=np.float64)
    value, defined = float(draws[0]), draws[1:][~np.isnan(draws[1:])]
    enough = not np.isnan(value) and 2 * len(defined) > len(draws) - 1
    return value, defined if enough else defined[:0]


def _posts(draws: np.ndarray) -> float:
    """Return how many independent posts a share of this size and uncertainty would come from; infinite if certain."""
    value, defined = defined_draws(draws)
    return _worth(value * (1 - value), _variance(defined)) if 0 < value < 1 else np.inf


def _worth(most: float, variance: float) -> float:
    """Return how many independent posts, of which one varies by `most`, have a mean that varies so; infinite if not."""
    return most / variance if variance > 0 else np.inf


def _freedom(posts: float, left_out) -> float:
    """Return the degrees of freedom of a variance: those of so many posts, fewer where a few groups decide."""
    freedom = posts - 1 if left_out is None else min(posts - 1, 2 * deciding_groups(left_out))
    return max(float(freedom), 1.0)


def decided_by_few(left_out) -> bool:
    """Return whether a number hangs on fewer groups than an interval can be made of, where posts come in families.

    Where families are about equal what a nearly perfect model misses may decide too, and intervals cover that.
    """
    return deciding_groups(left_out) < ENOUGH_DECIDE


def deciding_groups(left_out) -> float:
    """Return on how many groups a number hangs, from its values without each block of them; infinite if on none.

    Of influences that n blocks share equally and the others lack it is n: (sum of squares)^2 / sum of fourth powers.

    >>> round(deciding_groups([0.5] * 198 + [0.4, 0.6]), 1)
    2.0
    """
    influence = np.asarray(left_out, dtype=np.float64)
    influence = influence[~np.isnan(influence)]
    influence = influence - influence.mean() if len(influence) else influence
    squares = float(np.sum(influence**2))
    return squares**2 / float(np.sum(influence**4)) if squares > 0 else np.inf


# ------------------------------------------------------------------------------------------------ shares


def wilson(successes: float, trials: float, alpha: float = 0.05, reach: float | None = None) -> tuple[float, float]:
    """Return Wilson's interval for a share of independent trials; NaN without trials.

    Source: Wilson 1927, JASA 22:209-212. It stays within [0, 1] and says something even for 0 successes. reach: of how
    many standard errors, where that is more than the normal law's, as the number of trials is itself uncertain.

    >>> [round(bound, 3) for bound in wilson(0, 10)]
    [0.0, 0.278]
    """
    if not trials > 0:
        return np.nan, np.nan
    z = stats.norm.isf(alpha / 2) if reach is None else reach
    share, spread = successes / trials, z**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    # at the ends the sum is exactly 0 or 1 but for rounding, which must not leave the share outside
    return 0.0 if share <= 0 else float(centre - half), 1.0 if share >= 1 else float(centre + half)
