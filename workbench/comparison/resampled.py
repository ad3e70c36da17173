"""One test set in one view, and what each run and each ceiling is worth on it under resampled groups.

Within a cell all runs are resampled by the same draws, so every difference is a paired one. Ranking metrics order posts
by probability, and by logit where probabilities tie (float32 saturates). A row that a model could not see counts with
the label's prevalence in training when ranked, and as not flagged at the threshold.

Open doubt: each resample of a ceiling averages 4 of its 20 tie-breaks; that adds a little noise to the test for leaks
and makes it, if anything, slower to trip.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeVar

import numpy as np
from joblib import Parallel, cpu_count, delayed

from workbench.comparison.predictions import Run
from workbench.metrics import intervals
from workbench.metrics.classification import Confusion, ratio
from workbench.metrics.ranking import Ranking
from workbench.metrics.table import DECISIONS, LABELS, METRICS, PROBABILITY, RANKING, SITE, Metric

VIEWS = ("paired", "all")
_TIE_BREAKS, _TURNS = 20, 5  # a resample averages every fifth tie-break


@dataclass(frozen=True)
class Cell:
    """The rows of one test set in one view, the same for all runs: y, known (n, L), codes (n,), weight (n,)."""

    test: str
    view: str
    rows: np.ndarray
    codes: np.ndarray
    groups: int
    weight: np.ndarray
    y: np.ndarray
    known: np.ndarray
    exact: dict[str, np.ndarray]
    seed: int

    @classmethod
    def of(cls, runs: Sequence[Run], test: str, view: str, seed: int) -> Cell:
        """Return the cell of runs that `check_same_items` has passed."""
        scores = runs[0].sets[test]
        rows = scores.paired if view == "paired" else np.ones(len(scores.paired), dtype=bool)
        codes, groups = intervals.group_codes(scores.group[rows])
        exact = {name: values[rows] for run in runs for name, values in run.sets[test].exact.items()}
        # a seed of its own per test set and view: a model more or less changes nobody else's draws
        mixed = zlib.crc32(f"{seed}/{test}/{view}".encode())
        y, known = scores.y[rows], scores.known[rows]
        return cls(test, view, rows, codes, groups, scores.weight[rows], y, known, exact, mixed)

    @cached_property
    def weighted(self) -> bool:
        """Whether the rows stand for unequal numbers of the site's posts."""
        return bool((self.weight != self.weight[:1]).any())

    @cached_property
    def positives(self) -> np.ndarray:
        """The number of known positives (L,)."""
        return (self.y & self.known).sum(axis=0)

    @cached_property
    def positive_groups(self) -> np.ndarray:
        """The number of groups with a known positive (L,): the independent pieces of evidence."""
        return np.array([len(np.unique(self.codes[column])) for column in (self.y & self.known).T])

    @cached_property
    def known_counts(self) -> np.ndarray:
        """The number of posts with a known label per group (L, groups)."""
        return np.stack([np.bincount(self.codes[column], minlength=self.groups) for column in self.known.T])

    @cached_property
    def defined(self) -> np.ndarray:
        """Which labels (L,) have a known positive and a known negative."""
        return (self.positives > 0) & ((~self.y & self.known).any(axis=0))


