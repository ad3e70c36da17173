"""What each model costs beside what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.figure import Figure

from workbench.comparison.options import CostOptions
from workbench.comparison.rows import Comparison, CostRow, ModelRow
from workbench.metrics.plots import diagrams
from workbench.report import wording
from workbench.report.section import Section, table


def cost(comparison: Comparison) -> Section | None:
    """Time, memory and, at the price that the study states, money; None where no run recorded its time."""
    rows = comparison.costs
    if all(row.ms_per_post is None for row in rows):
        return None
    stated = comparison.cost
    by_test = {test: {row.model: row for row in comparison.rows(test=test)} for test in comparison.tests}
    prose = "Times are of one process that scores unseen posts from their raw content. " + _priced(stated)
    figures = {}
    for test, values in by_test.items():
        shown = [values[row.model] for row in rows if row.model in values and values[row.model].ms_per_post]
        if any(row.value is not None for row in shown):
            figures[wording.caption(comparison, "quality against milliseconds per post", test)] = partial(_drawn, shown)
    lines = {}
    for row in rows:
        worth = {
            wording.caption(comparison, wording.metric(comparison.compare.metric), test): values.get(row.model)
            for test, values in by_test.items()
        }
        lines[row.model] = {name: wording.interval(of) if of else "–" for name, of in worth.items()} | _line(
            row, stated
        )
    cells = dict.fromkeys([*lines[rows[0].model]][len(by_test) :], "")
    shown_costs = table(lines, [row.id for row in rows], cells)
    return Section("cost", "What does it cost?", prose, figures, {"": shown_costs}, captions=len(by_test) > 1)


def _drawn(rows: Sequence[ModelRow], theme: str) -> Figure:
    return diagrams.quality_against_cost(rows, theme=theme)


def _priced(stated: CostOptions | None) -> str:
    if not stated:
        return (
            "No price is stated; a study that says cost: {machine: ..., price_per_hour: ..., currency: ...} gets "
            "columns in money."
        )
    machine = stated.machine or "a machine like the one that measured them"
    return (
        f"Money is at the stated {stated.price_per_hour:g} {stated.currency} an hour for {machine}, of which "
        "nothing is shared; larger batches cost less, so take it as an upper bound."
    )


def _line(row: CostRow, stated: CostOptions | None) -> dict[str, str]:
    line = {
        "ms per post": wording.quantity(row.ms_per_post),
        "posts a second": wording.quantity(1000 / row.ms_per_post if row.ms_per_post else None),
        "peak MB": wording.count(row.peak_mb),
        "training, s": wording.number(row.fit_seconds, 1),
    }
    if stated:
        money = stated.currency
        line[f"{money} per million posts"] = wording.quantity(row.per_million)
        line[f"{money} per training"] = wording.quantity(row.training)
    if stated and stated.posts_per_day:
        line[f"{money} a day at {stated.posts_per_day:,} posts"] = wording.quantity(row.per_day)
        line["machines kept busy"] = wording.quantity(row.busy)
    return line
