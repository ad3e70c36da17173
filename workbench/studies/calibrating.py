"""What calibration did to a run's probabilities: before and after, on validation and on each test set.

"Before" takes the model's logit for log-odds, "after" is the probability that every door gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from workbench.decisions.moderator import Moderator
from workbench.metrics import classification
from workbench.metrics.calibration import calibration_error, reliability_curve

BINS = 10
MEASURES = {"calibration_error": calibration_error, "brier": classification.brier, "log_loss": classification.log_loss}


def worth(y: np.ndarray, known: np.ndarray, logit: np.ndarray, prob: np.ndarray) -> dict[str, Any]:
    """Return what probabilities are worth before and after, each of MEASURES, with the counts they rest on.

    y, known, logit, prob (n,); posts that are unknown or have no score are left out, and None is what is undefined.
    `bins` are the numbers of posts in the groups of the calibration error (equal-mass, equal scores together).
    """
    use = known & ~np.isnan(prob) & ~np.isnan(logit)
    y, sides = y[use] > 0.5, {"before": expit(logit[use].astype(np.float64)), "after": prob[use]}
    found: dict[str, Any] = {"n": int(use.sum()), "positives": int(y.sum())}
    for side, values in sides.items():
        measured = {name: function(y, values) for name, function in MEASURES.items()}
        found[side] = {name: None if math.isnan(value) else value for name, value in measured.items()}
        found[side]["bins"] = reliability_curve(y, values, bins=BINS)[2].tolist()
    return found


def record(moderators: Mapping[int, Moderator], predictions: pa.Table) -> dict[str, dict[str, Any]]:
    """Return per label and seed what `metrics.json` keeps: the calibrator, why it was chosen, what it is worth.

    moderators: seed -> what scored the predictions of that seed. `prevalence` is the share of harmful posts at which
    the probabilities hold, `worth` is set -> `worth` of it.
    """
    found: dict[str, dict[str, Any]] = {}
    for seed, moderator in moderators.items():
        mine = predictions.filter(pc.equal(predictions["seed"], seed))
        parts = {name: mine.filter(pc.equal(mine["split"], name)) for name in pc.unique(mine["split"]).to_pylist()}
        for label, line in moderator.lines.items():
            about = {**line._asdict(), "prevalence": moderator.prevalence[label]}
            about["worth"] = {name: _worth(rows, label) for name, rows in parts.items()}
            found.setdefault(label, {})[str(seed)] = about
    return found


def _worth(rows: pa.Table, label: str) -> dict[str, Any]:
    y = rows[f"y_{label}"]
    numbers = (rows[f"{kind}_{label}"].to_numpy() for kind in ("logit", "prob"))
    return worth(pc.fill_null(y, False).to_numpy(), y.is_valid().to_numpy(), *numbers)
