"""Nearest neighbours across a split in an encoder's space: how near test posts come to what was trained on.

Never held: near in an encoder's space means about the same thing, which is what a test should ask about. Posts at a
cosine of nearly 1 are worth a look, and so is a whole distribution that stands close to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
CLOSEST = 10
_BLOCK = 2048


class Neighbours(NamedTuple):
    """The nearest training post of each test post, int (n_test,), -1 where one has no vector, and its cosine."""

    nearest: np.ndarray
    cosine: np.ndarray

    @property
    def counted(self) -> int:
        """How many test posts have a neighbour."""
        return int((self.nearest >= 0).sum())

    def told(self, ids: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Return the distribution of cosines and the closest pairs; ids: those of training and of test posts."""
        rows = np.flatnonzero(self.nearest >= 0)
        first = rows[np.argsort(-self.cosine[rows], kind="stable")][:CLOSEST]
        values = np.quantile(self.cosine[rows], QUANTILES) if len(rows) else np.full(len(QUANTILES), np.nan)
        return {
            "n": len(rows),
            "quantiles": {f"{q:g}": round(float(v), 4) for q, v in zip(QUANTILES, values, strict=True)},
            "closest": [(float(self.cosine[k]), ids[1][k], ids[0][self.nearest[k]]) for k in first.tolist()],
        }


def nearest(train: np.ndarray, test: np.ndarray) -> Neighbours:
    """Return the nearest training vector of each test vector by cosine; rows with NaN or of length 0 have none.

    train: float (n_train, d); test: float (n_test, d).

    >>> nearest(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[3.0, 4.0]])).cosine.round(2)
    array([0.8])
    """
    rows, units = zip(*(_units(vectors) for vectors in (train, test)), strict=True)
    closest, cosine = np.full(len(test), -1), np.full(len(test), np.nan)
    for start in range(0, len(rows[1]) if len(rows[0]) else 0, _BLOCK):
        block = slice(start, start + _BLOCK)
        alike = units[1][block] @ units[0].T
        best = alike.argmax(axis=1)
        closest[rows[1][block]] = rows[0][best]
        cosine[rows[1][block]] = np.minimum(alike[np.arange(len(best)), best], 1)
    return Neighbours(closest, cosine)


def _units(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the usable rows and their vectors at length 1."""
    vectors = np.asarray(vectors, np.float64)
    length = np.linalg.norm(vectors, axis=1)
    rows = np.flatnonzero(length > 0)  # NaN is not
    return rows, vectors[rows] / length[rows, None]
