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
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from workbench.comparison import bias, disagreement, slices, suites
from workbench.comparison.predictions import Run, check_same_items, items_digest, load_run
from workbench.comparison.resampled import (
    NAMES,
    POOLED,
    SHARES,
    VIEWS,
    Cell,
    Seen,
    at_once,
    ceiling,
    each,
    permutation,
    resample,
)
from workbench.errors import WorkbenchError, unknown
from workbench.metrics import intervals, planning
from workbench.metrics.ranking import RANKED
from workbench.metrics.table import METRICS
from workbench.schema import Options

__all__ = ["CompareOptions", "Run", "compare", "load_run"]

BEST, MACRO, MAIN, VALIDATION, LATE_FUSION = "best-unimodal", "macro", "test", "validation", "late-fusion"
LEAK_ALPHA = 0.01


class CompareOptions(Options):
    """What a study compares, and how surely."""

    metric: str = Field("average_precision", description="The metric that the study's question is decided by.")
    label: str = Field(MACRO, description="One label, or `macro`: the mean over the labels defined for all models.")
    view: Literal["paired", "all"] = Field(
        "paired", description="`paired`: posts with text and media; `all`: all posts."
    )
    pairs: tuple[tuple[str, str], ...] = Field((), description="The primary family: pairs of aliases or best-unimodal.")
    resamples: int = Field(2000, ge=100, description="Bootstrap resamples of whole groups, for intervals.")
    draws: int = Field(10_000, ge=10_000, description="Permutations of whole groups, for p-values.")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Intervals cover 1 - alpha; equivalence uses 1 - 2 alpha.")
    margin: float = Field(0.01, gt=0, lt=1, description="A smaller difference than this matters to nobody.")
    power: float = Field(0.8, gt=0.5, lt=1, description="How surely a planned test set is to find a difference.")
    prevalences: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.001, 0.01, 0.05), description="Shares of harmful posts at which the report says what reviewers would see."
    )
    slices: tuple[str, ...] | None = Field(
        None, description="Columns to slice by, those that the corpus keeps included; default: the standard ones."
    )
    slice_resamples: int = Field(500, ge=100, description="Bootstrap resamples for the intervals of slices.")
    few: int = Field(20, ge=1, description="Fewer positives than this are marked `few`.")
    seed: int = Field(0, ge=0, description="Seed of all resampling.")

    @field_validator("metric")
    @classmethod
    def _metric_exists(cls, value: str) -> str:
        if value not in NAMES:
            raise ValueError(unknown("metric", value, NAMES))
        return value


def compare(study: str, question: str, runs: list[Run], settings: CompareOptions) -> dict[str, Any]:
    """Return the comparison of finished runs as plain, JSON-safe values; the same runs and settings give the same.

    Raises WorkbenchError in one sentence for runs on different items, unknown names, and a view without posts.
    """
    _check(runs, settings)
    tests = sorted({*runs[0].sets} - {VALIDATION}, key=lambda name: (name != MAIN, name))
    result = {"study": study, "question": question, "compare": settings.model_dump(), "labels": runs[0].labels}
    result |= {"labels_used": {}, "best_unimodal": best_unimodal(runs, settings)}
    result |= {"items": {name: items_digest(runs[0].sets[name].post_id) for name in tests}, "models": []}
    for test in tests:
        for view in VIEWS:
            cell = Cell.of(runs, test, view, settings.seed)
            if not len(cell.codes):
                continue
            table = _Table.of(runs, cell, settings)
            result["labels_used"].setdefault(test, {})[view] = table.labels_used
            result["models"] += table.rows()
            if (test, view) == (MAIN, settings.view):
                result["differences"] = table.differences(result["best_unimodal"])
                result["late_fusion_limit"], result["leak_test"] = table.against_ceilings()
    everything = Cell.of(runs, MAIN, "all", settings.seed)
    result |= {"slices": slices.sliced(runs, everything, settings), "bias": bias.biased(runs, tests, settings)}
    result["disagreement"] = disagreement.disagreement(runs, MAIN, settings)
    result["suites"] = suites.tested(runs, tests, alpha=settings.alpha, few=settings.few)
    return _plain(result)


