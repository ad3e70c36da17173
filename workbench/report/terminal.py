"""A comparison as lines for a terminal."""

from __future__ import annotations

import sys

from workbench.comparison.options import MAIN
from workbench.comparison.rows import Comparison, ModelRow
from workbench.metrics.table import METRICS, headline
from workbench.report import wording


def tables(comparison: Comparison, *, by_label: bool = False) -> list[dict[str, str]]:
    """Return a line per model for a terminal: the compared metric with its ceiling, the headline, the costs.

    by_label: a line per label and model instead of those of the compared label.
    """
    asked = comparison.compare
    metric, lines = asked.metric, {}
    wanted = comparison.labels if by_label else [asked.label]
    for row in comparison.models:
        if (row.test, row.view) == (MAIN, asked.view) and row.label in wanted:
            lines.setdefault((wanted.index(row.label), row.model), {})[row.metric] = row
    return [
        ({"label": wanted[k]} if by_label else {}) | {"model": model} | _line(rows, metric)
        for (k, model), rows in sorted(lines.items(), key=lambda item: item[0][0])
    ]


def _line(rows: dict[str, ModelRow], metric: str) -> dict[str, str]:
    main = rows[metric]
    return (
        {wording.column(metric): _interval(main), "ceiling": _number(main.ceiling, METRICS[metric].digits)}
        | {wording.column(name): _number(rows[name].value) for name in headline() if name != metric}
        | {"coverage": _number(main.coverage, 2), "ms/post": _number(main.ms_per_post, 1)}
        | {"fit s": _number(main.fit_seconds, 1), "parameters": _count(main.parameters)}
        | {"MB": _count(main.peak_mb)}
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _interval(row: ModelRow) -> str:
    if row.value is None:
        return "-"
    value, low, high = (_number(one, METRICS[row.metric].digits) for one in (row.value, row.lo, row.hi))
    return f"{value} [{low}, {high}]{' few' if row.few else ''}"


def show(comparison: Comparison, lines: list[dict[str, str]]) -> None:
    """Print the primary comparison: a line per model, the differences asked for, and which models are missing."""
    from rich.console import Console
    from rich.table import Table

    # Where the output is no terminal rich would wrap at 80 columns and cut names.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 180)
    table = Table(*(lines[0] if lines else ()))
    for line in lines:
        table.add_row(*line.values())
    console.print(f"\n{comparison.question}")
    console.print(table)
    for row in comparison.differences:
        if row.p_holm is not None and row.delta is not None:
            span = f"{row.delta:+.3f} [{_signed(row.lo)}, {_signed(row.hi)}]"
            console.print(f"{row.a} minus {row.b}: {span}, p (Holm) {row.p_holm:.2g}")
    for row in comparison.stale:
        console.print(f"out of date: {row.model} ({'; '.join(row.reasons)})", soft_wrap=True)
    for row in comparison.missing:
        console.print(f"missing: {row.model} ({row.state})")


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
