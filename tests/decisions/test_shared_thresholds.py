"""One threshold for all labels that ask for the best F1 over all labels, chosen by hand from six posts."""

from __future__ import annotations

import numpy as np

from workbench.decisions.objective import Objective
from workbench.decisions.thresholds import LabelObjectives, choose

COMMON, RARE = np.array([1, 1, 0, 1, 0, 0]), np.array([0, 0, 0, 0, 1, 0])
AT = np.array([[0.9, 0.8, 0.7, 0.6, 0.2, 0.1], [0.7, 0.3, 0.25, 0.2, 0.15, 0.1]])


def two(review: dict, other: dict | None = None, *, known=None, weight=None, remove=None):
    wanted = {
        name: LabelObjectives(review=Objective(**asked), remove=remove and Objective(**remove))
        for name, asked in (("common", review), ("rare", other or review))
    }
    y = np.column_stack([COMMON, RARE])
    known = np.ones(y.shape, bool) if known is None else known
    return choose(AT.T, y, known, wanted, weight=weight)


def test_the_best_f1_over_all_labels_is_that_of_one_threshold():
    rules = two({"f1_micro": "best"})
    # from .6 on: 3 hits, 2 alarms (both at .7), 1 miss: 6/9; at .8 2 hits, 2 misses: 4/6, equal, and flags fewer
    assert [rule.review_at for rule in rules.values()] == [0.8, 0.8]
    told = [(rule.review_for.flagged, rule.review_for.caught, rule.review_for.harmful) for rule in rules.values()]
    assert told == [(2, 2, 3), (0, 0, 1)]
    assert {rule.review_for.posts for rule in rules.values()} == {6}
    assert [rule.review_at for rule in two({"f1": "best"}).values()] == [0.6, 0.15]  # each for itself


def test_a_label_that_nobody_can_choose_for_has_the_threshold_of_the_others():
    known = np.column_stack([np.ones(6, bool), np.zeros(6, bool)])
    rules = two({"f1_micro": "best"}, known=known)
    assert [rule.review_at for rule in rules.values()] == [0.6, 0.6]  # 3 hits and an alarm: 6/7
    assert (rules["rare"].review_for.posts, rules["rare"].review_for.harmful) == (0, 0)
    nobody = two({"f1_micro": "best"}, known=np.zeros((6, 2), bool))
    assert [rule.review_for.why for rule in nobody.values()] == [
        "none of the 0 validation posts that know the label is harmful"
    ] * 2


def test_labels_share_a_threshold_with_those_that_ask_for_the_same():
    assert [rule.review_at for rule in two({"f1_micro": "best"}, {"f1": "best"}).values()] == [0.6, 0.15]
    weight = np.array([1, 1, 9, 1, 1, 1.0])
    # as the site has them the alarm of the third post costs nine, on either label
    assert [rule.review_at for rule in two({"f1_micro": "best", "mix": "site"}, weight=weight).values()] == [0.8, 0.8]
    assert [rule.review_at for rule in two({"f1_micro": "best"}, weight=weight).values()] == [0.8, 0.8]


def test_a_threshold_of_all_labels_for_removal_lies_no_lower_than_that_of_review():
    rules = two({"f1": "best"}, {"recall": 1.0}, remove={"f1_micro": "best"})
    assert [(rule.review_at, rule.remove_at) for rule in rules.values()] == [(0.6, 0.8), (0.15, 0.8)]
    rules = two({"fixed": 0.85}, {"fixed": 0.9}, remove={"f1_micro": "best"})
    assert [(rule.review_at, rule.remove_at) for rule in rules.values()] == [(0.85, 0.85), (0.9, 0.9)]
