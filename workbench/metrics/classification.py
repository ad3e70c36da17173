"""How good scores are at telling harmful posts from the rest: curves, areas, and counts at one threshold.

Every function takes `y (n,)` with 1 = harmful, `score (n,)` where higher means more harmful, and two optional masks of
shape (n,): `weight` (0 or more; 2 counts a post twice) and `known` (False = nobody knows the label, so the post is left
out). A post is flagged where score >= threshold. What is undefined (recall without a harmful post, precision when
nothing is flagged) is NaN, never 0, and never a warning. The arrangement (one counting kernel, thin functions over it)
follows scikit-learn's `sklearn/metrics/_ranking.py`, and where both are defined the numbers agree with it.

Open doubt: F1 without any harmful post is NaN here and 0 in scikit-learn; its recall does not exist, and a 0 would
blame the model for the sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

SLACK = 1e-12  # rates are quotients of sums of weights: a limit is met when it is met up to rounding


def select(y, score, weight, known) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y as bool, score and weight as float64, of the posts that count; raise ValueError on unusable values."""
    y, score = np.asarray(y), np.asarray(score, dtype=np.float64)
    weight = np.ones(y.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    known = np.ones(y.shape, dtype=bool) if known is None else np.asarray(known, dtype=bool)
    if y.ndim != 1 or not y.shape == score.shape == weight.shape == known.shape:
        shapes = f"{y.shape}, {score.shape}, {weight.shape} and {known.shape}"
        raise ValueError(f"y, score, weight and known must be one-dimensional and equally long, not {shapes}")
    if not np.all(weight >= 0):
        raise ValueError("weight must be 0 or more; it holds a negative number or NaN")
    keep = known & (weight > 0)
    y, score, weight = y[keep], score[keep], weight[keep]
    if np.isnan(score).any():
        raise ValueError(f"score is NaN for {np.isnan(score).sum()} of {len(score)} posts; fill or mask them first")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("y must be 0 or 1 wherever it is known")
    return y.astype(bool), score, weight


def ratio(part, whole):
    """Return part / whole, NaN where the whole is 0 or NaN."""
    whole = np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)[()]


# ------------------------------------------------------------------------------------------- the kernel and its curves


def counts_at_thresholds(y, score, *, weight=None, known=None):
    """Return what is caught at every threshold worth trying: `tp, fp, thresholds, positives, negatives`.

    thresholds (k,) are the distinct scores, highest first; tp (k,) and fp (k,) are the weights of harmful and of other
    posts with score >= thresholds[i]; positives and negatives are the totals. Raises ValueError for NaN scores.

    >>> counts_at_thresholds([1, 0, 1], [0.9, 0.5, 0.5])
    (array([1., 2.]), array([0., 1.]), array([0.9, 0.5]), 2.0, 1.0)
    """
    y, score, weight = select(y, score, weight, known)
    order = np.argsort(-score, kind="stable")
    y, score, weight = y[order], score[order], weight[order]
    # equal scores cross the threshold together, so only the last post of each block of ties is a point of the curve
    last = np.flatnonzero(np.r_[score[1:] != score[:-1], True]) if len(score) else np.zeros(0, dtype=int)
    tp, fp = np.cumsum(weight * y)[last], np.cumsum(weight * ~y)[last]
    return tp, fp, score[last], float(weight[y].sum()), float(weight[~y].sum())


def precision_recall_curve(y, score, *, weight=None, known=None):
    """Return `precision (k + 1,), recall (k + 1,), thresholds (k,)`, thresholds rising, ended by the point (1, 0).

    The order is that of scikit-learn's function of this name. Recall is NaN when there are no positives.

    >>> precision_recall_curve([1, 0], [0.8, 0.3])
    (array([0.5, 1. , 1. ]), array([1., 1., 0.]), array([0.3, 0.8]))
    """
    tp, fp, thresholds, positives, _ = counts_at_thresholds(y, score, weight=weight, known=known)
    precision, recall = ratio(tp, tp + fp), ratio(tp, np.full(len(tp), positives))
    return np.r_[precision[::-1], 1.0], np.r_[recall[::-1], 0.0], thresholds[::-1]


