"""From run folders alone to one comparison: values with intervals, differences, ceilings and the test for leaks.

Nothing here trains or scores: all numbers come from the predictions and thresholds of finished runs. `resampled` holds
the statistics, this module what is asked of them and the rows of `comparison.json`.

Two questions are kept apart. How good is a *recipe*, a way to train? Where a model was trained on several seeds, its
interval, the p of a difference and the verdict speak of that: of other posts and other trainings. How good are *these
trained models*? That says the permutation's p, and the rows of the one bundle that would be deployed.

Whatever is chosen is chosen on validation: the best unimodal model, the best of all, the seed that is deployed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from workbench import fingerprint
from workbench.comparison import bias, disagreement, slices, suites
from workbench.comparison.ceilings import against, ceiling
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
from workbench.errors import WorkbenchError, unknown
from workbench.metrics import intervals, planning
from workbench.metrics.classification import ratio
from workbench.metrics.intervals import RecipeDifference
from workbench.metrics.shares import few_groups, kish
from workbench.metrics.table import METRICS, RANKING

ENOUGH_TO_TEST = 3  # positive groups of a label below which no p is told
ENOUGH_DECIDE = 10  # groups; a number that hangs on fewer is few, whatever its interval

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
    there = on_validation(runs, settings)
    best, chosen, models, used, in_view = best_unimodal(runs, there), highest(there), [], {}, {}
    seeds = {run.alias: run.seeds[int(np.argmax(there[run.alias]))] for run in runs if run.alias in there}
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
                in_view["peers"] = table.peers(chosen)
                in_view["bundle"] = table.of_bundle(chosen, seeds)
                in_view["late_fusion_limit"], in_view["leak_test"] = table.against_ceilings()
    return Comparison(
        study=study,
        question=question,
        compare=settings,
        labels=runs[0].labels,
        labels_used=used,
        best_unimodal=best,
        chosen=chosen,
        seeds=seeds,
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
    if any(BEST in pair for pair in settings.pairs) and best_unimodal(runs, on_validation(runs, settings)) is None:
        raise WorkbenchError(
            f"compare.pairs names {BEST}, but no model with one modality has a validation value of {settings.metric}; "
            "add one (such as text-tfidf) or name an alias"
        )


def on_validation(runs: Sequence[Run], settings: CompareOptions) -> dict[str, np.ndarray]:
    """Return model -> the compared metric on validation by seed (S,), more being better; only where it is defined.

    The validation set is not the test set, so what is picked by this costs the test nothing.
    """
    if VALIDATION not in runs[0].sets:
        return {}
    cell = Cell.of(runs, VALIDATION, settings.view, settings.seed)
    if not len(cell.codes):
        return {}
    seen = [Seen(run, cell) for run in runs]
    used = np.logical_and.reduce([cell.defined, *(model.ranked for model in seen)])
    place, sign = _place(runs[0].labels, settings), METRICS[settings.metric].sign
    values = {model.run.alias: sign * at_once(model.statistic(used), cell)[place] for model in seen}
    return {alias: by_seed for alias, by_seed in values.items() if not np.isnan(by_seed).any()}


def highest(values: Mapping[str, np.ndarray]) -> str | None:
    """Return the model with the highest mean over seeds, the first of equal ones; None of none."""
    return max(values, key=lambda alias: values[alias].mean(), default=None)


def best_unimodal(runs: Sequence[Run], values: Mapping[str, np.ndarray]) -> str | None:
    """Return the model of one modality with the highest value of `on_validation`; None without any."""
    return highest({run.alias: values[run.alias] for run in runs if run.unimodal and run.alias in values})


def _place(labels: Sequence[str], settings: CompareOptions) -> tuple[int, int]:
    """Return the positions of the compared metric in the table and of its label, macro being the last."""
    return [*METRICS].index(settings.metric), (*labels, MACRO).index(settings.label)


# ----------------------------------------------------------------------------------------- one test set in one view


def _drawn(model: Seen, used: np.ndarray, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return draws and left_out of one run, as `_Table` has them."""
    statistic, cell = model.statistic(used), model.cell
    left_out = intervals.leave_out(statistic, cell.groups, seed=cell.seed, rows=len(cell.codes))
    return resample(statistic, cell, resamples), left_out.mean(axis=2)


