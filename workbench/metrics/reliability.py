"""What calibration did to probabilities: what they are worth before and after it, with the counts that rests on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import expit

from workbench.metrics.calibration import calibration_error, reliability_curve
from workbench.metrics.table import METRICS

BINS = 10
MEASURES = {"calibration_error": calibration_error, "brier": METRICS["brier"], "log_loss": METRICS["log_loss"]}


def worth(y: np.ndarray, known: np.ndarray, logit: np.ndarray, prob: np.ndarray) -> dict[str, Any]:
    """Return what probabilities are worth before and after, each of MEASURES, with the counts they rest on.

    y, known, logit, prob (n,); posts that are unknown or have no score are left out, and None is what is undefined.
    `bins` are the numbers of posts in the groups of the calibration error (equal-mass, equal scores together).
    """
    use = known & ~np.isnan(prob) & ~np.isnan(logit)
    y, sides = y[use] > 0.5, {"before": expit(logit[use].astype(np.float64)), "after": prob[use]}
    measures: dict[str, Any] = {"n": int(use.sum()), "positives": int(y.sum())}
    for side, values in sides.items():
        measured = {name: function(y, values) for name, function in MEASURES.items()}
        measures[side] = {name: None if math.isnan(value) else value for name, value in measured.items()}
        measures[side]["bins"] = reliability_curve(y, values, bins=BINS)[2].tolist()
    return measures
