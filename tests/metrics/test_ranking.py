"""Metrics under many weightings at once: each column is what scikit-learn gives for that weighting."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from workbench.metrics.intervals import group_codes
from workbench.metrics.ranking import Ranking, tied_apart
from workbench.metrics.table import METRICS, RANKING

NAMES = [name for name, metric in METRICS.items() if metric.kind is RANKING]
FUNCTIONS = [METRICS[name].function for name in NAMES]
SLACK = 1e-12


def sample(n=120, groups=40, *, levels=None, rate=0.3, seed=0):
    """Truths, scores (with ties where `levels` is given) and group codes."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < rate
    score = rng.normal(size=n) + y
    if levels:
        score = np.round(score * levels) / levels
    return y, score, *group_codes(rng.integers(0, groups, n))


def oracle(name, y, score, weight):
    """Return what scikit-learn's curves and areas say; a metric without a class that it needs is NaN."""
    y, score, weight = y[weight > 0], score[weight > 0], weight[weight > 0]
    harmless_needed = name in ("roc_auc", "partial_roc_auc") or name.startswith("recall_at_fpr")
    if not y.any() or (harmless_needed and y.all()):
        return np.nan
    masks = {"sample_weight": weight}
    name = name.removesuffix("_site")
    if name == "average_precision":
        return sk.average_precision_score(y, score, **masks)
    if name in ("roc_auc", "partial_roc_auc"):
        return sk.roc_auc_score(y, score, max_fpr=0.05 if name == "partial_roc_auc" else None, **masks)
    limit = float(name.rpartition("_")[2])
    if name.startswith("precision_at_recall"):
        precision, recall, _ = sk.precision_recall_curve(y, score, **masks)
        return precision[:-1][recall[:-1] >= limit - SLACK].max()  # the last point is no threshold
    fpr, tpr, _ = sk.roc_curve(y, score, drop_intermediate=False, **masks)
    return tpr[fpr <= limit + SLACK].max()


@pytest.mark.parametrize("levels", [None, 2, 0.4])
def test_values_under_weights_are_those_of_naive_reweighting(levels):
    y, score, codes, groups = sample(levels=levels)
    W = np.random.default_rng(1).integers(0, 4, (groups, 25)).astype(float)
    ranking = Ranking.build(y, score, codes, groups)
    expected = [[oracle(name, y, score, w[codes]) for w in W.T] for name in NAMES]
    np.testing.assert_allclose(ranking.values(W, FUNCTIONS), expected, rtol=1e-12)
    np.testing.assert_allclose(ranking.average_precision(W), expected[NAMES.index("average_precision")], rtol=1e-12)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 25), levels=st.sampled_from([None, 1, 0.3]))
def test_values_agree_with_the_metrics_on_any_small_sample(seed, n, levels):
    y, score, codes, groups = sample(n, 6, levels=levels, seed=seed)
    rng = np.random.default_rng(seed)
    known, weight, W = rng.random(n) < 0.8, rng.integers(0, 3, n), rng.integers(0, 3, (groups, 5)).astype(float)
    ranking = Ranking.build(y, np.where(known, score, np.nan), codes, groups, weight=weight, known=known)
    for w, found in zip(W.T, ranking.values(W, FUNCTIONS).T, strict=True):
        total = np.where(known, weight * w[codes], 0)
        expected = [oracle(name, y, score, total) for name in NAMES]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        alone = [METRICS[name](y, score, weight=total) for name in NAMES]
        np.testing.assert_allclose(alone, expected, rtol=1e-12, atol=1e-12)


def test_without_a_positive_or_any_post_all_is_nan():
    W = np.ones((2, 3))
    assert np.isnan(Ranking.build([0, 0], [0.1, 0.2], [0, 1], 2).values(W, FUNCTIONS)).all()
    assert np.isnan(Ranking.build([], [], np.array([], int), 2).values(W, FUNCTIONS)).all()
    with pytest.raises(ValueError, match="NaN for 1 of 2"):
        Ranking.build([1, 0], [np.nan, 0.2], [0, 1], 2)


def test_only_the_order_of_scores_matters():
    y, score, _, _ = sample()
    for name in NAMES:
        assert METRICS[name](y, score) == METRICS[name](y, np.exp(score) - 7)


def test_the_parts_of_a_ranking_by_hand():
    # scores 9 8 8 7 6: harmless, harmful tied with harmless, harmless, harmful; the last post is below all
    y, score, codes = [0, 1, 0, 0, 1, 0], [9, 8, 8, 7, 6, 5], [0, 1, 1, 2, 0, 2]
    found = Ranking.build(y, score, codes, 3, weight=[1, 2, 3, 4, 5, 6])
    assert found.positives.toarray().tolist() == [[0, 2, 0], [5, 0, 0]]
    assert found.negatives.toarray().tolist() == [[1, 3, 0], [0, 0, 4]]
    assert found.tied.toarray().tolist() == [[0, 3, 0], [0, 0, 0]]
    assert found.total.tolist() == [1, 3, 10]
    assert found.rows == 3
    assert Ranking.build([1] * 5, range(5), [0] * 5, 1).rows == 5
    known = [True, True, False, True, True, False]
    masked = Ranking.build(y, score, codes, 3, weight=[1, 2, 3, 0, 5, 6], known=known)
    assert masked.total.tolist() == [1, 0, 0]
    assert Ranking.build(y, score, codes, 4).total.tolist() == [1, 1, 2, 0]


def test_pairs_that_one_score_ties_and_the_other_tells_apart():
    y = [1, 1, 0, 0, 0]
    a, b = [5, 4, 5, 4, 1], [5, 4, 5, 3, 4]
    # both tie the first with the third; a ties the second with the fourth, b with the last
    assert tied_apart(y, a, b) == pytest.approx(2 / 6)
    assert tied_apart(y, a, a) == 0
    assert tied_apart(y, np.zeros(5), np.arange(5)) == 1
    assert np.isnan(tied_apart([1, 1], [1, 2], [1, 2]))
    assert np.isnan(tied_apart([0, 0], [1, 2], [1, 2]))
