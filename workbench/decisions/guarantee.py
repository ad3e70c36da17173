"""Thresholds whose precision or recall holds with a stated confidence on new posts, not only on those of validation.

The best threshold among many that seem to do is often one that was lucky. "Learn then test" (Angelopoulos, Bates,
Candès, Jordan and Lei 2021, arXiv 2110.01052) tests each threshold of a grid for the hypothesis that it misses the
target, by the exact binomial tail, and corrects for testing many, so that the chance that any accepted threshold misses
the target is at most 1 - sure. Tests and corrections are MAPIE's (`BinaryClassificationController`); this module says
which posts and which thresholds go in:

- Posts of a group are not independent, so one post of each group is tested, drawn without looking at label or score.
  What holds is therefore said of groups: of the posts that are the only one of their group, or a random one of it.
- A grid must not depend on what it is tested on. For precision it consists of ranks: given that the k-th highest score
  is t, the posts above t are an independent sample of all posts that score above t, whatever t is. For recall it
  consists of scores of harmless posts, which say nothing of the harmful ones.
- A calibration that rises strictly changes no rank, so that it was fitted on the same labels costs nothing.

Recall falls as the threshold rises, so its thresholds are tested from the lowest up, each at the full level, until one
fails. Precision need not rise, and at the top too few posts are flagged to prove anything; its ranks are tested from
the top down from `STARTS` starting points, each with its share of the level.

Open doubts: early stopping or a choice of options on validation has seen these labels too, which no correction here
knows of; and posts of another time or place are not exchangeable with those of validation.
"""

from __future__ import annotations

import math
import warnings
from typing import Literal, NamedTuple

import numpy as np

RANKS, STARTS = 30, 3  # thresholds tried for a precision, and how many of them a test starts from
STEPS = 100  # thresholds tried for a recall


class Held(NamedTuple):
    """The threshold (score >= at) that holds, None where none does, and what that rests on, or why there is none."""

    at: float | None
    why: str


def one_of_each(group: np.ndarray) -> np.ndarray:
    """Return the positions of one post of each group (n,), drawn by a fixed seed.

    >>> len(one_of_each(np.array(["a", "b", "a"])))
    2
    """
    shuffled = np.random.default_rng(0).permutation(len(group))
    return np.sort(shuffled[np.unique(np.asarray(group)[shuffled], return_index=True)[1]])


def hold(
    y: np.ndarray,
    score: np.ndarray,
    *,
    kind: Literal["precision", "recall"],
    target: float,
    sure: float = 0.95,
    group: np.ndarray | None = None,
    floor: float = -math.inf,
) -> Held:
    """Return the threshold at or above `floor` that reaches the target with confidence `sure` and flags best.

    y (n,) bool, score (n,) without NaN, group (n,) or None for posts that are all independent. Of the thresholds that
    hold, a precision takes the lowest and a recall the highest.

    >>> y = np.arange(400) >= 200
    >>> found = hold(y, y + np.arange(400) / 1000, kind="recall", target=0.9)
    >>> round(found.at, 3)  # just above the highest harmless post, and no harmful one is missed
    0.199
    """
    rows = np.arange(len(y)) if group is None else one_of_each(group)
    y, score = np.asarray(y, dtype=bool)[rows], np.asarray(score, dtype=np.float64)[rows]
    about = f"of {len(y):,} groups, one post each, {int(y.sum()):,} harmful"
    level = 1 - sure
    if kind == "recall":
        y, score, grid = y[y], score[y], _harmless_scores(score[~y])
        needed = 1 + math.floor(math.log(level) / math.log(target)) if target < 1 else math.inf
    else:
        needed = 1 + math.floor(math.log(level / STARTS) / math.log(target)) if target < 1 else math.inf
        grid = _ranked_scores(score, needed)
    if len(y) < needed or not len(grid):
        what = "harmful groups" if kind == "recall" else "groups"
        return Held(None, f"{about}; {needed:g} {what} without one error are needed to be sure")
    held = _tested(y, score, grid, kind, target, sure)
    held = held[held >= floor]
    if not len(held):
        over = "" if floor == -math.inf else f" from {floor:.3f} on"
        return Held(None, f"{about}; none of {len(grid)} thresholds tried{over} is proven to reach it")
    return Held(float(held.max() if kind == "recall" else held.min()), f"tested on one post of each group: {about}")


def _ranked_scores(score: np.ndarray, first: float) -> np.ndarray:
    """Return thresholds (k,), falling, just above the scores of ranks `first` to the last in even ratios."""
    if len(score) <= first:
        return np.zeros(0)
    ranks = np.unique(np.geomspace(max(first, 1), len(score) - 1, RANKS).astype(int))
    distinct = np.unique(np.sort(score)[::-1][ranks])[::-1]
    return np.nextafter(distinct, np.inf)


def _harmless_scores(score: np.ndarray) -> np.ndarray:
    """Return thresholds (k,), rising, just above scores of harmless posts, the denser the higher."""
    if not len(score):
        return np.zeros(0)
    ranks = np.unique(np.geomspace(1, len(score), STEPS).astype(int)) - 1
    distinct = np.unique(np.sort(score)[::-1][ranks])
    return np.nextafter(distinct, np.inf)


def _tested(y: np.ndarray, score: np.ndarray, grid: np.ndarray, kind: str, target: float, sure: float) -> np.ndarray:
    """Return the thresholds of a grid, in the order in which they are tested, that are proven to reach the target."""
    from mapie.risk_control import BinaryClassificationController
    from mapie.risk_control.fwer_control import FWERFixedSequenceTesting

    starts = 1 if kind == "recall" else min(STARTS, len(grid))
    controller = BinaryClassificationController(
        predict_function=lambda x: np.column_stack([1 - x, x]),
        risk=kind,
        target_level=float(target),
        confidence_level=sure,
        list_predict_params=grid,
        fwer_method=FWERFixedSequenceTesting(n_starts=starts),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where nothing holds, which is an answer here
        controller.calibrate(score, y.astype(int))
    return np.asarray(controller.valid_predict_params, dtype=np.float64)
