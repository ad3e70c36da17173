"""Metrics under many weightings at once: each column is what the plain metric gives for that weighting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.metrics.intervals import group_codes
from workbench.metrics.ranking import RANKED, TIED, Ranking
from workbench.metrics.table import METRICS

NAMES = tuple(RANKED)


def sample(n=120, groups=40, *, levels=None, rate=0.3, seed=0):
    """Truths, scores (with ties where `levels` is given) and group codes."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < rate
    score = rng.normal(size=n) + y
    if levels:
        score = np.round(score * levels) / levels
    return y, score, *group_codes(rng.integers(0, groups, n))


def plain(name, y, score, **masks):
    return METRICS[name].function(y, score, **masks)


@pytest.mark.parametrize("levels", [None, 2, 0.4])
def test_values_under_weights_are_those_of_naive_reweighting(levels):
    y, score, codes, groups = sample(levels=levels)
    W = np.random.default_rng(1).integers(0, 4, (groups, 25)).astype(float)
    ranking = Ranking.build(y, score, codes, groups)
    expected = [[plain(name, y, score, weight=w[codes]) for w in W.T] for name in NAMES]
    np.testing.assert_allclose(ranking.values(W, NAMES), expected, rtol=1e-12)
    np.testing.assert_allclose(ranking.average_precision(W), expected[NAMES.index("average_precision")], rtol=1e-12)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 25), levels=st.sampled_from([None, 1, 0.3]))
def test_values_agree_with_the_metrics_on_any_small_sample(seed, n, levels):
    y, score, codes, groups = sample(n, 6, levels=levels, seed=seed)
    rng = np.random.default_rng(seed)
    known, weight, W = rng.random(n) < 0.8, rng.integers(0, 3, n), rng.integers(0, 3, (groups, 5)).astype(float)
    ranking = Ranking.build(y, np.where(known, score, np.nan), codes, groups, weight=weight, known=known)
    for w, found in zip(W.T, ranking.values(W, NAMES).T, strict=True):
        expected = [plain(name, y, score, weight=weight * w[codes], known=known) for name in NAMES]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_without_a_positive_or_any_post_all_is_nan():
    W = np.ones((2, 3))
    assert np.isnan(Ranking.build([0, 0], [0.1, 0.2], [0, 1], 2).values(W, NAMES)).all()
    assert np.isnan(Ranking.build([], [], np.array([], int), 2).values(W, NAMES)).all()
    with pytest.raises(ValueError, match="NaN for 1 of 2"):
        Ranking.build([1, 0], [np.nan, 0.2], [0, 1], 2)


def test_every_metric_that_looks_at_the_order_only_is_here():
    y, score, _, _ = sample()
    for name, metric in METRICS.items():
        if not metric.needs_threshold and name not in ("log_loss", "brier"):
            assert name in RANKED
            assert plain(name, y, score) == plain(name, y, np.exp(score) - 7)
    assert set(TIED) <= set(RANKED)
