"""All runs on one test set in one view: a row per model, label and metric, and what their differences are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from workbench.comparison import ceilings
from workbench.comparison.options import MACRO, SCORED, CompareOptions
from workbench.comparison.predictions import Run
from workbench.comparison.resampled import Cell, Seen, each, resample, spanned
from workbench.comparison.rows import FusionLimit, LeakTest, ModelRow
from workbench.metrics import intervals
from workbench.metrics.classification import ratio
from workbench.metrics.shares import few_groups, kish
from workbench.metrics.table import METRICS, RANKING


def place_of(labels: Sequence[str], settings: CompareOptions) -> tuple[int, int]:
    """Return the positions of the compared metric in the table and of its label, macro being the last."""
    return [*METRICS].index(settings.metric), (*labels, MACRO).index(settings.label)


def _drawn(model: Seen, used: np.ndarray, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return draws and left_out of one run, as `Table` has them."""
    statistic, cell = model.statistic(used), model.cell
    left_out = intervals.leave_out(statistic, cell.groups, seed=cell.seed, rows=len(cell.codes))
    draws, folds = resample(statistic, cell, resamples), model.run.sets[cell.test].folds
    # trainings of one fold share their posts, so where several score the same posts a fold counts as one training
    by_fold = draws.reshape(*draws.shape[:2], folds, -1, draws.shape[-1]).mean(axis=3) if folds > 1 else draws
    return by_fold, left_out.mean(axis=2)


