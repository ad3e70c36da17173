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
from typing import TypeVar

import numpy as np
from joblib import Parallel, cpu_count, delayed

from workbench.comparison.predictions import Run
from workbench.metrics import intervals
from workbench.metrics.classification import Confusion
from workbench.metrics.ranking import RANKED, Ranking

VIEWS = ("paired", "all")
RATES = ("precision", "recall", "f1", "f1_macro", "false_positive_rate", "true_negative_rate")
POOLED = ("precision_micro", "recall_micro", "f1_micro", "exact_match", "hamming_loss")  # over labels
SHARES = {*RATES, *POOLED, "precision_site"} - {"f1", "f1_macro", "f1_micro"}  # of counted posts
# The first axis of what a run's statistic returns; those of RANKED have a ceiling.
NAMES = (*RATES, *RANKED, "precision_site", *POOLED)
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
    def defined(self) -> np.ndarray:
        """Which labels (L,) have a known positive and a known negative."""
        return (self.positives > 0) & ((~self.y & self.known).any(axis=0))


class Seen:
    """One run in one cell: ranks (S, n, L), NaN where nothing can be ranked, and counts, site_counts (S, L, 4, groups).

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
        self.ranks = _ranks(np.where(unseen, run.prevalence, prob), np.where(unseen, stand_in, logit))
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

    def pooled(self, name: str, used: np.ndarray) -> tuple[np.ndarray, str]:
        """Return counts (S, 4, groups) and the property of their Confusion that is a metric of POOLED over `used` (L,).

        For the exact match a post is one piece: it counts as a hit where all its known labels are decided rightly.
        """
        if name != "exact_match":
            return self.counts[:, used].sum(axis=1), name.removesuffix("_micro") if "_micro" in name else "error_rate"
        cell = self.cell
        known = cell.known[:, used]
        wrong = ((self.flagged[:, :, used] != cell.y[:, used]) & known).any(axis=2)  # (S, n)
        counts = np.stack([
            intervals.group_confusions(~one, np.ones(len(one), bool), cell.codes, cell.groups, known=known.any(axis=1))
            for one in wrong
        ])  # fmt: skip
        counts[np.isnan(self.run.thresholds[:, used]).any(axis=1)] = np.nan
        return counts, "precision"

    @cached_property
    def ranked(self) -> np.ndarray:
        """Which labels (L,) have a score, or a prevalence in its place, for every known row."""
        return ~(np.isnan(self.ranks) & self.cell.known).any(axis=(0, 1))

    def statistic(self, used: np.ndarray) -> intervals.Statistic:
        """Return weights (groups, c) -> (NAMES, S, L + 1, c); the last label is macro, the mean over `used` (L,)."""
        cell, (seeds, labels) = self.cell, self.counts.shape[:2]
        rankings = {
            (s, k): _ranking(cell, self.ranks[s, :, k], k) for s, k in np.ndindex(seeds, labels) if self.ranked[k]
        }
        pooled = {name: self.pooled(name, used) for name in POOLED}

        def evaluate(W: np.ndarray) -> np.ndarray:
            values = np.full((len(NAMES), seeds, labels + 1, W.shape[1]), np.nan)
            counts = weighted_counts(self.counts, W)
            for m, name in enumerate(RATES):
                values[m, :, :-1] = getattr(Confusion(*counts), name)
            site = weighted_counts(self.site_counts, W) if cell.weighted else counts
            values[NAMES.index("precision_site"), :, :-1] = Confusion(*site).precision
            for (s, k), ranking in rankings.items():
                values[len(RATES) : len(RATES) + len(RANKED), s, k] = ranking.values(W, tuple(RANKED))
            if used.any():
                values[:, :, -1] = values[:, :, :-1][:, :, used].mean(axis=2)
                for name, (cells, what) in pooled.items():
                    values[NAMES.index(name), :, -1] = getattr(
                        Confusion(*weighted_counts(cells[:, None], W)[:, :, 0]), what
                    )
            return values

        return evaluate


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


def ceiling(
    cell: Cell, information: str, used: np.ndarray, names: Sequence[str] = tuple(RANKED)
) -> intervals.Statistic:
    """Return weights (groups, c) -> the best possible values (names, L + 1, c) for a model that sees `information`.

    The world's exact probabilities are ranked, ties broken at random: for one column of weights the mean of 20 seeded
    tie-breaks, else of every fifth one, in turn. NaN for labels without a truth; the last label is macro over `used`.
    """
    exact, labels = cell.exact[information], cell.y.shape[1]
    # sums in another order differ in the last digits; posteriors that should tie must
    exact = np.round(exact, 12)
    told = ~(np.isnan(exact) & cell.known).any(axis=0) & cell.defined
    rng = np.random.default_rng(cell.seed)
    broken = [rng.permuted(np.arange(len(exact), dtype=float))[None, :, None] for _ in range(_TIE_BREAKS)]
    rankings = [
        [_ranking(cell, _ranks(exact[None, :, [k]], breaker)[0, :, 0], k) for breaker in broken] if told[k] else []
        for k in range(labels)
    ]

    def evaluate(W: np.ndarray) -> np.ndarray:
        turns = _TURNS if W.shape[1] > 1 else 1
        values = np.full((len(names), labels + 1, W.shape[1]), np.nan)
        for k in np.flatnonzero(told):
            values[:, k] = 0
            for turn in range(turns):
                some = np.ascontiguousarray(W[:, turn::turns])
                values[:, k, turn::turns] = np.mean(
                    [ranking.values(some, names) for ranking in rankings[k][turn::turns]], axis=0
                )
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


def permutation(a: Seen, b: Seen, labels: Sequence[int], metric: str, draws: int) -> tuple[float, float]:
    """Return a - b in the mean of a metric over labels and seeds, and its p when groups are swapped between a and b.

    Seeds are paired in their order; where their numbers differ both are repeated up to the least common multiple, which
    leaves the two means as they are. The same groups are swapped under every label and seed.
    """
    cell, differences = a.cell, []
    for i in range(math.lcm(len(a.run.seeds), len(b.run.seeds))):
        s, t = i % len(a.run.seeds), i % len(b.run.seeds)
        if metric in POOLED:
            used = np.isin(np.arange(cell.y.shape[1]), labels)
            (first, what), (second, _) = a.pooled(metric, used), b.pooled(metric, used)
            differences.append(intervals.swapped_counts(first[s], second[t], what))
            continue
        for k in labels:
            if metric == "precision_site":
                one = intervals.swapped_counts(a.site_counts[s, k], b.site_counts[t, k], "precision")
            elif metric in RATES:
                one = intervals.swapped_counts(a.counts[s, k], b.counts[t, k], metric)
            elif a.ranked[k] and b.ranked[k]:
                lists = (cell.y[:, k], a.ranks[s, :, k], b.ranks[t, :, k], cell.codes, cell.groups)
                one = intervals.swapped_ranking(*lists, metric=metric, known=cell.known[:, k])
            else:
                return math.nan, math.nan
            differences.append(one)
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
