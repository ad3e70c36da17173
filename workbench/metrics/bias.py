"""Does a mention of a group of people raise a score? The AUCs of Borkan et al. 2019 and Jigsaw's weighted summary.

Each AUC of KINDS is the ROC AUC among the posts of `rows_compared`; 1 is free of the error that it looks for, NaN is
undefined. They are ranking metrics: they ask whether one threshold can serve both the posts that mention a group and
the others. Low subgroup: harm is not told from harmless talk among the mentions; low BPSN: mentions score too high;
low BNSP: too low.

Source: Borkan, Dixon, Sorensen, Thain and Vasserman 2019, Nuanced metrics for measuring unintended bias (arXiv
1903.04561); the summary is that of the Jigsaw competition of 2019. Open doubt: the summary's power and weights are the
competition's convention and have no other ground.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

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


def power_mean(values, power: float = POWER) -> np.ndarray:
    """Return the generalised mean along the first axis; a negative power counts the worst values most; NaN without any.

    Where a value is 0 and the power negative the mean is 0, its limit. NaN values are left out.

    >>> float(power_mean([0.5, 1.0], power=-1).round(4))  # the harmonic mean
    0.6667
    """
    values = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(values)
    with np.errstate(divide="ignore"):
        powers = np.where(there, np.where(there, values, 1.0) ** power, 0.0)
    count = there.sum(axis=0)
    mean = np.divide(powers.sum(axis=0), count, out=np.full(np.shape(count), np.nan), where=count > 0)
    return mean ** (1 / power)


def weighted_summary(overall, aucs: Mapping[str, np.ndarray]):
    """Return Jigsaw's final metric: a quarter of the overall AUC and of each kind's power mean over identities.

    overall: the ROC AUC over all posts, () or (...); aucs: each of KINDS -> (identities, ...). An identity whose AUC is
    undefined is left out of that kind; NaN where a kind has none.

    >>> one = {kind: np.array([0.8, 0.8]) for kind in KINDS}
    >>> round(float(weighted_summary(1.0, one)), 3)  # .25 * 1 + .75 * .8
    0.85
    """
    parts = [power_mean(aucs[kind]) for kind in KINDS]
    return WEIGHT * np.asarray(overall) + (1 - WEIGHT) / len(KINDS) * np.sum(parts, axis=0)
