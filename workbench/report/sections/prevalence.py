"""What would reviewers see? Precision, alerts and catch of the winner where harm is as rare as on a site."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workbench.comparison.options import CompareOptions
from workbench.comparison.predictions import Run
from workbench.comparison.resampled import Cell, Seen
from workbench.comparison.rows import Comparison
from workbench.metrics import prevalence as rates
from workbench.metrics.plots.diagrams import precision_against_prevalence
from workbench.metrics.prevalence import Estimate
from workbench.metrics.table import METRICS
from workbench.report import wording
from workbench.report.section import Section, table, winning

POSTS_A_DAY = 1_000_000
_CURVE = np.geomspace(0.0001, 0.5, 60)


class _Rates(NamedTuple):
    """Recall and FPR of one label, as sampled and as the site has its posts, with the two prevalences.

    otherwise: whether more than the label decided what was sampled; few: whether few harmful posts decide at the site.
    """

    recall: Estimate
    fpr: Estimate
    own: float
    site_recall: Estimate
    site_fpr: Estimate
    site: float | None
    harmless: int
    otherwise: bool
    few: bool


def prevalence(comparison: Comparison, runs: Sequence[Run]) -> Section | None:
    """Return the section on the best model; None where it has no threshold or no label has both classes."""
    run = winning(comparison, runs)
    if run is None:
        return None
    asked, figures, by_place = comparison.compare, {}, {}
    marks = {f"{100 * share:g} %": share for share in asked.prevalences if _CURVE[0] <= share <= _CURVE[-1]}
    for test in comparison.tests:
        seen = Seen(run, Cell.of([run], test, "all", asked.seed))
        values = {name: rate for k, name in enumerate(run.labels) if (rate := _rates(seen, k, asked.alpha)) is not None}
        if values:
            curves = {label: _curve(rate) for label, rate in values.items()}
            name = wording.caption(comparison, "precision against prevalence", test)
            figures[name] = partial(_drawn, curves, marks)
            by_place |= {wording.caption(comparison, label, test): rate for label, rate in values.items()}
    if not by_place:
        return None
    tables = {place: _table(rate, asked.prevalences) for place, rate in by_place.items()}
    tables["what a precision of 90 % takes"] = _needs(by_place, asked.prevalences)
    prose, several = _prose(run.alias, by_place, asked), len(figures) > 1
    return Section("prevalence", "What would reviewers see?", prose, figures, tables, captions=several)


def _drawn(curves: dict[str, np.ndarray], marks: dict[str, float], theme: str) -> Figure:
    return precision_against_prevalence(_CURVE, curves, marks=marks, theme=theme)


def _prose(alias: str, values: dict[str, _Rates], asked: CompareOptions) -> str:
    prose = (
        f"The same thresholds of {alias} on all test posts, told for sites where harm is rarer or more frequent. This "
        "assumes that harmful and harmless posts each look as they do here and only their shares differ; recall and "
        "false positive rate then stay, and precision follows from them. "
    )
    if any(rate.site is not None for rate in values.values()):
        prose += (
            "The test set was sampled otherwise than the site, so posts count by their weights except in the row of "
            "the test's own prevalence. "
        )
    if any(rate.otherwise for rate in values.values()):
        prose += (
            "More than the label decided what was sampled, so between that row and the others more than the share "
            "differs: recall and false positive rate do too. "
        )
    if few := [label for label, rate in values.items() if rate.few]:
        prose += (
            f"By weight a few harmful posts decide for {wording.named(few)}: few, and another sample could say "
            "something else. "
        )
    sure = f"{100 * (1 - asked.alpha):g} %"
    return prose + (
        f"Intervals ({sure}) start from Wilson's, on as many independent posts as groups, seeds and weights are "
        f"worth, and are joined by MOVER; alerts are for {POSTS_A_DAY:,} posts a day. The last table says how few "
        "harmless posts may be flagged for nine in ten flags to be right, and how many harmless test posts without one "
        "false alarm would prove it (exact binomial, 95 %)."
    )


def _rates(seen: Seen, k: int, alpha: float) -> _Rates | None:
    """Return a label's recall and FPR on all test posts, seeds together; a post that is not seen is not flagged."""
    cell, known = seen.cell, seen.cell.known[:, k]
    if seen.undecided[:, k].any() or not cell.defined[k]:
        return None
    sides = []
    for pieces in (seen.counts, seen.pieces(METRICS["precision_site"], cell.defined)):
        tn, fp, fn, tp = pieces[:, k].sum(axis=1)
        prevalence = float((fn + tp).sum() / (tn + fp + fn + tp).sum())
        sides.append((rates.share(tp, tp + fn, alpha), rates.share(fp, fp + tn, alpha), prevalence))
    sample, site = sides
    y, weight, codes = cell.y[known, k], cell.weight[known], cell.codes[known]
    differs = bool((weight != weight[0]).any())
    otherwise, few = not rates.drawn_by_label(y, weight), differs and rates.rests_on_few(weight[y], codes[y])
    return _Rates(*sample, *(site if differs else (*sample[:2], None)), int((~y).sum()), otherwise, few)


def _curve(rate: _Rates) -> np.ndarray:
    """Return precision with its interval (3, k) along `_CURVE`."""
    return np.array([rates.precision_interval(share, rate.site_recall, rate.site_fpr) for share in _CURVE]).T


def _table(rate: _Rates, chosen: Sequence[float]) -> pd.DataFrame:
    """One row per prevalence: of 100 flagged, alerts a day, of 100 harmful."""
    places = {f"{100 * share:g} %": (share, rate.site_recall, rate.site_fpr) for share in chosen}
    if rate.site is not None:
        places[f"the site's own, {100 * rate.site:.2g} %"] = (rate.site, rate.site_recall, rate.site_fpr)
    places[f"the test's own, {100 * rate.own:.2g} %"] = (rate.own, rate.recall, rate.fpr)
    rows = {}
    for name, (share, recall, fpr) in places.items():
        alerts = Estimate(*(POSTS_A_DAY * bound for bound in rates.alert_interval(share, recall, fpr)))
        rows[name] = {
            "of 100 flagged posts are harmful": _hundred(rates.precision_interval(share, recall, fpr)),
            "flagged a day": f"{alerts.value:,.0f} [{alerts.lo:,.0f}, {alerts.hi:,.0f}]",
            "harmful a day": f"{POSTS_A_DAY * share:,.0f}",
            "of 100 harmful posts are caught": _hundred(recall),
        }
    return table(rows)


def _needs(values: dict[str, _Rates], chosen: Sequence[float]) -> pd.DataFrame:
    """One row per label and prevalence: the FPR there is, the one that nine right flags in ten need, and its proof."""
    rows = {}
    for label, rate in values.items():
        for share in chosen:
            recall = rate.site_recall.value
            if not recall > 0:
                continue
            needed = rates.needed_fpr(0.9, share, min(recall, 1 - 1e-9))
            proof = f"{rates.needed_negatives(needed):,}" if needed < 1 else "–"
            rows[label, f"{100 * share:g} %"] = {
                "harmless posts flagged": _tiny(rate.site_fpr),
                "may be flagged at most": f"{100 * needed:.2g} %",
                "harmless posts that prove it": proof,
                "harmless posts here": wording.count(rate.harmless),
            }
    return table(rows)


def _hundred(estimate: Estimate) -> str:
    if np.isnan(estimate.value):
        return "–"
    return f"{100 * estimate.value:.1f} [{100 * estimate.lo:.1f}, {100 * estimate.hi:.1f}]"


def _tiny(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.2g} % [{100 * estimate.lo:.2g}, {100 * estimate.hi:.2g}]"
