"""Each model against the best that its inputs allow, where that is known: who beats it has seen too much."""

from __future__ import annotations

import pandas as pd

from workbench.studies import addresses, wording
from workbench.studies.sections.section import Section, addressed


def ceilings(comparison: dict) -> Section | None:
    leaks, limits = comparison.get("leak_test") or [], comparison.get("late_fusion_limit") or []
    if not leaks:
        return None
    prose = f"Here the best possible score is known exactly. The leak test asks if any model beats it. {_leaks(leaks)}"
    table = pd.DataFrame(
        {
            "model": row["model"],
            "label": wording.label(row["label"]),
            "value": wording.number(row["value"]),
            "best possible": wording.number(row["ceiling"]),
            "difference": wording.interval({**row, "value": row["delta"]}, signed=True),
            "p (Holm)": wording.p(row["p_holm"]),
        }
        for row in leaks
    )
    addressed(table, [addresses.of_row("leak_test", row) for row in leaks], {"difference": ""})
    tables = {"against the best possible": table.set_index(["model", "label"]).rename_axis([None, None])}
    if limits:
        names = [wording.label(row["label"]) for row in limits]
        limit = pd.DataFrame({"limit of late fusion": map(wording.interval, limits)}, index=names)
        tables["what fusing one text score and one picture score can reach"] = limit
    return Section("ceilings", "Is it too good to be true?", prose, {}, tables)


def _leaks(rows: list[dict]) -> str:
    """What the leak test found, in a sentence or two."""
    tripped = [f"{row['model']} ({wording.label(row['label'])})" for row in rows if row["tripped"]]
    few = sorted({wording.label(row["label"]) for row in rows if row["tripped"] is None})
    rest = f" Not tested, for lack of positives: {', '.join(few)}." if few else ""
    if tripped:
        who = ", ".join(tripped)
        return f"It is tripped by {who}: what is better than its inputs allow has seen something it should not.{rest}"
    if all(row["tripped"] is None for row in rows):
        return f"It says nothing here.{rest}"
    return f"No model is provably better than what its inputs allow, so nothing points to a leak.{rest}"
