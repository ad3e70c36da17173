"""The section on bias: does a mention of a group of people raise or lower the best model's scores?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.comparison.rows.parts import BiasSummary, IdentityRow
from workbench.metrics.bias import KINDS
from workbench.report import wording
from workbench.report.section import Section, left_out, shown_models, table

_COLUMNS = {"subgroup_auc": "subgroup AUC", "bpsn_auc": "BPSN AUC", "bnsp_auc": "BNSP AUC"}


def bias(comparison: Comparison, runs: Sequence[Run]) -> Section | None:
    """Return the AUCs of Borkan et al. 2019 by identity and Jigsaw's summary; None where no identity is mentioned."""
    record, best = comparison.bias, comparison.chosen
    rows = [row for row in record.identities if row.model == best]
    if not rows:
        return None
    shown, tests = shown_models(comparison), list(dict.fromkeys(row.test for row in rows))
    prose = (
        "How posts that mention a group of people are ranked; mentions are words of data/identities.yaml. Subgroup "
        "AUC: is harm told from harmless talk among the mentions? BPSN AUC: do harmless mentions rank below harmful "
        "posts without one (low: mentions are flagged too easily)? BNSP AUC: do harmful mentions rank above "
        f"harmless posts without one (low: they are missed)? {_worst(best, rows)}{left_out(comparison)}"
    )
    summaries = [row for row in record.summaries if row.model in shown]
    folded = {}
    for test in tests:
        folded[f"{test}: {best}, by identity, lowest BPSN AUC first"] = _table(rows, test)
        folded[f"{test}: all shown models"] = _table([row for row in record.identities if row.model in shown], test)
    summed = "summary over identities that are not few (Jigsaw's: power mean, p = -5)"
    return Section(
        "bias",
        "What does a mention of a group do?",
        prose,
        {},
        {summed: _summaries(summaries)} if summaries else {},
        folded=folded,
    )


def _worst(best: str, rows: Sequence[IdentityRow]) -> str:
    sure = [row for row in rows if not row.few and row.bpsn_auc.value is not None]
    if not sure:
        return "No identity is mentioned by enough harmful and harmless posts, so the numbers below say little."
    row = min(sure, key=lambda row: row.bpsn_auc.value)
    where = f"{row.identity.replace('_', ' ')} ({row.label}, {row.test} set)"
    return f"Of {best} the lowest BPSN AUC is {wording.interval(row.bpsn_auc)}, for {where}."


def _table(rows: Sequence[IdentityRow], test: str) -> pd.DataFrame:
    rows = [row for row in rows if row.test == test]
    lines = {
        (row.model, wording.label(row.label), row.identity.replace("_", " ")): {
            "posts": wording.count(row.n),
            "positives": f"{row.positives:,}{' few' if row.few else ''}",
            **{_COLUMNS[kind]: wording.interval(getattr(row, kind)) for kind in KINDS},
        }
        for row in rows
    }
    return table(lines, [row.address for row in rows], {_COLUMNS[kind]: kind for kind in KINDS})


def _summaries(rows: Sequence[BiasSummary]) -> pd.DataFrame:
    lines = {
        (row.test, row.model, wording.label(row.label)): {
            "summary": wording.interval(row.summary),
            "AUC of all posts": wording.number(row.overall),
            **{f"{_COLUMNS[kind]}, mean": wording.number(getattr(row, kind)) for kind in KINDS},
            "identities": wording.count(row.identities),
        }
        for row in rows
    }
    return table(lines)
