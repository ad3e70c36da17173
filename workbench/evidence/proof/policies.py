"""What `workbench prove` and notebook 05 hold a policy's thresholds to: chosen for sure, and chosen plainly."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import expit, logit

from workbench.decisions.objective import Objective
from workbench.decisions.thresholds import LabelObjectives, choose
from workbench.evidence.proof import ThresholdClaim

TARGETS = {"recall": 0.8, "precision": 0.8}


def threshold_claims(sure: float = 0.95) -> list[ThresholdClaim]:
    """Return both ways in which a policy chooses a threshold for each target: sure of it, and best on validation."""
    claims = []
    for metric, target in TARGETS.items():
        name = f"{metric} of at least {100 * target:g} %"
        certain, plain = Objective(**{metric: target, "sure": sure}), Objective(**{metric: target})
        claims.append(
            ThresholdClaim(name, partial(chosen, objective=certain), metric, target, "with a guarantee", sure)
        )
        claims.append(ThresholdClaim(name, partial(chosen, objective=plain), metric, target, "best on validation"))
    return claims


def chosen(y: np.ndarray, score: np.ndarray, group: np.ndarray, *, objective: Objective) -> float | None:
    """Return the score from which a policy with this objective reviews, None where no threshold serves it.

    y (n,) bool, score (n,) in log-odds, group (n,): what validation would hold.
    """
    wanted = {"label": LabelObjectives(review=objective, remove=None)}
    known = np.ones((len(y), 1), dtype=bool)
    at = choose(expit(score)[:, None], y[:, None], known, wanted, group=group)["label"].review_at
    return None if at is None else float(logit(at))