class Seen:
    """One run in one cell: prob and ranks (S, n, L), NaN where nothing is known, counts, site_counts (S, L, 4, groups).

    flagged (S, n, L) is what its thresholds flag; coverage (L,) is the share of rows that the model could see;
    site_counts are weighted to the site's mix of posts.
    """

    def __init__(self, run: Run, cell: Cell):
        scores = run.sets[cell.test]
        prob, logit = scores.prob[:, cell.rows], scores.logit[:, cell.rows]
        unseen = np.isnan(logit)
        self.run, self.cell = run, cell
        self.coverage = 1 - unseen.mean(axis=(0, 1))
        with np.errstate(divide="ignore"):
            stand_in = np.log(run.prevalence) - np.log1p(-run.prevalence)
        self.prob = np.where(unseen, run.prevalence, prob)
        self.ranks = _ranks(self.prob, np.where(unseen, stand_in, logit))
        self.flagged = (prob >= run.thresholds[:, None, :]) & ~unseen  # (S, n, L)
        self.counts = self._counts(np.ones(len(cell.codes)))
        self.site_counts = self._counts(cell.weight) if cell.weighted else self.counts

    def _counts(self, weight: np.ndarray) -> np.ndarray:
        cell, (seeds, _, labels) = self.cell, self.flagged.shape
        counts = np.empty((seeds, labels, 4, cell.groups))
        for s, k in np.ndindex(seeds, labels):
            y, known = cell.y[:, k], cell.known[:, k]
            counts[s, k] = intervals.group_confusions(
                y, self.flagged[s, :, k], cell.codes, cell.groups, weight=weight, known=known
            )
        counts[np.isnan(self.run.thresholds)] = np.nan
        return counts

    def over_labels(self, metric: Metric, used: np.ndarray) -> np.ndarray:
        """Return the counts (S, 4, L, groups) over `used` labels (L,), or (S, 4, groups) of a metric of whole posts.

        A whole post is one piece: it counts as a hit where all its known labels are decided rightly.
        """
        if metric.kind is LABELS:
            return np.moveaxis(self.counts[:, used], 1, 2)
        cell, known = self.cell, self.cell.known[:, used]
        wrong = ((self.flagged[:, :, used] != cell.y[:, used]) & known).any(axis=2)  # (S, n)
        every, some = np.ones(wrong.shape[1], bool), known.any(axis=1)
        confusions = (intervals.group_confusions(~miss, every, cell.codes, cell.groups, known=some) for miss in wrong)
        counts = np.stack(list(confusions))
        counts[np.isnan(self.run.thresholds[:, used]).any(axis=1)] = np.nan
        return counts

    def losses(self, metric: Metric) -> np.ndarray:
        """Return the sums (S, L, groups) of a loss over the posts with a known label, NaN where nothing is ranked."""
        return np.stack([_loss_sums(self.cell, metric, prob, self.ranked) for prob in self.prob])

    @cached_property
    def ranked(self) -> np.ndarray:
        """Which labels (L,) have a score, or a prevalence in its place, for every known row."""
        return ~(np.isnan(self.ranks) & self.cell.known).any(axis=(0, 1))

    def statistic(self, used: np.ndarray) -> intervals.Statistic:
        """Return weights (groups, c) -> (METRICS, S, L + 1, c); the last label is macro, the mean over `used` (L,)."""
        cell, (seeds, labels) = self.cell, self.counts.shape[:2]
        rankings = {
            (s, k): _ranking(cell, self.ranks[s, :, k], k) for s, k in np.ndindex(seeds, labels) if self.ranked[k]
        }
        ranked = [m for m, metric in enumerate(METRICS.values()) if metric.kind is RANKING]
        functions = [metric.function for metric in METRICS.values() if metric.kind is RANKING]
        together = {name: self.over_labels(metric, used) for name, metric in METRICS.items() if metric.over_labels}
        losses = {name: self.losses(metric) for name, metric in METRICS.items() if metric.kind is PROBABILITY}

        def evaluate(W: np.ndarray) -> np.ndarray:
            values = np.full((len(METRICS), seeds, labels + 1, W.shape[1]), np.nan)
            counts = Confusion(*weighted_counts(self.counts, W))
            site = Confusion(*weighted_counts(self.site_counts, W)) if cell.weighted else counts
            posts = cell.known_counts @ W
            for m, (name, metric) in enumerate(METRICS.items()):
                if metric.kind in (DECISIONS, SITE):
                    values[m, :, :-1] = metric.function(counts if metric.kind is DECISIONS else site)
                elif metric.kind is PROBABILITY:
                    values[m, :, :-1] = ratio(losses[name] @ W, np.broadcast_to(posts, (seeds, *posts.shape)))
            for (s, k), ranking in rankings.items():
                values[ranked, s, k] = ranking.values(W, functions)
            if used.any():
                values[:, :, -1] = values[:, :, :-1][:, :, used].mean(axis=2)
                for m, (name, metric) in enumerate(METRICS.items()):
                    if metric.over_labels:
                        values[m, :, -1] = metric.function(Confusion(*_labels_first(together[name], W)))
            return values

        return evaluate