class Curve:
    """What is caught down a ranked list under each of many weightings; each metric is a method -> (draws,).

    The list is cut into segments that each end with a block of tied scores holding a positive, for only there can
    recall grow. gained, passed (segments, draws): the weight of positives and of negatives; tied: called for the weight
    (segments, draws) of negatives tied with positives, which few metrics need; negatives (draws,) or a number: all.
    """

    def __init__(self, gained: np.ndarray, passed: np.ndarray, tied: Callable[[], np.ndarray], negatives) -> None:
        self.gained, self.passed, self._tied = gained, passed, tied
        self.negatives = np.broadcast_to(np.asarray(negatives, dtype=np.float64), gained.shape[1:])

    @classmethod
    def of(cls, y, score, *, weight=None, known=None) -> Curve:
        """Return the curve of one list under its own weights: one draw."""
        y, score, weight = select(y, score, weight, known)
        order = np.argsort(-score, kind="stable")
        y, weight = y[order], weight[order]
        segment, tied, segments = cut(y, score[order])

        def total(rows: np.ndarray) -> np.ndarray:
            sums = np.bincount(segment[rows], weights=weight[rows], minlength=segments)
            return sums[:segments, None].astype(np.float64)  # without a row they are integers

        return cls(total(y), total(~y), lambda: total(tied), weight[~y].sum())

    @cached_property
    def tied(self) -> np.ndarray:
        """The weight of negatives tied with positives (segments, draws)."""
        return self._tied()

    @cached_property
    def caught(self) -> np.ndarray:
        """The weight of positives down to each segment's end (segments, draws)."""
        return np.cumsum(self.gained, axis=0)

    @cached_property
    def alarms(self) -> np.ndarray:
        """The weight of negatives down to each segment's end (segments, draws)."""
        return np.cumsum(self.passed, axis=0)

    @cached_property
    def positives(self) -> np.ndarray:
        """The weight of all positives (draws,)."""
        return self.caught[-1] if len(self.caught) else np.zeros(self.gained.shape[1])

    @cached_property
    def precision(self) -> np.ndarray:
        """The precision at each segment's end (segments, draws), 0 where nothing is flagged."""
        flagged = self.alarms + self.caught
        return np.divide(self.caught, flagged, out=flagged, where=flagged > 0)  # where nothing is flagged it is 0

    def average_precision(self) -> np.ndarray:
        """Return the mean of the precision at each harmful post's own rank, in [0, 1]; NaN without positives.

        No interpolation: sum of (recall_i - recall_{i-1}) * precision_i. Tied posts share the precision at their
        block's end. Random scores give the prevalence.

        >>> Curve.of([1, 0, 1], [0.9, 0.5, 0.1]).average_precision()  # (1/1 + 2/3) / 2
        array([0.83333333])
        """
        return ratio(np.einsum("sd,sd->d", self.gained, self.precision), self.positives)

    def roc_auc(self) -> np.ndarray:
        """Return the chance that a harmful post outscores another one, ties half; NaN unless both classes exist.

        >>> Curve.of([1, 0, 0], [0.5, 0.5, 0.1]).roc_auc()  # one tie and one win of two pairs
        array([0.75])
        """
        lost = np.einsum("sd,sd->d", self.gained, self.alarms - self.tied / 2)
        pairs = self.positives * self.negatives
        return ratio(pairs - lost, pairs)

    def partial_roc_auc(self, *, fpr: float) -> np.ndarray:
        """Return the area under the ROC curve left of a false positive rate, 0.5 for chance and 1 for the best.

        The curve is straight across ties. Scale: McClish 1989, Medical Decision Making 9:190-195, as in scikit-learn's
        `max_fpr`. NaN unless both classes exist.

        >>> Curve.of([1, 0, 0], [0.9, 0.5, 0.1]).partial_roc_auc(fpr=0.5)
        array([1.])
        """
        limit = fpr * self.negatives
        above = self.caught - self.gained  # at the start of each segment
        start, end = self.alarms - self.passed, self.alarms
        bend = end - self.tied  # level up to here, then straight up to the segment's end
        level = np.clip(limit - start, 0, bend - start)
        slope = np.clip(limit - bend, 0, self.tied)
        rise = np.divide(slope**2, 2 * self.tied, out=np.zeros_like(slope), where=self.tied > 0)
        area = np.einsum("sd,sd->d", above, level + slope) + np.einsum("sd,sd->d", self.gained, rise)
        if len(end):
            area += self.positives * np.maximum(limit - end[-1], 0)
        share = ratio(area, self.positives * self.negatives)
        return 0.5 * (1 + (share - fpr**2 / 2) / (fpr - fpr**2 / 2))

    def precision_at_recall(self, *, recall: float) -> np.ndarray:
        """Return the largest precision among thresholds whose recall is at least `recall`; NaN without positives.

        >>> curve = Curve.of([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        >>> curve.precision_at_recall(recall=1.0)  # both are caught, with one false alarm
        array([0.66666667])
        """
        enough = self.caught >= recall * self.positives * (1 - SLACK)
        best = np.where(enough, self.precision, 0.0).max(axis=0, initial=0.0)
        return np.where(self.positives > 0, best, np.nan)

    def recall_at_fpr(self, *, fpr: float) -> np.ndarray:
        """Return the largest recall with a false positive rate of at most `fpr`; NaN unless both classes exist.

        >>> curve = Curve.of([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        >>> curve.recall_at_fpr(fpr=0.0)  # the second harmful post lies under a false alarm
        array([0.5])
        """
        allowed = self.alarms <= fpr * self.negatives + SLACK * self.negatives
        most = np.where(allowed, self.caught, 0.0).max(axis=0, initial=0.0)
        return np.where(self.negatives > 0, ratio(most, self.positives), np.nan)


