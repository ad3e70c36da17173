"""Does a mention of a group of people raise a score? The AUCs of Borkan et al. 2019 and Jigsaw's weighted summary.

All take `y (n,)`, `score (n,)`, `mentions (n,)` bool (which posts mention the identity) and the masks `weight` and
`known` of `metrics.classification`; an AUC of 1 is free of the error that it looks for, NaN is undefined. They are
ranking metrics: they ask whether one threshold can serve both the posts that mention a group and the others.

Source: Borkan, Dixon, Sorensen, Thain and Vasserman 2019, Nuanced metrics for measuring unintended bias (arXiv
1903.04561); the summary is that of the Jigsaw competition of 2019. Open doubt: the summary's power and weights are the
competition's convention and have no other ground.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workbench.metrics.classification import roc_auc

KINDS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")
POWER, WEIGHT = -5.0, 0.25


def rows_compared(kind: str, y, mentions) -> np.ndarray:
    """Return which posts (n,) an AUC of KINDS compares.

    subgroup: those that mention the identity. bpsn (background positive, subgroup negative): harmless posts that
    mention it and harmful ones that do not. bnsp: harmful posts that mention it and harmless ones that do not.

    >>> rows_compared("bpsn_auc", [1, 0, 1, 0], [True, True, False, False])
    array([False,  True,  True, False])
    """
    y, mentions = np.asarray(y, dtype=bool), np.asarray(mentions, dtype=bool)
    if kind not in KINDS:
        raise ValueError(f"unknown AUC {kind!r}; the choices are: {', '.join(KINDS)}")
    return mentions if kind == "subgroup_auc" else y != mentions if kind == "bpsn_auc" else y == mentions


def _auc(kind: str, y, score, mentions, weight, known) -> float:
    rows = rows_compared(kind, y, mentions)
    known = rows if known is None else rows & np.asarray(known, dtype=bool)
    return roc_auc(y, score, weight=weight, known=known)


def subgroup_auc(y, score, mentions, *, weight=None, known=None) -> float:
    """Return the ROC AUC within the posts that mention the identity; low: harm is not told from harmless talk there.

    >>> subgroup_auc([1, 0, 1, 0], [0.9, 0.2, 0.5, 0.6], [True, True, False, False])
    1.0
    """
    return _auc("subgroup_auc", y, score, mentions, weight, known)


def bpsn_auc(y, score, mentions, *, weight=None, known=None) -> float:
    """Return the ROC AUC of harmless mentions against harmful posts without one; low: mentions score too high.

    >>> bpsn_auc([0, 0, 1, 1], [0.9, 0.2, 0.5, 0.6], [True, True, False, False])  # 0.2 is below both, 0.9 below none
    0.5
    """
    return _auc("bpsn_auc", y, score, mentions, weight, known)


def bnsp_auc(y, score, mentions, *, weight=None, known=None) -> float:
    """Return the ROC AUC of harmful mentions against harmless posts without one; low: mentions score too low.

    >>> bnsp_auc([1, 1, 0, 0], [0.9, 0.2, 0.5, 0.1], [True, True, False, False])  # 3 of 4 pairs are in order
    0.75
    """
    return _auc("bnsp_auc", y, score, mentions, weight, known)


def power_mean(values, power: float = POWER, axis: int = 0) -> np.ndarray:
    """Return the generalised mean along an axis; with a negative power the worst values count most; NaN without any.

    Where a value is 0 and the power negative the mean is 0, its limit. NaN values are left out.

    >>> float(power_mean([0.5, 1.0], power=-1).round(4))  # the harmonic mean
    0.6667
    """
    values = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(values)
    with np.errstate(divide="ignore"):
        powers = np.where(there, np.where(there, values, 1.0) ** power, 0.0)
    count = there.sum(axis=axis)
    mean = np.divide(powers.sum(axis=axis), count, out=np.full(np.shape(count), np.nan), where=count > 0)
    return mean ** (1 / power)


def weighted_summary(overall, aucs: Mapping[str, np.ndarray], *, power: float = POWER, weight: float = WEIGHT):
    """Return Jigsaw's final metric: weight * overall AUC + weight * each kind's power mean over identities.

    overall: the ROC AUC over all posts, () or (...); aucs: each of KINDS -> (identities, ...). An identity whose AUC is
    undefined is left out of that kind; NaN where a kind has none. With three kinds the weights are 0.25 each.

    >>> one = {kind: np.array([0.8, 0.8]) for kind in KINDS}
    >>> round(float(weighted_summary(1.0, one)), 3)  # .25 * 1 + .75 * .8
    0.85
    """
    parts = [power_mean(aucs[kind], power) for kind in KINDS]
    return weight * np.asarray(overall) + (1 - weight) / len(KINDS) * np.sum(parts, axis=0)
