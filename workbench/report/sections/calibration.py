"""Do the probabilities hold? Reliability before and after calibration, and what it changed, for every model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.metrics.calibration import BINS, reliability_curve, worth
from workbench.metrics.intervals import wilson
from workbench.metrics.plots.diagrams import Reliability, least_to_most, reliability
from workbench.report import wording
from workbench.report.section import Section, table, winning

_WORDS = {"calibration_error": "ECE", "brier": "Brier", "log_loss": "log loss"}


def calibration(comparison: Comparison, runs: Sequence[Run]) -> Section | None:
    """Return the section: the winner's diagrams, and a table of all models by label; None without any probability."""
    places = [(test, label) for test in comparison.tests for label in comparison.labels]
    tables = {
        wording.caption(comparison, label, test): worths
        for test, label in places
        if not (worths := _table(runs, test, label)).empty
    }
    if not tables:
        return None
    best = winning(comparison, runs)
    figures = {}
    for test, label in places if best is not None else ():
        sides = _sides(best, test, label)
        if len(sides["after"].count) > 1:
            name = f"{best.alias}, {label}: probability against what happened"
            figures[wording.caption(comparison, name, test)] = lambda theme, sides=sides, label=label: reliability(
                sides, label=label, theme=theme
            )
    prose = (
        "A probability holds if of the posts that get it just that share is harmful. Before takes the score for "
        "log-odds; after is the probability that every entry point gives, moved per label in the way that held best on "
        "held-out fifths of validation (the simplest within one standard error). ECE is the mean distance between "
        "probability and share over ten groups of about equally many test posts; it is above 0 by chance even where "
        "all probabilities hold. Bars are Wilson's and take posts as independent; open marks are groups without any "
        "harmful or without any harmless post."
    )
    if wording.weighted(comparison):
        prose += " Posts count once each, whatever they stand for on the site."
    if figures:
        prose += f" Figures show {best.alias}, its first seed; tables are means over seeds."
    return Section(
        "calibration", "Do the probabilities hold?", prose, figures, tables, captions=len(comparison.tests) > 1
    )


def _columns(run: Run, test: str, label: str, seed: int) -> tuple[np.ndarray, ...]:
    """Return y, known, logit, prob (n,) of a run on a test set, all posts."""
    scores, k = run.sets[test], run.labels.index(label)
    return scores.y[:, k], scores.known[:, k], scores.logit[seed, :, k], scores.prob[seed, :, k]


def _sides(run: Run, test: str, label: str) -> dict[str, Reliability]:
    """Return the first seed's groups of test posts before and after calibration."""
    y, known, logit, prob = _columns(run, test, label, 0)
    use, sides = known & ~np.isnan(logit) & ~np.isnan(prob), {}
    for side, values in {"before": expit(logit[use]), "after": prob[use]}.items():
        predicted, observed, count = reliability_curve(y[use], values, bins=BINS)
        spans = np.array([wilson(share * n, n) for share, n in zip(observed, count, strict=True)]).reshape(-1, 2)
        sides[side] = Reliability(predicted, observed, *spans.T, count)
    return sides


def _table(runs: Sequence[Run], test: str, label: str) -> pd.DataFrame:
    """One row per model: how it was calibrated, and before and after on the test set, mean over seeds."""
    lines = {}
    for run in runs:
        worths = [worth(*_columns(run, test, label, seed)) for seed in range(len(run.sets[test].prob))]
        if not worths[0]["n"] or not worths[0]["positives"]:
            continue
        line = {"calibration": _methods(run, label)}
        for name, words in _WORDS.items():
            for side in ("before", "after"):
                line[f"{words} {side}"] = wording.number(float(np.mean([worth[side][name] for worth in worths])), 4)
        counts = worths[0]["after"]["bins"]
        line["posts"] = f"{worths[0]['n']:,} ({worths[0]['positives']:,} harmful)"
        line["groups"] = f"{len(counts)} of {least_to_most(counts)}"
        lines[run.alias] = line
    return table(lines)


def _methods(run: Run, label: str) -> str:
    """Return how a label was calibrated, each seed's way once; a dash where the run does not tell."""
    seeds = run.metrics.calibration.get(label, {})
    return ", ".join(dict.fromkeys(entry.method for entry in seeds.values())) or "–"
