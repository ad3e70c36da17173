"""Metrics over several labels: against scikit-learn where nothing is unknown, and by hand where something is."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from workbench.metrics import multilabel as m
from workbench.metrics.table import METRICS

SKLEARN = {
    "precision_micro": lambda y, f, w: sk.precision_score(y, f, average="micro", sample_weight=w, zero_division=np.nan),
    "recall_micro": lambda y, f, w: sk.recall_score(y, f, average="micro", sample_weight=w),
    "f1_micro": lambda y, f, w: sk.f1_score(y, f, average="micro", sample_weight=w),
    "f1_weighted": lambda y, f, w: sk.f1_score(y, f, average="weighted", sample_weight=w, zero_division=0),
    "exact_match": lambda y, f, w: sk.accuracy_score(y, f, sample_weight=w),
    "hamming_loss": lambda y, f, w: sk.hamming_loss(y, f, sample_weight=w),
}


@pytest.mark.parametrize("name", sorted(SKLEARN))
@given(seed=st.integers(0, 10_000), n=st.integers(2, 40))
def test_agrees_with_scikit_learn(name, seed, n):
    rng = np.random.default_rng(seed)
    y, score, weight = rng.random((n, 3)) < 0.4, rng.integers(0, 9, (n, 3)) / 8, rng.uniform(0.1, 3, n)
    y[0, 0] = True  # recall exists
    thresholds = np.array([0.25, 0.5, 0.75])
    expected = SKLEARN[name](y, score >= thresholds, weight)
    found = METRICS[name](y, score, threshold=thresholds, weight=weight)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_unknown_labels_are_left_out_one_by_one():
    y, score = [[1, 0], [0, 1], [1, 1]], [[0.9, np.nan], [0.8, 0.9], [0.1, 0.1]]
    known = [[True, False], [True, True], [False, False]]
    # the first post is judged by one label and right, the second has a false alarm, the third is not judged
    assert METRICS["exact_match"](y, score, known=known) == 1 / 2
    assert METRICS["hamming_loss"](y, score, known=known) == pytest.approx(1 / 3)
    assert METRICS["f1_micro"](y, score, known=known) == pytest.approx(2 * 2 / (2 * 2 + 1))
    np.testing.assert_array_equal(m.confusions(y, score, known=known).tp, [1, 1])


def test_a_label_without_a_threshold_leaves_every_number_over_labels_undefined():
    for name in SKLEARN:
        assert np.isnan(METRICS[name]([[1, 0]], [[0.9, 0.1]], threshold=[0.5, np.nan])), name


def test_the_counts_of_each_label_and_of_whole_posts_by_hand():
    y, score = np.array([[1, 0], [0, 1], [1, 1], [0, 0]]), np.array([[0.9, 0.5], [0.6, 0.9], [0.2, 0.7], [0.1, 0.1]])
    weight, known = [1, 2, 3, 4], [[True, True], [True, False], [True, True], [True, True]]
    found = m.confusions(y, score, weight=weight, known=known)
    cells = [found.tn.tolist(), found.fp.tolist(), found.fn.tolist(), found.tp.tolist()]
    assert cells == [[4, 4], [2, 1], [3, 0], [1, 3]]
    assert m.pooled(found) == m.Confusion(tn=8, fp=3, fn=3, tp=4)
    # of F1 2 / 7 and 6 / 7 with four and three positives
    assert m.f1_weighted(found) == pytest.approx((4 * 2 / 7 + 3 * 6 / 7) / 7)
    assert m.whole_posts(y, score, weight=weight, known=known) == m.Confusion(tn=0, fp=6, fn=0, tp=4)
    assert m.whole_posts(y, score, threshold=[0.2, 0.6], weight=weight) == m.Confusion(tn=0, fp=2, fn=0, tp=8)
    assert m.whole_posts(y, score, threshold=0.5).tp == 1
    unknown = m.whole_posts(y, score, weight=weight, known=np.array([[1, 1], [0, 0], [1, 0], [0, 1]]))
    assert (unknown.fp, unknown.tp) == (1 + 3, 4)  # a post of which nothing is known is not there
    assert np.isnan(m.whole_posts(y, score, threshold=[0.5, np.nan]).tp)


def test_which_labels_are_known_may_be_told_in_numbers():
    y, score = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.9, 0.8], [0.1, 0.9], [0.2, 0.7]])
    known = np.array([[True, False], [True, True], [False, True]])
    expected = m.whole_posts(y, score, known=known)
    assert (expected.fp, expected.tp) == (0, 3)
    for kind in (int, float):
        told = known.astype(kind)
        assert m.whole_posts(y, score, known=told) == expected
        assert m.confusions(y, score, known=told).tp.tolist() == [1, 2]


def test_one_label_is_a_column_and_a_label_without_positives_weighs_nothing():
    y, score = [1, 0, 1], [0.9, 0.6, 0.1]
    assert m.confusions(y, score).tp.tolist() == [1]
    assert m.confusions(y, score, known=[True, False, True]).fp.tolist() == [0]
    assert m.whole_posts(y, score) == m.Confusion(tn=0, fp=2, fn=0, tp=1)
    two = m.Confusion(
        *(np.array(cell, dtype=float) for cell in ([[1, 1], [5, 5]], [[1, 0], [1, 1]], [[1, 0]] * 2, [[2, 0]] * 2))
    )
    first = m.f1_weighted(m.Confusion(*(getattr(two, cell)[:, 0] for cell in ("tn", "fp", "fn", "tp"))))
    np.testing.assert_allclose(m.f1_weighted(two), [first, np.nan])
    assert first == pytest.approx((3 * 4 / 6 + 3 * 4 / 6) / 6)
    missing = m.Confusion(*(np.array([1.0, np.nan]) for _ in range(4)))
    assert np.isnan(m.f1_weighted(missing))