@dataclass(frozen=True)
class Table:
    """All runs in one cell: draws, alias -> (METRICS, L + 1, S, 1 + resamples), the sample itself first.

    used (L,): the labels of macro; left_out, alias -> (METRICS, L + 1, blocks): the mean over seeds without each block
    of groups.
    """

    cell: Cell
    settings: CompareOptions
    seen: dict[str, Seen]
    used: np.ndarray
    draws: dict[str, np.ndarray]
    left_out: dict[str, np.ndarray]

    @classmethod
    def of(cls, runs: Sequence[Run], cell: Cell, settings: CompareOptions, used: np.ndarray | None = None) -> Table:
        """Resample all runs; used: the labels of macro, by default those defined for all of them."""
        seen = {run.alias: Seen(run, cell) for run in runs}
        if used is None:
            used = np.logical_and.reduce([cell.defined, *(model.ranked for model in seen.values())])
        size = settings.resamples * sum(model.ranks.size for model in seen.values())
        parts = each(partial(_drawn, used=used, resamples=settings.resamples), list(seen.values()), size)
        draws, left_out = (dict(zip(seen, part, strict=True)) for part in zip(*parts, strict=True))
        return cls(cell, settings, seen, used, draws, left_out)

    def on_scored(self) -> Table | None:
        """Return the table on the posts that every model scored; None where that is all of them, or none.

        Left out are models that scored nothing here. A label for which a model has no scores at all counts for none.
        """
        scores = {alias: ~np.isnan(seen.logit) for alias, seen in self.seen.items()}  # (S, n, L)
        there = {alias: some | ~some.any(axis=(0, 1)) for alias, some in scores.items() if some.any()}
        if not there:
            return None
        every = np.logical_and.reduce([some.all(axis=(0, 2)) for some in there.values()])
        if every.all() or not every.any():
            return None
        within = np.zeros(len(self.cell.rows), dtype=bool)
        within[self.cell.rows] = every
        runs = [self.seen[alias].run for alias in there]
        return Table.of(runs, Cell.of(runs, self.cell.test, SCORED, self.settings.seed, within), self.settings)

    @property
    def labels(self) -> tuple[str, ...]:
        return next(iter(self.seen.values())).run.labels

    @property
    def labels_used(self) -> list[str]:
        return [label for label, used in zip(self.labels, self.used, strict=True) if used]

    def columns(self, k: int) -> np.ndarray:
        """Return which labels (L,) a number is of: one, or all `used` ones for macro."""
        return self.used if k == len(self.labels) else np.arange(len(self.used)) == k

    def place(self, k: int, *, site: bool = False) -> dict[str, Any]:
        """Return where a number stands and on what: macro counts posts once, positives of all its labels together.

        site: whether posts count by their weights, in the prevalence and in what is few. Macro is as few as its label
        with the fewest.
        """
        cell, columns = self.cell, self.columns(k)
        known, weight = cell.known[:, columns], cell.weight if site else np.ones(len(cell.codes))
        shares = ratio(weight @ (cell.y[:, columns] & known), weight @ known)
        carry = cell.positive_weight[site][columns]
        return {
            "label": (*self.labels, MACRO)[k],
            "view": cell.view,
            "test": cell.test,
            "n": int(known.any(axis=1).sum()),
            "positives": int(cell.positives[columns].sum()),
            "effective": min(map(kish, carry), default=None),
            "prevalence": shares.mean() if len(shares) else None,
            "few": not len(carry) or any(few_groups(groups, self.settings.few) for groups in carry),
        }

    def rows(self) -> list[ModelRow]:
        """Return a row per model, label and metric."""
        cell, last = self.cell, len(self.labels)
        best = ceilings.of_models(cell, {model.run.information for model in self.seen.values()}, self.used)
        places = [(self.place(k), self.place(k, site=True)) for k in range(last + 1)]
        return [
            self._row(alias, name, k, places[k][metric.site], best.get(model.run.information, {}))
            for alias, model in self.seen.items()
            for k in range(last + 1)
            for name, metric in METRICS.items()
            if (cell.weighted or not metric.site) and (k == last or not metric.over_labels)
        ]

    def _row(self, alias: str, name: str, k: int, place: dict[str, Any], best: dict[str, np.ndarray]) -> ModelRow:
        seen, macro = self.seen[alias], k == len(self.labels)
        metric, m = METRICS[name], [*METRICS].index(name)
        by_seed = self.draws[alias][m, k, :, 0]
        coverage = seen.coverage[self.used] if macro else seen.coverage[[k]]
        counts = None if macro else seen.counts[:, k].sum(axis=-1).mean(axis=1)
        # a ranking has no value where there are too few posts for it; a share's interval knows of large families
        untold = metric.kind is RANKING and bool(np.isnan(by_seed).any())
        families = self.cell.uneven and not metric.share and intervals.decided_by_few(self.left_out[alias][m, k])
        return ModelRow(
            model=alias,
            metric=name,
            **place | {"few": place["few"] or untold or families},
            **self.spanned(alias, name, k, place["effective"]),
            seed_sd=by_seed.std(ddof=1) if len(by_seed) > 1 else None,
            coverage=coverage.mean() if len(coverage) else None,
            ceiling=None if name not in best or np.isnan(by_seed).any() else best[name][k],
            confusion=None if macro else dict(zip(("tn", "fp", "fn", "tp"), counts, strict=True)),
            runs=seen.run.keys,
            **seen.run.costs,
        )

    def spanned(self, alias: str, name: str, k: int, units: float | None) -> dict[str, float]:
        """Return a value with its interval; units: on how many groups it rests where resamples say nothing."""
        metric, m = METRICS[name], [*METRICS].index(name)
        totals = self.seen[alias].totals(metric, self.used, k)
        about = {"alpha": self.settings.alpha, "share": metric.share, "top": metric.top, "totals": totals}
        units = units if totals is None else kish(totals[1])
        return spanned(self.draws[alias][m, k], self.left_out[alias][m, k], units=units, **about)

    @property
    def compared(self) -> tuple[str, int, int]:
        """The compared metric, its place in the table of metrics, and the number of its label."""
        return (self.settings.metric, *place_of(self.labels, self.settings))

    def against_ceilings(self) -> tuple[list[FusionLimit], list[LeakTest]]:
        """Return the rows of the limit of late fusion and of the test for leaks, both in the compared view."""
        models = {alias: (model, self.draws[alias].mean(axis=2)) for alias, model in self.seen.items()}
        return ceilings.against(self.cell, self.settings, self.used, models, self.place)
