"""From run folders alone to one comparison: values with intervals, differences, ceilings and the test for leaks.

Nothing here trains or scores: all numbers come from the predictions and thresholds of finished runs. `resampled` holds
the statistics, this module what is asked of them and the rows of `comparison.json`.

Open doubt: posts are resampled by group with the seeds held fixed, so intervals say how a result would differ on other
posts; how it would differ after training again is the seeds' standard deviation, which stands apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from workbench import fingerprint
from workbench.comparison import bias, ceilings, disagreement, slices, suites
from workbench.comparison.options import (
    BEST,
    MACRO,
    MAIN,
    VALIDATION,
    CompareOptions,
    CostOptions,
)
from workbench.comparison.predictions import Run, check_same_items
from workbench.comparison.resampled import VIEWS, Cell, Seen, at_once, each, permutation, resample, spanned
from workbench.comparison.rows import (
    Comparison,
    CostRow,
    Difference,
    Disagreements,
    FusionLimit,
    LeakTest,
    ModelRow,
)
from workbench.comparison.rows.values import defined
from workbench.errors import WorkbenchError, unknown
from workbench.metrics import intervals, planning
from workbench.metrics.classification import ratio
from workbench.metrics.table import METRICS

_SECONDS_A_DAY = 86_400


def compare(
    study: str,
    question: str,
    runs: list[Run],
    settings: CompareOptions,
    family: Sequence[tuple[str, str]] | None = None,
    cost: CostOptions | None = None,
) -> Comparison:
    """Return the comparison of finished runs; the same runs and settings give the same.

    family: the primary one, pairs of models that have not run yet included; other pairs of the settings are
    exploratory. Without it the settings' own pairs are the family. cost: the price that costs are told at.

    Raises WorkbenchError in one sentence for runs on different items, unknown names, and a view without posts.
    """
    _check(runs, settings)
    tests = sorted({*runs[0].sets} - {VALIDATION}, key=lambda name: (name != MAIN, name))
    best, models, used, in_view = best_unimodal(runs, settings), [], {}, {}
    for test in tests:
        for view in VIEWS:
            cell = Cell.of(runs, test, view, settings.seed)
            if not len(cell.codes):
                continue
            table = _Table.of(runs, cell, settings)
            used.setdefault(test, {})[view] = table.labels_used
            models += table.rows()
            if (test, view) == (MAIN, settings.view):
                in_view["differences"] = table.differences(best, family)
                in_view["late_fusion_limit"], in_view["leak_test"] = table.against_ceilings()
    return Comparison(
        study=study,
        question=question,
        compare=settings,
        labels=runs[0].labels,
        labels_used=used,
        best_unimodal=best,
        items={name: fingerprint.of_items(runs[0].sets[name].post_id.tolist()) for name in tests},
        models=models,
        **in_view,
        slices=slices.sliced(runs, Cell.of(runs, MAIN, "all", settings.seed), settings),
        bias=bias.biased(runs, tests, settings),
        disagreement=disagreement.disagreement(runs, MAIN, settings),
        suites=suites.tested(runs, tests, alpha=settings.alpha, few=settings.few),
        cost=cost,
        costs=[_cost(run, cost) for run in runs],
    )


def _check(runs: Sequence[Run], settings: CompareOptions) -> None:
    if not runs:
        raise WorkbenchError("there is no finished run to compare; `workbench run STUDY` makes them")
    aliases = [run.alias for run in runs]
    twice = sorted({alias for alias in aliases if aliases.count(alias) > 1})
    if twice:
        raise WorkbenchError(f"two runs are both called {twice[0]!r}; give one of them another name with `as:`")
    check_same_items(runs)
    if settings.label not in (MACRO, *runs[0].labels):
        raise WorkbenchError(f"compare.label: {unknown('label', settings.label, (MACRO, *runs[0].labels))}")
    if METRICS[settings.metric].over_labels and settings.label != MACRO:
        raise WorkbenchError(f"compare.metric {settings.metric} is over all labels, so compare.label must be macro")
    for name in (name for pair in settings.pairs for name in pair):
        if name not in (*aliases, BEST):
            raise WorkbenchError(f"compare.pairs: {unknown('model', name, (*aliases, BEST))}")
    if MAIN not in runs[0].sets:
        there = ", ".join(runs[0].sets)
        raise WorkbenchError(f"the runs hold no {MAIN!r} set, only {there}; give the split a test share")
    cell = Cell.of(runs, MAIN, settings.view, settings.seed)
    if not len(cell.codes):
        raise WorkbenchError(
            "no test post has both text and a picture or clip, so the view 'paired' is empty; set `view: all` under "
            "`compare` and run `workbench compare STUDY`"
        )
    if METRICS[settings.metric].site and not cell.weighted:
        raise WorkbenchError(
            f"compare.metric {settings.metric} needs posts of different weight, and all test posts of the view "
            f"{settings.view!r} weigh the same; compare {settings.metric.removesuffix('_site')}"
        )
    if any(BEST in pair for pair in settings.pairs) and best_unimodal(runs, settings) is None:
        raise WorkbenchError(
            f"compare.pairs names {BEST}, but no model with one modality has a validation value of {settings.metric}; "
            "add one (such as text-tfidf) or name an alias"
        )


def best_unimodal(runs: Sequence[Run], settings: CompareOptions) -> str | None:
    """Return the one-modality model with the best validation value of the compared metric; None without any.

    The validation set is not the test set, so the pick costs the test nothing. The first listed wins a tie.
    """
    if VALIDATION not in runs[0].sets:
        return None
    cell = Cell.of(runs, VALIDATION, settings.view, settings.seed)
    if not len(cell.codes):
        return None
    seen = [Seen(run, cell) for run in runs]
    used = np.logical_and.reduce([cell.defined, *(model.ranked for model in seen)])
    place, sign = _place(runs[0].labels, settings), METRICS[settings.metric].sign
    values = {}
    for model in (model for model in seen if model.run.unimodal):
        value = at_once(model.statistic(used), cell)[place].mean()
        if not np.isnan(value):
            values[model.run.alias] = sign * value
    return max(values, key=values.get) if values else None


def _place(labels: Sequence[str], settings: CompareOptions) -> tuple[int, int]:
    """Return the positions of the compared metric in the table and of its label, macro being the last."""
    return [*METRICS].index(settings.metric), (*labels, MACRO).index(settings.label)


# ----------------------------------------------------------------------------------------- one test set in one view


def _drawn(model: Seen, used: np.ndarray, resamples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return draws, left_out and spread of one run, as `_Table` has them."""
    statistic, cell = model.statistic(used), model.cell
    by_seed = resample(statistic, cell, resamples)
    left_out = intervals.leave_out(statistic, cell.groups, seed=cell.seed, rows=len(cell.codes))
    several = by_seed.shape[2] > 1
    spread = by_seed[..., 0].std(axis=2, ddof=1) if several else np.full(by_seed.shape[:2], np.nan)
    return by_seed.mean(axis=2), left_out.mean(axis=2), spread


