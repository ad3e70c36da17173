"""What a classifier is worth where harm is rarer or more frequent than in the test set, and how frequent it is there.

Precision belongs to a classifier and a prevalence; recall and false positive rate (FPR) belong, as long as harmful and
harmless posts each look as they did (label shift), to the classifier alone. So with the prevalence pi

    precision = pi recall / (pi recall + (1 - pi) fpr),   alert rate = pi recall + (1 - pi) fpr,

at any pi. Intervals start from Wilson's for recall and FPR on their effective numbers of posts, so that groups of
near-duplicates and weights count for what they are worth (Korn and Graubard 1998; Kish 1965), and join the two by MOVER
(Donner and Zou 2012; Zou and Donner 2008), which needs no normality and stays defined when no harmless post is flagged.

How frequent harm is on posts that nobody labelled: from the share of flags (`estimate_from_flags`, BBSE of Lipton,
Wang and Smola 2018; for two classes the adjusted count of Forman 2008), or from probabilities
(`estimate_from_probabilities`, EM of Saerens, Latinne and Decaestecker 2002). Both assume label shift, from the posts
that the labelled ones stand for by their weights. `label_shift_test` asks unlabelled posts whether that can be.

Weights that differ among posts with the same label (`drawn_by_label`) say that a sample was drawn by more than the
label: by component, by score. Between sample and site it is then more than the shares that differ, so nothing that is
unweighted may be carried over by a ratio of shares.

Open doubts: the interval of EM takes the probabilities for true. It covers where they hold, and not where calibration
is off; BBSE's does not rest on them. A kind of harm so rare and heavy that the labelled posts have none of it is in no
interval.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from workbench.metrics.classification import ratio
from workbench.metrics.intervals import group_codes, wilson
from workbench.metrics.shares import fay_feuer, few_groups, kish, uneven

_MOST = 10  # effective posts per group at most: groups that differ by design would else be worth any number


class Estimate(NamedTuple):
    """A value with its interval, NaN where undefined."""

    value: float
    lo: float
    hi: float


# ------------------------------------------------------------------------------------------------- plain arithmetic


def precision_at(prevalence, recall, fpr):
    """Return the share of flagged posts that are harmful at a prevalence, NaN where nothing is flagged.

    Bayes' rule with recall and FPR as they were measured (label shift); arrays broadcast.

    >>> precision_at(np.array([0.5, 0.01, 0.001]), 0.623, 0.052).round(3)  # Llama Guard 3 Vision as published
    array([0.923, 0.108, 0.012])
    """
    prevalence = np.asarray(prevalence, dtype=np.float64)
    return ratio(prevalence * recall, alert_rate(prevalence, recall, fpr))


def alert_rate(prevalence, recall, fpr):
    """Return the share of all posts that are flagged at a prevalence; arrays broadcast.

    >>> round(float(alert_rate(0.01, 0.5, 0.02)), 4)  # 0.005 rightly, 0.0198 wrongly
    0.0248
    """
    prevalence = np.asarray(prevalence, dtype=np.float64)
    return prevalence * recall + (1 - prevalence) * np.asarray(fpr, dtype=np.float64)


def needed_fpr(precision: float, prevalence: float, recall: float) -> float:
    """Return the largest FPR with which flags are right as often as wanted.

    >>> round(needed_fpr(0.9, prevalence=0.001, recall=0.6), 7)  # 6 of 100,000 are right, so 0.67 may be wrong
    6.67e-05
    """
    _shares(precision=precision, prevalence=prevalence, recall=recall)
    return recall * prevalence / (1 - prevalence) * (1 - precision) / precision


def needed_negatives(fpr: float, *, alarms: int = 0, alpha: float = 0.05) -> int:
    """Return how many harmless posts must be seen, `alarms` of them flagged, to show an FPR below `fpr`.

    The one-sided exact limit (Clopper and Pearson 1934) is then at most `fpr`, with confidence 1 - alpha. Without an
    alarm this is nearly 3 / fpr, the rule of three (Hanley and Lippman-Hand 1983).

    >>> needed_negatives(0.01), needed_negatives(0.01, alarms=1)
    (299, 473)
    """
    _shares(fpr=fpr, alpha=alpha)
    # so many posts must pass that one alarm more would almost surely have come: a negative binomial law
    return int(stats.nbinom.isf(alpha, alarms + 1, fpr)) + alarms + 1


def importance_weights(y, source: float, target: float) -> np.ndarray:
    """Return weights (n,) that make posts y (n,) drawn at one prevalence stand for posts at another; their mean is 1.

    What a model trained or measured with them sees is the other prevalence (label shift; Saerens et al. 2002).

    >>> importance_weights([1, 0], source=0.5, target=0.1)
    array([0.2, 1.8])
    """
    _shares(source=source, target=target)
    return np.where(np.asarray(y) > 0.5, target / source, (1 - target) / (1 - source))


def _shares(**given: float) -> None:
    for name, value in given.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} must be above 0 and below 1, not {value:g}")


# --------------------------------------------------------------------------------------------- recall, FPR and beyond


def share(part, whole, alpha: float = 0.05) -> Estimate:
    """Return sum(part) / sum(whole) over groups with its interval.

    part, whole (groups,): weights of flagged and of all posts of one class by group. Where most posts lie in a few
    groups the interval is `shares.fay_feuer`'s, else Wilson's on the effective number of posts. That is the number of
    independent posts whose share would vary as much as this one does between groups; where all or none are flagged,
    which tells nothing of that, it is Kish's (sum whole)^2 / sum whole^2.

    >>> [round(x, 2) for x in share([1, 0] * 10, [1] * 20)]
    [0.5, 0.29, 0.71]
    """
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    part, whole = part[whole > 0], whole[whole > 0]
    total, groups = whole.sum(), len(whole)
    if not total > 0:
        return Estimate(math.nan, math.nan, math.nan)
    value, equal = float(part.sum() / total), kish(whole)
    if uneven(whole):
        return Estimate(value, *fay_feuer(part, whole, alpha))
    spread = np.sum((part - value * whole) ** 2) / total**2 * groups / max(groups - 1, 1)
    varies = 0 < value < 1 and groups > 1 and spread > 0
    effective = min(value * (1 - value) / spread, _MOST * equal) if varies else equal
    return Estimate(value, *wilson(value * effective, effective, alpha))


def precision_interval(prevalence: float, recall: Estimate, fpr: Estimate) -> Estimate:
    """Return precision at a prevalence with its interval; recall and FPR rest on different posts, so are independent.

    The odds of precision are those of the prevalence times recall / FPR, whose interval is MOVER's for a ratio.

    >>> found = precision_interval(0.01, Estimate(0.6, 0.5, 0.7), Estimate(0.0, 0.0, 0.003))
    >>> [round(x, 2) for x in found]  # no false alarm was seen, which does not prove that there is none
    [1.0, 0.67, 1.0]
    """
    if not recall.value + fpr.value > 0:
        return Estimate(math.nan, math.nan, math.nan)
    odds = prevalence / (1 - prevalence)
    low, high = _ratio_interval(recall, fpr)
    of = lambda ratio: 1.0 if math.isinf(ratio) else odds * ratio / (1 + odds * ratio)  # noqa: E731
    return Estimate(float(precision_at(prevalence, recall.value, fpr.value)), of(low), of(high))


def _ratio_interval(a: Estimate, b: Estimate) -> tuple[float, float]:
    """Return MOVER's interval of a / b (Donner and Zou 2012, eq. 9), infinite where b may be 0."""
    product, top, bottom = a.value * b.value, a.lo * (2 * a.value - a.lo), b.hi * (2 * b.value - b.hi)
    low = (product - math.sqrt(max(product**2 - top * bottom, 0))) / bottom if bottom else 0.0
    if not bottom and product:
        low = top / (2 * product)
    top, bottom = a.hi * (2 * a.value - a.hi), b.lo * (2 * b.value - b.lo)
    high = (product + math.sqrt(max(product**2 - top * bottom, 0))) / bottom if bottom > 0 else math.inf
    return max(low, 0.0), high