def _check(runs: Sequence[Run], settings: CompareOptions) -> None:
    """Raise WorkbenchError where the runs cannot be compared as asked."""
    if not runs:
        raise WorkbenchError("there is no finished run to compare; `workbench run STUDY` makes them")
    aliases = [run.alias for run in runs]
    twice = sorted({alias for alias in aliases if aliases.count(alias) > 1})
    if twice:
        raise WorkbenchError(f"two runs are both called {twice[0]!r}; give one of them another name with `as:`")
    check_same_items(runs)
    if settings.label not in (MACRO, *runs[0].labels):
        raise WorkbenchError(f"compare.label: {unknown('label', settings.label, (MACRO, *runs[0].labels))}")
    if settings.metric in POOLED and settings.label != MACRO:
        raise WorkbenchError(f"compare.metric {settings.metric} is over all labels, so compare.label must be macro")
    for name in (name for pair in settings.pairs for name in pair):
        if name not in (*aliases, BEST):
            raise WorkbenchError(f"compare.pairs: {unknown('model', name, (*aliases, BEST))}")
    if MAIN not in runs[0].sets:
        raise WorkbenchError(
            f"the runs hold no {MAIN!r} set, only {', '.join(runs[0].sets)}; give the split a test share"
        )
    if settings.metric == "precision_site" and len(np.unique(runs[0].sets[MAIN].weight)) < 2:
        raise WorkbenchError(
            "compare.metric precision_site needs posts of different weight, and all test posts weigh the same; "
            "compare precision"
        )
    if settings.view == "paired" and not runs[0].sets[MAIN].paired.any():
        raise WorkbenchError(
            "no test post has both text and a picture or clip, so the view 'paired' is empty; set `view: all` under "
            "`compare` and run `workbench compare STUDY`"
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
    used = np.logical_and.reduce([cell.defined, *(one.ranked for one in seen)])
    place, better = _place(runs[0].labels, settings), -1 if _lower_is_better(settings.metric) else 1
    values = {}
    for one in (one for one in seen if one.run.unimodal):
        value = at_once(one.statistic(used), cell)[place[0], :, place[1]].mean()
        if not np.isnan(value):
            values[one.run.alias] = better * value
    return max(values, key=values.get) if values else None


def _lower_is_better(metric: str) -> bool:
    return metric in METRICS and not METRICS[metric].higher_is_better


def _place(labels: Sequence[str], settings: CompareOptions) -> tuple[int, int]:
    """Return the positions of the compared metric among NAMES and of its label, macro being the last."""
    return NAMES.index(settings.metric), (*labels, MACRO).index(settings.label)


# ----------------------------------------------------------------------------------------- one test set in one view


def _drawn(one: Seen, used: np.ndarray, resamples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return draws, left_out and spread of one run, as `_Table` has them."""
    statistic, cell = one.statistic(used), one.cell
    by_seed = resample(statistic, cell, resamples)
    left_out = intervals.leave_out(statistic, cell.groups, seed=cell.seed, rows=len(cell.codes))
    several = by_seed.shape[1] > 1
    spread = by_seed[..., 0].std(axis=1, ddof=1) if several else np.full(by_seed[:, 0, :, 0].shape, np.nan)
    return by_seed.mean(axis=1), left_out.mean(axis=1), spread


@dataclass(frozen=True)
class _Table:
    """All runs in one cell: draws, alias -> (NAMES, L + 1, 1 + resamples), mean over seeds, the sample itself first.

    used (L,): the labels of macro; left_out, alias -> (NAMES, L + 1, blocks): the
    same without each block of groups; spread, alias -> (NAMES, L + 1): standard deviation over seeds, NaN for one seed.
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
        used = np.logical_and.reduce([cell.defined, *(one.ranked for one in seen.values())])
        size = settings.resamples * sum(one.ranks.size for one in seen.values())
        found = each(partial(_drawn, used=used, resamples=settings.resamples), list(seen.values()), size)
        draws, left_out, spread = (dict(zip(seen, part, strict=True)) for part in zip(*found, strict=True))
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
        total = weight @ known
        shares = np.divide(
            weight @ (cell.y[:, columns] & known), total, out=np.full(len(total), np.nan), where=total > 0
        )
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

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per model, label and metric."""
        cell, last = self.cell, len(self.labels)
        wanted = {one.run.information for one in self.seen.values()} & set(cell.exact)
        best = {name: at_once(ceiling(cell, name, self.used), cell) for name in wanted}
        names = [name for name in NAMES if cell.weighted or name != "precision_site"]
        places = [(self.place(k), self.place(k, cell.weight)) for k in range(last + 1)]
        return [
            {"model": alias, "metric": name, **places[k][name == "precision_site"], **self._value(alias, name, k, best)}
            for alias in self.seen
            for k in range(last + 1)
            for name in names
            if name not in POOLED or k == last
        ]

    def _value(self, alias: str, name: str, k: int, best: dict[str, np.ndarray]) -> dict[str, Any]:
        one, m = self.seen[alias], NAMES.index(name)
        draws, left_out = self.draws[alias][m, k], self.left_out[alias][m, k]
        macro = k == len(self.labels)
        about = {"alpha": self.settings.alpha, "units": self.evidence(k), "share": name in SHARES}
        low, high = intervals.value_interval(draws, left_out, **about)
        exact = best.get(one.run.information) if name in RANKED else None
        coverage = one.coverage[self.used] if macro else one.coverage[[k]]
        counts = None if macro else one.counts[:, k].sum(axis=-1).mean(axis=0)
        return {
            "value": draws[0],
            "lo": low,
            "hi": high,
            "seed_sd": self.spread[alias][m, k],
            "coverage": coverage.mean() if len(coverage) else None,
            "ceiling": None if exact is None else exact[list(RANKED).index(name), k],
            "confusion": None if macro else dict(zip(("tn", "fp", "fn", "tp"), counts, strict=True)),
            "runs": [one.run.key],
            **one.run.costs,
        }

    def differences(self, best: str | None) -> list[dict[str, Any]]:
        """Return the primary family with its p-values, then, exploratory, every other model against best-unimodal."""
        rows = [self._difference(pair, best, primary=True) for pair in self.settings.pairs]
        adjusted = intervals.holm([row["p"] for row in rows])
        rows = [row | {"p_holm": p} for row, p in zip(rows, adjusted, strict=True)]
        done = {frozenset((row["a"], row["b"])) for row in rows} | {frozenset([best])}
        others = [alias for alias in self.seen if best is not None and frozenset((alias, best)) not in done]
        return rows + [self._difference((alias, BEST), best, primary=False) for alias in others]

    def _difference(self, pair: tuple[str, str], best: str | None, *, primary: bool) -> dict[str, Any]:
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
        row = {"a": a, "b": b, "pair": list(pair), "metric": settings.metric, **self.place(k)}
        row |= {"delta": delta, "lo": low, "hi": high, "p": p, "p_holm": None, "primary": primary}
        row |= {"equivalent_within": np.max(np.abs(inner)), "verdict": _verdict((low, high), inner, settings.margin)}
        return row | self._plan(sides, k) | {"disagreements": self._disagreements(a, b, labels) if primary else []}

    def _plan(self, sides: tuple[np.ndarray, np.ndarray], k: int) -> dict[str, Any]:
        """Return the standard error of a difference, what this test set could find, and what `margin` would take."""
        settings, have = self.settings, self.evidence(k)
        draws = (sides[0] - sides[1])[1:]
        se = float(np.nanstd(draws, ddof=1)) if np.isfinite(draws).sum() > 1 else math.nan
        chance = {"alpha": settings.alpha, "power": settings.power}
        needed = have and planning.positives_needed(settings.margin, se, have, **chance) if se == se else None
        found = {"se": se, "positive_groups": have, "detectable": planning.detectable(se, **chance)}
        return found | {"groups_for_margin": needed}

    def _disagreements(self, a: str, b: str, labels: list[int]) -> list[dict[str, Any]]:
        """Return per label how many groups of posts only one model decides rightly (first seeds), and McNemar's p."""
        rows, cell = [], self.cell
        for k in labels:
            right = [self.seen[name].flagged[0, :, k] == cell.y[:, k] for name in (a, b)]
            known = cell.known[:, k]
            only_a, only_b, p = intervals.mcnemar(right[0][known], right[1][known], cell.codes[known])
            rows.append({"label": self.labels[k], "only_a": only_a, "only_b": only_b, "p": p})
        return rows

    def against_ceilings(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the rows of the limit of late fusion and of the test for leaks, both in the compared view.

        A model better than anything its inputs allow has seen something it should not. The test looks at every label
        and at macro; a label with few positive groups is not tested, since luck with three posts looks like a leak.
        """
        cell, settings = self.cell, self.settings
        metric = settings.metric if settings.metric in RANKED else "average_precision"
        m, enough = NAMES.index(metric), cell.positive_groups >= settings.few
        wanted = {one.run.information for one in self.seen.values()} | {LATE_FUSION}
        best = {
            name: resample(ceiling(cell, name, self.used, (metric,)), cell, settings.resamples, turns=True)[0]
            for name in sorted(wanted & set(cell.exact))
        }
        limit, leaks = [], []
        for k in [*np.flatnonzero(self.used), len(self.used)]:
            tested = bool((enough[self.used] if k == len(self.used) else enough[[k]]).all())
            if LATE_FUSION in best:
                bound = best[LATE_FUSION][k]
                low, high = intervals.value_interval(bound, alpha=settings.alpha, units=self.evidence(k))
                limit.append({"metric": metric, **self.place(k), "value": bound[0], "lo": low, "hi": high})
            for alias, one in self.seen.items():
                if one.run.information not in best:
                    continue
                ours, bound = self.draws[alias][m, k], best[one.run.information][k]
                if np.isnan(ours[0] - bound[0]):
                    continue
                row = {"model": alias, "metric": metric, **self.place(k), "value": ours[0], "ceiling": bound[0]}
                leaks.append(row | _leak(ours, bound, settings.alpha, tested))
        for row, p in zip(leaks, intervals.holm([row["p"] for row in leaks]), strict=True):
            row |= {"p_holm": p, "tripped": None if np.isnan(p) else bool(p < LEAK_ALPHA)}
        return limit, leaks


def _verdict(interval: tuple[float, float], inner: tuple[float, float], margin: float) -> str:
    """Return what a difference shows: its 1 - alpha interval for better and worse, its 1 - 2 alpha one for the rest.

    Equivalence by two one-sided tests (Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15:657-680).
    """
    (low, high), (inner_low, inner_high) = interval, inner
    if np.isnan([low, high, inner_low, inner_high]).any():
        return "undefined"
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    sides = inner_low > -margin, inner_high < margin
    return {(True, True): "equivalent", (True, False): "no worse", (False, True): "no better"}.get(sides, "undecided")


def _leak(ours: np.ndarray, bound: np.ndarray, alpha: float, tested: bool) -> dict[str, float]:
    """Return the difference to the ceiling, its interval and its one-sided p, NaN where it is not to be tested."""
    low, high = intervals.difference_interval(ours, bound, alpha=alpha)
    draws = ours - bound
    p = intervals.one_sided_p(draws[0], draws[1:]) if tested else math.nan
    return {"delta": draws[0], "lo": low, "hi": high, "p": p}


# ------------------------------------------------------------------------------------------------------- plain values


def _plain(value: Any) -> Any:
    """Return nested values as JSON knows them: numpy numbers as Python's, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
