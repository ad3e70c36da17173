"""Decisions about several labels at once: counts summed over labels, labels weighted, and posts that are wholly right.

Every function takes y, score and known of shape (n, labels), or (n,) for one label, weight (n,) of posts, and threshold
as one number or (labels,). A label of a post that nobody knows is left out; what is undefined is NaN.
"""

from __future__ import annotations

import numpy as np

from workbench.metrics.classification import Confusion, confusion, ratio

_CELLS = ("tn", "fp", "fn", "tp")


def _columns(y, score, threshold, known) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return y, score, known as (n, labels) and thresholds (labels,); NaN scores only where nobody knows the label."""
    y, score = (a[:, None] if a.ndim == 1 else a for a in (np.asarray(y), np.asarray(score)))
    known = np.ones(y.shape, dtype=bool) if known is None else np.asarray(known, dtype=bool).reshape(y.shape)
    return y, score, np.broadcast_to(np.asarray(threshold, dtype=np.float64), y.shape[1]), known


def confusions(y, score, *, threshold=0.5, weight=None, known=None) -> Confusion:
    """Return the counts of each label as one Confusion of arrays (labels,).

    >>> confusions([[1, 0], [0, 1]], [[0.9, 0.8], [0.1, 0.7]]).tp
    array([1., 1.])
    """
    y, score, thresholds, known = _columns(y, score, threshold, known)
    parts = [
        confusion(y[:, k], score[:, k], threshold=thresholds[k], weight=weight, known=known[:, k])
        for k in range(y.shape[1])
    ]
    return Confusion(*(np.array([getattr(part, cell) for part in parts]) for cell in _CELLS))


def pooled(counts: Confusion) -> Confusion:
    """Return the counts summed over labels, the first axis."""
    return Confusion(*(getattr(counts, cell).sum(axis=0) for cell in _CELLS))


def precision_micro(y, score, *, threshold=0.5, weight=None, known=None) -> float:
    """Return the share of all flags, over labels, that are right; NaN when nothing is flagged.

    >>> round(precision_micro([[1, 0], [0, 1]], [[0.9, 0.8], [0.1, 0.7]]), 3)  # 2 of 3 flags
    0.667
    """
    return float(pooled(confusions(y, score, threshold=threshold, weight=weight, known=known)).precision)


def recall_micro(y, score, *, threshold=0.5, weight=None, known=None) -> float:
    """Return the share of all harmful labels that are flagged; NaN without any.

    >>> recall_micro([[1, 0], [0, 1]], [[0.9, 0.8], [0.1, 0.3]])  # 1 of 2
    0.5
    """
    return float(pooled(confusions(y, score, threshold=threshold, weight=weight, known=known)).recall)


def f1_micro(y, score, *, threshold=0.5, weight=None, known=None) -> float:
    """Return the F1 of the counts summed over labels; NaN without a harmful post under any label.

    >>> f1_micro([[1, 0], [0, 1]], [[0.9, 0.8], [0.1, 0.7]])  # 2 true, 1 false alarm, 0 missed: 4 / 5
    0.8
    """
    return float(pooled(confusions(y, score, threshold=threshold, weight=weight, known=known)).f1)


def f1_weighted(y, score, *, threshold=0.5, weight=None, known=None) -> float:
    """Return the mean F1 of labels, each weighted by its positives; NaN without a harmful post under any label.

    >>> round(f1_weighted([[1, 0], [1, 1]], [[0.9, 0.8], [0.9, 0.7]]), 3)  # (2 * 1 + 1 * 2/3) / 3
    0.889
    """
    return float(weighted(confusions(y, score, threshold=threshold, weight=weight, known=known), "f1"))


def weighted(counts: Confusion, metric: str) -> np.ndarray:
    """Return a metric of counts (labels, ...), averaged over labels by their positives; NaN without positives."""
    positives, values = counts.tp + counts.fn, getattr(counts, metric)
    missing = np.isnan(counts.tp).any(axis=0)  # a label without a threshold leaves the mean undefined
    mean = ratio(np.where(positives > 0, positives * values, 0.0).sum(axis=0), positives.sum(axis=0))
    return np.where(missing, np.nan, mean)


def exact_match(y, score, *, threshold=0.5, weight=None, known=None) -> float:
    """Return the share of posts with every known label decided rightly; posts without a known label are left out.

    >>> exact_match([[1, 0], [0, 1]], [[0.9, 0.8], [0.1, 0.7]])  # the first has a false alarm
    0.5
    """
    wrong, weight = _wrong(y, score, threshold, weight, known)
    judged = ~np.isnan(wrong).all(axis=1)
    clean = ~(wrong == 1).any(axis=1)
    undecided = _undecided(y, threshold)
    return np.nan if undecided else float(ratio((weight * clean)[judged].sum(), weight[judged].sum()))


def hamming_loss(y, score, *, threshold=0.5, weight=None, known=None) -> float:
    """Return the share of known labels that are decided wrongly; NaN where none is known.

    >>> hamming_loss([[1, 0], [0, 1]], [[0.9, 0.8], [0.1, 0.7]])  # 1 of 4
    0.25
    """
    wrong, weight = _wrong(y, score, threshold, weight, known)
    each = np.where(np.isnan(wrong), 0.0, weight[:, None])
    return np.nan if _undecided(y, threshold) else float(ratio(np.nansum(each * wrong), each.sum()))


def _undecided(y, threshold) -> bool:
    return bool(np.isnan(np.asarray(threshold, dtype=np.float64)).any())


def _wrong(y, score, threshold, weight, known) -> tuple[np.ndarray, np.ndarray]:
    """Return per post and label (n, labels) 1 for a wrong decision, 0 for a right one, NaN where not known."""
    confusions(y, score, threshold=threshold, weight=weight, known=known)  # refuses what cannot be used
    y, score, thresholds, known = _columns(y, score, threshold, known)
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    return np.where(known, (score >= thresholds) != (y == 1), np.nan), weight