@dataclass(frozen=True)
class _Table:
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
    def of(cls, runs: Sequence[Run], cell: Cell, settings: CompareOptions, used: np.ndarray | None = None) -> _Table:
        """Resample all runs; used: the labels of macro, by default those defined for all of them."""
        seen = {run.alias: Seen(run, cell) for run in runs}
        if used is None:
            used = np.logical_and.reduce([cell.defined, *(model.ranked for model in seen.values())])
        size = settings.resamples * sum(model.ranks.size for model in seen.values())
        parts = each(partial(_drawn, used=used, resamples=settings.resamples), list(seen.values()), size)
        draws, left_out = (dict(zip(seen, part, strict=True)) for part in zip(*parts, strict=True))
        return cls(cell, settings, seen, used, draws, left_out)

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
        wanted = {model.run.information for model in self.seen.values()} & set(cell.exact)
        limited = [name for name, metric in METRICS.items() if metric.has_ceiling]
        best = {name: at_once(ceiling(cell, name, self.used, limited), cell) for name in wanted}
        best = {name: dict(zip(limited, values, strict=True)) for name, values in best.items()}
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
        m = [*METRICS].index(name)
        by_seed = self.draws[alias][m, k, :, 0]
        coverage = seen.coverage[self.used] if macro else seen.coverage[[k]]
        counts = None if macro else seen.counts[:, k].sum(axis=-1).mean(axis=1)
        # a ranking without a value although both classes are there has too few posts for it
        shaky = (METRICS[name].kind is RANKING and np.isnan(by_seed).any()) or self._hangs_on_few(alias, name, k)
        return ModelRow(
            model=alias,
            metric=name,
            **place | {"few": place["few"] or bool(shaky)},
            **self._spanned(alias, name, k, place["effective"]),
            seed_sd=by_seed.std(ddof=1) if len(by_seed) > 1 else None,
            coverage=coverage.mean() if len(coverage) else None,
            ceiling=None if name not in best or np.isnan(by_seed).any() else best[name][k],
            confusion=None if macro else dict(zip(("tn", "fp", "fn", "tp"), counts, strict=True)),
            runs=(seen.run.key,),
            **seen.run.costs,
        )

    def _spanned(self, alias: str, name: str, k: int, units: float | None) -> dict[str, float]:
        """Return a value with its interval; units: on how many groups it rests where resamples say nothing."""
        metric, m = METRICS[name], [*METRICS].index(name)
        totals = self.seen[alias].totals(metric, self.used, k)
        about = {"alpha": self.settings.alpha, "share": metric.share, "top": metric.top, "totals": totals}
        units = units if totals is None else kish(totals[1])
        return spanned(self.draws[alias][m, k], self.left_out[alias][m, k], units=units, **about)

    def _hangs_on_few(self, alias: str, name: str, k: int) -> bool:
        """Say whether what is no share of posts hangs on fewer groups than an interval can be made of."""
        left_out = self.left_out[alias][[*METRICS].index(name), k]
        return not METRICS[name].share and intervals.deciding_groups(left_out) < ENOUGH_DECIDE

    def differences(self, best: str | None, family: Sequence[tuple[str, str]] | None) -> list[Difference]:
        """Return the primary family with its p-values, then, exploratory, every other model against best-unimodal."""
        family = self.settings.pairs if family is None else family
        tested = [pair for pair in self.settings.pairs if pair in family]
        found = {pair: self._difference(pair, best) for pair in self.settings.pairs}
        trained = {pair: self._permuted(pair, best) for pair in tested}
        p = {pair: found[pair].p if any(found[pair].training) else trained[pair] for pair in tested}
        p = {pair: value if self._enough() else math.nan for pair, value in p.items()}
        adjusted = dict(zip(tested, intervals.holm(list(p.values()), len(family)), strict=True))
        rows = []
        for pair in self.settings.pairs:
            row = self._difference_row(pair, best, found[pair], max(len(family), 1))
            if pair in p:
                numbers = {"p": p[pair], "p_trained": trained[pair], "p_holm": float(adjusted[pair])}
                row |= {"primary": True, "disagreements": self._disagreements(row["a"], row["b"]), **numbers}
                row["verdict"] = self._verdict(pair, best, found[pair], numbers["p_holm"], len(family))
            rows.append(Difference(**row))
        done = {frozenset((row.a, row.b)) for row in rows} | {frozenset([best])}
        others = [(a, BEST) for a in self.seen if best is not None and frozenset((a, best)) not in done]
        return rows + [Difference(**self._difference_row(p, best, self._difference(p, best), 1)) for p in others]

    def _enough(self) -> bool:
        """Say whether every compared label has the positive groups without which there is no test."""
        labels = self.columns(_place(self.labels, self.settings)[1])
        return bool((self.cell.positive_groups[labels] >= ENOUGH_TO_TEST).all())

    def _difference(self, pair: tuple[str, str], best: str | None, alpha: float | None = None) -> RecipeDifference:
        """Return what the compared metric of two models differs by; alpha: instead of the settings'."""
        metric = METRICS[self.settings.metric]
        m, k = _place(self.labels, self.settings)
        a, b = (best if name == BEST else name for name in pair)
        left_out = self.left_out[a][m, k] - self.left_out[b][m, k]
        units = self.place(k, site=metric.site)["effective"]
        spans = (self._spanned(alias, self.settings.metric, k, units) for alias in (a, b))
        own = tuple((span["lo"], span["hi"]) for span in spans)
        about = {"alpha": alpha or self.settings.alpha, "top": metric.top, "own": own}
        return intervals.recipe_difference(self.draws[a][m, k], self.draws[b][m, k], left_out, **about)

    def _permuted(self, pair: tuple[str, str], best: str | None) -> float:
        """Return the p of "these trained models are exchangeable", NaN where it cannot be told."""
        a, b = (best if name == BEST else name for name in pair)
        labels = np.flatnonzero(self.columns(_place(self.labels, self.settings)[1])).tolist()
        if not labels or not self._enough():
            return math.nan
        return permutation(self.seen[a], self.seen[b], labels, self.settings.metric, self.settings.draws)[1]

    def _verdict(
        self, pair: tuple[str, str], best: str | None, found: RecipeDifference, p_holm: float, tests: int
    ) -> str:
        settings, inner = self.settings, self._difference(pair, best, 2 * self.settings.alpha / tests)
        about = {"margin": settings.margin, "sign": METRICS[settings.metric].sign, "alpha": settings.alpha}
        return planning.verdict(p_holm, (found.lo, found.hi), (inner.lo, inner.hi), **about)

    def _difference_row(
        self, pair: tuple[str, str], best: str | None, found: RecipeDifference, tests: int
    ) -> dict[str, Any]:
        """Return the fields of an exploratory difference, with what this test set could find and what more would take.

        What a smaller margin needs is counted in the groups with a positive of all compared labels.
        """
        settings, metric = self.settings, METRICS[self.settings.metric]
        k = _place(self.labels, settings)[1]
        place, have = self.place(k, site=metric.site), int(self.cell.positive_groups[self.columns(k)].sum())
        a, b = (best if name == BEST else name for name in pair)
        inner = self._difference(pair, best, 2 * settings.alpha)
        place["few"] |= self._hangs_on_few(a, settings.metric, k) or self._hangs_on_few(b, settings.metric, k)
        chance, sure = {"alpha": settings.alpha, "power": settings.power}, not math.isnan(found.posts)
        about = {"training": sum(found.training), **chance}
        return place | {
            "a": a,
            "b": b,
            "pair": pair,
            "metric": settings.metric,
            "delta": found.delta,
            "lo": found.lo,
            "hi": found.hi,
            "recipes": any(found.training),
            "equivalent_within": max(abs(inner.lo), abs(inner.hi)),
            "se": found.se,
            "positive_groups": have,
            "detectable": planning.detectable(found.se, **chance),
            "groups_for_margin": planning.positives_needed(settings.margin, math.sqrt(found.posts), have, **about)
            if sure and have
            else None,
            "seeds_to_halve": planning.seeds_to_halve(found, settings.alpha),
        }

    def peers(self, chosen: str | None) -> list[str]:
        """Return the models that are not shown to be worse than the chosen one, by Holm's corrected tests of them all."""
        others = [alias for alias in self.seen if chosen is not None and alias != chosen]
        found = [self._difference((chosen, alias), None) for alias in others]
        adjusted = intervals.holm([row.p for row in found])
        sign, alpha = METRICS[self.settings.metric].sign, self.settings.alpha
        shown = [p < alpha and sign * row.delta > 0 for row, p in zip(found, adjusted, strict=True)]
        return [alias for alias, worse in zip(others, shown, strict=True) if not worse]

    def of_bundle(self, chosen: str | None, seeds: Mapping[str, int]) -> list[ModelRow]:
        """Return the rows of the one training of the chosen model that would be deployed."""
        if chosen is None:
            return []
        run = self.seen[chosen].run.only(seeds[chosen])
        alone = _Table.of([run], self.cell, self.settings, self.used)
        return [row.model_copy(update={"seed": seeds[chosen]}) for row in alone.rows()]

    def _disagreements(self, a: str, b: str) -> list[Disagreements]:
        """Return per label how many groups of posts only one model decides rightly (first seeds), and McNemar's p."""
        rows, cell = [], self.cell
        for k in np.flatnonzero(self.columns(_place(self.labels, self.settings)[1])):
            right = [self.seen[name].flagged[0, :, k] == cell.y[:, k] for name in (a, b)]
            known = cell.known[:, k]
            only_a, only_b, p = intervals.mcnemar(right[0][known], right[1][known], cell.codes[known])
            rows.append(Disagreements(label=self.labels[k], only_a=only_a, only_b=only_b, p=p))
        return rows

    def against_ceilings(self) -> tuple[list[FusionLimit], list[LeakTest]]:
        """Return the rows of the limit of late fusion and of the test for leaks, both in the compared view."""
        models = {alias: (model.run.information, self.draws[alias].mean(axis=2)) for alias, model in self.seen.items()}
        return against(self.cell, self.settings, self.used, models, self.place, lambda k: self.place(k)["effective"])


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
