"""What a classifier is worth where harm is rarer or more frequent than in the test set, and how frequent it is there.

Precision belongs to a classifier and a prevalence; recall and false positive rate (FPR) belong, as long as harmful and
harmless posts each look as they did (label shift), to the classifier alone. So with the prevalence pi

    precision = pi recall / (pi recall + (1 - pi) fpr),   alert rate = pi recall + (1 - pi) fpr,

at any pi. Intervals start from Wilson's for recall and FPR on their effective numbers of posts, so that groups of
near-duplicates and weights count for what they are worth (Korn and Graubard 1998; Kish 1965), and join the two by MOVER
(Donner and Zou 2012; Zou and Donner 2008), which needs no normality and stays defined when no harmless post is flagged.

How frequent harm is on posts that nobody labelled: from the share of flags (`estimate_from_flags`, BBSE of Lipton,
Wang and Smola 2018; for two classes the adjusted count of Forman 2008), or from probabilities
(`estimate_from_probabilities`, EM of Saerens, Latinne and Decaestecker 2002). Both assume label shift.
`label_shift_test` asks unlabelled posts whether that can be.

Open doubt: the interval of EM takes the probabilities for true. It covers where they hold, and not where calibration is
off; BBSE's does not rest on them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from workbench.metrics.classification import ratio
from workbench.metrics.intervals import group_codes, wilson

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
    """Return sum(part) / sum(whole) over groups with Wilson's interval on the effective number of posts.

    part, whole (groups,): weights of flagged and of all posts of one class by group. The effective number is that of
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
    value = float(part.sum() / total)
    kish = float(total**2 / np.sum(whole**2))
    spread = np.sum((part - value * whole) ** 2) / total**2 * groups / max(groups - 1, 1)
    effective = min(value * (1 - value) / spread, _MOST * kish) if 0 < value < 1 and groups > 1 and spread > 0 else kish
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


def estimate_from_flags(
    y, score, target, *, group=None, weight=None, target_group=None, alpha: float = 0.05
) -> Estimate:
    """Return the prevalence among target posts, from scores (m,) there and labelled posts y, score (n,) of a source.

    Black-box shift estimation for two classes: mean target score = pi * mean score of harmful + (1 - pi) * mean score
    of harmless source posts. Scores are flags (0 or 1) or probabilities; they need not hold. weight (n,): what a source
    post stands for, where they were sampled otherwise than the target. The interval is the delta method's with groups
    as units; the value is cut to [0, 1]. NaN where the scores tell the classes not apart at all.

    >>> y, flags = [1] * 100 + [0] * 100, [1] * 80 + [0] * 20 + [1] * 10 + [0] * 90
    >>> round(estimate_from_flags(y, flags, [1] * 24 + [0] * 76).value, 3)  # 0.24 = 0.2 * 0.8 + 0.8 * 0.1
    0.2
    """
    samples = _samples(np.asarray(y) > 0.5, score, target, group, weight, target_group)
    (r, r_variance), (f, f_variance), (q, q_variance) = (_mean(*sample) for sample in samples)
    if math.isnan(r + f + q) or r == f:
        return Estimate(math.nan, math.nan, math.nan)
    value = (q - f) / (r - f)
    error = math.sqrt(q_variance + (1 - value) ** 2 * f_variance + value**2 * r_variance) / abs(r - f)
    reach = stats.norm.isf(alpha / 2) * error
    return Estimate(*(float(np.clip(x, 0, 1)) for x in (value, value - reach, value + reach)))


def _samples(y, score, target, group, weight, target_group) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return scores, groups and weights of harmful, of harmless and of target posts; each is a group unless given."""
    score, target = np.asarray(score, dtype=np.float64), np.asarray(target, dtype=np.float64)
    group = np.arange(len(y)) if group is None else np.asarray(group)
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    target_group = np.arange(len(target)) if target_group is None else np.asarray(target_group)
    sides = [(score[side], group[side], weight[side]) for side in (y, ~y)]
    return [*sides, (target, target_group, np.ones(len(target)))]


def _mean(values: np.ndarray, group: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the weighted mean of values (n,) and its variance with groups as units; NaN without values."""
    if not weight.sum() > 0:
        return math.nan, math.nan
    codes, groups = group_codes(group)
    mean = float(np.average(values, weights=weight))
    off = np.bincount(codes, weights=weight * (values - mean))
    return mean, float(np.sum(off**2) * groups / max(groups - 1, 1) / weight.sum() ** 2)


