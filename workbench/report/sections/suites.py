"""Functional tests in the report: which kinds of cases each model gets right, the harmful and the harmless apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workbench.comparison.rows import Comparison, path
from workbench.comparison.rows.parts import SuitePart, SuiteRow
from workbench.metrics.plots import diagrams
from workbench.report import wording
from workbench.report.section import Section, table

_HALVES = {"harmful": "harmful cases caught", "harmless": "harmless cases passed", "all": "right in all"}
_SAYS = {"harmful": "to catch", "harmless": "to pass"}


def suites(comparison: Comparison) -> Iterator[Section]:
    """Yield a section for every suite of a comparison: halves, every functionality, target and further column."""
    rows = comparison.suites
    for (test, label), group in groupby(rows, key=lambda row: (row.test, row.label)):
        yield _section(test, label, list(group))


def _section(test: str, label: str, rows: list[SuiteRow]) -> Section:
    cases = rows[0].halves[-1].n
    prose = (
        f"{cases:,} cases, each written for one purpose and decided beyond doubt; about {label}. A share with "
        "Wilson's interval is of cases decided rightly at the model's own threshold. One number over both halves would "
        "say how the suite was mixed: a model that flags everything catches all harmful cases and passes none of the "
        "others."
    )
    unseen = {row.model: row.unseen for row in rows if row.unseen}
    if unseen:
        blind = ", ".join(f"{model} ({count:,})" for model, count in unseen.items())
        prose += f" Cases that a model cannot see are not flagged: {blind}."
    tables = {"both halves": _halves(rows)}
    if rows[0].functionalities:
        tables["each functionality"] = _parts(rows, "functionalities")
    if rows[0].targets:
        tables["whom the cases are about"] = _parts(rows, "targets")
    tables |= {f"by {column.replace('_', ' ')}": _parts(rows, f"by:{column}") for column in rows[0].by}
    name = "share decided rightly, by functionality"
    drawn = {name: lambda theme: _drawn(rows, theme)} if rows[0].functionalities else {}
    return Section(f"suite-{test}-{label}".replace(" ", "-"), f"Which kinds of cases of {test}?", prose, drawn, tables)


def _halves(rows: list[SuiteRow]) -> pd.DataFrame:
    lines = {}
    for row in rows:
        line = {_HALVES[half.gold]: _share(half) for half in row.halves}
        if row.contrast:
            line[f"contrast sets right as a whole ({row.contrast.n:,})"] = _share(row.contrast)
        lines[row.model] = line
    return table(lines)


def _parts(rows: list[SuiteRow], what: str) -> pd.DataFrame:
    lines: dict[tuple[str, str], dict[str, str]] = {}
    places: dict[tuple[str, str], str] = {}
    for row in rows:
        for part in row.kinds[what]:
            places[part.name, _SAYS[part.gold]] = row.address(what, part)
            few = " few" if part.few else ""
            line = lines.setdefault((part.name, _SAYS[part.gold]), {"cases": f"{part.n:,}{few}"})
            if part.note:
                line["note"] = part.note
            line[row.model] = _share(part)
    return table(lines, list(places.values()), {row.model: path(row.model) for row in rows}).fillna("")


def _drawn(rows: list[SuiteRow], theme: str) -> Figure:
    parts = [row.functionalities for row in rows]
    values = np.array([[np.nan if part.value is None else part.value for part in line] for line in parts]).T
    return diagrams.shades(
        values,
        [part.name for part in parts[0]],
        [row.model for row in rows],
        title="Cases decided rightly, percent (italics: to be passed)",
        italics=[part.gold == "harmless" for part in parts[0]],
        theme=theme,
    )


def _share(row: SuitePart) -> str:
    if row.value is None:
        return wording.number(None)
    return f"{100 * row.value:.1f} % [{100 * row.lo:.0f}, {100 * row.hi:.0f}]"
