"""Small labelled samples in groups, for tests of metrics."""

from __future__ import annotations

import numpy as np

from workbench.metrics.intervals import group_codes


def sample(n=120, groups=40, *, levels=None, rate=0.3, strength=1.0, seed=0):
    """Truths, scores (with ties where `levels` is given) and group codes."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < rate
    score = rng.normal(size=n) + strength * y
    if levels:
        score = np.round(score * levels) / levels
    return y, score, *group_codes(rng.integers(0, groups, n))


def simulated(rng, groups=250, rate=0.3, strength=(1.0, 1.0)):
    """Groups of one to three near-copies; two models of the given strengths whose errors go together."""
    sizes = rng.integers(1, 4, groups)
    y, shared = rng.random(groups) < rate, rng.normal(size=groups)
    scores = [s * y + 0.7 * shared + 0.7 * rng.normal(size=groups) for s in strength]
    codes = np.repeat(np.arange(groups), sizes)
    near = [np.repeat(score, sizes) + 0.05 * rng.normal(size=len(codes)) for score in scores]
    return np.repeat(y, sizes), *near, codes
