"""One test set in one view, and what each run is worth on it under resampled groups.

Within a cell all runs are resampled by the same draws, so every difference is a paired one. Ranking metrics order posts
by probability, and by logit where probabilities tie (float32 saturates). A row that a model could not see counts with
the label's prevalence in training when ranked, and as not flagged at the threshold.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from joblib import Parallel, cpu_count, delayed

from workbench.comparison.predictions import Run
from workbench.metrics import intervals, testing
from workbench.metrics.classification import Curve
from workbench.metrics.ranking import Ranking
from workbench.metrics.shares import uneven
from workbench.metrics.table import LABELS, METRICS, POSTS, PROBABILITY, RANKING, Metric

VIEWS = ("paired", "all")
TURNS = 5  # a resample of a ceiling averages every fifth of its tie-breaks


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
    def of(cls, runs: Sequence[Run], test: str, view: str, seed: int, within: np.ndarray | None = None) -> Cell:
        """Return the cell of runs that `check_same_items` has passed; within (n,) bool: the posts that it is of."""
        scores = runs[0].sets[test]
        rows = scores.paired if view == "paired" else np.ones(len(scores.paired), dtype=bool)
        rows = rows if within is None else within
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

    def enough(self, metric: Metric) -> np.ndarray:
        """Return for which labels (L,) there are as many harmless posts as a metric needs to say anything."""
        return (~self.y & self.known).sum(axis=0) >= metric.negatives

    @cached_property
    def uneven(self) -> bool:
        """Whether most posts, or most harmful ones of some label, lie in a few groups (`shares.uneven`)."""
        return uneven(np.bincount(self.codes)) or any(map(uneven, self.positive_weight[False]))

    @cached_property
    def positive_weight(self) -> dict[bool, np.ndarray]:
        """What the known positives of each group weigh (L, groups): one each, or with True their weight at the site."""
        columns, weights = (self.y & self.known).T, {False: np.ones(len(self.codes)), True: self.weight}
        return {
            site: np.array([np.bincount(self.codes, weight * column, self.groups) for column in columns])
            for site, weight in weights.items()
        }

    def groups_of(self, posts: np.ndarray) -> np.ndarray:
        """Return how many of some posts (n,) bool lie in each group (groups,)."""
        return np.bincount(self.codes[posts], minlength=self.groups)

    def counted(self, rows: np.ndarray, k: int) -> dict[str, int]:
        """Return how many of some rows (n,) have a known label, and how many of those hold it and do not."""
        known = rows & self.known[:, k]
        n, positives = int(known.sum()), int((known & self.y[:, k]).sum())
        return {"n": n, "positives": positives, "negatives": n - positives}

    @cached_property
    def defined(self) -> np.ndarray:
        """Which labels (L,) have a known positive and a known negative."""
        return (self.positives > 0) & ((~self.y & self.known).any(axis=0))


class Seen:
    """One run in one cell: prob, logit and ranks (S, n, L), NaN where nothing is known; logit as the run has it.

    flagged (S, n, L) is what its thresholds flag, undecided (S, L) where one of them lacks; coverage (L,) is the share
    of rows that the model could see; counts (4, L, S, groups) are tn, fp, fn, tp.
    """

    def __init__(self, run: Run, cell: Cell):
        scores = run.sets[cell.test]
        prob, logit = scores.prob[:, cell.rows], scores.logit[:, cell.rows]
        unseen = np.isnan(logit)
        self.run, self.cell, self.logit = run, cell, logit
        self.coverage = 1 - unseen.mean(axis=(0, 1))
        with np.errstate(divide="ignore"):
            base = run.base(cell.test)[:, cell.rows]
            stand_in = np.log(base) - np.log1p(-base)
        self.prob = np.where(unseen, base, prob)
        self.ranks = dense_ranks(self.prob, np.where(unseen, stand_in, logit))
        cuts = run.cuts(cell.test)[:, cell.rows]
        self.undecided = np.isnan(cuts).any(axis=1)
        self.flagged = (prob >= cuts) & ~unseen  # (S, n, L)
        self.counts = self.counted(np.arange(len(cell.codes)), cell.codes, cell.groups)

    def counted(self, rows: np.ndarray, codes: np.ndarray, groups: int, weight: np.ndarray | None = None) -> np.ndarray:
        """Return the counts (4, L, S, groups) of some rows (m,), which are in the groups `codes` (m,)."""
        y, known, flagged = self.cell.y[rows], self.cell.known[rows], self.flagged[:, rows]
        counts = np.empty((4, y.shape[1], len(flagged), groups))
        for k, s in np.ndindex(counts.shape[1:3]):
            counts[:, k, s] = intervals.group_confusions(
                y[:, k], flagged[s, :, k], codes, groups, weight=weight, known=known[:, k]
            )
        counts[:, self.undecided.T] = np.nan
        return counts

    def pieces(self, metric: Metric, used: np.ndarray) -> np.ndarray:
        """Return what each group adds to a metric that is no ranking, for `Metric.of_pieces`: (pieces, L, S, groups).

        Of a metric over all labels these are the `used` ones (L,); of one of whole posts there is no axis of labels: a
        post counts as a hit where all its known labels are decided rightly.
        """
        cell = self.cell
        if metric.kind is LABELS:
            return self.counts[:, used]
        if metric.kind is POSTS:
            known = cell.known[:, used]
            wrong = ((self.flagged[:, :, used] != cell.y[:, used]) & known).any(axis=2)  # (S, n)
            about = {"known": known.any(axis=1)}
            every = np.ones(wrong.shape[1], bool)
            parts = [intervals.group_confusions(~miss, every, cell.codes, cell.groups, **about) for miss in wrong]
            counts = np.stack(parts, axis=1)
            counts[:, self.undecided[:, used].any(axis=1)] = np.nan
            return counts
        if metric.kind is PROBABILITY:
            return np.stack([group_losses(cell, metric, prob, self.ranked) for prob in self.prob], axis=2)
        return self.site_counts if metric.site and cell.weighted else self.counts

    @cached_property
    def site_counts(self) -> np.ndarray:
        """The counts (4, L, S, groups) of posts by their weights."""
        return self.counted(np.arange(len(self.cell.codes)), self.cell.codes, self.cell.groups, self.cell.weight)

    def totals(self, metric: Metric, used: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the hits and the posts of each group (groups,) behind a share of label k, means over seeds.

        None for what is no share, and for the mean over labels.
        """
        if not metric.share or (k == len(used)) != metric.over_labels:
            return None
        part, whole = metric.totals(self.pieces(metric, used))  # (L, S, groups), over labels (S, groups)
        part, whole = (part, whole) if metric.over_labels else (part[k], whole[k])
        return part.mean(axis=0), whole.mean(axis=0)

    @cached_property
    def ranked(self) -> np.ndarray:
        """Which labels (L,) have a score, or a prevalence in its place, for every known row."""
        return ~(np.isnan(self.ranks) & self.cell.known).any(axis=(0, 1))

    def statistic(self, used: np.ndarray) -> intervals.Statistic:
        """Return weights (groups, c) -> (METRICS, L + 1, S, c); the last label is macro, the mean over `used` (L,)."""
        labels, seeds = self.counts.shape[1:3]
        rankings = [
            (k, s, ranked, functions, ranked_list(self.cell, self.ranks[s, :, k], k, weight))
            for weight, ranked, functions in rankings_by_weight(self.cell, [*METRICS])
            for k, s in np.ndindex(labels, seeds)
            if self.ranked[k]
        ]
        # metrics of one kind have the same pieces, which are summed once; only losses have their own
        source = {
            name: name if metric.kind is PROBABILITY else (metric.kind, metric.site)
            for name, metric in METRICS.items()
            if metric.kind is not RANKING
        }
        pieces = {source[name]: self.pieces(METRICS[name], used) for name in source}

        def evaluate(W: np.ndarray) -> np.ndarray:
            values = np.full((len(METRICS), labels + 1, seeds, W.shape[1]), np.nan)
            for k, s, ranked, functions, ranking in rankings:
                values[ranked, k, s] = ranking.values(W, functions)
            for m, metric in enumerate(METRICS.values()):
                values[m, :-1][~self.cell.enough(metric)] = np.nan
            sums, together = {key: summed(part, W) for key, part in pieces.items()}, {}
            for m, (name, metric) in enumerate(METRICS.items()):
                if metric.over_labels:
                    together[m] = metric.of_pieces(sums[source[name]])
                elif name in source:
                    values[m, :-1] = metric.of_pieces(sums[source[name]])
            if used.any():
                values[:, -1] = values[:, :-1][:, used].mean(axis=1)
                for m, of_all in together.items():
                    values[m, -1] = of_all
            return values

        return evaluate


