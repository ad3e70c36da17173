"""The table of metrics: what each entry promises, its value on one small sample, and what a share is made of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.metrics import table
from workbench.metrics.table import METRICS

KINDS = {
    "DECISIONS": "precision recall f1 f1_macro accuracy false_positive_rate true_negative_rate",
    "LABELS": "precision_micro recall_micro f1_micro f1_weighted hamming_loss",
    "POSTS": "exact_match",
    "RANKING": "average_precision roc_auc partial_roc_auc precision_at_recall_0.8 precision_at_recall_0.9"
    " precision_at_recall_0.95 recall_at_fpr_0.01 recall_at_fpr_0.001",
    "PROBABILITY": "log_loss brier",
}
SITE = "precision recall f1 false_positive_rate average_precision log_loss brier"
LESS_IS_BETTER = "false_positive_rate hamming_loss log_loss brier"
SHARES = "precision recall accuracy false_positive_rate true_negative_rate"
SHARES += " precision_micro recall_micro exact_match hamming_loss"
# ten posts, two labels; the first label's value of each metric at the threshold of one half, and of both labels
Y = np.array([[1, 0], [1, 1], [0, 0], [1, 1], [0, 0], [0, 1], [1, 0], [0, 0], [0, 0], [0, 0]])
SCORE = np.array([[9, 8], [8, 5], [7, 1], [6, 2], [5, 1], [4, 9], [3, 3], [2, 1], [1, 6], [0, 0]]) / 10
VALUES = {
    "precision": 3 / 5,
    "recall": 3 / 4,
    "f1": 6 / 9,
    "f1_macro": (6 / 9 + 8 / 11) / 2,
    "accuracy": 7 / 10,
    "false_positive_rate": 2 / 6,
    "true_negative_rate": 4 / 6,
    "precision_micro": 5 / 9,  # of the second label two of four flags are right, and two of three are found
    "recall_micro": 5 / 7,
    "f1_micro": 10 / 16,
    "f1_weighted": (4 * 6 / 9 + 3 * 4 / 7) / 7,
    "exact_match": 4 / 10,  # the second, the sixth, the eighth and the last
    "hamming_loss": 6 / 20,
    "average_precision": (1 + 1 + 3 / 4 + 4 / 7) / 4,
    "roc_auc": 1 - (1 + 3) / 24,
    # two of four before any false alarm: .5 * .05 of the area, where chance has .05^2 / 2
    "partial_roc_auc": 0.5 * (1 + (0.5 * 0.05 - 0.05**2 / 2) / (0.05 - 0.05**2 / 2)),
    "precision_at_recall_0.8": 4 / 7,
    "precision_at_recall_0.9": 4 / 7,
    "precision_at_recall_0.95": 4 / 7,
    "recall_at_fpr_0.01": 1 / 2,
    "recall_at_fpr_0.001": 1 / 2,
    "brier": (0.01 + 0.04 + 0.49 + 0.16 + 0.25 + 0.16 + 0.49 + 0.04 + 0.01) / 10,
    "log_loss": -sum(map(math.log, (0.9, 0.8, 0.3, 0.6, 0.5, 0.6, 0.3, 0.8, 0.9))) / 10,
}


def named(words):
    """The metrics named, and those of them at the site's mix."""
    names = words.split()
    return set(names) | {f"{name}_site" for name in names if name in SITE.split()}


def that(holds):
    return {name for name, metric in METRICS.items() if holds(metric)}


def test_each_metric_is_of_its_kind():
    for kind, words in KINDS.items():
        assert that(lambda metric, kind=kind: metric.kind.name == kind) == named(words), kind
    assert that(lambda metric: metric.over_labels) == named(KINDS["LABELS"] + " exact_match")
    assert that(lambda metric: metric.has_ceiling) == named(KINDS["RANKING"]) | named(KINDS["PROBABILITY"])
    assert {name: METRICS[name].optimum for name in ("brier", "roc_auc")} == {
        "brier": "exact probabilities",
        "roc_auc": "Bayes ranking",
    }


def test_each_entry_has_its_direction_range_digits_and_place():
    assert that(lambda metric: not metric.higher_is_better) == that(lambda metric: metric.sign == -1)
    assert that(lambda metric: metric.sign == -1) == named(LESS_IS_BETTER)
    assert that(lambda metric: metric.sign == 1) == set(METRICS) - named(LESS_IS_BETTER)
    assert that(lambda metric: metric.share) == named(SHARES)
    assert that(lambda metric: metric.top == np.inf) == named("log_loss")
    assert that(lambda metric: metric.top == 1) == set(METRICS) - named("log_loss")
    assert that(lambda metric: metric.digits == 4) == named("log_loss brier")
    assert that(lambda metric: metric.digits == 3) == set(METRICS) - named("log_loss brier")
    assert that(lambda metric: metric.site) == {f"{name}_site" for name in SITE.split()}
    first = ("precision", "recall", "f1", "false_positive_rate", "average_precision", "roc_auc")
    assert table.headline() == (*first, "precision_site", "recall_site")


