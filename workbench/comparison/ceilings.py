"""What no model can beat with what it sees, the limit of late fusion, and the test for leaks.

Open doubt: each resample of a ceiling averages 4 of its 20 tie-breaks; that adds a little noise to the test for leaks
and makes it, if anything, slower to trip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from workbench.comparison.options import LATE_FUSION, LEAK_ALPHA, CompareOptions
from workbench.comparison.resampled import (
    TURNS,
    Cell,
    dense_ranks,
    group_losses,
    ranked_list,
    rankings_by_weight,
    resample,
    spanned,
    summed,
)
from workbench.comparison.rows import FusionLimit, LeakTest
from workbench.comparison.rows.values import defined
from workbench.metrics import intervals
from workbench.metrics.table import METRICS, PROBABILITY

_TIE_BREAKS = 20
_ROUNDED = 1e-6  # scores are kept as float32, so that a loss may end this far below its ceiling


def ceiling(cell: Cell, information: str, used: np.ndarray, names: Sequence[str]) -> intervals.Statistic:
    """Return weights (groups, c) -> the best possible values (names, L + 1, c) for a model that sees `information`.

    names: metrics that have a ceiling. For a loss it is that of the world's exact probabilities. For a ranking they are
    ranked, ties broken at random: for one column of weights the mean of 20 seeded tie-breaks, else of every fifth one,
    in turn. NaN for labels without a truth; the last label is macro over `used`.
    """
    exact, labels = cell.exact[information], cell.y.shape[1]
    # sums in another order differ in the last digits; posteriors that should tie must
    exact = np.round(exact, 12)
    usable = ~(np.isnan(exact) & cell.known).any(axis=0) & cell.defined
    rng = np.random.default_rng(cell.seed)
    broken = [rng.permuted(np.arange(len(exact), dtype=float))[None, :, None] for _ in range(_TIE_BREAKS)]
    ranks = {
        k: [dense_ranks(exact[None, :, [k]], breaker)[0, :, 0] for breaker in broken] for k in np.flatnonzero(usable)
    }
    rankings = [
        (k, ranked, functions, [ranked_list(cell, score, k, weight) for score in ranks[k]])
        for weight, ranked, functions in rankings_by_weight(cell, names)
        for k in ranks
    ]
    metrics = [METRICS[name] for name in names]
    losses = {
        m: group_losses(cell, metric, exact, usable) for m, metric in enumerate(metrics) if metric.kind is PROBABILITY
    }

    def evaluate(W: np.ndarray) -> np.ndarray:
        turns = TURNS if W.shape[1] > 1 else 1
        values = np.full((len(names), labels + 1, W.shape[1]), np.nan)
        for m, pieces in losses.items():
            values[m, :-1] = metrics[m].of_pieces(summed(pieces, W))
        for (k, ranked, functions, lists), turn in product(rankings, range(turns)):
            some = np.ascontiguousarray(W[:, turn::turns])
            broken_values = [ranking.values(some, functions) for ranking in lists[turn::turns]]
            values[ranked, k, turn::turns] = np.mean(broken_values, axis=0)
        if used.any():
            values[:, -1] = values[:, :-1][:, used].mean(axis=1)
        return values

    return evaluate


def against(
    cell: Cell,
    settings: CompareOptions,
    used: np.ndarray,
    models: Mapping[str, tuple[str, np.ndarray]],
    place: Callable[[int], dict[str, Any]],
    evidence: Callable[[int], int],
) -> tuple[list[FusionLimit], list[LeakTest]]:
    """Return the rows of the limit of late fusion and of the test for leaks.

    A model better than anything its inputs allow has seen something it should not. The test looks at every label and at
    macro over the `used` ones (L,); a label with few positive groups is not tested, since luck with three posts looks
    like a leak. models: alias -> (information, draws (METRICS, L + 1, 1 + resamples)); place and evidence: label number
    -> where a number stands, and on how many groups with a positive.
    """
    metric = settings.metric if METRICS[settings.metric].has_ceiling else "average_precision"
    m, enough = [*METRICS].index(metric), cell.positive_groups >= settings.few
    about = {"alpha": settings.alpha, "top": METRICS[metric].top}
    wanted = {information for information, _ in models.values()} | {LATE_FUSION}
    best = {
        name: resample(ceiling(cell, name, used, (metric,)), cell, settings.resamples, turns=True)[0]
        for name in sorted(wanted & set(cell.exact))
    }
    limit, leaks = [], []
    for k in [*np.flatnonzero(used), len(used)]:
        tested = bool((enough[used] if k == len(used) else enough[[k]]).all())
        if LATE_FUSION in best:
            span = spanned(best[LATE_FUSION][k], units=evidence(k), **about)
            limit.append(FusionLimit(metric=metric, **place(k), **span))
        for alias, (information, draws) in models.items():
            if information not in best:
                continue
            ours, bound = draws[m, k], best[information][k]
            if not np.isnan(ours[0] - bound[0]):
                about_row = {"model": alias, "metric": metric, **place(k)}
                leaks.append(_leak(ours, bound, settings.alpha, tested, about_row))
    adjusted = map(defined, map(float, intervals.holm([row.p for row in leaks])))
    return limit, [
        row.model_copy(update={"p_holm": p, "tripped": None if p is None else p < LEAK_ALPHA})
        for row, p in zip(leaks, adjusted, strict=True)
    ]


def _leak(ours: np.ndarray, bound: np.ndarray, alpha: float, tested: bool, about: dict[str, Any]) -> LeakTest:
    """Return the difference to the ceiling, its interval and its one-sided p, NaN where it is not to be tested."""
    low, high = intervals.difference_interval(ours, bound, alpha=alpha)
    metric, draws = METRICS[about["metric"]], ours - bound
    better = metric.sign * draws - (_ROUNDED if metric.kind is PROBABILITY else 0)
    p = intervals.one_sided_p(better[0], better[1:]) if tested else math.nan
    numbers = {"value": ours[0], "ceiling": bound[0], "delta": draws[0], "lo": low, "hi": high, "p": p}
    return LeakTest(**about, **numbers, p_holm=None, tripped=None)
