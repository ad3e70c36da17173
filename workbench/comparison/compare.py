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
from types import MappingProxyType

import numpy as np

from workbench import fingerprint
from workbench.comparison.differences import differences, peers
from workbench.comparison.options import BEST, MACRO, MAIN, SCORED, VALIDATION, CompareOptions, CostOptions, Family
from workbench.comparison.parts import bias, disagreement, slices, suites
from workbench.comparison.predictions import Run, check_same_items
from workbench.comparison.resampled import VIEWS, Cell, Seen, at_once
from workbench.comparison.rows import Comparison, CostRow, ModelRow
from workbench.comparison.table import Table, place_of
from workbench.errors import WorkbenchError, unknown
from workbench.metrics.table import METRICS

_SECONDS_A_DAY = 86_400


def compare(
    study: str,
    question: str,
    runs: list[Run],
    settings: CompareOptions,
    family: Family | None = None,
    cost: CostOptions | None = None,
    members: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> Comparison:
    """Return the comparison of finished runs; the same runs and settings give the same.

    family: the primary one, pairs of models that have not run yet included; other pairs and test sets of the settings
    are exploratory. Without it the settings' own are the family. cost: the price that costs are told at. members: of
    models made of others, those among the runs; each is compared with the best of them.

    Raises WorkbenchError in one sentence for runs on different items, unknown names, and a view without posts.
    """
    _check(runs, settings)
    tests = sorted({*runs[0].sets} - {VALIDATION}, key=lambda name: (name != MAIN, name))
    there = on_validation(runs, settings)
    best, chosen = best_unimodal(runs, there), highest(there)
    best_member = best_members(members, there)
    _check_best(best, settings)
    seeds = {run.alias: run.seeds[int(np.argmax(there[run.alias]))] for run in runs if run.alias in there}
    models, used, tables = _tables(runs, tests, settings)
    asked, own = [tables[test, settings.view] for test in settings.test], tables.get((MAIN, settings.view))
    apart = [table for (_, view), table in tables.items() if view == SCORED]
    late_fusion_limit, leak_test = own.against_ceilings() if own else ((), ())
    family = Family(settings.pairs, settings.test) if family is None else family
    deltas = differences([*asked, *apart], best, family, best_member)
    return Comparison(
        study=study,
        question=question,
        compare=settings,
        labels=runs[0].labels,
        labels_used=used,
        best_unimodal=best,
        chosen=chosen,
        seeds=seeds,
        folds=len(runs[0].parts) or None,
        items={name: fingerprint.of_items(runs[0].sets[name].post_id.tolist()) for name in tests},
        models=models,
        members=dict(members),
        best_member=best_member,
        differences=deltas,
        peers=peers(asked, chosen),
        bundle=[row for table in asked for row in _bundle(table, chosen, seeds)],
        late_fusion_limit=late_fusion_limit,
        leak_test=leak_test,
        slices=slices.sliced(runs, settings),
        bias=bias.biased(runs, tests, settings),
        disagreement=disagreement.disagreement(runs, settings),
        suites=suites.tested(runs, tests, alpha=settings.alpha, few=settings.few),
        cost=cost,
        costs=[_cost(run, cost) for run in runs],
    )


_Tables = dict[tuple[str, str], Table]


def _tables(
    runs: list[Run], tests: Sequence[str], settings: CompareOptions
) -> tuple[list[ModelRow], dict[str, dict[str, list[str]]], _Tables]:
    """Return the rows of every test set and view with posts, the labels of macro there, and the tables of those asked.

    Of compared test sets also on the posts that every model scored, where those are not all; kept are besides those the
    one of the study's own test set.
    """
    kept: _Tables = {}
    rows: list[ModelRow] = []
    used: dict[str, dict[str, list[str]]] = {}

    def add(table: Table, keep: bool) -> None:
        test, view = table.cell.test, table.cell.view
        rows.extend(table.rows())
        used.setdefault(test, {})[view] = table.labels_used
        kept.update({(test, view): table} if keep else {})

    for test, view in ((test, view) for test in tests for view in VIEWS):
        cell = Cell.of(runs, test, view, settings.seed)
        if len(cell.codes):
            add(Table.of(runs, cell, settings), view == settings.view and test in (MAIN, *settings.test))
    for scored in [kept[test, settings.view].on_scored() for test in settings.test]:
        if scored is not None:
            add(scored, True)
    return rows, used, kept


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
    for test in settings.test:
        _check_test(runs, test, settings)


def _check_best(best: str | None, settings: CompareOptions) -> None:
    if best is None and any(BEST in pair for pair in settings.pairs):
        raise WorkbenchError(
            f"compare.pairs names {BEST}, but no model with one modality has a validation value of {settings.metric}; "
            "add one (such as text-tfidf) or name an alias"
        )


def _check_test(runs: Sequence[Run], test: str, settings: CompareOptions) -> None:
    """Raise WorkbenchError where a test set holds nothing that the settings could compare."""
    there = [name for name in runs[0].sets if name != VALIDATION]
    if test not in there:
        raise WorkbenchError(f"compare.test: {unknown('test set', test, there)}; `workbench run STUDY` scores new ones")
    cell = Cell.of(runs, test, settings.view, settings.seed)
    post, posts = ("test post", "test posts") if test == MAIN else (f"post of {test}", f"posts of {test}")
    if not len(cell.codes):
        raise WorkbenchError(
            f"no {post} has both text and a picture or clip, so the view 'paired' is empty; set `view: all` under "
            "`compare` and run `workbench compare STUDY`"
        )
    if METRICS[settings.metric].site and not cell.weighted:
        raise WorkbenchError(
            f"compare.metric {settings.metric} needs posts of different weight, and all {posts} of the view "
            f"{settings.view!r} weigh the same; compare {settings.metric.removesuffix('_site')}"
        )
    hold_known(cell.known, test, runs[0].labels, settings)


def hold_known(known: np.ndarray, test: str, labels: Sequence[str], settings: CompareOptions) -> None:
    """Raise WorkbenchError where no post of a test set, known (n, L), tells whether a compared label applies."""
    asked = labels if settings.label == MACRO else (settings.label,)
    if known[:, np.isin(labels, asked)].any():
        return
    what = f"the label {asked[0]!r} is" if len(asked) == 1 else f"none of the labels {', '.join(asked)} is"
    place = "corpus" if test == MAIN else f"tests.{test}"
    none = "known for none of" if len(asked) == 1 else "known for any of"
    raise WorkbenchError(
        f"{what} {none} the {len(known):,} posts of the test set {test!r}, so there is nothing to compare there; map "
        f"them under `{place}`, as labels or votes, or compare other sets (`compare.test`)"
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
    place, sign = place_of(runs[0].labels, settings), METRICS[settings.metric].sign
    values = {model.run.alias: sign * at_once(model.statistic(used), cell)[place] for model in seen}
    return {alias: by_seed for alias, by_seed in values.items() if not np.isnan(by_seed).any()}


def highest(values: Mapping[str, np.ndarray]) -> str | None:
    """Return the model with the highest mean over seeds, the first of equal ones; None of none."""
    return max(values, key=lambda alias: values[alias].mean(), default=None)


def best_unimodal(runs: Sequence[Run], values: Mapping[str, np.ndarray]) -> str | None:
    """Return the model of one modality with the highest value of `on_validation`; None without any."""
    return highest({run.alias: values[run.alias] for run in runs if run.unimodal and run.alias in values})


def best_members(members: Mapping[str, Sequence[str]], values: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return, of each model that is made of others, the one of them with the highest value of `on_validation`."""
    best = {alias: highest({name: values[name] for name in of if name in values}) for alias, of in members.items()}
    return {alias: name for alias, name in best.items() if name is not None}


def _bundle(table: Table, chosen: str | None, seeds: Mapping[str, int]) -> list[ModelRow]:
    """Return the rows of the one training of the chosen model that would be deployed."""
    if chosen is None or table.seen[chosen].run.parts:  # what is deployed has then tested one fold only
        return []
    run = table.seen[chosen].run.only(seeds[chosen])
    alone = Table.of([run], table.cell, table.settings, table.used)
    return [ModelRow(**row.model_dump() | {"seed": seeds[chosen], "id": ""}) for row in alone.rows()]


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
        runs=run.keys,
    )


def _times(*factors: float | None) -> float | None:
    return None if None in factors else math.prod(factors)
