"""Metrics of one ranked list under many weightings of its groups, sorted once.

A resample or a swap is a vector of group weights. `Ranking` cuts the sorted list into segments that each end with a
block of tied scores holding a positive; only there can recall grow, so only there do average precision, areas under the
ROC curve, precision at a recall and recall at a false positive rate have something to gain. Sparse matrices (segments,
groups) of positives and negatives then give the counts under a block of weightings (groups, draws) by one product and
one cumulative sum.

Equal, for each single weighting, to the functions of `classification` of the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy import sparse

from workbench.metrics.classification import SLACK
from workbench.metrics.table import METRICS


class Curve:
    """What is caught at the end of each segment under each weighting.

    gained, passed, tied (segments, draws): the weight of positives, of negatives, and of negatives tied with positives;
    negatives (draws,) or a number: all negatives. tied may be None for metrics that are not in TIED.
    """

    def __init__(self, gained: np.ndarray, passed: np.ndarray, tied: np.ndarray | None, negatives) -> None:
        self.gained, self.passed, self.tied = gained, passed, tied
        self.negatives = np.broadcast_to(np.asarray(negatives, dtype=np.float64), gained.shape[1:])

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


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _average_precision(curve: Curve) -> np.ndarray:
    return _over(np.einsum("sd,sd->d", curve.gained, curve.precision), curve.positives)


def _roc_auc(curve: Curve) -> np.ndarray:
    """The share of (positive, negative) pairs in order, ties half."""
    lost = np.einsum("sd,sd->d", curve.gained, curve.alarms - curve.tied / 2)
    pairs = curve.positives * curve.negatives
    return _over(pairs - lost, pairs)


def _partial_roc_auc(curve: Curve, *, fpr: float) -> np.ndarray:
    """The area left of a false positive rate, straight across ties, on McClish's scale from chance 0.5 to 1."""
    limit = fpr * curve.negatives
    above = curve.caught - curve.gained  # at the start of each segment
    start, end = curve.alarms - curve.passed, curve.alarms
    bend = end - curve.tied  # level up to here, then straight up to the segment's end
    level = np.clip(limit - start, 0, bend - start)
    slope = np.clip(limit - bend, 0, curve.tied)
    rise = np.divide(slope**2, 2 * curve.tied, out=np.zeros_like(slope), where=curve.tied > 0)
    area = np.einsum("sd,sd->d", above, level + slope) + np.einsum("sd,sd->d", curve.gained, rise)
    if len(end):
        area += curve.positives * np.maximum(limit - end[-1], 0)
    share = _over(area, curve.positives * curve.negatives)
    return 0.5 * (1 + (share - fpr**2 / 2) / (fpr - fpr**2 / 2))


def _precision_at_recall(curve: Curve, *, recall: float) -> np.ndarray:
    enough = curve.caught >= recall * curve.positives * (1 - SLACK)
    best = np.where(enough, curve.precision, 0.0).max(axis=0, initial=0.0)
    return np.where(curve.positives > 0, best, np.nan)


def _recall_at_fpr(curve: Curve, *, fpr: float) -> np.ndarray:
    allowed = curve.alarms <= fpr * curve.negatives + SLACK * curve.negatives
    most = np.where(allowed, curve.caught, 0.0).max(axis=0, initial=0.0)
    return np.where(curve.negatives > 0, _over(most, curve.positives), np.nan)


_KERNELS: dict[str, Callable[..., np.ndarray]] = {
    "average_precision": _average_precision,
    "roc_auc": _roc_auc,
    "partial_roc_auc": _partial_roc_auc,
    "precision_at_recall": _precision_at_recall,
    "recall_at_fpr": _recall_at_fpr,
}


def _kernel(function: Callable[..., float]) -> Callable[[Curve], np.ndarray] | None:
    """Return what computes a metric of `classification` on a curve, its options included; None if it ranks nothing."""
    bound = function if isinstance(function, partial) else partial(function)
    found = _KERNELS.get(bound.func.__name__)
    return found and partial(found, **bound.keywords)


RANKED = {name: kernel for name, metric in METRICS.items() if (kernel := _kernel(metric.function)) is not None}
"""Metrics of METRICS that look at the order of scores only: name -> function Curve -> (draws,)."""
TIED = ("roc_auc", "partial_roc_auc")  # those that need to know which negatives tie with positives


@dataclass(frozen=True)
class Ranking:
    """One ranked list, cut so that its metrics under many group weightings need no further sorting.

    positives, negatives, tied: sparse (segments, groups), the weight of positives in the block that ends a segment, of
    negatives in the segment, and of those negatives tied with its positives; total (groups,): all negatives.
    """

    positives: sparse.csr_array
    negatives: sparse.csr_array
    tied: sparse.csr_array
    total: np.ndarray

    @classmethod
    def build(cls, y, score, codes, groups: int, *, weight=None, known=None) -> Ranking:
        """Sort once; y, score, codes (of `group_codes`), weight, known are (n,), scores NaN only where not known."""
        y, score, codes = np.asarray(y), np.asarray(score, dtype=np.float64), np.asarray(codes)
        weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
        keep = weight > 0 if known is None else (weight > 0) & np.asarray(known, dtype=bool)
        y, score, codes, weight = y[keep].astype(bool), score[keep], codes[keep], weight[keep]
        if np.isnan(score).any():
            raise ValueError(f"score is NaN for {np.isnan(score).sum()} of {len(score)} posts; fill or mask them first")
        order = np.argsort(-score, kind="stable")
        y, score, codes, weight = y[order], score[order], codes[order], weight[order]
        block = np.cumsum(np.r_[True, score[1:] != score[:-1]]) - 1 if len(score) else np.zeros(0, dtype=int)
        ends = np.unique(block[y])  # blocks of ties that hold a positive; each ends a segment
        segment = np.searchsorted(ends, block)  # posts below the last positive get len(ends): they gain nothing
        tied = ~y & np.isin(block, ends)

        def matrix(rows: np.ndarray) -> sparse.csr_array:
            shape = (len(ends), groups)
            return sparse.csr_array((weight[rows], (segment[rows], codes[rows])), shape=shape)

        total = np.bincount(codes[~y], weights=weight[~y], minlength=groups)
        return cls(matrix(y), matrix(~y & (segment < len(ends))), matrix(tied), total)

    @property
    def rows(self) -> int:
        """The number of rows that a dense block of draws will have."""
        return max(self.positives.shape)

    def values(self, W: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Return metrics of RANKED (names, draws) under group weights W (groups, draws); undefined ones are NaN."""
        tied = self.tied @ W if set(names) & set(TIED) else None
        curve = Curve(self.positives @ W, self.negatives @ W, tied, self.total @ W)
        return np.stack([RANKED[name](curve) for name in names])

    def average_precision(self, W: np.ndarray) -> np.ndarray:
        """Return the average precision (draws,) under group weights W (groups, draws); NaN without positives."""
        return self.values(W, ("average_precision",))[0]
