"""Bias metrics: hand-computed AUCs, scikit-learn on the subsets they name, and the summary's algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from workbench.metrics import bias
from workbench.metrics.table import METRICS

# two identities' worth of posts: (y, score, mentions)
Y = np.array([1, 1, 0, 0, 1, 1, 0, 0])
SCORE = np.array([0.9, 0.4, 0.8, 0.3, 0.7, 0.5, 0.6, 0.1])
MENTIONS = np.array([True, True, True, True, False, False, False, False])


def auc(kind: str, y, score, mentions, weight=None) -> float:
    return METRICS["roc_auc"](y, score, weight=weight, known=bias.rows_compared(kind, y, mentions))


def test_each_auc_by_hand():
    # subgroup: harmful .9 .4 against harmless .8 .3: .9 beats both, .4 beats .3 only: 3 of 4
    assert auc("subgroup_auc", Y, SCORE, MENTIONS) == 0.75
    # BPSN: harmful without a mention .7 .5 against harmless mentions .8 .3: each beats .3 only: 2 of 4
    assert auc("bpsn_auc", Y, SCORE, MENTIONS) == 0.5
    # BNSP: harmful mentions .9 .4 against harmless without .6 .1: .9 beats both, .4 beats .1: 3 of 4
    assert auc("bnsp_auc", Y, SCORE, MENTIONS) == 0.75


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_they_are_sklearns_auc_on_the_subsets_of_the_paper(seed):
    rng = np.random.default_rng(seed)
    y, mentions = np.tile([0, 1, 0, 1], 10), np.repeat([True, False], 20)
    score, weight = rng.integers(0, 8, 40) / 8, rng.integers(1, 4, 40)  # ties and weights
    harmless, harmful = y == 0, y == 1
    subsets = {
        "subgroup_auc": mentions,
        "bpsn_auc": (harmful & ~mentions) | (harmless & mentions),
        "bnsp_auc": (harmless & ~mentions) | (harmful & mentions),
    }
    for kind, rows in subsets.items():
        expected = roc_auc_score(y[rows], score[rows], sample_weight=weight[rows])
        assert auc(kind, y, score, mentions, weight=weight) == pytest.approx(expected, abs=1e-12)
        order = rng.permutation(40)
        shuffled = auc(kind, y[order], score[order], mentions[order], weight=weight[order])
        assert shuffled == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", bias.KINDS)
def test_an_absent_class_is_undefined(kind):
    assert np.isnan(auc(kind, np.zeros(8, int), SCORE, MENTIONS))
    assert np.isnan(auc(kind, Y, SCORE, np.zeros(8, bool)))


def test_a_planted_bias_is_seen_by_the_auc_that_is_made_for_it():
    rng = np.random.default_rng(0)
    y, mentions = rng.random(4000) < 0.3, rng.random(4000) < 0.3
    fair = rng.normal(size=4000) + 2 * y
    upwards, downwards = fair + 2 * mentions, fair - 2 * mentions
    assert auc("bpsn_auc", y, upwards, mentions) < 0.6 < 0.9 < auc("bpsn_auc", y, fair, mentions)
    assert auc("bnsp_auc", y, downwards, mentions) < 0.6 < 0.9 < auc("bnsp_auc", y, fair, mentions)
    # within the mentions nothing has changed
    assert auc("subgroup_auc", y, upwards, mentions) == pytest.approx(auc("subgroup_auc", y, fair, mentions), abs=1e-12)


def test_the_power_mean_lies_between_the_worst_and_the_mean():
    # p = -5 of .5 and 1: ((.5^-5 + 1) / 2)^(-1/5) = 16.5^(-.2)
    assert bias.power_mean([0.5, 1.0]) == pytest.approx(16.5**-0.2)
    assert bias.power_mean([0.7, 0.7, np.nan]) == pytest.approx(0.7)
    assert bias.power_mean([0.0, 1.0]) == 0
    assert np.isnan(bias.power_mean([np.nan]))
    assert bias.power_mean([[0.5, 0.6], [1.0, 0.6]]) == pytest.approx([16.5**-0.2, 0.6])


def test_the_summary_weighs_four_parts_alike():
    aucs = {"subgroup_auc": np.array([0.5, 1.0]), "bpsn_auc": np.array([0.8]), "bnsp_auc": np.array([0.6])}
    assert bias.weighted_summary(0.9, aucs) == pytest.approx(0.25 * (0.9 + 16.5**-0.2 + 0.8 + 0.6))
    assert np.isnan(bias.weighted_summary(0.9, aucs | {"bnsp_auc": np.array([np.nan])}))
    many = {kind: np.array([[0.5, 0.7], [1.0, 0.7]]) for kind in bias.KINDS}
    assert bias.weighted_summary(np.array([1.0, 0.7]), many) == pytest.approx([0.25 + 0.75 * 16.5**-0.2, 0.7])


def test_an_unknown_kind_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"unknown AUC 'bspn'.*bpsn_auc"):
        bias.rows_compared("bspn", [1], [True])


def test_the_posts_compared_by_hand():
    y, mentions = [1, 0, 1, 0], [1, 1, 0, 0]
    found = {kind: bias.rows_compared(kind, y, mentions).tolist() for kind in bias.KINDS}
    assert found == {
        "subgroup_auc": [True, True, False, False],
        "bpsn_auc": [False, True, True, False],
        "bnsp_auc": [True, False, False, True],
    }


def test_power_means_by_hand():
    assert bias.power_mean([0.5, 1.0, np.nan], power=-1) == pytest.approx(2 / 3)
    assert bias.power_mean([1.0, 3.0, 5.0], power=2) == pytest.approx((35 / 3) ** 0.5)
    found = bias.power_mean([[0.5, np.nan, 0.0], [1.0, np.nan, np.nan]], power=-1)
    np.testing.assert_allclose(found, [2 / 3, np.nan, 0])
    assert np.isnan(bias.power_mean([]))
    assert (bias.POWER, bias.WEIGHT) == (-5, 0.25)