def alert_interval(prevalence: float, recall: Estimate, fpr: Estimate) -> Estimate:
    """Return the share of all posts that are flagged at a prevalence with its interval, MOVER's for a sum.

    >>> found = alert_interval(0.5, Estimate(0.6, 0.5, 0.7), Estimate(0.0, 0.0, 0.04))
    >>> [round(x, 3) for x in found]
    [0.3, 0.25, 0.354]
    """
    parts = [(prevalence, recall), (1 - prevalence, fpr)]
    value = sum(weight * rate.value for weight, rate in parts)
    low = math.sqrt(sum((weight * (rate.value - rate.lo)) ** 2 for weight, rate in parts))
    high = math.sqrt(sum((weight * (rate.hi - rate.value)) ** 2 for weight, rate in parts))
    return Estimate(value, max(value - low, 0.0), min(value + high, 1.0))


# ------------------------------------------------------------------------------ how frequent harm is where none is told


def drawn_by_label(y, weight) -> bool:
    """Return whether weights (n,) are a function of y (n,) alone, to within a hundredth: so is a sample of equal ones.

    Then sample and site differ by label shift, and a ratio of shares leads from one to the other.

    >>> drawn_by_label([1, 1, 0, 0], [1, 1, 9, 9]), drawn_by_label([1, 1, 0, 0], [1, 9, 9, 9])
    (True, False)
    """
    y, weight = np.asarray(y) > 0.5, np.asarray(weight, dtype=np.float64)
    sides = [side for side in (weight[y], weight[~y]) if len(side)]
    return all(np.ptp(side) <= 0.01 * side.mean() for side in sides)


