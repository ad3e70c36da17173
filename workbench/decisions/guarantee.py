"""Thresholds whose precision or recall holds with a stated confidence on new posts, not only on those of validation.

The best threshold among many that seem to do is often one that was lucky. "Learn then test" (Angelopoulos, Bates,
Candès, Jordan and Lei 2021, arXiv 2110.01052) tests each threshold of a grid for the hypothesis that it misses the
target, by the exact binomial tail, and corrects for testing many, so that the chance that any accepted threshold misses
the target is at most 1 - sure. The correction is MAPIE's; its binomial tail is not taken, as it rounds a number of
errors up to the next one where their share is not exact in floating point. This module says which posts and which
thresholds go in:

- Posts of a group are not independent, so one post of each group is tested, drawn without looking at label or score.
  What holds is therefore said of groups: of the posts that are the only one of their group, or a random one of it.
- A grid must not depend on what it is tested on. For precision it consists of ranks: given that the k-th highest score
  is t, the posts above t are an independent sample of all posts that score above t, whatever t is. For recall it
  consists of scores of harmless posts, which say nothing of the harmful ones.
- A calibration that rises strictly changes no rank, so that it was fitted on the same labels costs nothing.

Recall falls as the threshold rises, so its thresholds are tested from the lowest up, each at the full level, until one
fails. Precision need not rise, and at the top too few posts are flagged to prove anything; its ranks are tested from
starting points down, each with its share of the level. A start far above the last rank that would do has too few posts,
one below it fails, so a good one lies at about as many posts as a model can rightly flag. Where the share of harmful
posts is known from elsewhere (training), the two starts are `AIMED` at parts of it, for a model that finds most of them
and for one that finds half; else there is a start at every doubling.

What *is* proven where the precision asked for is not (`outlook`): lower targets are tested from the lowest up, each at
the full level, until one fails. If no threshold reaches a target, none reaches a higher one either, so a wrong
statement needs a wrong proof at the first target that is out of reach: its chance is at most 1 - sure, however many are
tried. It is a statement of its own beside that about the precision asked for, and it names no threshold.

Open doubts: early stopping or a choice of options on validation has seen these labels too, which no correction here
knows of; and posts of another time or place are not exchangeable with those of validation.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import binom

from workbench.metrics.testing import trials_needed

STEPS = 100  # thresholds tried for a recall
A_DOUBLING = 4  # thresholds tried for a precision while the posts above them double
AIMED = (0.35, 0.7)  # flagged posts at which tests of a precision start, as parts of the harmful ones expected
TARGETS = (0.7, 0.8, 0.85, 0.9, 0.95)  # precisions of which the highest that is proven is told
ENOUGH = 20  # flagged posts; a precision seen on fewer says little


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
    expected: float | None = None,
) -> Held:
    """Return the threshold at or above `floor` that reaches the target with confidence `sure` and flags best.

    y (n,) bool, score (n,) without NaN, group (n,) or None for posts that are all independent. expected: the share of
    harmful posts as other posts than these tell it; a wrong one costs power, never the guarantee. Of the thresholds
    that hold, a precision takes the lowest and a recall the highest.

    >>> y = np.arange(400) >= 200
    >>> found = hold(y, y + np.arange(400) / 1000, kind="recall", target=0.9)
    >>> round(found.at, 3)  # just above the highest harmless post, and no harmful one is missed
    0.199
    """
    y, score = _independent(y, score, group)
    about = f"of {len(y):,} groups, one post each, {int(y.sum()):,} harmful"
    if kind == "recall":
        y, score, grid = y[y], score[y], _harmless_scores(score[~y])
        starts, needed = np.zeros(1, dtype=int), _without_error(target, 1 - sure)
    else:
        grid, starts, needed = _ranked(score, target, 1 - sure, expected)
    if len(y) < needed or not len(grid):
        what = "harmful groups" if kind == "recall" else "groups"
        return Held(None, f"{about}; {needed:g} {what} without one error are needed to be sure")
    held = _tested(y, score, grid, starts, kind, target, sure)
    held = held[held >= floor]
    if not len(held):
        over = f" from {floor:.3f} on" if floor > 0 else ""
        return Held(None, f"{about}; none of {len(grid)} thresholds tried{over} is proven to reach it")
    return Held(float(held.max() if kind == "recall" else held.min()), f"tested on one post of each group: {about}")


class Outlook(NamedTuple):
    """Where a precision is not proven: the highest lower one that is, the one seen, and the groups it would take.

    None where nothing is proven, where fewer than `ENOUGH` groups are flagged, where the one seen is not high enough.
    """

    proven: float | None
    seen: float | None
    needed: int | None


def outlook(
    y: np.ndarray,
    score: np.ndarray,
    *,
    target: float,
    sure: float,
    group: np.ndarray | None = None,
    floor: float = -math.inf,
    expected: float | None = None,
) -> Outlook:
    """Return what is proven instead of a precision of `target`, and what it would take; arguments as for `hold`.

    seen: the precision at the threshold that comes closest to being proven. needed: groups like these, harmful and
    harmless, with which the target would be proven there in four cases of five, were that precision the true one.
    """
    proven, about = None, {"sure": sure, "group": group, "floor": floor, "expected": expected}
    for lower in (each for each in TARGETS if each < target):
        if hold(y, score, kind="precision", target=lower, **about).at is None:
            break
        proven = lower
    y, score = _independent(y, score, group)
    grid, starts, _ = _ranked(score, target, 1 - sure, expected)
    flags = score >= grid[grid >= floor, None]  # (thresholds, groups)
    flagged, caught = flags.sum(axis=1), (flags & y).sum(axis=1)
    flagged, caught = flagged[flagged >= ENOUGH], caught[flagged >= ENOUGH]
    if not len(flagged):
        return Outlook(proven, None, None)
    near = int(np.argmin(binom.cdf(flagged - caught, flagged, 1 - target)))  # to being proven
    seen = float(caught[near] / flagged[near])
    if seen <= target:
        return Outlook(proven, seen, None)
    need = trials_needed(seen, target, alpha=(1 - sure) / len(starts)) / flagged[near] * len(y)
    return Outlook(proven, seen, max(int(float(f"{need:.2g}")), len(y) + 1))  # nothing finer is known


def _independent(y: np.ndarray, score: np.ndarray, group: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores of one post of each group."""
    rows = np.arange(len(y)) if group is None else one_of_each(group)
    return np.asarray(y, dtype=bool)[rows], np.asarray(score, dtype=np.float64)[rows]