def summed(pieces: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return pieces (..., draws) from pieces (..., groups) under weights (groups, draws)."""
    with np.errstate(invalid="ignore"):  # the counts of an undefined threshold are NaN
        return (pieces.reshape(-1, pieces.shape[-1]) @ W).reshape(*pieces.shape[:-1], W.shape[1])


def rankings_by_weight(
    cell: Cell, names: Sequence[str]
) -> list[tuple[np.ndarray | None, list[int], list[Callable[[Curve], np.ndarray]]]]:
    """Return per weight of posts (n,), None where each counts once, the places of rankings in `names` and functions."""
    of = {m: METRICS[name] for m, name in enumerate(names) if METRICS[name].kind is RANKING}
    sides = [(None, [m for m in of if not of[m].site]), (cell.weight, [m for m in of if of[m].site])]
    sides = sides if cell.weighted else [(None, [*of])]  # equal weights make no second list
    return [(weight, places, [of[m].function for m in places]) for weight, places in sides if places]


def ranked_list(cell: Cell, score: np.ndarray, k: int, weight: np.ndarray | None = None) -> Ranking:
    """Return a cell's posts with a known label k, ranked by score (n,)."""
    return Ranking.build(cell.y[:, k], score, cell.codes, cell.groups, weight=weight, known=cell.known[:, k])


def dense_ranks(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return dense ranks (S, n, L) by `first`, then by `second`; NaN where either is."""
    ranks = np.full(first.shape, np.nan)
    for s, k in np.ndindex(first.shape[0], first.shape[2]):
        a, b = first[s, :, k], second[s, :, k]
        order = np.lexsort((b, a))
        rises = (a[order][1:] != a[order][:-1]) | (b[order][1:] != b[order][:-1])
        ranks[s, order, k] = np.cumsum(np.r_[False, rises])[: len(order)]
    ranks[np.isnan(first) | np.isnan(second)] = np.nan
    return ranks


def group_losses(cell: Cell, metric: Metric, prob: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Return the sums of a loss of prob (n, L) and the numbers of posts with a known label (2, L, groups).

    The sums are NaN where not `scored` (L,). Of a loss at the site both count posts by their weights.
    """
    pieces = np.full((2, cell.y.shape[1], cell.groups), np.nan)
    every = cell.weight if metric.site else np.ones(len(cell.codes))
    for k, known in enumerate(cell.known.T):
        codes, weight = cell.codes[known], every[known]
        pieces[1, k] = np.bincount(codes, weights=weight, minlength=cell.groups)
        if scored[k]:
            losses = weight * metric.function(cell.y[known, k], prob[known, k])
            pieces[0, k] = np.bincount(codes, weights=losses, minlength=cell.groups)
    return pieces


def resample(statistic: intervals.Statistic, cell: Cell, resamples: int, *, turns: bool = False) -> np.ndarray:
    """Return the statistic (..., 1 + resamples) of a cell, the sample's own value first; `turns`: it is a ceiling."""
    rows = max(cell.groups, len(cell.codes)) // (TURNS if turns else 1)
    draws = intervals.bootstrap(statistic, cell.groups, resamples, seed=cell.seed, rows=rows)
    draws[..., 0] = at_once(statistic, cell)
    return draws


def at_once(statistic: intervals.Statistic, cell: Cell) -> np.ndarray:
    """Return the statistic of the sample itself."""
    return statistic(np.ones((cell.groups, 1)))[..., 0]


def in_large_blocks(statistic: intervals.Statistic, cell: Cell, resamples: int) -> np.ndarray:
    """Return the statistic (..., 1 + resamples), many draws at a time: for one that is made of many small parts."""
    chunk = int(np.clip(10_000_000 // max(cell.groups, 1), 16, 500))
    blocks = intervals.bootstrap_weights(cell.groups, resamples, seed=cell.seed, chunk=chunk)
    return np.concatenate([statistic(W) for W in blocks], axis=-1)


def spanned(draws: np.ndarray, left_out: np.ndarray | None = None, **about: Any) -> dict[str, float]:
    """Return the sample's own value of draws ([S,] 1 + resamples) with its interval, as `metrics.intervals` has it."""
    low, high = intervals.value_interval(draws, left_out, **about)
    return {"value": draws[..., 0].mean(), "lo": low, "hi": high}


def permutation(a: Seen, b: Seen, labels: Sequence[int], name: str, draws: int) -> tuple[float, float]:
    """Return a - b in the mean of a metric over labels and seeds, and its p when groups are swapped between a and b.

    Seeds are paired in their order; where their numbers differ both are repeated up to the least common multiple, which
    leaves the two means as they are. The same groups are swapped under every label and seed.
    """
    metric, cell, differences = METRICS[name], a.cell, []
    used = np.isin(np.arange(cell.y.shape[1]), labels)
    if metric.has_ceiling and not (a.ranked & b.ranked & cell.enough(metric))[used].all():
        return math.nan, math.nan
    pieces = [] if metric.kind is RANKING else [side.pieces(metric, used) for side in (a, b)]
    for i in range(math.lcm(len(a.ranks), len(b.ranks))):
        seeds = i % len(a.ranks), i % len(b.ranks)
        for k in [None] if metric.over_labels else labels:
            if metric.kind is RANKING:
                ranks = (side.ranks[s, :, k] for side, s in zip((a, b), seeds, strict=True))
                weight = cell.weight if metric.site else None
                about = {"metric": metric.function, "known": cell.known[:, k], "weight": weight}
                swapped = testing.swapped_ranking(cell.y[:, k], *ranks, cell.codes, cell.groups, **about)
            else:
                parts = (part[..., s, :] for part, s in zip(pieces, seeds, strict=True))
                parts = parts if k is None else (part[:, k] for part in parts)
                swapped = testing.swapped_pieces(*parts, metric.of_pieces)
            differences.append(swapped)
    return testing.permutation_test(differences, cell.groups, draws=draws, seed=cell.seed)


_MUCH = 2e8  # resampled scores that take one core some seconds


Item, Found = TypeVar("Item"), TypeVar("Found")


def each(work: Callable[[Item], Found], items: Sequence[Item], size: float) -> list[Found]:
    """Return work(item) for every item, in their order; `work` and items must be picklable.

    size: how many scores are resampled in all, from which it follows whether other processes are worth it.
    """
    jobs = min(cpu_count(), len(items)) if size >= _MUCH else 1
    return Parallel(n_jobs=jobs)(delayed(work)(item) for item in items)
