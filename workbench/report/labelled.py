"""Which posts a study rests on: what each set says of each label, why it says nothing, what was read and left out.

The report's first page and the data card show the same counts, as the runs recorded them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from workbench.comparison.predictions import Run
from workbench.corpora.counts import why
from workbench.report import wording
from workbench.report.section import table

_WHY = "unknown because"
_ROWS = 12  # of a table that stands open on the first page
_LINES = 3  # sentences on reading that do


class LabelCounts(NamedTuple):
    """How many posts of one set say yes, no and nothing of one label, and why they say nothing."""

    label: str
    test: str
    yes: int
    no: int
    unknown: int
    why: str


class PostCounts(NamedTuple):
    """What the first page shows of the posts: sentences and tables that stand open, and those that open on a click."""

    lines: list[str]
    tables: dict[str, pd.DataFrame]
    folded: dict[str, pd.DataFrame]
    folded_lines: dict[str, list[str]]


def counted(runs: Sequence[Run]) -> list[LabelCounts]:
    """Return the counts of each label that some set tells of; of scored sets alone where no run recorded more."""
    if not runs:
        return []
    recorded = next((run.metrics.labelled for run in runs if run.metrics.labelled), {})
    if not recorded:
        for name, scores in runs[0].sets.items():
            yes, known = (scores.y & scores.known).sum(0), scores.known.sum(0)
            recorded[name] = {
                label: {"yes": yes[k], "no": known[k] - yes[k], "unknown": len(scores.known) - known[k], "why": {}}
                for k, label in enumerate(runs[0].labels)
            }
    told = [label for label in runs[0].labels if any(_says(rows.get(label)) for rows in recorded.values())]
    return [
        LabelCounts(label, name, *(int(rows[label][side]) for side in ("yes", "no", "unknown")), why(rows[label]))
        for label in told
        for name, rows in recorded.items()
        if label in rows
    ]


def noticed(runs: Sequence[Run]) -> list[str]:
    """Return what was noticed when the posts were read and divided."""
    lines = [*next((run.metrics.noticed for run in runs if run.metrics.noticed), ())]
    if dropped := next((run.metrics.dropped for run in runs if run.metrics.dropped), 0):
        group = f"{wording.counted(dropped, 'post')} in no set: the group stands on both sides of the cut"
        lines.append(group)
    return lines


def warned(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return what speaks against how the posts were read."""
    return next((run.metrics.warned for run in runs if run.metrics.warned), ())


def first_page(runs: Sequence[Run]) -> PostCounts:
    """Return how many posts say what and how they were read, a long account folded; nothing where there is none."""
    rows, lines = counted(runs), noticed(runs)
    totals, tables, folded = list(_totals(rows)), {}, {}
    what = "What the posts say of " + (totals[0].label if len(totals) == 1 else "each label")
    if len(rows) <= _ROWS:
        tables = {what: _by_set(rows)} if rows else {}
    else:
        folded = {f"{what}, set by set": _by_set(rows)}
        tables = {f"{what}, all sets together": _by_set(totals)} if len(totals) <= _ROWS else {}
    rest = {f"{len(lines) - _LINES} more on how the posts were read": lines[_LINES:]} if lines[_LINES:] else {}
    return PostCounts(lines[:_LINES], tables, folded, rest)


def _says(row: Mapping[str, Any] | None) -> bool:
    return row is not None and row["yes"] + row["no"] > 0


def _totals(rows: Sequence[LabelCounts]) -> Iterator[LabelCounts]:
    """Yield the counts of each label over all sets."""
    for label in dict.fromkeys(row.label for row in rows):
        sums = (sum(getattr(row, side) for row in rows if row.label == label) for side in ("yes", "no", "unknown"))
        yield LabelCounts(label, "", *sums, "")


def _by_set(rows: Sequence[LabelCounts]) -> pd.DataFrame:
    """Return a line for each label and set; what no line has is no column."""
    several = {name: len({getattr(row, name) for row in rows}) > 1 for name in ("label", "test")}
    unknown, reasons = any(row.unknown for row in rows), any(row.why for row in rows)
    lines = {}
    for row in rows:
        names = tuple(getattr(row, name) for name, differ in several.items() if differ) or (row.label,)
        cells = {"yes": wording.count(row.yes), "no": wording.count(row.no)}
        cells |= {"unknown": wording.count(row.unknown)} if unknown else {}
        lines[names if len(names) > 1 else names[0]] = cells | ({_WHY: row.why or "–"} if reasons else {})
    frame = table(lines)
    frame.attrs["words"] = [_WHY]
    return frame