def rests_on_few(weight, group) -> bool:
    """Return whether weights (n,) of harmful posts in groups (n,) say that a few decide (`shares.few_groups`).

    Another sample could have had none of these, or twice as many.

    >>> rests_on_few([1.0] * 30, range(30)), rests_on_few([0.1] * 100 + [1.0] * 3, range(103))
    (False, True)
    """
    return few_groups(_by_group(np.asarray(weight, dtype=np.float64), group))


def estimate_from_flags(
    y, score, target, *, group=None, weight=None, target_group=None, alpha: float = 0.05
) -> Estimate:
    """Return the prevalence among target posts, from scores (m,) there and labelled posts y, score (n,) of a source.

    Black-box shift estimation for two classes: mean target score = pi * mean score of harmful + (1 - pi) * mean score
    of harmless source posts. Scores are flags (0 or 1) or probabilities; they need not hold. weight (n,): what a source
    post stands for, where they were sampled otherwise than the target. The value is cut to [0, 1]. The interval holds
    every pi with which MOVER's interval of the difference of the two sides reaches 0, each of the three means having
    that of a `share`, with groups as units: Fieller's idea, and no normality where flags are few. NaN where the scores
    tell the classes not apart at all, or no pi explains the target.

    >>> y, flags = [1] * 100 + [0] * 100, [1] * 80 + [0] * 20 + [1] * 10 + [0] * 90
    >>> round(estimate_from_flags(y, flags, [1] * 24 + [0] * 76).value, 3)  # 0.24 = 0.2 * 0.8 + 0.8 * 0.1
    0.2
    """
    samples = _samples(np.asarray(y) > 0.5, score, target, group, weight, target_group)
    r, f, q = (_rate(*sample, alpha) for sample in samples)
    if math.isnan(r.value + f.value + q.value) or r.value == f.value:
        return Estimate(math.nan, math.nan, math.nan)
    if r.value < f.value:  # scores that fall with harm: their complements rise
        r, f, q = (Estimate(1 - x.value, 1 - x.hi, 1 - x.lo) for x in (r, f, q))

    def reach(pi: float, side: int) -> float:
        """The lower (side -1) or upper (1) limit of what pi leaves unexplained of the target's mean."""
        off = q.value - pi * r.value - (1 - pi) * f.value
        ends = (
            (q.hi - q.value, r.value - r.lo, f.value - f.lo)
            if side > 0
            else (q.value - q.lo, r.hi - r.value, f.hi - f.value)
        )
        return off + side * math.hypot(ends[0], pi * ends[1], (1 - pi) * ends[2])

    if reach(1.0, -1) > 0 or reach(0.0, 1) < 0:
        return Estimate(math.nan, math.nan, math.nan)
    # the lower limit is concave in pi and the upper one convex, so each crosses 0 once
    low = optimize.brentq(reach, 0, 1, args=(-1,)) if reach(0.0, -1) > 0 else 0.0
    high = optimize.brentq(reach, 0, 1, args=(1,)) if reach(1.0, 1) < 0 else 1.0
    return Estimate(float(np.clip((q.value - f.value) / (r.value - f.value), 0, 1)), low, high)


