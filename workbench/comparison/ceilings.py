"""What no model can beat with what it sees, the limit of late fusion, and the test for leaks.

On one sample of posts a ceiling is the value of the exact probabilities there: in the long run no model beats it, on
one sample some do by luck. The limit of late fusion is that of one calibrated probability per modality, however the two
are put together; a score that tells more than its probability is not bound by it.

Open doubt: each resample of a ceiling averages 4 of its 20 tie-breaks; that adds a little noise to the test for leaks
and makes it, if anything, slower to trip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from workbench.comparison.options import LATE_FUSION, LEAK_ALPHA, CompareOptions
from workbench.comparison.resampled import (
    TURNS,
    Cell,
    Seen,
    at_once,
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
from workbench.metrics import intervals, testing
from workbench.metrics.classification import Curve
from workbench.metrics.table import METRICS, PROBABILITY, Metric

NOTHING = "none"  # the information of a model that looks at nothing
_TIE_BREAKS = 20
_PLANTED, _ROUNDS = 100, 2  # resamples, and rounds, in which the leak that would be found is looked for
_FIRST = 0.1  # the share of the first round; without a leak a model may be its own ceiling, which tells no error
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
        for m, metric in enumerate(metrics):
            values[m, :-1][~cell.enough(metric)] = np.nan
        if used.any():
            values[:, -1] = values[:, :-1][:, used].mean(axis=1)
        return values

    return evaluate


def of_models(cell: Cell, informations: Collection[str], used: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Return per information and metric the ceilings (L + 1,) on this sample; none for a model that sees nothing.

    What is known without looking, such as which modalities a post has, is no achievement that a share of could be told.
    """
    names = [name for name, metric in METRICS.items() if metric.has_ceiling]
    wanted = ({*informations} & {*cell.exact}) - {NOTHING}
    best = {name: at_once(ceiling(cell, name, used, names), cell) for name in sorted(wanted)}
    return {name: dict(zip(names, values, strict=True)) for name, values in best.items()}


# ----------------------------------------------------------------------------------------------------- the leak test


def against(
    cell: Cell,
    settings: CompareOptions,
    used: np.ndarray,
    models: Mapping[str, tuple[Seen, np.ndarray]],
    place: Callable[[int], dict[str, Any]],
) -> tuple[list[FusionLimit], list[LeakTest]]:
    """Return the rows of the limit of late fusion and of the test for leaks.

    A model better than anything its inputs allow has seen something it should not. The test looks at every label and at
    macro over the `used` ones (L,); a label with few positive groups is not tested, since luck with three posts looks
    like a leak. models: alias -> (what it made of the cell, draws (METRICS, L + 1, 1 + resamples), means over seeds);
    place: label number -> where a number stands, and on what.
    """
    name = settings.metric if METRICS[settings.metric].has_ceiling else "average_precision"
    m = [*METRICS].index(name)
    about = {"alpha": settings.alpha, "top": METRICS[name].top}
    wanted = {seen.run.information for seen, _ in models.values()} | {LATE_FUSION}
    best = {
        information: resample(ceiling(cell, information, used, (name,)), cell, settings.resamples, turns=True)[0]
        for information in sorted(wanted & set(cell.exact))
    }
    limit, leaks, planted = [], [], []
    for k in [*np.flatnonzero(used), len(used)]:
        labels = np.flatnonzero(used).tolist() if k == len(used) else [k]
        where = place(k)
        spans = {of: spanned(bound[k], units=where["effective"], **about) for of, bound in best.items()}
        if LATE_FUSION in best:
            limit.append(FusionLimit(metric=name, **where, **spans[LATE_FUSION]))
        for alias, (seen, draws) in models.items():
            information = seen.run.information
            if information not in best:
                continue
            ours, bound = draws[m, k], best[information][k]
            if not np.isnan(ours[0] - bound[0]):
                span = {f"ceiling_{end}": spans[information][end] for end in ("lo", "hi")}
                about_row = {"model": alias, "metric": name, **where, **span}
                leaks.append(_leak(ours, bound, settings.alpha, not where["few"], about_row))
                planted.append(None if where["few"] else _Planted(seen, METRICS[name], labels, bound))
    adjusted = list(map(defined, map(float, testing.holm([row.p for row in leaks]))))
    beyond = _beyond(settings, sum(p is not None for p in adjusted))
    shares = [plant.detectable(beyond) if plant else None for plant in planted]
    return limit, [
        row.model_copy(
            update={"p_holm": p, "tripped": None if p is None else p < LEAK_ALPHA, "detectable_leak": defined(share)}
        )
        for row, p, share in zip(leaks, adjusted, shares, strict=True)
    ]


def _leak(ours: np.ndarray, bound: np.ndarray, alpha: float, tested: bool, about: dict[str, Any]) -> LeakTest:
    """Return the difference to the ceiling, its interval and its one-sided p, NaN where it is not to be tested."""
    low, high = intervals.difference_interval(ours, bound, alpha=alpha)
    metric, draws = METRICS[about["metric"]], ours - bound
    better = metric.sign * draws - (_ROUNDED if metric.kind is PROBABILITY else 0)
    p = testing.one_sided_p(better[0], better[1:]) if tested else math.nan
    numbers = {"value": ours[0], "ceiling": bound[0], "delta": draws[0], "lo": low, "hi": high, "p": p}
    return LeakTest(**about, **numbers, p_holm=None, tripped=None)


