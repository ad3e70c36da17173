"""From run folders alone to one comparison: values with intervals, differences, ceilings and the test for leaks.

Nothing here trains or scores: all numbers come from the predictions and thresholds of finished runs. Within one test set
and view all runs are resampled by the same draws, so every difference is a paired one. Ranking metrics order posts by
probability, and by logit where probabilities tie (float32 saturates). A row that a model could not see counts with the
label's prevalence in training when ranked, and as not flagged at the threshold.

Open doubt: each resample of a ceiling averages 4 of its 20 tie-breaks; that adds a little noise to the test for leaks and
makes it, if anything, slower to trip.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from workbench.metrics import intervals
from workbench.metrics.classification import METRICS, Confusion
from workbench.schema import Options, WorkbenchError, unknown
from workbench.studies.predictions import Run, check_same_items, load_run

__all__ = ["CompareOptions", "Run", "compare", "load_run", "tables"]

BEST, MACRO, MAIN, LATE_FUSION = "best-unimodal", "macro", "test", "late-fusion"
VIEWS = ("paired", "all")
RATES = ("precision", "recall", "f1", "f1_macro", "false_positive_rate", "true_negative_rate")
AREAS = ("average_precision", "roc_auc")  # those with a ceiling
NAMES = (*RATES, *AREAS, "precision_site", "f1_micro")
TIE_BREAKS, TURNS = 20, 5  # a resample averages every fifth tie-break
LEAK_ALPHA = 0.01


class CompareOptions(Options):
    """What a study compares, and how surely."""

    metric: str = Field("average_precision", description="The metric that the study's question is decided by.")
    label: str = Field(MACRO, description="One label, or `macro` for the mean over the labels defined for all models.")
    view: Literal["paired", "all"] = Field("paired", description="`paired`: posts with text and picture or clip; `all`.")
    pairs: tuple[tuple[str, str], ...] = Field((), description="The primary family: pairs of aliases or best-unimodal.")
    resamples: int = Field(2000, ge=100, description="Bootstrap resamples of whole groups, for intervals.")
    draws: int = Field(10_000, ge=10_000, description="Permutations of whole groups, for p-values.")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Intervals cover 1 - alpha; equivalence uses 1 - 2 alpha.")
    few: int = Field(20, ge=1, description="Fewer positives than this are marked `few`.")
    seed: int = Field(0, ge=0, description="Seed of all resampling.")

    @field_validator("metric")
    @classmethod
    def _metric_exists(cls, value: str) -> str:
        if value not in NAMES:
            raise ValueError(unknown("metric", value, NAMES))
        return value


# --------------------------------------------------------------------------------- one test set in one view, and a run


@dataclass(frozen=True)
class _Cell:
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
    def of(cls, runs: Sequence[Run], test: str, view: str, seed: int) -> _Cell:
        scores = runs[0].sets[test]
        rows = scores.paired if view == "paired" else np.ones(len(scores.paired), dtype=bool)
        codes, groups = intervals.group_codes(scores.group[rows])
        exact = {name: values[rows] for run in runs for name, values in run.sets[test].exact.items()}
        # a seed of its own per test set and view: a model more or less changes nobody else's draws
        mixed = zlib.crc32(f"{seed}/{test}/{view}".encode())
        y, known = scores.y[rows], scores.known[rows]
        return cls(test, view, rows, codes, groups, scores.weight[rows], y, known, exact, mixed)

    @property
    def positives(self) -> np.ndarray:
        return (self.y & self.known).sum(axis=0)

    @cached_property
    def defined(self) -> np.ndarray:
        """Which labels (L,) have a known positive and a known negative."""
        return (self.positives > 0) & ((~self.y & self.known).sum(axis=0) > 0)

    def bootstrap(self, statistic: intervals.Statistic, resamples: int, rows: int = 0) -> np.ndarray:
        return intervals.bootstrap(statistic, self.groups, resamples, seed=self.seed, rows=rows)

    def at_once(self, statistic: intervals.Statistic) -> np.ndarray:
        """Return the statistic of the sample itself."""
        return statistic(np.ones((self.groups, 1)))[..., 0]


class _Seen:
    """One run in one cell: its ranks (S, n, L), NaN where nothing can be ranked, and its counts (S, L, 4, groups)."""

    def __init__(self, run: Run, cell: _Cell):
        scores = run.sets[cell.test]
        prob, logit = scores.prob[:, cell.rows], scores.logit[:, cell.rows]
        unseen = np.isnan(logit)
        self.run, self.cell = run, cell
        self.coverage = 1 - unseen.mean(axis=(0, 1)) if prob.shape[1] else np.full(len(run.labels), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            stand_in = np.log(run.prevalence) - np.log1p(-run.prevalence)
        self.ranks = _ranks(np.where(unseen, run.prevalence, prob), np.where(unseen, stand_in, logit))
        flagged = (prob >= run.thresholds[:, None, :]) & ~unseen
        self.counts = self._counts(flagged, np.ones(len(cell.codes)))
        self.site_counts = self._counts(flagged, cell.weight)

    def _counts(self, flagged: np.ndarray, weight: np.ndarray) -> np.ndarray:
        cell, (seeds, _, labels) = self.cell, flagged.shape
        counts = np.empty((seeds, labels, 4, cell.groups))
        for s, k in np.ndindex(seeds, labels):
            of_label = {"weight": weight, "known": cell.known[:, k]}
            counts[s, k] = intervals.group_confusions(
                cell.y[:, k], flagged[s, :, k], cell.codes, cell.groups, **of_label
            )
        counts[np.isnan(self.run.thresholds)] = np.nan
        return counts

    @property
    def ranked(self) -> np.ndarray:
        """Which labels (L,) have a score for every known row."""
        return ~(np.isnan(self.ranks) & self.cell.known).any(axis=(0, 1))

    def ranking(self, s: int, k: int) -> intervals.Ranking:
        cell = self.cell
        return intervals.Ranking.build(
            cell.y[:, k], self.ranks[s, :, k], cell.codes, cell.groups, known=cell.known[:, k]
        )

    def statistic(self, used: np.ndarray) -> intervals.Statistic:
        """Return weights (groups, c) -> (NAMES, S, L + 1, c); the last label is macro, the mean over `used`."""
        cell, (seeds, labels) = self.cell, self.counts.shape[:2]
        rankings = [[self.ranking(s, k) if self.ranked[k] else None for k in range(labels)] for s in range(seeds)]

        def evaluate(W: np.ndarray) -> np.ndarray:
            values = np.full((len(NAMES), seeds, labels + 1, W.shape[1]), np.nan)
            cells = (self.counts.reshape(-1, cell.groups) @ W).reshape(seeds, labels, 4, -1)
            site = (self.site_counts.reshape(-1, cell.groups) @ W).reshape(seeds, labels, 4, -1)
            counts = Confusion(*np.moveaxis(cells, 2, 0))
            for m, name in enumerate(RATES):
                values[m, :, :-1] = getattr(counts, name)
            values[NAMES.index("precision_site"), :, :-1] = Confusion(*np.moveaxis(site, 2, 0)).precision
            for s, k in np.ndindex(seeds, labels):
                if rankings[s][k] is not None:
                    values[len(RATES) : len(RATES) + 2, s, k] = rankings[s][k].areas(W)
            if used.any():
                values[:, :, -1] = values[:, :, :-1][:, :, used].mean(axis=2)
                values[-1, :, -1] = Confusion(*np.moveaxis(cells[:, used].sum(axis=1), 1, 0)).f1
            return values

        return evaluate


def _ranks(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return dense ranks (S, n, L) by first, then by second; NaN where either is."""
    ranks = np.full(first.shape, np.nan)
    for s, k in np.ndindex(first.shape[0], first.shape[2]):
        a, b = first[s, :, k], second[s, :, k]
        order = np.lexsort((b, a))
        new = (np.diff(a[order]) != 0) | (b[order][1:] != b[order][:-1])
        ranks[s, order, k] = np.cumsum(np.r_[False, new])[: len(order)]
    ranks[np.isnan(first) | np.isnan(second)] = np.nan
    return ranks
