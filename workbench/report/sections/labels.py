"""Per label: what is caught and what is flagged, in numbers, in words and as curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workbench.comparison.predictions import Run
from workbench.comparison.resampled import Cell, Seen
from workbench.comparison.rows import Comparison, ModelRow, path
from workbench.metrics.classification import precision_recall_curve
from workbench.metrics.plots import curves as plots
from workbench.metrics.table import METRICS, RANKING, headline
from workbench.report import removals, wording
from workbench.report.section import Section, left_out, shown_models, table


def labels(comparison: Comparison, runs: Sequence[Run]) -> Iterator[Section]:
    """Per label: confusion in numbers and words, headline, precision against recall, on each compared test set."""
    shown = shown_models(comparison)
    some = [run for run in runs if run.alias in shown]
    cells = {test: Cell.of(runs, test, comparison.compare.view, 0) for test in comparison.tests if runs}
    seen = {test: [Seen(run, cell) for run in some] for test, cell in cells.items()}
    for k, label in enumerate(comparison.labels):
        by_test = {test: comparison.rows(label=label, metric="recall", test=test) for test in comparison.tests}
        by_test = {test: rows for test, rows in by_test.items() if rows and rows[0].positives}
        if not by_test:
            continue
        figures: dict[str, Callable[[str], Figure]] = {}
        tables: dict[str, pd.DataFrame] = {}
        for test, rows in by_test.items():
            drawn = _figures(comparison, rows, k, cells.get(test), seen.get(test, []), shown)
            figures |= {wording.caption(comparison, name, test): draw for name, draw in drawn.items()}
            best = _label_table(comparison, label, headline(), test, ceilings=("average_precision",))
            tables[wording.caption(comparison, "", test)] = best
            at = wording.caption(comparison, "at a fixed recall or false positive rate", test)
            tables[at] = _label_table(comparison, label, _OPERATING, test)
        told, gone = list(removals.told(some, label)), removals.table(some, label)
        if gone is not None:
            tables["removed without a person, of all test posts"] = gone
        yield Section(
            f"label-{label}",
            f"{label.capitalize()}: what is caught, what is flagged",
            _prose(comparison, by_test, several_seeds=any(len(run.seeds) > 1 for run in runs)),
            figures,
            tables,
            points={"Removed without a person": told} if told else {},
            captions=len(by_test) > 1,
        )


_OPERATING = [
    name for name, metric in METRICS.items() if metric.kind is RANKING and not (metric.headline or metric.site)
]


def _prose(comparison: Comparison, by_test: dict[str, list[ModelRow]], *, several_seeds: bool) -> str:
    counts = []
    for test, (first, *_) in by_test.items():
        on = "" if wording.alone(comparison) else f"On {wording.test_set(test)}: "
        few = " Few positives: read with care." if first.few else ""
        share = wording.percent(first.prevalence)
        counts.append(f"{on}{first.positives} positives among {first.n} posts ({share}).{few}")
    prose = (
        f"{' '.join(counts)} Each model flags at its own threshold, chosen on validation: for the best F1, unless the "
        "study's policy says otherwise."
    )
    if several_seeds:
        prose += " Counts are means over seeds; curves are those of the first seed."
    if rest := left_out(comparison):
        prose += f"{rest.rstrip('.')}; the tables have them."
    return prose


def _figures(
    comparison: Comparison,
    rows: Sequence[ModelRow],
    k: int,
    cell: Cell | None,
    seen: Sequence[Seen],
    shown: Sequence[str],
) -> dict[str, Callable[[str], Figure]]:
    """Return the figures of one label on one test set."""
    figures: dict[str, Callable[[str], Figure]] = {}
    label = comparison.labels[k]
    counts = {row.model: row.confusion for row in rows if row.model in shown and row.value is not None}
    if counts:
        figures["confusion matrices"] = lambda theme: plots.confusion_matrices(counts, label=label, theme=theme)
    if curves := _curves(seen, k):
        drawing = {"label": label, "prevalence": rows[0].prevalence, "ceiling": _best(cell, k, seen)}
        figures["precision against recall"] = lambda theme: plots.pr_curves(curves, **drawing, theme=theme)
    return figures


def _label_table(
    comparison: Comparison, label: str, names: Sequence[str], test: str, ceilings: Sequence[str] = ()
) -> pd.DataFrame:
    lines = {}
    for model in comparison.names:
        metrics = {row.metric: row for row in comparison.rows(model=model, label=label, metric=None, test=test)}
        lines[model] = {wording.column(name): wording.interval(metrics[name]) for name in names if name in metrics}
        lines[model] |= {
            f"ceiling of {wording.column(name)}": wording.value(name, metrics[name].ceiling) for name in ceilings
        }
    places = [path(test, comparison.compare.view, label, model) for model in lines]
    return table(lines, places, {wording.column(name): name for name in names})


def _curves(seen: Sequence[Seen], k: int) -> dict[str, tuple]:
    """Return precision against recall of the first seed of each model that ranks all posts of a label."""
    return {
        model.run.alias: precision_recall_curve(model.cell.y[:, k], model.ranks[0, :, k], known=model.cell.known[:, k])[
            :2
        ]
        for model in seen
        if model.ranked[k]
    }


def _best(cell: Cell, k: int, seen: Sequence[Seen]) -> tuple | None:
    """Return the best curve of a label with all that the models see together, None where the world does not tell it."""
    fields = ("modalities", "columns")
    every = {name: tuple({part for model in seen for part in getattr(model.run, name)}) for name in fields}
    exact, known = cell.exact.get(replace(seen[0].run, **every).information), cell.known[:, k]
    if exact is None or np.isnan(exact[known, k]).any():
        return None
    return precision_recall_curve(cell.y[:, k], exact[:, k], known=known)[:2]