def _labels_first(counts: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return counts (4, L, S, draws), or (4, S, draws) without labels, from (S, 4, [L,] groups) under weights."""
    with np.errstate(invalid="ignore"):  # the counts of an undefined threshold are NaN
        return np.moveaxis(counts @ W, 0, -2)


def weighted_counts(counts: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return counts (4, S, L, draws) from counts (S, L, 4, groups) under weights (groups, draws)."""
    with np.errstate(invalid="ignore"):  # the counts of an undefined threshold are NaN
        cells = counts.reshape(-1, counts.shape[-1]) @ W
    return np.moveaxis(cells.reshape(*counts.shape[:3], -1), 2, 0)


def _ranking(cell: Cell, score: np.ndarray, k: int) -> Ranking:
    return Ranking.build(cell.y[:, k], score, cell.codes, cell.groups, known=cell.known[:, k])


def _ranks(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return dense ranks (S, n, L) by `first`, then by `second`; NaN where either is."""
    ranks = np.full(first.shape, np.nan)
    for s, k in np.ndindex(first.shape[0], first.shape[2]):
        a, b = first[s, :, k], second[s, :, k]
        order = np.lexsort((b, a))
        rises = (a[order][1:] != a[order][:-1]) | (b[order][1:] != b[order][:-1])
        ranks[s, order, k] = np.cumsum(np.r_[False, rises])[: len(order)]
    ranks[np.isnan(first) | np.isnan(second)] = np.nan
    return ranks


def _loss_sums(cell: Cell, metric: Metric, prob: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Return the sums (L, groups) of a loss of prob (n, L) over posts with a known label; NaN where not `told` (L,)."""
    sums = np.full((cell.y.shape[1], cell.groups), np.nan)
    for k in np.flatnonzero(scored):
        rows = cell.known[:, k]
        losses = metric.function(cell.y[rows, k], prob[rows, k])
        sums[k] = np.bincount(cell.codes[rows], weights=losses, minlength=cell.groups)
    return sums


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
    rankings = [
        [_ranking(cell, _ranks(exact[None, :, [k]], breaker)[0, :, 0], k) for breaker in broken] if usable[k] else []
        for k in range(labels)
    ]
    ranked = [m for m, name in enumerate(names) if METRICS[name].kind is RANKING]
    functions = [METRICS[names[m]].function for m in ranked]
    losses = {
        m: _loss_sums(cell, METRICS[name], exact, usable)
        for m, name in enumerate(names)
        if METRICS[name].kind is PROBABILITY
    }

    def evaluate(W: np.ndarray) -> np.ndarray:
        turns = _TURNS if W.shape[1] > 1 else 1
        values = np.full((len(names), labels + 1, W.shape[1]), np.nan)
        for m, sums in losses.items():
            values[m, :-1] = ratio(sums @ W, cell.known_counts @ W)
        for k, turn in product(np.flatnonzero(usable) if ranked else (), range(turns)):
            some = np.ascontiguousarray(W[:, turn::turns])
            broken_values = [ranking.values(some, functions) for ranking in rankings[k][turn::turns]]
            values[ranked, k, turn::turns] = np.mean(broken_values, axis=0)
        if used.any():
            values[:, -1] = values[:, :-1][:, used].mean(axis=1)
        return values

    return evaluate


def resample(statistic: intervals.Statistic, cell: Cell, resamples: int, *, turns: bool = False) -> np.ndarray:
    """Return the statistic (..., 1 + resamples) of a cell, the sample's own value first; `turns`: it is a ceiling."""
    rows = max(cell.groups, len(cell.codes)) // (_TURNS if turns else 1)
    draws = intervals.bootstrap(statistic, cell.groups, resamples, seed=cell.seed, rows=rows)
    draws[..., 0] = at_once(statistic, cell)
    return draws


def at_once(statistic: intervals.Statistic, cell: Cell) -> np.ndarray:
    """Return the statistic of the sample itself."""
    return statistic(np.ones((cell.groups, 1)))[..., 0]


def permutation(a: Seen, b: Seen, labels: Sequence[int], name: str, draws: int) -> tuple[float, float]:
    """Return a - b in the mean of a metric over labels and seeds, and its p when groups are swapped between a and b.

    Seeds are paired in their order; where their numbers differ both are repeated up to the least common multiple, which
    leaves the two means as they are. The same groups are swapped under every label and seed.
    """
    metric, cell, differences = METRICS[name], a.cell, []
    used = np.isin(np.arange(cell.y.shape[1]), labels)
    if metric.has_ceiling and not (a.ranked & b.ranked)[used].all():
        return math.nan, math.nan
    together = [side.over_labels(metric, used) for side in (a, b)] if metric.over_labels else []
    losses = [side.losses(metric) for side in (a, b)] if metric.kind is PROBABILITY else []
    counts = [side.site_counts if metric.kind is SITE else side.counts for side in (a, b)]
    for i in range(math.lcm(len(a.run.seeds), len(b.run.seeds))):
        s, t = i % len(a.run.seeds), i % len(b.run.seeds)
        if metric.over_labels:
            differences.append(intervals.swapped_counts(together[0][s], together[1][t], metric.function))
            continue
        for k in labels:
            if metric.kind is RANKING:
                lists = (cell.y[:, k], a.ranks[s, :, k], b.ranks[t, :, k], cell.codes, cell.groups)
                swapped = intervals.swapped_ranking(*lists, metric=metric.function, known=cell.known[:, k])
            elif metric.kind is PROBABILITY:
                swapped = intervals.swapped_sums(losses[0][s, k], losses[1][t, k], cell.known[:, k].sum())
            else:
                swapped = intervals.swapped_counts(counts[0][s, k], counts[1][t, k], metric.function)
            differences.append(swapped)
    return intervals.permutation_test(differences, cell.groups, draws=draws, seed=cell.seed)


_MUCH = 2e8  # resampled scores that take one core some seconds


Item, Found = TypeVar("Item"), TypeVar("Found")


def each(work: Callable[[Item], Found], items: Sequence[Item], size: float) -> list[Found]:
    """Return work(item) for every item, in their order; `work` and items must be picklable.

    size: how many scores are resampled in all, from which it follows whether other processes are worth it.
    """
    jobs = min(cpu_count(), len(items))
    if jobs < 2 or size < _MUCH:
        return [work(item) for item in items]
    return Parallel(n_jobs=jobs)(delayed(work)(item) for item in items)
