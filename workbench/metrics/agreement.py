"""How far several annotators agree: agreement beyond chance, and the share of votes as a soft label.

`counts (n, categories)` says how many annotators put each post into each category; posts may have different numbers of
annotators, and who they were plays no part. What is undefined is NaN.

Sources: Fleiss 1971, Measuring nominal scale agreement among many raters, Psychological Bulletin 76:378; Krippendorff
2011, Computing Krippendorff's alpha-reliability (nominal data, from the coincidence matrix).
"""

from __future__ import annotations

import numpy as np


def _counts(counts) -> np.ndarray:
    """Return the counts of posts that at least two annotators judged; raise ValueError for what are no counts."""
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim != 2 or not (counts >= 0).all():
        raise ValueError(f"counts must be (posts, categories) numbers of annotators, 0 or more, not {counts.shape}")
    return counts[counts.sum(axis=1) >= 2]


def raw_agreement(counts) -> float:
    """Return the share of pairs of annotators of one post that agree, mean over posts; NaN without such a pair.

    >>> raw_agreement([[2, 0], [1, 1]])
    0.5
    """
    counts = _counts(counts)
    total = counts.sum(axis=1)
    agreeing = (counts * (counts - 1)).sum(axis=1) / (total * (total - 1))
    return float(agreeing.mean()) if len(agreeing) else np.nan


def fleiss_kappa(counts) -> float:
    """Return Fleiss' kappa, agreement beyond chance where every post has the same number of annotators.

    1: all agree; 0: as by chance. NaN where all say the same everywhere. Raises ValueError for differing numbers of
    annotators, which `krippendorff_alpha` is made for.

    >>> fleiss_kappa([[2, 0], [0, 2]])
    1.0
    """
    counts = _counts(counts)
    if len(counts) and np.ptp(counts.sum(axis=1)):
        raise ValueError("Fleiss' kappa needs equally many annotators for every post; use krippendorff_alpha")
    if not len(counts):
        return np.nan
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return (raw_agreement(counts) - chance) / (1 - chance) if chance < 1 else np.nan


def krippendorff_alpha(counts) -> float:
    """Return Krippendorff's alpha for categories: 1 - observed / expected disagreement, for any number of annotators.

    NaN where all say the same everywhere, or no post has two annotators.

    >>> krippendorff_alpha([[2, 0], [0, 2]])
    1.0
    """
    counts = _counts(counts)
    pairs = counts.sum(axis=1, keepdims=True) - 1
    coincidences = (counts / pairs).T @ counts - np.diag((counts / pairs).sum(axis=0))
    of_category = coincidences.sum(axis=1)
    n = of_category.sum()
    expected = n**2 - (of_category**2).sum()
    observed = n - np.trace(coincidences)
    return float(1 - (n - 1) * observed / expected) if expected > 0 else np.nan


def vote_share(votes) -> np.ndarray:
    """Return the share of yes (n,) among votes (n, 2) for and against, NaN where nobody voted: a soft label.

    >>> vote_share([[1, 2], [0, 0]]).round(2)
    array([0.33,  nan])
    """
    votes = np.asarray(votes, dtype=np.float64)
    total = votes.sum(axis=1)
    return np.divide(votes[:, 0], total, out=np.full(len(total), np.nan), where=total > 0)