def _without_error(target: float, level: float) -> float:
    """Return how many posts without one error prove a share; infinite for a share of 1."""
    return 1 + math.floor(math.log(level) / math.log(target)) if target < 1 else math.inf


def _ranked(
    score: np.ndarray, target: float, level: float, expected: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return thresholds (k,), falling, just above the scores of some ranks, the positions where tests start, and the
    least posts that prove anything.
    """
    n = len(score)
    aims = [] if expected is None else [part * expected * n for part in AIMED]
    doublings = max(math.floor(math.log2(max(n, 2) / 10)), 1)
    needed = _without_error(target, level / (len(aims) or doublings))
    if n <= needed:
        return np.empty(0), np.empty(0, dtype=int), needed
    starts = aims or [needed * 2**step for step in range(doublings)]
    starts = np.unique([min(max(math.ceil(start), needed), n - 1) for start in starts]).astype(int)
    first = starts[0]
    steps = np.arange(math.ceil(A_DOUBLING * math.log2(n / first)) + 1)
    ranks = np.unique(np.r_[starts, np.minimum(first * 2 ** (steps / A_DOUBLING), n - 1).astype(int)])
    ordered = np.sort(score)[::-1]
    falling = np.unique(ordered[ranks])[::-1]
    at_start = np.unique(np.searchsorted(-falling, -ordered[starts]))
    return np.nextafter(falling, np.inf), at_start, needed


def _harmless_scores(score: np.ndarray) -> np.ndarray:
    """Return thresholds (k,), rising, just above scores of harmless posts, the denser the higher."""
    if not len(score):
        return np.empty(0)
    ranks = np.unique(np.geomspace(1, len(score), STEPS).astype(int)) - 1
    distinct = np.unique(np.sort(score)[::-1][ranks])
    return np.nextafter(distinct, np.inf)


def _tested(
    y: np.ndarray, score: np.ndarray, grid: np.ndarray, starts: np.ndarray, kind: str, target: float, sure: float
) -> np.ndarray:
    """Return the thresholds of a grid, in the order in which they are tested, that are proven to reach the target.

    starts: positions in the grid; from each one tests go on, with an equal share of the level, until one fails.
    """
    from mapie.risk_control.fwer_control import control_fwer

    flags = score >= grid[:, None]  # (thresholds, posts)
    of = flags.sum(axis=1) if kind == "precision" else np.full(len(grid), len(y))
    p = binom.cdf(of - (flags & y).sum(axis=1), of, 1 - target)
    level = (1 - sure) / len(starts)
    passed = [start + control_fwer(p[start:], level, "fixed_sequence") for start in starts]
    return grid[np.unique(np.concatenate(passed)).astype(int)]
