"""One score from several members' scores of a label: a stacked sum, and whether it is worth more than one member alone.

The sum is a logistic regression on the members' logits with weights of at least 0. What it gains on the best member is
told by posts that neither has learnt from: with scores that are out of fold, and a sum that was fitted on the other
folds. Where nothing is gained that member speaks alone wherever it has a score, and the sum where it has none.

Source: Wolpert 1992, Stacked generalization; Breiman 1996, Stacked regressions. Choosing the single best model where a
combination gains nothing is van der Laan, Polley and Hubbard 2007, Super learner (the "discrete" one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from workbench.metrics.classification import average_precision
from workbench.models.fit.choose import enough

ALL = -1  # in place of the member that speaks alone: their sum does
LEAST = 1e-5  # nats a post below which a gain is rounding
ROUNDS = 20  # picks that make up chosen weights
NORMAL = 1.96  # standard errors on either side of a mean that hold 95 %


@dataclass(frozen=True)
class Gain:
    """What the sum of all members is worth on its best member, out of fold.

    best: the number of the member with the least log loss, the base rate standing in where it has no score; nats: by
    how much the sum's loss is lower in the mean of the posts that it scored; lo, hi: the 95 % interval, by groups.
    """

    best: int
    nats: float
    lo: float
    hi: float

    @property
    def alone(self) -> int:
        """Which member speaks alone: the best where the sum gains nothing on it, else ALL."""
        return ALL if self.nats > LEAST else self.best

    def record(self, members: list[str]) -> dict[str, Any]:
        """Return the gain as a run's record has it."""
        gain = {"value": self.nats, "lo": self.lo, "hi": self.hi}
        return {"best": members[self.best], "gain": gain, "alone": self.alone != ALL}


def gained(scores: np.ndarray, y: np.ndarray, fold: np.ndarray, groups: np.ndarray, strength: float) -> Gain | None:
    """Return what the sum gains on its best member; None for one member, and where there is too little to tell.

    scores: (n_members, n_posts) out of fold, NaN where a member has none; y: (n_posts,) in [0, 1]; fold: (n_posts,) the
    part of each post; groups: (n_posts,) numbers of the groups, which stand or fall together.
    """
    n_members = len(scores)
    there = ~np.isnan(scores)
    asked = [m for m in range(n_members) if _can_tell(y[there[m]], fold[there[m]])]
    if n_members == 1 or not asked or not _can_tell(y, fold):
        return None
    rate = y.mean()
    losses = np.tile(-y * np.log(rate) - (1 - y) * np.log1p(-rate), (len(asked), 1))  # of the base rate
    for row, m in zip(losses, asked, strict=True):
        row[there[m]] = _losses(scores[[m]][:, there[m]], y[there[m]], fold[there[m]], strength)
    best = int(np.argmin(losses.mean(axis=1)))
    rows = there[asked[best]]
    gain = losses[best, rows] - _losses(scores, y, fold, strength)[rows]
    of_groups = np.bincount(groups[rows], gain - gain.mean())
    error = NORMAL * float(np.sqrt((of_groups**2).sum())) / len(gain)
    return Gain(asked[best], float(gain.mean()), float(gain.mean()) - error, float(gain.mean()) + error)


def _can_tell(y: np.ndarray, fold: np.ndarray) -> bool:
    """Whether every fold has others with enough posts of both kinds to fit a sum on."""
    parts = np.unique(fold)
    return len(parts) > 1 and all(enough(y[fold != part] > 0.5) for part in parts)


def _losses(scores: np.ndarray, y: np.ndarray, fold: np.ndarray, strength: float) -> np.ndarray:
    """Return the log loss (n_posts,) of each post by a sum that was fitted on the other folds."""
    x, losses = features(scores), np.empty(len(y))
    for part in np.unique(fold):
        mine = fold == part
        weights, bias = stacker(x[~mine], y[~mine], strength, len(scores))
        logits = x[mine] @ weights + bias
        losses[mine] = np.logaddexp(0, logits) - y[mine] * logits
    return losses


def features(scores: np.ndarray) -> np.ndarray:
    """Return (n_posts, 2 * n_members) from one label's scores (n_members, n_posts): logits, 0 where NaN, then flags."""
    there = ~np.isnan(scores)
    return np.concatenate([np.where(there, scores, 0.0), there]).T.astype(np.float64)


def stacker(x: np.ndarray, y: np.ndarray, strength: float, n_members: int) -> tuple[np.ndarray, float]:
    """Return weights (n_features,) and bias of an L2-penalised logistic regression whose first weights are >= 0.

    x: (n_posts, n_features), the first `n_members` columns being members' logits; y: (n_posts,) in [0, 1]. The
    objective is scikit-learn's: strength * sum of log losses + half the squared weights; the bias is free.
    """

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parameters[:-1], parameters[-1]
        logits = x @ weights + bias
        loss = strength * (np.logaddexp(0, logits) - y * logits).sum() + weights @ weights / 2
        slope = strength * (expit(logits) - y)
        return loss, np.append(x.T @ slope + weights, slope.sum())

    bounds = [(0, None)] * n_members + [(None, None)] * (x.shape[1] - n_members + 1)
    optimum = minimize(objective, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    return optimum.x[:-1], float(optimum.x[-1])


def weighted_mean(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean (n_posts,) of the scores (n_members, n_posts) that are there, by the members' weights.

    Where only members without weight have a score it is their plain mean; a post without any score has 0.
    """
    there = ~np.isnan(scores)
    share = weights[:, None] * there
    share = np.where(share.sum(axis=0) > 0, share, there)
    return (share * np.where(there, scores, 0.0)).sum(axis=0) / np.maximum(share.sum(axis=0), 1e-12)


def chosen_weights(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights (n_members,) of ROUNDS picks, each the member whose addition ranks these posts best.

    scores: (n_members, n_posts); y: (n_posts,) bool. Where these are not `enough`, all weigh alike.
    """
    n_members = len(scores)
    if not enough(y):
        return np.full(n_members, 1 / n_members)
    picks = np.zeros(n_members)
    for _ in range(ROUNDS):
        ranks = [average_precision(y, weighted_mean(scores, picks + pick)) for pick in np.eye(n_members)]
        picks[int(np.argmax(ranks))] += 1
    return picks / ROUNDS
