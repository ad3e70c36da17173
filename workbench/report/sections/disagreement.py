"""The section on label noise: what models are worth where annotators agree, and where they do not."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.report import wording
from workbench.report.section import Section, shown_models, table

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
    clauses = {
        row.label: f"{row.label}: {row.disputed_n:,} of {row.n:,} posts are disputed, Krippendorff's alpha "
        f"{wording.number(row.alpha)}"
        for row in rows
    }
    prose = (
        "Several annotators judged these posts, and what most of them said is the label. A model cannot be more right "
        f"than they are sure. {'; '.join(clauses.values())}. Shares of votes as labels count a post that one of three "
        "calls harmful as a third harmful."
    )
    lines = {
        (row.model, wording.label(row.label)): {
            words: wording.interval(getattr(row, name), metric) for name, (words, metric) in _COLUMNS.items()
        }
        for row in rows
    }
    return Section("disagreement", "And where annotators disagree?", prose, {}, {"": table(lines)})
