"""Decisions about several labels at once: counts summed over labels, labels weighted, and posts that are wholly right.

Arrays are y, score and known of shape (n, labels), or (n,) for one label, weight (n,) of posts, and threshold as one
number or (labels,). A label of a post that nobody knows is left out; what is undefined is NaN.
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


def whole_posts(y, score, *, threshold=0.5, weight=None, known=None) -> Confusion:
    """Return the weight of posts with every known label decided rightly (tp) and of the others with a known one (fp).

    >>> whole_posts([[1, 0], [0, 1]], [[0.9, 0.8], [0.1, 0.7]])  # the first has a false alarm
    Confusion(tn=0.0, fp=1.0, fn=0.0, tp=1.0)
    """
    confusions(y, score, threshold=threshold, weight=weight, known=known)  # refuses what cannot be used
    y, score, thresholds, known = _columns(y, score, threshold, known)
    if np.isnan(thresholds).any():
        return Confusion(np.nan, np.nan, np.nan, np.nan)
    wrong = (((score >= thresholds) != (y == 1)) & known).any(axis=1)
    return confusion(~wrong, np.ones(len(wrong)), threshold=0.5, weight=weight, known=known.any(axis=1))


def pooled(counts: Confusion) -> Confusion:
    """Return the counts summed over labels, the first axis.

    >>> pooled(Confusion(tn=np.array([1, 0]), fp=np.array([0, 1]), fn=np.array([0, 0]), tp=np.array([1, 1])))
    Confusion(tn=np.int64(1), fp=np.int64(1), fn=np.int64(0), tp=np.int64(2))
    """
    return Confusion(*(getattr(counts, cell).sum(axis=0) for cell in _CELLS))


def f1_weighted(counts: Confusion) -> np.ndarray:
    """Return the mean F1 of labels (labels, ...), each weighted by its positives; NaN without any positive.

    >>> f1_weighted(confusions([[1, 0], [1, 1]], [[0.9, 0.8], [0.9, 0.7]])).round(3)  # (2 * 1 + 1 * 2/3) / 3
    np.float64(0.889)
    """
    positives = counts.tp + counts.fn
    missing = np.isnan(counts.tp).any(axis=0)  # a label without a threshold leaves the mean undefined
    mean = ratio(np.where(positives > 0, positives * counts.f1, 0.0).sum(axis=0), positives.sum(axis=0))
    return np.where(missing, np.nan, mean)[()]
