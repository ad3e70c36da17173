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

from dataclasses import dataclass

import numpy as np

SLACK = 1e-12  # rates are quotients of sums of weights: a limit is met when it is met up to rounding


def _select(y, score, weight, known) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    y, score, weight = _select(y, score, weight, known)
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


def roc_curve(y, score, *, weight=None, known=None):
    """Return `fpr (k + 1,), tpr (k + 1,), thresholds (k + 1,)`, thresholds falling from infinity (nothing is flagged).

    No point is dropped (scikit-learn's `drop_intermediate=False`). A rate whose class is absent is NaN.

    >>> roc_curve([1, 0], [0.8, 0.3])
    (array([0., 0., 1.]), array([0., 1., 1.]), array([inf, 0.8, 0.3]))
    """
    tp, fp, thresholds, positives, negatives = counts_at_thresholds(y, score, weight=weight, known=known)
    tp, fp = np.r_[0.0, tp], np.r_[0.0, fp]
    return ratio(fp, np.full(len(fp), negatives)), ratio(tp, np.full(len(tp), positives)), np.r_[np.inf, thresholds]


def average_precision(y, score, *, weight=None, known=None) -> float:
    """Return the mean of the precision at each harmful post's own rank, in [0, 1]; NaN without positives.

    No interpolation: sum of (recall_i - recall_{i-1}) * precision_i. Tied posts share the precision at their block's
    end. Random scores give the prevalence.

    >>> average_precision([1, 0, 1], [0.9, 0.5, 0.1])  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    tp, fp, _, positives, _ = counts_at_thresholds(y, score, weight=weight, known=known)
    return float(np.sum(np.diff(tp, prepend=0.0) * ratio(tp, tp + fp)) / positives) if positives > 0 else np.nan


def roc_auc(y, score, *, weight=None, known=None) -> float:
    """Return the chance that a harmful post outscores another one, ties counting half; NaN unless both classes exist.

    >>> roc_auc([1, 0, 0], [0.5, 0.5, 0.1])  # one tie and one win of two pairs
    0.75
    """
    fpr, tpr, _ = roc_curve(y, score, weight=weight, known=known)
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1])) / 2) if len(fpr) > 1 else np.nan


def recall_at_fpr(y, score, *, fpr: float = 0.01, weight=None, known=None) -> float:
    """Return the largest recall with a false positive rate of at most `fpr`; NaN unless both classes exist.

    >>> recall_at_fpr([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], fpr=0.0)  # the second harmful post lies under a false alarm
    0.5
    """
    false_alarms, tpr, _ = roc_curve(y, score, weight=weight, known=known)
    if np.isnan(false_alarms).any() or np.isnan(tpr).any():
        return np.nan
    return float(tpr[false_alarms <= fpr + SLACK].max())


def precision_at_recall(y, score, *, recall: float = 0.9, weight=None, known=None) -> float:
    """Return the largest precision among thresholds whose recall is at least `recall`; NaN without positives.

    >>> precision_at_recall([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], recall=1.0)  # both are caught, with one false alarm
    0.6666666666666666
    """
    tp, fp, _, positives, _ = counts_at_thresholds(y, score, weight=weight, known=known)
    enough = tp >= recall * positives * (1 - SLACK)
    return float(ratio(tp, tp + fp)[enough].max()) if positives > 0 and enough.any() else np.nan


def partial_roc_auc(y, score, *, fpr: float = 0.05, weight=None, known=None) -> float:
    """Return the area under the ROC curve left of a false positive rate, 0.5 for chance and 1 for the best possible.

    The curve is straight across ties. Scale: McClish 1989, Medical Decision Making 9:190-195, as in scikit-learn's
    `max_fpr`. NaN unless both classes exist.

    >>> partial_roc_auc([1, 0, 0], [0.9, 0.5, 0.1], fpr=0.5)
    1.0
    """
    alarms, tpr, _ = roc_curve(y, score, weight=weight, known=known)
    if len(alarms) < 2 or np.isnan(alarms).any() or np.isnan(tpr).any():
        return np.nan
    at = int(np.searchsorted(alarms, fpr, side="right"))
    last = np.interp(fpr, alarms[at - 1 : at + 1], tpr[at - 1 : at + 1])
    x, heights = np.r_[alarms[:at], fpr], np.r_[tpr[:at], last]
    area = float(np.sum(np.diff(x) * (heights[1:] + heights[:-1])) / 2)
    return 0.5 * (1 + (area - fpr**2 / 2) / (fpr - fpr**2 / 2))


def best_f1_threshold(y, score, *, weight=None, known=None) -> float:
    """Return the score at which flagging (score >= threshold) gives the highest F1; NaN without positives.

    Of equally good thresholds the highest is taken: it flags the fewest posts.

    >>> best_f1_threshold([1, 1, 0], [0.9, 0.6, 0.2])
    0.6
    """
    tp, fp, thresholds, positives, _ = counts_at_thresholds(y, score, weight=weight, known=known)
    if not positives > 0:
        return np.nan
    return float(thresholds[np.argmax(2 * tp / (tp + fp + positives))])


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
        """The share of flagged posts that are harmful; NaN when nothing is flagged."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self):
        """The share of harmful posts that are flagged; NaN without harmful posts."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self):
        """The harmonic mean of precision and recall; 0 when harmful posts exist and none is caught, NaN without any."""
        positives = self.tp + self.fn
        return ratio(2 * self.tp, np.where(positives > 0, positives + self.tp + self.fp, 0.0))

    @property
    def f1_macro(self):
        """The mean of the F1 of the harmful class and the F1 of the other class; NaN unless both classes exist."""
        return (self.f1 + Confusion(tn=self.tp, fp=self.fn, fn=self.fp, tp=self.tn).f1) / 2

    @property
    def accuracy(self):
        """The share of posts that are flagged rightly or passed rightly; NaN without posts."""
        return ratio(self.tp + self.tn, self.tp + self.tn + self.fp + self.fn)

    @property
    def error_rate(self):
        """The share of posts that are flagged or passed wrongly; NaN without posts."""
        return 1 - self.accuracy

    @property
    def false_positive_rate(self):
        """The share of harmless posts that are flagged; NaN without harmless posts."""
        return ratio(self.fp, self.fp + self.tn)

    @property
    def true_negative_rate(self):
        """The share of harmless posts that pass; NaN without harmless posts."""
        return ratio(self.tn, self.fp + self.tn)


def confusion(y, score, *, threshold: float, weight=None, known=None) -> Confusion:
    """Return the counts at one threshold (score >= threshold is flagged); all NaN when the threshold is NaN.

    >>> confusion([1, 0, 1], [0.9, 0.5, 0.4], threshold=0.5)
    Confusion(tn=0.0, fp=1.0, fn=1.0, tp=1.0)
    """
    y, score, weight = _select(y, score, weight, known)
    if np.isnan(threshold):
        return Confusion(np.nan, np.nan, np.nan, np.nan)
    cells = np.bincount(2 * y + (score >= threshold), weights=weight, minlength=4)
    return Confusion(*cells.tolist())


def precision(y, score, *, threshold: float = 0.5, weight=None, known=None) -> float:
    """Return the share of flagged posts that are harmful; NaN when nothing is flagged.

    >>> precision([1, 0, 1], [0.9, 0.5, 0.4], threshold=0.5)
    0.5
    """
    return float(confusion(y, score, threshold=threshold, weight=weight, known=known).precision)


def recall(y, score, *, threshold: float = 0.5, weight=None, known=None) -> float:
    """Return the share of harmful posts that are flagged; NaN without harmful posts.

    >>> recall([1, 0, 1, 1], [0.9, 0.5, 0.4, 0.8], threshold=0.5)
    0.6666666666666666
    """
    return float(confusion(y, score, threshold=threshold, weight=weight, known=known).recall)


def f1(y, score, *, threshold: float = 0.5, weight=None, known=None) -> float:
    """Return the harmonic mean of precision and recall; NaN without harmful posts.

    >>> f1([1, 0, 1], [0.9, 0.5, 0.4], threshold=0.5)  # precision 1/2, recall 1/2
    0.5
    """
    return float(confusion(y, score, threshold=threshold, weight=weight, known=known).f1)


def f1_macro(y, score, *, threshold: float = 0.5, weight=None, known=None) -> float:
    """Return the mean F1 over the two classes of one label (harmful and not); NaN unless both exist.

    >>> f1_macro([1, 0, 1, 0], [0.9, 0.5, 0.4, 0.1], threshold=0.5)  # each class: precision 1/2, recall 1/2
    0.5
    """
    return float(confusion(y, score, threshold=threshold, weight=weight, known=known).f1_macro)


def accuracy(y, score, *, threshold: float = 0.5, weight=None, known=None) -> float:
    """Return the share of posts flagged or passed rightly; at 1 % prevalence flagging nothing scores 0.99.

    >>> accuracy([1, 0, 1, 0], [0.9, 0.5, 0.4, 0.1], threshold=0.5)
    0.5
    """
    return float(confusion(y, score, threshold=threshold, weight=weight, known=known).accuracy)


def false_positive_rate(y, score, *, threshold: float = 0.5, weight=None, known=None) -> float:
    """Return the share of harmless posts that are flagged; NaN without harmless posts.

    >>> false_positive_rate([1, 0, 0, 0, 0], [0.9, 0.5, 0.4, 0.1, 0.2], threshold=0.5)
    0.25
    """
    return float(confusion(y, score, threshold=threshold, weight=weight, known=known).false_positive_rate)


def true_negative_rate(y, score, *, threshold: float = 0.5, weight=None, known=None) -> float:
    """Return the share of harmless posts that pass; NaN without harmless posts.

    >>> true_negative_rate([1, 0, 0, 0, 0], [0.9, 0.5, 0.4, 0.1, 0.2], threshold=0.5)
    0.75
    """
    return float(confusion(y, score, threshold=threshold, weight=weight, known=known).true_negative_rate)


# ------------------------------------------------------------------------------------------- scores read as probability


def _probabilities(y, score, weight, known):
    """Return the selected y, probability and weight; raise ValueError for scores outside [0, 1]."""
    y, prob, weight = _select(y, score, weight, known)
    if prob.size and not (prob.min() >= 0 and prob.max() <= 1):
        raise ValueError(f"scores must be probabilities in [0, 1], not {prob.min():g} to {prob.max():g}")
    return y, prob, weight


def log_loss(y, score, *, weight=None, known=None) -> float:
    """Return the mean of -log(probability given to what was true), in nats; NaN without posts.

    Probabilities are kept 2.2e-16 away from 0 and 1, as in scikit-learn, so that one certain error is not infinite.

    >>> round(log_loss([1, 0], [0.5, 0.5]), 4)  # log 2
    0.6931
    """
    y, prob, weight = _probabilities(y, score, weight, known)
    eps = np.finfo(np.float64).eps
    prob = np.clip(prob, eps, 1 - eps)
    return float(ratio(np.sum(weight * -np.log(np.where(y, prob, 1 - prob))), weight.sum()))


def brier(y, score, *, weight=None, known=None) -> float:
    """Return the mean squared difference between probability and truth, in [0, 1]; NaN without posts.

    >>> brier([1, 0], [0.5, 0.0])
    0.125
    """
    y, prob, weight = _probabilities(y, score, weight, known)
    return float(ratio(np.sum(weight * (prob - y) ** 2), weight.sum()))
