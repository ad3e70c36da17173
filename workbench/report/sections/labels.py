"""Per label: what is caught and what is flagged, in numbers, in words and as curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, path
from workbench.metrics import classification
from workbench.metrics.plots import curves as plots
from workbench.metrics.table import METRICS, RANKING, headline
from workbench.report import wording
from workbench.report.section import MAIN, Section, addressed, models_of, rows_of, shown_models


def labels(comparison: Comparison, runs: Sequence[Run]) -> Iterator[Section]:
    """Per label: confusion in numbers and words, headline, precision against recall."""
    asked, shown = comparison.compare, shown_models(comparison)
    operating = [name for name, metric in METRICS.items() if metric.kind is RANKING and not metric.headline]
    for label in comparison.labels:
        rows = list(rows_of(comparison, label=label, view=asked.view, metric="recall"))
        if not rows or not rows[0].positives:
            continue
        counts = {row.model: dict(row.confusion) for row in rows if row.model in shown and row.value is not None}
        first = rows[0]
        few = " Few positives: read with care." if first.few else ""
        prose = (
            f"{first.positives} positives among {first.n} posts ({wording.percent(first.prevalence)}).{few} "
            "Each model flags at its own threshold, chosen on validation: for the best F1, unless the study's policy "
            "says otherwise."
        )
        if any(len(run.seeds) > 1 for run in runs):
            prose += " Counts are means over seeds; curves are those of the first seed."
        figures: dict[str, Callable[[str], Figure]] = {}
        if counts:
            figures["confusion matrices"] = lambda theme, c=counts, n=label: plots.confusion_matrices(
                c, label=n, theme=theme
            )
        curves, best = _curves(runs, shown, label, asked.view)
        if curves:
            drawing = {"label": label, "prevalence": first.prevalence, "ceiling": best}
            figures["precision against recall"] = lambda theme, c=curves, d=drawing: plots.pr_curves(
                c, **d, theme=theme
            )
        yield Section(
            f"label-{label}",
            f"{label.capitalize()}: what is caught, what is flagged",
            prose,
            figures,
            {
                "": _label_table(comparison, label, headline(), ceilings=("average_precision",)),
                "at a fixed recall or false positive rate": _label_table(comparison, label, operating),
            },
        )


def _label_table(
    comparison: Comparison, label: str, names: Sequence[str], ceilings: Sequence[str] = ()
) -> pd.DataFrame:
    asked, lines = comparison.compare, {}
    for model in models_of(comparison):
        metrics = {row.metric: row for row in rows_of(comparison, model=model, label=label, view=asked.view)}
        lines[model] = {wording.column(name): wording.interval(metrics[name]) for name in names if name in metrics}
        best = {f"ceiling of {wording.column(name)}": wording.number(metrics[name].ceiling) for name in ceilings}
        lines[model] |= best
    places = [path(MAIN, asked.view, label, model) for model in lines]
    frame = pd.DataFrame.from_dict(lines, orient="index")
    return addressed(frame, places, {wording.column(name): name for name in names})


def _curves(runs: Sequence[Run], shown: Sequence[str], label: str, view: str) -> tuple[dict, tuple | None]:
    """Precision against recall of the first seed of each shown model, and of the best possible with text and media."""
    curves, best = {}, None
    for run in (run for run in runs if run.alias in shown):
        scores, k = run.sets[MAIN], run.labels.index(label)
        rows = scores.known[:, k] & (scores.paired if view == "paired" else True)
        with np.errstate(divide="ignore"):
            unseen = np.log(run.prevalence[k]) - np.log1p(-run.prevalence[k])
        # logits, as probabilities of float32 tie near 1
        score = np.where(np.isnan(scores.logit[0, :, k]), unseen, scores.logit[0, :, k])
        if np.isnan(score[rows]).any() or not scores.y[rows, k].any():
            continue
        curves[run.alias] = classification.precision_recall_curve(scores.y[rows, k], score[rows])[:2]
        exact = scores.exact.get("text+image")
        if exact is not None and not np.isnan(exact[rows, k]).any():
            best = classification.precision_recall_curve(scores.y[rows, k], exact[rows, k])[:2]
    return curves, best
