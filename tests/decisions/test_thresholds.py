"""Thresholds for a named objective, chosen by hand from ten posts."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.decisions import thresholds
from workbench.decisions.policy import Capacity, Cost, Objective
from workbench.decisions.thresholds import LabelObjectives, choose, objectives
from workbench.errors import WorkbenchError

# rank:  .9  .8  .7  .6  .5  .4  .3  .2  .1  .05
Y = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0])
P = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05])


def rule(review: Objective | None, remove: Objective | None = None, *, y=Y, p=P, known=None, weight=None):
    known = np.ones(len(y), bool) if known is None else known
    wanted = {"abuse": LabelObjectives(review=review, remove=remove)}
    return choose(p[:, None], y[:, None], known[:, None], wanted, weight=weight)["abuse"]


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(thresholds, "MIN_FLAGGED", 2)


@pytest.mark.parametrize(
    ("objective", "at"),
    [
        (Objective(precision=1.0), 0.8),  # 2 of 2; one more is a false alarm
        (Objective(precision=0.75), 0.6),  # 3 of 4 from .6 on, the lowest that holds it
        (Objective(recall=0.75), 0.6),  # 3 of 4 positives, the highest that does
        (Objective(recall=1.0), 0.3),
        (Objective(f1="best"), 0.6),  # 2*3/(4+4) = .75; .8 gives 4/6, .3 gives 8/11 = .727
        # at .6 (.75 + 2*5/(6+6))/2 = .792, best; at .3 F1 is .727, of the harmless only 2*3/(3+6) = .667
        (Objective(f1_macro="best"), 0.6),
        (Objective(capacity=Capacity(reviews_a_day=50, posts_a_day=100)), 0.5),  # half of ten posts
        (Objective(fixed=0.55), 0.55),  # no score that occurs, and nothing says that it is good
        (Objective(cost=Cost(miss=10, alarm=1)), 0.3),  # 3 alarms cost 3; any miss costs 10
        (Objective(cost=Cost(miss=1, alarm=10)), 0.8),  # 2 misses cost 2; the next hit brings an alarm of 10
    ],
)
def test_the_threshold_serves_its_objective(objective, at):
    found = rule(objective)
    assert found.review_at == at
    assert found.review_for.flagged == (at <= P).sum()
    assert found.review_for.caught == Y[at <= P].sum()
    assert found.remove_at is None
    assert found.remove_for is None


def test_the_mean_of_both_f1_also_counts_what_passes():
    # rank:       .9 .8 .7 .6 .5 .4 .3 .2 .1 .05; four harmless among ten
    y = np.array([1, 0, 1, 1, 0, 1, 1, 0, 1, 0])
    # All flagged: F1 2*6/(10+6) = .75, of the harmless 0, mean .375. At .3: F1 2*5/(7+6) = .769, of the harmless
    # 2*2/(3+4) = .571, mean .670. At .1: F1 2*6/(9+6) = .8, of the harmless 2*1/(1+4) = .4, mean .6.
    assert rule(Objective(f1="best"), y=y).review_at == 0.1
    assert rule(Objective(f1_macro="best"), y=y).review_at == 0.3
    assert str(Objective(f1_macro="best")) == "best F1, mean of both classes"
    assert rule(Objective(f1_macro="best"), y=np.ones(10, int)).review_at == 0.05  # no harmless post: F1 alone decides


def test_removal_starts_no_lower_than_review():
    found = rule(Objective(precision=0.75), Objective(recall=0.75))
    assert (found.review_at, found.remove_at) == (0.6, 0.6)
    higher = rule(Objective(precision=1.0), Objective(precision=0.7))
    assert (higher.review_at, higher.remove_at) == (0.8, 0.8)  # at .6 it would do too, but review starts at .8


def test_a_fixed_threshold_needs_no_posts():
    found = rule(Objective(fixed=0.5), Objective(fixed=0.2), y=np.zeros(0, int), p=np.zeros(0))
    assert (found.review_at, found.remove_at) == (0.5, 0.5)  # removal starts no lower than review
    assert (found.review_for.posts, found.review_for.flagged) == (0, 0)
    assert str(Objective(fixed=0.5)) == "fixed at 0.5"


def test_none_qualifies():
    worst = rule(Objective(precision=0.9), y=Y[::-1].copy())
    assert worst.review_at is None
    assert "the best precision on validation is 0.400" in worst.review_for.promise  # all four in ten
    empty = rule(Objective(f1="best"), y=np.zeros(10, int))
    assert empty.review_at is None
    assert "none of the 10 validation posts" in empty.review_for.promise


def test_a_precision_on_too_few_posts_promises_nothing(monkeypatch):
    monkeypatch.setattr(thresholds, "MIN_FLAGGED", 20)
    found = rule(Objective(precision=0.5))
    assert found.review_at is None
    assert "fewer than 20 validation posts are flagged" in found.review_for.promise


def test_unknown_and_unread_posts_are_left_out():
    known = np.ones(10, bool)
    known[2] = False  # the false alarm at .7
    assert rule(Objective(precision=1.0), known=known).review_at == 0.6
    unread = P.copy()
    unread[2] = np.nan
    assert rule(Objective(precision=1.0), p=unread).review_at == 0.6


def test_posts_count_as_the_site_has_them_where_that_is_asked_for():
    weight = np.where(Y == 1, 1.0, 3.0)  # harmless posts are three times as frequent: 3 hits, 3 alarms from .6 on
    assert rule(Objective(precision=0.75), weight=weight).review_at == 0.6
    assert rule(Objective(precision=0.75, mix="site"), weight=weight).review_at == 0.8


def test_objectives_of_labels_fall_back_to_default_and_that_to_the_built_in():
    given = {"default": {"remove": {"precision": 0.99}}, "abuse": {"review": {"recall": 0.9}}}
    found = objectives(given, ("abuse", "nudity"))
    assert found["abuse"] == LabelObjectives(review=Objective(recall=0.9), remove=Objective(precision=0.99))
    assert found["nudity"] == LabelObjectives(review=Objective(f1="best"), remove=Objective(precision=0.99))
    assert objectives({"abuse": {"remove": None}}, ("abuse",))["abuse"].remove is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"abus": {}}, "did you mean 'abuse'"),
        ({"abuse": {"remov": None}}, "remove"),
        ({"abuse": {"review": {}}}, "exactly one"),
    ],
)
def test_wrong_objectives_are_one_sentence(given, said):
    with pytest.raises(WorkbenchError, match=said):
        objectives(given, ("abuse", "nudity"))
