"""Metrics of one ranked list under many weightings of its groups, sorted once.

A resample or a swap is a vector of group weights. `Ranking` holds the segments of a `Curve` as sparse matrices
(segments, groups) of positives and negatives, which give the counts under a block of weightings (groups, draws) by one
product; the curve's cumulative sums do the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from workbench.metrics.classification import Curve, cut


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
        segment, tied, segments = cut(y, score)

        def matrix(rows: np.ndarray) -> sparse.csr_array:
            shape = (segments, groups)
            return sparse.csr_array((weight[rows], (segment[rows], codes[rows])), shape=shape)

        total = np.bincount(codes[~y], weights=weight[~y], minlength=groups)
        return cls(matrix(y), matrix(~y & (segment < segments)), matrix(tied), total)

    @property
    def rows(self) -> int:
        """The number of rows that a dense block of draws will have."""
        return max(self.positives.shape)

    def values(self, W: np.ndarray, metrics: Sequence[Callable[[Curve], np.ndarray]]) -> np.ndarray:
        """Return metrics of a `Curve` (metrics, draws) under weights W (groups, draws); undefined ones are NaN."""
        curve = Curve(self.positives @ W, self.negatives @ W, lambda: self.tied @ W, self.total @ W)
        return np.stack([metric(curve) for metric in metrics])

    def average_precision(self, W: np.ndarray) -> np.ndarray:
        """Return the average precision (draws,) under group weights W (groups, draws); NaN without positives."""
        return self.values(W, (Curve.average_precision,))[0]


def tied_apart(y, a, b) -> float:
    """Return the share of (harmful, harmless) pairs that exactly one of two scores (n,) ties; NaN without pairs.

    >>> tied_apart([1, 0, 0], [0.5, 0.5, 0.1], [0.9, 0.5, 0.1])
    0.5
    """
    y = np.asarray(y, dtype=bool)
    pairs = float(y.sum()) * float((~y).sum())
    ties = []
    for keys in ((a,), (b,), (a, b)):
        _, level = np.unique(np.column_stack(keys), axis=0, return_inverse=True)
        level, levels = level.reshape(-1), len(y)
        ties.append(float(np.bincount(level[y], minlength=levels) @ np.bincount(level[~y], minlength=levels)))
    return (ties[0] + ties[1] - 2 * ties[2]) / pairs if pairs else float("nan")
