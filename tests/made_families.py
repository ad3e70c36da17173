"""Posts of families, fixed by a seed: what metrics of groups are computed on in full."""

from __future__ import annotations

import numpy as np
from scipy.special import expit


def labelled():
    """A source of 150 families with weights, of which some posts are harmful, and a target of 200 families."""
    rng = np.random.default_rng(11)
    group = rng.integers(0, 150, 400)
    y = rng.random(150)[group] < 0.3
    score = np.clip(0.35 + 0.3 * y + 0.2 * rng.normal(size=400), 0.01, 0.99)
    target = np.clip(0.35 + 0.3 * (rng.random(300) < 0.1) + 0.2 * rng.normal(size=300), 0.01, 0.99)
    return (
        y,
        score,
        target,
        {"group": group, "weight": rng.integers(1, 4, 400), "target_group": rng.integers(0, 200, 300)},
    )


def families():
    """Posts of 300 families, their scores, and which are known and how much each counts."""
    rng = np.random.default_rng(12)
    group = rng.integers(0, 300, 700)
    x = rng.normal(size=300)[group] + 0.3 * rng.normal(size=700)
    y = rng.random(700) < expit(1.7 * x - 0.6)
    weight = rng.choice([0, 1, 2, 5], 700)
    return y, x, group, {"known": rng.random(700) < 0.9, "weight": weight}