@dataclass(frozen=True)
class _Table:
    """All runs in one cell: draws, alias -> (METRICS, L + 1, 1 + resamples), mean over seeds, the sample itself first.

    used (L,): the labels of macro; left_out, alias -> (METRICS, L + 1, blocks): the same without each block of groups;
    spread, alias -> (METRICS, L + 1): standard deviation over seeds, NaN for one seed.
    """

    cell: Cell
    settings: CompareOptions
    seen: dict[str, Seen]
    used: np.ndarray
    draws: dict[str, np.ndarray]
    left_out: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]

    @classmethod
    def of(cls, runs: Sequence[Run], cell: Cell, settings: CompareOptions) -> _Table:
        seen = {run.alias: Seen(run, cell) for run in runs}
        used = np.logical_and.reduce([cell.defined, *(model.ranked for model in seen.values())])
        size = settings.resamples * sum(model.ranks.size for model in seen.values())
        parts = each(partial(_drawn, used=used, resamples=settings.resamples), list(seen.values()), size)
        draws, left_out, spread = (dict(zip(seen, part, strict=True)) for part in zip(*parts, strict=True))
        return cls(cell, settings, seen, used, draws, left_out, spread)

    @property
    def labels(self) -> tuple[str, ...]:
        return next(iter(self.seen.values())).run.labels

    @property
    def labels_used(self) -> list[str]:
        return [label for label, used in zip(self.labels, self.used, strict=True) if used]

    def place(self, k: int, weight: np.ndarray | None = None) -> dict[str, Any]:
        """Return where a number stands and on what: macro counts posts once, positives of all its labels together."""
        cell = self.cell
        columns = self.used if k == len(self.labels) else np.arange(len(self.used)) == k
        known, positives = cell.known[:, columns], cell.positives[columns]
        weight = np.ones(len(known)) if weight is None else weight
        shares = ratio(weight @ (cell.y[:, columns] & known), weight @ known)
        return {
            "label": (*self.labels, MACRO)[k],
            "view": cell.view,
            "test": cell.test,
            "n": int(known.any(axis=1).sum()),
            "positives": int(positives.sum()),
            "prevalence": shares.mean() if len(shares) else None,
            "few": bool(positives.min(initial=self.settings.few) < self.settings.few) or not len(positives),
        }

    def evidence(self, k: int) -> int:
        """Return how many groups with a positive stand behind a label, the fewest of its labels for macro."""
        groups = self.cell.positive_groups
        return int((groups[self.used] if k == len(self.labels) else groups[[k]]).min(initial=len(self.cell.codes)))

    def rows(self) -> list[ModelRow]:
        """Return a row per model, label and metric."""
        cell, last = self.cell, len(self.labels)
        best = ceilings.of_models(cell, {model.run.information for model in self.seen.values()}, self.used)
        places = [(self.place(k), self.place(k, cell.weight)) for k in range(last + 1)]
        return [
            self._row(alias, name, k, places[k][metric.site], best.get(model.run.information, {}))
            for alias, model in self.seen.items()
            for k in range(last + 1)
            for name, metric in METRICS.items()
            if (cell.weighted or not metric.site) and (k == last or not metric.over_labels)
        ]

    def _row(self, alias: str, name: str, k: int, place: dict[str, Any], best: dict[str, np.ndarray]) -> ModelRow:
        seen, metric, m = self.seen[alias], METRICS[name], [*METRICS].index(name)
        draws, left_out = self.draws[alias][m, k], self.left_out[alias][m, k]
        macro = k == len(self.labels)
        about = {"alpha": self.settings.alpha, "units": self.evidence(k), "share": metric.share, "top": metric.top}
        coverage = seen.coverage[self.used] if macro else seen.coverage[[k]]
        counts = None if macro else seen.counts[:, k].sum(axis=-1).mean(axis=1)
        return ModelRow(
            model=alias,
            metric=name,
            **place,
            **spanned(draws, left_out, **about),
            seed_sd=self.spread[alias][m, k],
            coverage=coverage.mean() if len(coverage) else None,
            ceiling=best[name][k] if name in best else None,
            confusion=None if macro else dict(zip(("tn", "fp", "fn", "tp"), counts, strict=True)),
            runs=(seen.run.key,),
            **seen.run.costs,
        )

    def differences(self, best: str | None, family: Sequence[tuple[str, str]] | None) -> list[Difference]:
        """Return the primary family with its p-values, then, exploratory, every other model against best-unimodal."""
        family = self.settings.pairs if family is None else family
        rows = [self._difference(pair, best, primary=pair in family) for pair in self.settings.pairs]
        adjusted = intervals.holm([row.p for row in rows], len(family))
        rows = [row.model_copy(update={"p_holm": defined(float(p))}) for row, p in zip(rows, adjusted, strict=True)]
        done = {frozenset((row.a, row.b)) for row in rows} | {frozenset([best])}
        others = [alias for alias in self.seen if best is not None and frozenset((alias, best)) not in done]
        return rows + [self._difference((alias, BEST), best, primary=False) for alias in others]

    def _difference(self, pair: tuple[str, str], best: str | None, *, primary: bool) -> Difference:
        settings = self.settings
        a, b = (best if name == BEST else name for name in pair)
        m, k = _place(self.labels, settings)
        sides = self.draws[a][m, k], self.draws[b][m, k]
        delta = sides[0][0] - sides[1][0]
        left_out = self.left_out[a][m, k] - self.left_out[b][m, k]
        low, high = intervals.difference_interval(*sides, left_out, alpha=settings.alpha)
        inner = intervals.difference_interval(*sides, left_out, alpha=2 * settings.alpha)
        labels = np.flatnonzero(self.used).tolist() if k == len(self.labels) else [k]
        p = math.nan
        if primary and labels and not np.isnan(delta):
            p = permutation(self.seen[a], self.seen[b], labels, settings.metric, settings.draws)[1]
        return Difference(
            a=a,
            b=b,
            pair=pair,
            metric=settings.metric,
            **self.place(k),
            delta=delta,
            lo=low,
            hi=high,
            p=p,
            p_holm=None,
            primary=primary,
            equivalent_within=np.max(np.abs(inner)),
            verdict=planning.verdict((low, high), inner, settings.margin, METRICS[settings.metric].sign),
            **self._plan(sides, k),
            disagreements=self._disagreements(a, b, labels) if primary else (),
        )

    def _plan(self, sides: tuple[np.ndarray, np.ndarray], k: int) -> dict[str, Any]:
        """Return the standard error of a difference, what this test set could find, and what `margin` would take."""
        settings, have = self.settings, self.evidence(k)
        draws = (sides[0] - sides[1])[1:]
        se = float(np.nanstd(draws, ddof=1)) if np.isfinite(draws).sum() > 1 else math.nan
        chance = {"alpha": settings.alpha, "power": settings.power}
        needed = have and planning.positives_needed(settings.margin, se, have, **chance) if se == se else None
        plan = {"se": se, "positive_groups": have, "detectable": planning.detectable(se, **chance)}
        return plan | {"groups_for_margin": needed}

    def _disagreements(self, a: str, b: str, labels: list[int]) -> list[Disagreements]:
        """Return per label how many groups of posts only one model decides rightly (first seeds), and McNemar's p."""
        rows, cell = [], self.cell
        for k in labels:
            right = [self.seen[name].flagged[0, :, k] == cell.y[:, k] for name in (a, b)]
            known = cell.known[:, k]
            only_a, only_b, p = intervals.mcnemar(right[0][known], right[1][known], cell.codes[known])
            rows.append(Disagreements(label=self.labels[k], only_a=only_a, only_b=only_b, p=p))
        return rows

    def against_ceilings(self) -> tuple[list[FusionLimit], list[LeakTest]]:
        """Return the rows of the limit of late fusion and of the test for leaks, both in the compared view."""
        models = {alias: (model, self.draws[alias]) for alias, model in self.seen.items()}
        return ceilings.against(self.cell, self.settings, self.used, models, self.place, self.evidence)


def _cost(run: Run, price: CostOptions | None) -> CostRow:
    """Return what a model takes: ms a post, peak MB, seconds to train, and where a price is stated money.

    Open doubt: times per post are those of one process that scores new posts one small batch after another. Larger
    batches and an accelerator that is kept busy cost less, so money is an upper bound on the same machine.
    """
    taken = {name: run.costs[name] for name in ("ms_per_post", "peak_mb", "fit_seconds")}
    ms, a_second = taken["ms_per_post"], price.price_per_hour / 3600 if price else None
    seconds_a_day = _times(ms, price and price.posts_per_day, 1 / 1000)
    return CostRow(
        model=run.alias,
        **taken,
        per_million=_times(a_second, ms, 1e6 / 1000),
        per_day=_times(a_second, seconds_a_day),
        busy=_times(seconds_a_day, 1 / _SECONDS_A_DAY),
        training=_times(a_second, taken["fit_seconds"]),
        runs=(run.key,),
    )


def _times(*factors: float | None) -> float | None:
    return None if None in factors else math.prod(factors)