# ------------------------------------------------------------------------------------- which leak it would have found


def _beyond(settings: CompareOptions, tests: int) -> float:
    """Return by how many standard errors a value must lie above its ceiling for one of `tests` tests to trip.

    It then trips with the probability `power` on a test set like this one, and since the value at hand is as uncertain
    as that of such a test set, the root of two of that distance is kept. Holm asks most of the smallest p, so that this
    holds whatever else leaks. A p of less than two resamples' worth is had only where none falls below the ceiling.
    """
    level, least = LEAK_ALPHA / max(tests, 1), 1 / (1 + settings.resamples)
    level = level if level >= 2 * least else min(level, least)
    return float(stats.norm.isf(level) + math.sqrt(2) * stats.norm.ppf(settings.power))


@dataclass(frozen=True)
class _Planted:
    """A model that is made to have memorised a share of the posts it is tested on, and its ceiling `bound`.

    Of a ranking harmful posts are memorised and stand on top, of a loss any and cost nothing; the value is the mean
    over `labels` and seeds. bound (1 + resamples,): the sample's own first.
    """

    seen: Seen
    metric: Metric
    labels: list[int]
    bound: np.ndarray

    def detectable(self, beyond: float) -> float:
        """Return the least share that lifts the value `beyond` standard errors above the ceiling; NaN if none does.

        The standard error is that of the leaky model, which has less in common with its ceiling than the one at hand;
        as it depends on the share, both are found in turn.
        """
        drawn = min(len(self.bound) - 1, _PLANTED)
        blocks = intervals.bootstrap_weights(self.seen.cell.groups, drawn, seed=self.seen.cell.seed)
        W, share = np.concatenate([*blocks], axis=1), _FIRST
        for _ in range(_ROUNDS):
            se = np.nanstd((self.draws(share, W) - self.bound[: 1 + drawn])[1:], ddof=1)
            share = self._least(self.bound[0] + self.metric.sign * beyond * se)
            if math.isnan(share):
                break
        return share

    def _least(self, target: float) -> float:
        """Return the least share at which the value is as good as `target`, NaN if even 1 is not enough."""
        good = lambda share: self.metric.sign * (self.expected(share) - target) >= 0  # noqa: E731
        if not good(1.0):
            return math.nan
        low, high = 0.0, 1.0  # square roots of shares: small ones matter most
        for _ in range(14):
            middle = (low + high) / 2
            low, high = (low, middle) if good(middle**2) else (middle, high)
        return high**2

    @cached_property
    def _weight(self) -> np.ndarray | None:
        return self.seen.cell.weight if self.metric.site else None

    @cached_property
    def _curves(self) -> list[Curve]:
        cell, places = self.seen.cell, product(self.labels, range(len(self.seen.ranks)))
        about = {k: {"weight": self._weight, "known": cell.known[:, k]} for k in self.labels}
        return [Curve.of(cell.y[:, k], self.seen.ranks[s, :, k], **about[k]) for k, s in places]

    def expected(self, share: float) -> float:
        """Return the value with that share memorised, on average over which posts those are."""
        if self.metric.kind is PROBABILITY:
            return (1 - share) * float(self.draws(0.0, np.ones((self.seen.cell.groups, 1)))[0])
        return float(np.mean([self.metric.function(_with_on_top(curve, share))[0] for curve in self._curves]))

    def draws(self, share: float, W: np.ndarray) -> np.ndarray:
        """Return the value (draws,) under weights W (groups, draws), whole groups of posts being memorised."""
        seen, cell, metric = self.seen, self.seen.cell, self.metric
        memorised = np.random.default_rng([cell.seed, 2]).random(cell.groups) < share
        places = product(self.labels, range(len(seen.ranks)))
        if metric.kind is PROBABILITY:
            pieces = seen.pieces(metric, np.ones(cell.y.shape[1], bool)).copy()  # (2, L, S, groups)
            pieces[0][..., memorised] = 0
            return np.mean([metric.of_pieces(summed(pieces[:, k, s], W)) for k, s in places], axis=0)
        values = []
        for k, s in places:
            score = np.where(cell.y[:, k] & memorised[cell.codes], np.inf, seen.ranks[s, :, k])
            values.append(ranked_list(cell, score, k, self._weight).values(W, [metric.function])[0])
        return np.mean(values, axis=0)


def _with_on_top(curve: Curve, share: float) -> Curve:
    """Return a curve's expectation where a share of its positives stands above all other posts."""
    none = np.zeros_like(curve.passed[:1])
    gained = np.concatenate([share * curve.positives[None], (1 - share) * curve.gained])
    passed = np.concatenate([none, curve.passed])
    return Curve(gained, passed, lambda: np.concatenate([none, curve.tied]), curve.negatives)
