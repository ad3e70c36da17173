"""What would reviewers see? Precision, alerts and catch of the winner where harm is as rare as on a site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from workbench.comparison.options import CompareOptions
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.metrics import intervals
from workbench.metrics import prevalence as rates
from workbench.metrics.plots.diagrams import precision_against_prevalence
from workbench.metrics.prevalence import Estimate
from workbench.report import wording
from workbench.report.section import MAIN, Section, winner

POSTS_A_DAY = 1_000_000
_CURVE = np.geomspace(0.0001, 0.5, 60)


class _Rates(NamedTuple):
    """Recall and FPR of one label, as sampled and as the site has its posts, with the two prevalences."""

    recall: Estimate
    fpr: Estimate
    own: float
    site_recall: Estimate
    site_fpr: Estimate
    site: float | None
    harmless: int


def prevalence(comparison: Comparison, runs: Sequence[Run]) -> Section | None:
    """Return the section on the best model; None where it has no threshold or no label has both classes."""
    run = next((run for run in runs if run.alias == winner(comparison)), None)
    if run is None:
        return None
    asked = comparison.compare
    values = {label: rate for label in comparison.labels if (rate := _rates(run, label, asked.alpha)) is not None}
    if not values:
        return None
    weighted = any(rate.site is not None for rate in values.values())
    chosen = asked.prevalences
    curves = {label: _curve(rate) for label, rate in values.items()}
    marks = {f"{100 * share:g} %": share for share in chosen if _CURVE[0] <= share <= _CURVE[-1]}
    figures = {
        "precision against prevalence": lambda theme: precision_against_prevalence(
            _CURVE, curves, marks=marks, theme=theme
        )
    }
    tables = {label: _table(rate, chosen) for label, rate in values.items()}
    tables["what a precision of 90 % takes"] = _needs(values, chosen)
    return Section("prevalence", "What would reviewers see?", _prose(run.alias, weighted, asked), figures, tables)


def _prose(alias: str, weighted: bool, asked: CompareOptions) -> str:
    prose = (
        f"The same thresholds of {alias} on all test posts, told for sites where harm is rarer or more frequent. This "
        "assumes that harmful and harmless posts each look as they do here and only their shares differ; recall and "
        "false positive rate then stay, and precision follows from them. "
    )
    if weighted:
        prose += (
            "The test set was sampled otherwise than the site, so posts count by their weights except in the row of "
            "the test's own prevalence. "
        )
    sure = f"{100 * (1 - asked.alpha):g} %"
    return prose + (
        f"Intervals ({sure}) start from Wilson's, on as many independent posts as groups, seeds and weights are "
        f"worth, and are joined by MOVER; alerts are for {POSTS_A_DAY:,} posts a day. The last table says how few "
        "harmless posts may be flagged for nine in ten flags to be right, and how many harmless test posts without one "
        "false alarm would prove it (exact binomial, 95 %)."
    )


def _rates(run: Run, label: str, alpha: float) -> _Rates | None:
    """Return a label's recall and FPR on all test posts, seeds together; a post that is not seen is not flagged."""
    scores, k = run.sets[MAIN], run.labels.index(label)
    known, y = scores.known[:, k], scores.y[:, k]
    cuts = run.thresholds[:, k]
    if np.isnan(cuts).any() or not (y & known).any() or not (~y & known).any():
        return None
    codes, groups = intervals.group_codes(scores.group)
    sides = {}
    for name, weight in (("sample", np.ones(len(y))), ("site", scores.weight)):
        counts = sum(
            intervals.group_confusions(y, ~np.isnan(prob) & (prob >= cut), codes, groups, weight=weight, known=known)
            for prob, cut in zip(scores.prob[:, :, k], cuts, strict=True)
        )
        tn, fp, fn, tp = counts
        sides[name] = rates.share(tp, tp + fn, alpha), rates.share(fp, fp + tn, alpha), _prevalence(counts)
    differs = bool((scores.weight[known] != scores.weight[known][0]).any())
    site = sides["site"] if differs else sides["sample"]
    harmless = int((~y & known).sum())
    return _Rates(*sides["sample"], site[0], site[1], site[2] if differs else None, harmless)


def _prevalence(counts: np.ndarray) -> float:
    return float(counts[2:].sum() / counts.sum())


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
    return pd.DataFrame.from_dict(rows, orient="index")


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
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index) if rows else frame.index
    return frame


def _hundred(estimate: Estimate) -> str:
    if np.isnan(estimate.value):
        return "–"
    return f"{100 * estimate.value:.1f} [{100 * estimate.lo:.1f}, {100 * estimate.hi:.1f}]"


def _tiny(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.2g} % [{100 * estimate.lo:.2g}, {100 * estimate.hi:.2g}]"
