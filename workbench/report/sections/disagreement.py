"""The section on label noise: what models are worth where annotators agree, and where they do not."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.report import wording
from workbench.report.section import Section, left_out, shown_models, table

_COLUMNS = {
    "unanimous": ("right where all agree", "accuracy"),
    "disputed": ("right where they do not", "accuracy"),
    "log_loss": ("log loss", "log_loss"),
    "soft_log_loss": ("log loss against shares of votes", "log_loss"),
    "average_precision": ("average precision", "average_precision"),
    "soft_average_precision": ("average precision against shares of votes", "average_precision"),
}


def disagreement(comparison: Comparison, runs: Sequence[Run]) -> Section | None:
    """Return scores against the votes of several annotators beside the plain ones; None where nobody counted votes."""
    shown = shown_models(comparison)
    rows = [row for row in comparison.disagreement if row.model in shown]
    if not rows:
        return None
    alone = wording.alone(comparison)
    clauses = {
        (
            row.test,
            row.label,
        ): f"{row.label}{'' if alone else f' on {wording.test_set(row.test)}'}: {row.disputed_n:,} of "
        f"{row.n:,} posts are disputed, Krippendorff's alpha {wording.number(row.alpha)}"
        for row in rows
    }
    prose = (
        "Several annotators judged these posts, and what most of them said is the label. A model cannot be more right "
        f"than they are sure. {'; '.join(clauses.values())}. Shares of votes as labels count a post that one of three "
        f"calls harmful as a third harmful.{left_out(comparison)}"
    )
    tables = {}
    for test in dict.fromkeys(row.test for row in rows):
        tables[wording.caption(comparison, "", test)] = table(
            {
                (row.model, wording.label(row.label)): {
                    words: wording.interval(getattr(row, name), metric) for name, (words, metric) in _COLUMNS.items()
                }
                for row in rows
                if row.test == test
            }
        )
    return Section("disagreement", "And where annotators disagree?", prose, {}, tables)