def estimate_from_probabilities(prob, prevalence: float, *, group=None, alpha: float = 0.05) -> Estimate:
    """Return the prevalence among posts with probabilities (n,) that hold at another prevalence.

    The most likely one, where EM of Saerens et al. 2002 ends; the likelihood has one peak, so it is found by its slope.
    The interval takes the probabilities for true and groups as units (a sandwich). NaN without posts.

    >>> found = estimate_from_probabilities([0.9] * 30 + [0.1] * 70, 0.5)
    >>> round(found.value, 3)  # 30 % look harmful, as 0.9 * 0.25 + 0.1 * 0.75 of posts would
    0.25
    """
    _shares(prevalence=prevalence)
    prob = np.asarray(prob, dtype=np.float64)
    if not len(prob):
        return Estimate(math.nan, math.nan, math.nan)
    harmful, harmless = prob / prevalence, (1 - prob) / (1 - prevalence)  # up to a factor of each post's own
    slopes = lambda pi: (harmful - harmless) / np.maximum(pi * harmful + (1 - pi) * harmless, 1e-300)  # noqa: E731
    low, high = 1e-12, 1 - 1e-12
    if slopes(low).sum() <= 0 or slopes(high).sum() >= 0:
        value = low if slopes(low).sum() <= 0 else high
    else:
        value = optimize.brentq(lambda pi: slopes(pi).sum(), low, high, xtol=1e-12)
    each = slopes(value)
    codes, _ = group_codes(np.arange(len(prob)) if group is None else group)
    error = math.sqrt(np.sum(np.bincount(codes, weights=each) ** 2)) / max(np.sum(each**2), 1e-300)
    reach = stats.norm.isf(alpha / 2) * error
    return Estimate(float(value), float(max(value - reach, 0)), float(min(value + reach, 1)))


# ------------------------------------------------------------------------------------------- does the assumption hold


def label_shift_test(y, score, target, *, group=None, weight=None, target_group=None, bins: int = 8) -> float:
    """Return p of "target posts are a mixture of the source's harmful and harmless posts, in some proportion".

    y, score, weight (n,): labelled source posts; target (m,): scores of unlabelled posts. Under label shift the shares
    of target posts in bins of the score are pi * those of harmful + (1 - pi) * those of harmless source posts; the
    least chi-square over pi of the rest, with the covariance of all three between groups, has bins - 2 degrees of
    freedom where every bin is used. A small p says that something else has changed as well; a large one proves nothing.
    NaN where a class has fewer than 5 posts a bin.
    """
    y, score, target = np.asarray(y) > 0.5, np.asarray(score, dtype=np.float64), np.asarray(target, dtype=np.float64)
    # half of the edges from harmful posts, half from all: rare harm would leave its bins empty
    points = np.linspace(0, 1, bins // 2 + 1)[1:-1]
    edges = np.unique(np.r_[np.quantile(score[y], points), np.quantile(score, points)]) if y.any() else np.zeros(0)
    if not len(edges) or min(int(y.sum()), int((~y).sum()), len(target)) < 5 * (len(edges) + 1):
        return math.nan
    samples = _samples(y, score, target, group, weight, target_group)
    (h1, v1), (h0, v0), (ht, vt) = (_histogram(*sample, edges) for sample in samples)

    def chi_square(pi: float) -> float:
        off = (ht - pi * h1 - (1 - pi) * h0)[:-1]
        covariance = (vt + pi**2 * v1 + (1 - pi) ** 2 * v0)[:-1, :-1]
        return float(off @ np.linalg.pinv(covariance) @ off)

    optimum = optimize.minimize_scalar(chi_square, bounds=(0, 1), method="bounded")
    return float(stats.chi2.sf(optimum.fun, max(len(edges) - 1, 1)))


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
