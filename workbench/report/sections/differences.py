"""Which differences between models are real, how large they can be, and what it would take to know better."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from workbench.comparison.rows import Comparison, Difference
from workbench.metrics.plots import curves
from workbench.report import wording
from workbench.report.section import Section, addressed


def differences(comparison: Comparison) -> Section | None:
    """Return the section: every difference with its interval, what it shows, and what would show more."""
    rows = comparison.differences
    if not rows:
        return None
    asked = comparison.compare
    prose = (
        f"{_family(comparison)} An interval that holds zero is no proof that two models are equal: “at most” says how "
        f"large the difference is with {100 * (1 - asked.alpha):g} % confidence, “equivalent” and “no worse” that "
        f"it is below {asked.margin:g}. A test set like this one finds differences from “found from” on with "
        f"{100 * asked.power:g} % probability; to find {asked.margin:g} as surely it would have to hold as many "
        "independent harmful posts as “needed” says."
    )
    table = pd.DataFrame(
        {
            "difference": wording.difference(row),
            "p (Holm)": wording.p(row.p_holm) if row.primary else "exploratory",
            "shows": row.verdict,
            "at most": wording.number(row.equivalent_within),
            "found from": wording.number(row.detectable),
            "needed": wording.count(row.groups_for_margin),
        }
        for row in rows
    )
    table.index = [" − ".join(wording.sides(row)) for row in rows]
    addressed(table, [row.id for row in rows], {"difference": ""})
    figure = {"differences with intervals": lambda theme: curves.differences(rows, theme=theme)}
    apart = _apart(rows)
    tables = {"": table} | ({"posts that only one of two models decides rightly": apart} if len(apart) else {})
    return Section("differences", "Which differences are real?", prose, figure, tables)


def _apart(rows: Sequence[Difference]) -> pd.DataFrame:
    """Return per pair and label how many groups of posts only one model is right about, and McNemar's exact p."""
    lines = {
        (" − ".join(wording.sides(row)), part.label): {
            "only the first right": wording.count(part.only_a),
            "only the second right": wording.count(part.only_b),
            "p (McNemar)": wording.p(part.p),
        }
        for row in rows
        for part in row.disagreements
    }
    frame = pd.DataFrame.from_dict(lines, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index) if lines else frame.index
    return frame


def _family(comparison: Comparison) -> str:
    """What was asked beforehand and what is exploratory."""
    if any(row.primary for row in comparison.differences):
        return (
            "What has a p was chosen before anything was scored and is corrected for how many there are (Holm); p "
            "comes from swapping both models' scores of whole groups of posts at random. The rest is exploratory."
        )
    waits = "What the study asked waits for models that are not finished, and what is here is exploratory."
    return waits if comparison.missing else "The study asked for no comparison, so all of this is exploratory."