def _samples(y, score, target, group, weight, target_group) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return scores, groups and weights of harmful, of harmless and of target posts; each is a group unless given."""
    score, target = np.asarray(score, dtype=np.float64), np.asarray(target, dtype=np.float64)
    group = np.arange(len(y)) if group is None else np.asarray(group)
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    target_group = np.arange(len(target)) if target_group is None else np.asarray(target_group)
    sides = [(score[side], group[side], weight[side]) for side in (y, ~y)]
    return [*sides, (target, target_group, np.ones(len(target)))]


def _rate(values: np.ndarray, group: np.ndarray, weight: np.ndarray, alpha: float) -> Estimate:
    """Return the weighted mean of values (n,) in [0, 1] as the `share` of weight that they flag."""
    codes, _ = group_codes(group)
    return share(np.bincount(codes, weights=weight * values), np.bincount(codes, weights=weight), alpha)


def estimate_from_probabilities(
    target, source, *, weight=None, group=None, target_group=None, alpha: float = 0.05
) -> Estimate:
    """Return the prevalence among target posts with probabilities (m,) that hold for source posts (n,) by their weight.

    The most likely one, where EM of Saerens et al. 2002 ends, starting from the source's weighted mean probability: the
    ratios of the two classes' densities then add up as densities do. The likelihood has one peak, so it is found by its
    slope. The interval holds every prevalence whose slope is not sure to differ from 0, by its sandwich variance at the
    value with groups as units, and Student's t with the degrees of freedom of those that decide (Satterthwaite 1946).
    It knows that the source's mean is estimated and takes the probabilities for true. NaN without posts.

    >>> found = estimate_from_probabilities([0.9] * 30 + [0.1] * 70, [0.9] * 50 + [0.1] * 50)
    >>> round(found.value, 3)  # 30 % look harmful, as 0.9 * 0.25 + 0.1 * 0.75 of posts would
    0.25
    """
    target, source = np.asarray(target, dtype=np.float64), np.asarray(source, dtype=np.float64)
    weight = np.ones(len(source)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not len(target) or not weight.sum() > 0 or not 0 < np.average(source, weights=weight) < 1:
        return Estimate(math.nan, math.nan, math.nan)
    base = float(np.average(source, weights=weight))
    of_source = _by_group(weight * (source - base) / weight.sum(), group)

    def slopes(pi: float, at: float = base) -> np.ndarray:
        harmful, harmless = target / at, (1 - target) / (1 - at)  # up to a factor of each post's own
        return (harmful - harmless) / np.maximum(pi * harmful + (1 - pi) * harmless, 1e-300)

    low, high = 1e-12, 1 - 1e-12
    if slopes(low).sum() <= 0 or slopes(high).sum() >= 0:
        value = low if slopes(low).sum() <= 0 else high
    else:
        value = optimize.brentq(lambda pi: slopes(pi).sum(), low, high, xtol=1e-12)
    each, step = slopes(value), 1e-4 * min(base, 1 - base)
    turn = (slopes(value, base + step).mean() - slopes(value, base - step).mean()) / (2 * step)
    parts = np.r_[_by_group((each - each.mean()) / len(each), target_group), turn * of_source] ** 2
    freedom = max(parts.sum() ** 2 / np.sum(parts**2), 1.0) if parts.sum() > 0 else 1.0
    reach = stats.t.isf(alpha / 2, freedom) * math.sqrt(parts.sum())

    def end(bound: float, most: float) -> float:
        """Where the mean slope, which falls in pi, is `most`, or the bound where it never is."""
        beyond = lambda pi: slopes(pi).mean() - most  # noqa: E731
        return bound if value == bound or beyond(bound) * beyond(value) >= 0 else optimize.brentq(beyond, value, bound)

    return Estimate(float(value), float(end(low, reach)), float(end(high, -reach)))


def _by_group(values: np.ndarray, group) -> np.ndarray:
    """Return the sums of values (n,) by group; each is its own unless given."""
    return values if group is None else np.bincount(group_codes(group)[0], weights=values)


# ------------------------------------------------------------------------------------------- does the assumption hold


def label_shift_test(y, score, target, *, group=None, weight=None, target_group=None, bins: int = 8) -> float:
    """Return p of "target posts are a mixture of the source's harmful and harmless posts, in some proportion".

    y, score, weight (n,): labelled source posts; target (m,): scores of unlabelled posts. Under label shift the shares
    of target posts in bins of the score are pi * those of harmful + (1 - pi) * those of harmless source posts; the
    least chi-square over pi of the rest, with the covariance of all three between groups, has bins - 2 degrees of
    freedom where every bin is used. The covariance is estimated, so it is held against Hotelling's law (1931) with as
    many posts as those of the rarest side are worth (Kish). There are fewer bins where that is under 5 a bin, and p is
    NaN where not even four are filled. A small p says that something else has changed as well; a large one proves
    nothing.
    """
    y, score, target = np.asarray(y) > 0.5, np.asarray(score, dtype=np.float64), np.asarray(target, dtype=np.float64)
    mass = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    worth = min(kish(mass[y]), kish(mass[~y]), len(target))
    # half of the edges from harmful posts, half from all: rare harm would leave its bins empty
    points = np.linspace(0, 1, min(bins, int(worth // 5)) // 2 + 1)[1:-1]
    edges = np.unique(np.r_[np.quantile(score[y], points), np.quantile(score, points)]) if worth else np.zeros(0)
    if len(edges) < 2:
        return math.nan
    samples = _samples(y, score, target, group, weight, target_group)
    (h1, v1), (h0, v0), (ht, vt) = (_histogram(*sample, edges) for sample in samples)

    def chi_square(pi: float) -> float:
        off = (ht - pi * h1 - (1 - pi) * h0)[:-1]
        covariance = (vt + pi**2 * v1 + (1 - pi) ** 2 * v0)[:-1, :-1]
        return float(off @ np.linalg.pinv(covariance) @ off)

    optimum = optimize.minimize_scalar(chi_square, bounds=(0, 1), method="bounded")
    of, rest = len(edges) - 1, worth - len(edges) + 1
    return float(stats.f.sf(optimum.fun * rest / (of * (worth - 1)), of, rest))


def _histogram(
    score: np.ndarray, group: np.ndarray, weight: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of posts (bins,) between edges and their covariance (bins, bins), groups being the units."""
    cell, bins = np.searchsorted(edges, score, side="right"), len(edges) + 1
    codes, groups = group_codes(group)
    counts = np.bincount(codes * bins + cell, weights=weight, minlength=groups * bins).reshape(groups, -1)
    shares = counts.sum(axis=0) / weight.sum()
    off = counts - counts.sum(axis=1, keepdims=True) * shares
    return shares, off.T @ off * groups / max(groups - 1, 1) / weight.sum() ** 2