def cut(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return each post's segment (n,) of a list sorted by score, which negatives (n,) tie with positives, and how many.

    Posts below the last positive get the number of segments: they gain nothing.
    """
    block = np.cumsum(np.r_[True, score[1:] != score[:-1]]) if len(score) else np.zeros(0, dtype=int)
    ends = np.unique(block[y])  # blocks of ties that hold a positive; each ends a segment
    return np.searchsorted(ends, block), ~y & np.isin(block, ends), len(ends)


def average_precision(y, score, *, weight=None, known=None) -> float:
    """Return `Curve.average_precision` of one list.

    >>> average_precision([1, 0, 1], [0.9, 0.5, 0.1])  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    return float(Curve.of(y, score, weight=weight, known=known).average_precision()[0])


# -------------------------------------------------------------------------------------------------- at one threshold


@dataclass(frozen=True)
class Confusion:
    """Weights of posts by truth and flag; each field a number or an array, so that resamples are computed at once."""

    tn: float | np.ndarray
    fp: float | np.ndarray
    fn: float | np.ndarray
    tp: float | np.ndarray

    @property
    def precision(self):
        """The share of flagged posts that are harmful; NaN when nothing is flagged.

        >>> Confusion(tn=0, fp=1, fn=1, tp=1).precision
        np.float64(0.5)
        """
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self):
        """The share of harmful posts that are flagged; NaN without harmful posts.

        >>> round(Confusion(tn=0, fp=0, fn=1, tp=2).recall, 3)
        np.float64(0.667)
        """
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self):
        """The harmonic mean of precision and recall; 0 when harmful posts exist and none is caught, NaN without any.

        >>> Confusion(tn=0, fp=1, fn=1, tp=1).f1  # precision 1/2, recall 1/2
        np.float64(0.5)
        """
        positives = self.tp + self.fn
        return ratio(2 * self.tp, np.where(positives > 0, positives + self.tp + self.fp, 0.0))

    @property
    def f1_macro(self):
        """The mean of the F1 of the harmful class and the F1 of the other class; NaN unless both classes exist.

        >>> Confusion(tn=1, fp=1, fn=1, tp=1).f1_macro  # each class: precision 1/2, recall 1/2
        np.float64(0.5)
        """
        return (self.f1 + Confusion(tn=self.tp, fp=self.fn, fn=self.fp, tp=self.tn).f1) / 2

    @property
    def accuracy(self):
        """The share of posts that are flagged rightly or passed rightly; NaN without posts.

        At 1 % prevalence flagging nothing scores 0.99.

        >>> Confusion(tn=1, fp=1, fn=1, tp=1).accuracy
        np.float64(0.5)
        """
        return ratio(self.tp + self.tn, self.tp + self.tn + self.fp + self.fn)

    @property
    def error_rate(self):
        """The share of posts that are flagged or passed wrongly; NaN without posts."""
        return 1 - self.accuracy

    @property
    def false_positive_rate(self):
        """The share of harmless posts that are flagged; NaN without harmless posts.

        >>> Confusion(tn=3, fp=1, fn=0, tp=1).false_positive_rate
        np.float64(0.25)
        """
        return ratio(self.fp, self.fp + self.tn)

    @property
    def true_negative_rate(self):
        """The share of harmless posts that pass; NaN without harmless posts.

        >>> Confusion(tn=3, fp=1, fn=0, tp=1).true_negative_rate
        np.float64(0.75)
        """
        return ratio(self.tn, self.fp + self.tn)


def confusion(y, score, *, threshold: float, weight=None, known=None) -> Confusion:
    """Return the counts at one threshold (score >= threshold is flagged); all NaN when the threshold is NaN.

    >>> confusion([1, 0, 1], [0.9, 0.5, 0.4], threshold=0.5)
    Confusion(tn=0.0, fp=1.0, fn=1.0, tp=1.0)
    """
    y, score, weight = select(y, score, weight, known)
    if np.isnan(threshold):
        return Confusion(np.nan, np.nan, np.nan, np.nan)
    cells = np.bincount(2 * y + (score >= threshold), weights=weight, minlength=4)
    return Confusion(*cells.tolist())


# ------------------------------------------------------------------------------------------- scores read as probability


def probabilities(y, score, weight, known):
    """Return the selected y, probability and weight; raise ValueError for scores outside [0, 1]."""
    y, prob, weight = select(y, score, weight, known)
    if prob.size and not (prob.min() >= 0 and prob.max() <= 1):
        raise ValueError(f"scores must be probabilities in [0, 1], not {prob.min():g} to {prob.max():g}")
    return y, prob, weight


def log_losses(y: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Return -log(probability given to what was true) of each post, in nats; y and prob are (n,), or prob (S, n).

    y may be a soft label, the share of yes. Probabilities are kept 2.2e-16 away from 0 and 1, as in scikit-learn, so
    that one certain error is not infinite.

    >>> log_losses(np.array([True]), np.array([0.5])).round(4)  # log 2
    array([0.6931])
    """
    eps = np.finfo(np.float64).eps
    prob = np.clip(prob, eps, 1 - eps)
    return -(y * np.log(prob) + (1 - y) * np.log(1 - prob))


def squared_errors(y: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Return the squared difference between probability and truth of each post (n,), whose mean is Brier's score.

    >>> squared_errors(np.array([True, False]), np.array([0.5, 0.0]))
    array([0.25, 0.  ])
    """
    return (prob - y) ** 2
