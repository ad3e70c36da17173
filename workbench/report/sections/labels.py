"""Per label: what is caught and what is flagged, in numbers, in words and as curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workbench.comparison.options import MAIN
from workbench.comparison.predictions import Run
from workbench.comparison.resampled import Cell, Seen
from workbench.comparison.rows import Comparison, path
from workbench.metrics.classification import precision_recall_curve
from workbench.metrics.plots import curves as plots
from workbench.metrics.table import METRICS, RANKING, headline
from workbench.report import removals, wording
from workbench.report.section import Section, shown_models, table


def labels(comparison: Comparison, runs: Sequence[Run]) -> Iterator[Section]:
    """Per label: confusion in numbers and words, headline, precision against recall."""
    shown = shown_models(comparison)
    cell = Cell.of(runs, MAIN, comparison.compare.view, 0) if runs else None
    seen = [Seen(run, cell) for run in runs if run.alias in shown]
    operating = [
        name for name, metric in METRICS.items() if metric.kind is RANKING and not (metric.headline or metric.site)
    ]
    for k, label in enumerate(comparison.labels):
        rows = comparison.rows(label=label, metric="recall")
        if not rows or not rows[0].positives:
            continue
        counts = {row.model: row.confusion for row in rows if row.model in shown and row.value is not None}
        first = rows[0]
        few = " Few positives: read with care." if first.few else ""
        prose = (
            f"{first.positives} positives among {first.n} posts ({wording.percent(first.prevalence)}).{few} "
            "Each model flags at its own threshold, chosen on validation: for the best F1, unless the study's policy "
            "says otherwise."
        )
        if any(len(run.seeds) > 1 for run in runs):
            prose += " Counts are means over seeds; curves are those of the first seed."
        figures: dict[str, Callable[[str], Figure]] = {}
        if counts:
            figures["confusion matrices"] = lambda theme, c=counts, n=label: plots.confusion_matrices(
                c, label=n, theme=theme
            )
        if curves := _curves(seen, k):
            ceiling = _best(cell, k, seen)
            drawing = {"label": label, "prevalence": first.prevalence, "ceiling": ceiling}
            figures["precision against recall"] = lambda theme, c=curves, d=drawing: plots.pr_curves(
                c, **d, theme=theme
            )
        tables = {
            "": _label_table(comparison, label, headline(), ceilings=("average_precision",)),
            "at a fixed recall or false positive rate": _label_table(comparison, label, operating),
        }
        some = [run for run in runs if run.alias in shown]
        said, gone = list(removals.told(some, label)), removals.table(some, label)
        if gone is not None:
            tables["removed without a person, of all test posts"] = gone
        yield Section(
            f"label-{label}",
            f"{label.capitalize()}: what is caught, what is flagged",
            prose,
            figures,
            tables,
            points={"Removed without a person": said} if said else {},
        )


def _label_table(
    comparison: Comparison, label: str, names: Sequence[str], ceilings: Sequence[str] = ()
) -> pd.DataFrame:
    lines = {}
    for model in comparison.names:
        metrics = {row.metric: row for row in comparison.rows(model=model, label=label, metric=None)}
        lines[model] = {wording.column(name): wording.interval(metrics[name]) for name in names if name in metrics}
        lines[model] |= {
            f"ceiling of {wording.column(name)}": wording.value(name, metrics[name].ceiling) for name in ceilings
        }
    places = [path(MAIN, comparison.compare.view, label, model) for model in lines]
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
