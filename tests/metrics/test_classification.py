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


def test_the_points_of_a_list_by_hand():
    y, score, weight = [1, 0, 1, 0, 1], [0.9, 0.7, 0.7, 0.2, 0.1], [1, 2, 3, 4, 5]
    found = c.counts_at_thresholds(y, score, weight=weight)
    for part, expected in zip(found, ([1, 4, 4, 9], [0, 2, 6, 6], [0.9, 0.7, 0.2, 0.1], 9, 6), strict=True):
        np.testing.assert_array_equal(part, expected)
    precision, recall, thresholds = c.precision_recall_curve(y, score, weight=weight)
    np.testing.assert_allclose(precision, [9 / 15, 4 / 10, 4 / 6, 1, 1])
    np.testing.assert_allclose(recall, [1, 4 / 9, 4 / 9, 1 / 9, 0])
    assert thresholds.tolist() == [0.1, 0.2, 0.7, 0.9]
    known = [True, True, True, True, False]
    assert c.counts_at_thresholds(y, score, known=known)[3:] == (2, 2)
    assert c.precision_recall_curve(y, score, known=known)[2].tolist() == [0.2, 0.7, 0.9]
    assert [part.tolist() for part in c.precision_recall_curve([], [])] == [[1], [0], []]


def test_a_curve_of_two_weightings_by_hand():
    # segments: one positive; two more tied with two negatives after one; the second weighting has no negatives above
    gained, passed = np.array([[1.0, 1], [2, 2]]), np.array([[0.0, 0], [3, 2]])
    curve = c.Curve(gained, passed, lambda: np.array([[0.0, 0], [2, 2]]), [5, 2])
    np.testing.assert_array_equal(curve.positives, [3, 3])
    np.testing.assert_array_equal(curve.precision, [[1, 1], [3 / 6, 3 / 5]])
    np.testing.assert_allclose(curve.average_precision(), [(1 + 2 / 2) / 3, (1 + 2 * 3 / 5) / 3])
    np.testing.assert_allclose(curve.roc_auc(), [1 - 2 * (3 - 1) / 15, 1 - 2 * (2 - 1) / 6])
    np.testing.assert_array_equal(curve.recall_at_fpr(fpr=0.6), [1, 1 / 3])
    np.testing.assert_array_equal(curve.recall_at_fpr(fpr=0.5), [1 / 3, 1 / 3])
    np.testing.assert_array_equal(curve.precision_at_recall(recall=1 / 3), [1, 1])
    np.testing.assert_array_equal(curve.precision_at_recall(recall=0.34), [3 / 6, 3 / 5])
    # up to .4: two alarms, in the first weighting one level at 1 of 3 and one of two ties, where 2 are gained in all
    area = np.array([(2 + 2 * 1 / 4) / 15, (0.8 + 2 * 0.8**2 / 4) / 6])
    np.testing.assert_allclose(curve.partial_roc_auc(fpr=0.4), 0.5 * (1 + (area - 0.08) / (0.4 - 0.08)))
    # up to 1 it is all
    np.testing.assert_allclose(curve.partial_roc_auc(fpr=1.0), curve.roc_auc())


def test_a_list_without_a_positive_has_no_segment():
    empty = c.Curve(np.zeros((0, 2)), np.zeros((0, 2)), lambda: np.zeros((0, 2)), 3)
    for found in (empty.average_precision(), empty.roc_auc(), empty.partial_roc_auc(fpr=0.1)):
        assert np.isnan(found).tolist() == [True, True]
    assert empty.positives.tolist() == [0, 0]
    assert empty.negatives.tolist() == [3, 3]


def test_segments_end_where_a_positive_is():
    y = np.array([False, True, False, False, True, False, False])
    score = np.array([9, 8, 8, 7, 6, 6, 5])
    segment, tied, segments = c.cut(y, score)
    assert (segment.tolist(), segments) == ([0, 0, 0, 1, 1, 1, 2], 2)
    assert np.flatnonzero(tied).tolist() == [2, 5]


def test_losses_by_hand():
    y, prob = np.array([True, False, True]), np.array([0.8, 0.3, 1.0])
    np.testing.assert_allclose(c.log_losses(y, prob), -np.log([0.8, 0.7, 1 - 2.220446e-16]), atol=1e-15)
    np.testing.assert_allclose(c.squared_errors(y, prob), [0.04, 0.09, 0])
    soft = c.log_losses(np.array([0.25]), np.array([0.4]))
    assert soft == pytest.approx(-(0.25 * np.log(0.4) + 0.75 * np.log(0.6)))
    assert c.log_losses(np.array([1, 0]), np.array([0.0, 1.0])) == pytest.approx([52 * np.log(2)] * 2)


def test_shapes_and_probabilities_that_do_not_fit_are_refused():
    for y, score in (([[1, 0]], [[0.5, 0.1]]), ([1, 0], [0.5])):
        with pytest.raises(ValueError, match="one-dimensional and equally long"):
            c.select(y, score, None, None)
    with pytest.raises(ValueError, match="equally long"):
        c.select([1, 0], [0.5, 0.1], None, [True])
    with pytest.raises(ValueError, match=r"not -0\.1 to 0\.5"):
        c.probabilities([1, 0], [-0.1, 0.5], None, None)
    assert c.probabilities([1, 0], [0.0, 1.0], None, None)[1].tolist() == [0, 1]
    y, score, weight = c.select([1, 0, 1], [1, 2, 3], [1, 0, 2], [True, True, True])
    assert (y.tolist(), score.tolist(), weight.tolist()) == ([True, True], [1, 3], [1, 2])
    assert (y.dtype, score.dtype, weight.dtype) == (bool, float, float)


def test_cells_by_hand():
    y, score = [1, 1, 0, 0, 1, 0], [0.9, 0.2, 0.6, 0.1, 0.5, 0.3]
    assert c.confusion(y, score, threshold=0.5, weight=[1, 2, 3, 4, 5, 6]) == c.Confusion(tn=10, fp=3, fn=2, tp=6)
    cells = c.Confusion(tn=10, fp=3, fn=2, tp=6)
    found = (cells.precision, cells.recall, cells.f1, cells.accuracy, cells.error_rate, cells.false_positive_rate)
    assert found == pytest.approx((6 / 9, 6 / 8, 12 / 17, 16 / 21, 5 / 21, 3 / 13))
    assert (cells.true_negative_rate, cells.f1_macro) == pytest.approx((10 / 13, (12 / 17 + 20 / 25) / 2))
    small = c.Confusion(tn=0.1, fp=0.03, fn=0.02, tp=0.06)
    assert (small.precision, small.recall, small.f1) == pytest.approx(found[:3])
