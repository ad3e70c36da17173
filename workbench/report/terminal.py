"""A comparison as lines for a terminal."""

from __future__ import annotations

import itertools
import sys

from workbench.comparison.rows import Comparison, ModelRow
from workbench.metrics.table import headline
from workbench.report import wording


def tables(comparison: Comparison, *, by_label: bool = False) -> list[dict[str, str]]:
    """Return a line per compared test set and model: the compared metric with its ceiling, the headline, the costs.

    by_label: a line per label and model instead of those of the compared label; a metric that is over all labels has no
    value there and is left out.
    """
    metric, lines = comparison.compare.metric, []
    labels = comparison.labels if by_label else [comparison.compare.label]
    for test, label, model in itertools.product(comparison.tests, labels, comparison.names):
        rows = {row.metric: row for row in comparison.rows(metric=None, label=label, model=model, test=test)}
        if rows and next(iter(rows.values())).n:
            place = {} if wording.alone(comparison) else {"test set": test}
            lines.append(place | ({"label": label} if by_label else {}) | {"model": model} | _line(rows, metric))
    return lines


def _line(rows: dict[str, ModelRow], metric: str) -> dict[str, str]:
    line, some = {}, next(iter(rows.values()))
    if metric in rows:
        ceiling = wording.value(metric, rows[metric].ceiling)
        line = {wording.column(metric): wording.interval(rows[metric]), "ceiling": ceiling}
    others = [name for name in headline() if name in rows and name != metric]
    line |= {wording.column(name): wording.value(name, rows[name].value) for name in others}
    line |= {"coverage": wording.number(some.coverage, 2), "ms/post": wording.number(some.ms_per_post, 1)}
    line |= {"fit s": wording.number(some.fit_seconds, 1), "parameters": wording.count(some.parameters)}
    return line | {"MB": wording.count(some.peak_mb)}


def show(comparison: Comparison, lines: list[dict[str, str]]) -> None:
    """Print the primary comparison: a line per model, the verdicts asked for, and which models are missing."""
    from rich.console import Console
    from rich.table import Table

    # Where the output is no terminal rich would wrap at 80 columns and cut names.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 180)
    table = Table(*(lines[0] if lines else ()))
    for line in lines:
        table.add_row(*line.values())
    console.print(f"\n{comparison.question}")
    console.print(table)
    for sentence in wording.verdicts(comparison):
        console.print(sentence, soft_wrap=True)
    for sentence in wording.coverage(comparison):
        console.print(sentence, soft_wrap=True)
    for row in comparison.stale:
        console.print(f"out of date: {row.model} ({'; '.join(row.reasons)})", soft_wrap=True)
    for row in comparison.missing:
        console.print(f"missing: {row.model} ({row.state})")
