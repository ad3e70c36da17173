"""Scores of classifiers: properties of all metrics at once, examples by hand, agreement with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import assume, given
from hypothesis import strategies as st

from workbench.metrics import classification as c
from workbench.metrics.table import METRICS, PROBABILITY, RANKING

NAMES = sorted(METRICS)
RANKS = [name for name in NAMES if METRICS[name].kind is RANKING]
DECIDED = [name for name in NAMES if METRICS[name].kind not in (RANKING, PROBABILITY)]


def value(name, y, score, **masks):
    return METRICS[name](y, score, **masks)


@st.composite
def posts(draw, smallest=1, both=False):
    """Truths and scores; eighths, so that ties and scores exactly at one half are common."""
    n = draw(st.integers(smallest, 30))
    y = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    score = np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))) / 8
    assume(not both or 0 < y.sum() < n)
    return y, score


def same(a, b):
    assert a == pytest.approx(b, abs=1e-12, nan_ok=True)


# -------------------------------------------------------------------------------------------------- all metrics at once


@pytest.mark.parametrize("name", NAMES)
@given(sample=posts(), data=st.data())
def test_order_does_not_matter(name, sample, data):
    y, score = sample
    order = np.array(data.draw(st.permutations(range(len(y)))))
    same(value(name, y[order], score[order]), value(name, y, score))


@pytest.mark.parametrize("name", NAMES)
@given(sample=posts(), data=st.data())
def test_integer_weights_are_repetitions_and_zero_removes(name, sample, data):
    y, score = sample
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(y), max_size=len(y))))
    same(value(name, y, score, weight=times), value(name, y.repeat(times), score.repeat(times)))


@pytest.mark.parametrize("name", NAMES)
@given(sample=posts(), data=st.data())
def test_unknown_is_removed_whatever_stands_there(name, sample, data):
    y, score = sample
    known = np.array(data.draw(st.lists(st.booleans(), min_size=len(y), max_size=len(y))))
    # a label that nobody knows and a score that does not exist must not be looked at
    filled, scored = np.where(known, y, -1), np.where(known, score, np.nan)
    same(value(name, filled, scored, known=known), value(name, y[known], score[known]))


@pytest.mark.parametrize("name", NAMES)
@given(sample=posts(), scale=st.sampled_from([0.1, 7.0, 1e6]))
def test_the_scale_of_weights_does_not_matter(name, sample, scale):
    y, score = sample
    same(value(name, y, score, weight=np.full(len(y), scale)), value(name, y, score))


@pytest.mark.parametrize("name", NAMES)
@given(sample=posts(smallest=0))
def test_values_lie_where_they_should_or_are_nan(name, sample):
    found = value(name, *sample)
    assert isinstance(found, float)
    assert np.isnan(found) or 0 <= found <= METRICS[name].top


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_judge_is_nan_without_a_warning(name):
    assert np.isnan(value(name, [], []))
    assert np.isnan(value(name, [1, 0], [0.1, 0.9], known=[False, False]))
    assert np.isnan(value(name, [1, 0], [0.1, 0.9], weight=[0, 0]))


@pytest.mark.parametrize("name", RANKS)
def test_without_a_positive_a_ranking_is_nan_never_0(name):
    assert np.isnan(value(name, [0, 0], [0.2, 0.9]))


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_model_is_best_and_a_reversed_one_is_worst(name):
    y = np.array([0, 0, 1, 0, 1, 0, 1, 1])
    good, bad = value(name, y, y * 1.0), value(name, y, 1.0 - y)
    assert good == pytest.approx(1 if METRICS[name].higher_is_better else 0, abs=1e-12)
    assert good > bad if METRICS[name].higher_is_better else good < bad


@pytest.mark.parametrize("name", DECIDED)
def test_a_score_exactly_at_the_threshold_is_flagged(name):
    y, function = [1, 1, 1, 0, 0], METRICS[name]
    at, above, below = ([0.7, score, score, score, 0.1] for score in (0.3, 0.4, 0.2))
    same(function(y, at, threshold=0.3), function(y, above, threshold=0.3))
    assert function(y, at, threshold=0.3) != function(y, below, threshold=0.3)


@pytest.mark.parametrize("name", DECIDED)
def test_no_threshold_is_nan_and_not_a_model_that_flags_nothing(name):
    assert np.isnan(METRICS[name]([1, 0], [0.9, 0.1], threshold=np.nan))


@pytest.mark.parametrize("name", NAMES)
def test_unusable_values_are_refused(name):
    with pytest.raises(ValueError, match="score is NaN for 1 of 2"):
        value(name, [1, 0], [np.nan, 0.1])
    with pytest.raises(ValueError, match="equally long"):
        value(name, [1, 0, 1], [0.5, 0.1, 0.2], weight=[1, 1])
    with pytest.raises(ValueError, match="0 or 1"):
        value(name, [2, 0], [0.5, 0.1])
    with pytest.raises(ValueError, match="negative"):
        value(name, [1, 0], [0.5, 0.1], weight=[-1, 1])


@pytest.mark.parametrize("name", ["log_loss", "brier"])
def test_what_is_no_probability_is_refused(name):
    with pytest.raises(ValueError, match=r"\[0, 1\], not 0.5 to 2"):
        value(name, [1, 0], [2.0, 0.5])


# ------------------------------------------------------------------------------------------ agreement with scikit-learn


SKLEARN = {
    "precision": lambda y, s, w: sk.precision_score(y, s >= 0.5, sample_weight=w, zero_division=np.nan),
    "recall": lambda y, s, w: sk.recall_score(y, s >= 0.5, sample_weight=w),
    "f1": lambda y, s, w: sk.f1_score(y, s >= 0.5, sample_weight=w),
    "f1_macro": lambda y, s, w: sk.f1_score(y, s >= 0.5, sample_weight=w, average="macro"),
    "accuracy": lambda y, s, w: sk.accuracy_score(y, s >= 0.5, sample_weight=w),
    "true_negative_rate": lambda y, s, w: sk.recall_score(y, s >= 0.5, sample_weight=w, pos_label=0),
    "average_precision": lambda y, s, w: sk.average_precision_score(y, s, sample_weight=w),
    "roc_auc": lambda y, s, w: sk.roc_auc_score(y, s, sample_weight=w),
    "partial_roc_auc": lambda y, s, w: sk.roc_auc_score(y, s, sample_weight=w, max_fpr=0.05),
    "log_loss": lambda y, s, w: sk.log_loss(y, s, sample_weight=w, labels=[0, 1]),
    "brier": lambda y, s, w: sk.brier_score_loss(y, s, sample_weight=w),
}


@pytest.mark.parametrize("name", sorted(SKLEARN))
@given(sample=posts(smallest=2, both=True), seed=st.integers(0, 99))
def test_agrees_with_scikit_learn(name, sample, seed):
    y, score = sample
    weight = np.random.default_rng(seed).uniform(0.1, 3, len(y))
    same(value(name, y, score, weight=weight), float(SKLEARN[name](y, score, weight)))


@given(sample=posts(smallest=2, both=True))
def test_the_curve_is_scikit_learns(sample):
    y, score = sample
    for a, b in zip(c.precision_recall_curve(y, score), sk.precision_recall_curve(y, score), strict=True):
        np.testing.assert_allclose(a, b)


# ---------------------------------------------------------------------------------------------------------- by hand


def test_average_precision_by_hand():
    # ranks of the harmful posts: 1 and 4; precision there 1/1 and 2/4
    assert c.average_precision([1, 0, 0, 1], [0.9, 0.8, 0.7, 0.6]) == pytest.approx((1 + 0.5) / 2)
    # all tied: flagging any means flagging all, so precision is the prevalence
    assert c.average_precision([1, 0, 0, 1], [0.5] * 4) == 0.5


def test_roc_auc_by_hand():
    # pairs (harmful, harmless): .9 beats both, .6 loses to .8 and ties with .6: (2 + .5) / 4
    assert value("roc_auc", [1, 0, 0, 1], [0.9, 0.8, 0.6, 0.6]) == 2.5 / 4
    assert np.isnan(value("roc_auc", [1, 1], [0.1, 0.2]))


def test_undefined_parts_by_hand():
    # nothing flagged: precision has no denominator; recall and F1 are honest zeros, since harm was there to find
    nothing = {"y": [1, 0], "score": [0.1, 0.2], "threshold": 0.5}
    assert np.isnan(value("precision", **nothing))
    assert value("recall", **nothing) == value("f1", **nothing) == 0
    # no harm there: recall and F1 do not exist, the false alarm still costs precision
    harmless = {"y": [0, 0], "score": [0.9, 0.2], "threshold": 0.5}
    assert np.isnan(value("recall", **harmless))
    assert np.isnan(value("f1", **harmless))
    assert value("precision", **harmless) == 0
    assert value("false_positive_rate", **harmless) == 0.5


def test_f1_macro_by_hand():
    # harmful: precision 1/2, recall 1/1, F1 2/3; other: precision 2/2, recall 2/3, F1 4/5
    assert value("f1_macro", [1, 0, 0, 0], [0.9, 0.8, 0.1, 0.2]) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_one_certain_error_is_finite():
    assert 30 < value("log_loss", [1], [0.0]) < 40  # -log(2.2e-16) = 36.04


def test_recall_at_a_false_positive_rate_meets_its_limit_exactly():
    # three tenths are .1 + .1 + .1 in weights of a tenth, which exceeds .3 by rounding
    y, score = [0] * 10 + [1], [0.9, 0.8, 0.7, *[0.1] * 7, 0.5]
    assert c.Curve.of(y, score, weight=[0.1] * 11).recall_at_fpr(fpr=0.3) == 1
    assert c.Curve.of(y, score).recall_at_fpr(fpr=0.29) == 0


def test_infinite_scores_are_ranked():
    assert c.average_precision([1, 0, 1], [np.inf, 0.0, -np.inf]) == pytest.approx((1 + 2 / 3) / 2)


def test_confusions_of_many_resamples_at_once():
    many = c.Confusion(
        tn=np.array([5.0, 0.0]), fp=np.array([1.0, 0.0]), fn=np.array([1.0, 2.0]), tp=np.array([3.0, 0.0])
    )
    np.testing.assert_array_equal(many.precision, [0.75, np.nan])
    np.testing.assert_array_equal(many.recall, [0.75, 0.0])
    np.testing.assert_array_equal(many.accuracy, [0.8, 0.0])


def test_every_entry_says_what_it_is():
    for name, metric in METRICS.items():
        assert metric.words, name
        assert metric.top == 1 or not metric.share, name
    # a word stands for one metric only: a column's heading would else name two
    assert len({metric.column or metric.words for metric in METRICS.values()}) == len(METRICS)