def test_a_recall_at_few_false_alarms_asks_for_posts_enough_for_five():
    needed = {name: metric.negatives for name, metric in METRICS.items() if metric.negatives}
    assert needed == {"recall_at_fpr_0.01": 500, "recall_at_fpr_0.001": 5000}
    assert table._at_fpr(0.3).negatives == 17  # 16 would allow four


def test_a_number_in_a_name_is_the_one_in_its_words():
    words = {name: metric.words for name, metric in METRICS.items() if "_0." in name}
    assert words == {
        "precision_at_recall_0.8": "precision at 80 % recall",
        "precision_at_recall_0.9": "precision at 90 % recall",
        "precision_at_recall_0.95": "precision at 95 % recall",
        "recall_at_fpr_0.01": "recall at 1 % false positives",
        "recall_at_fpr_0.001": "recall at 0.1 % false positives",
    }


def test_the_sites_mix_is_in_words_and_heading():
    rate = METRICS["false_positive_rate_site"]
    assert rate.words == "harmless posts flagged (false positive rate) at the site's mix of posts"
    assert rate.column == "false positive rate at the site"
    assert METRICS["f1_site"].column == "F1 at the site"


@pytest.mark.parametrize("name", METRICS)
def test_its_value_on_ten_posts_by_hand(name):
    metric, expected = METRICS[name], VALUES[name.removesuffix("_site")]
    y, score = (Y, SCORE) if metric.over_labels else (Y[:, 0], SCORE[:, 0])
    assert metric(y, score) == pytest.approx(expected)
    # posts that count twice are there twice, those that nobody knows are not
    weight, known = np.array([2, 1, 1, 3, 1, 1, 2, 1, 1, 2]), np.ones(y.shape, dtype=bool)
    known[[2, 8]] = False
    kept = known.reshape(10, -1)[:, 0]
    again = np.repeat(np.flatnonzero(kept), weight[kept])
    assert metric(y, score, weight=weight, known=known) == pytest.approx(metric(y[again], score[again]))
    if metric.kind not in (table.RANKING, table.PROBABILITY):
        assert metric(y, score, threshold=0.45) == pytest.approx(metric(y, (score >= 0.45) * 1.0))
        assert metric(y, score, threshold=0.15) == pytest.approx(metric(y, (score >= 0.15) * 1.0))


def test_a_share_is_made_of_hits_and_posts():
    cells = np.array([[2, 3], [5, 7], [11, 13], [17, 19]])  # tn, fp, fn, tp of two groups
    expected = {
        "precision": ([17, 19], [22, 26]),
        "recall": ([17, 19], [28, 32]),
        "accuracy": ([19, 22], [35, 42]),
        "false_positive_rate": ([5, 7], [7, 10]),
        "true_negative_rate": ([2, 3], [7, 10]),
        "exact_match": ([17, 19], [22, 26]),
    }
    for name, totals in expected.items():
        np.testing.assert_array_equal(METRICS[name].totals(cells), totals, err_msg=name)
        np.testing.assert_allclose(METRICS[name].of_pieces(cells), np.divide(*totals), err_msg=name)
    labels = np.stack([cells, 10 * cells, cells[:, ::-1]], axis=1)  # (4, labels, groups)
    expected = {
        "precision_micro": ([17 * 11 + 19, 19 * 11 + 17], [22 * 11 + 26, 26 * 11 + 22]),
        "recall_micro": ([17 * 11 + 19, 19 * 11 + 17], [28 * 11 + 32, 32 * 11 + 28]),
        "hamming_loss": ([16 * 11 + 20, 20 * 11 + 16], [35 * 11 + 42, 42 * 11 + 35]),
    }
    for name, totals in expected.items():
        np.testing.assert_array_equal(METRICS[name].totals(labels), totals, err_msg=name)
        np.testing.assert_allclose(METRICS[name].of_pieces(labels), np.divide(*totals), err_msg=name)
    np.testing.assert_allclose(METRICS["brier"].of_pieces(np.array([[1.5, 0.0], [3, 0]])), [0.5, np.nan])
