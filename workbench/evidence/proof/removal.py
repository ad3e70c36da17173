"""A world in which removal can be proven to a point: harm is certain to .92 at most, and the truth is known exactly.

6 % of the posts are harmful. Most of them lie in cells where 92 in 100 posts are harmful, as the pairs of text and
picture of the synthetic world are; in all other posts harm is rare. A model tells the cells from the rest with normal
noise, which is about as well as the best models of the synthetic world do: at its best F1 on all posts there could be,
precision is .90 and recall .90. No threshold has a precision above .92.
"""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.special import expit

from workbench.decisions.objective import Objective
from workbench.decisions.thresholds import LabelObjectives, choose

PREVALENCE = 0.06  # of harm
CERTAIN, ELSEWHERE = 0.92, 0.005  # the share of harmful posts in cells of harm, and in all others
CELLS = (PREVALENCE - ELSEWHERE) / (CERTAIN - ELSEWHERE)  # the share of posts that lie in cells of harm
APART = 5.0  # standard deviations between the scores of both kinds of posts


def removal_world(seed: int, posts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (posts,) bool and probabilities (posts,) of what validation would hold.

    The probabilities are too sure of themselves, since a threshold needs a ranking only.
    """
    rng = np.random.default_rng([6, seed])
    cell = rng.random(posts) < CELLS
    y = rng.random(posts) < np.where(cell, CERTAIN, ELSEWHERE)
    return y, expit(rng.normal(size=posts) + APART * (cell - 0.5))


def true_precision(at: float) -> float:
    """Return the precision of a threshold on all posts that there could be; 0 < at < 1.

    >>> round(true_precision(0.5), 3), round(true_precision(0.999), 3)  # in the middle; above nearly everything
    (0.839, 0.92)
    """
    score = np.log(at) - np.log1p(-at)
    cells = CELLS * stats.norm.sf(score - APART / 2)
    others = (1 - CELLS) * stats.norm.sf(score + APART / 2)
    return float((cells * CERTAIN + others * ELSEWHERE) / (cells + others))


def removal_trial(seed: int, *, posts: int = 2100, precision: float = 0.8, sure: float = 0.9) -> tuple[bool, bool]:
    """Return whether a removal threshold is found on one validation set, and whether one was found that misses.

    It misses where its precision on all posts there could be is below what it was chosen for.
    """
    y, prob = removal_world(seed, posts)
    wanted = {"harm": LabelObjectives(review=None, remove=Objective(precision=precision, sure=sure))}
    known = np.ones((posts, 1), dtype=bool)
    at = choose(prob[:, None], y[:, None], known, wanted, expected=[PREVALENCE])["harm"].remove_at
    return at is not None, at is not None and true_precision(at) < precision
