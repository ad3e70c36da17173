"""Thresholds for a named objective, chosen by hand from ten posts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from workbench.decisions import thresholds
from workbench.decisions.objective import Capacity, Cost, Objective
from workbench.decisions.policy import NOTHING
from workbench.decisions.thresholds import LabelObjectives, choose, objectives, shares
from workbench.errors import WorkbenchError
from workbench.metrics.shares import fay_feuer

# rank:  .9  .8  .7  .6  .5  .4  .3  .2  .1  .05
Y = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0])
P = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05])

FEWEST = thresholds.MIN_FLAGGED


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


def test_flagging_nothing_is_a_choice_where_an_objective_has_a_value_for_it():
    # 2,000 posts, 210 harmful, one score for all: flagging everything costs 1,790 alarms of 100, nothing 210 misses
    y = np.arange(2000) < 210
    for scores in (np.full(2000, 0.1), np.random.default_rng(0).permutation(2000) / 2000):
        found = rule(Objective(cost=Cost(miss=1, alarm=100)), y=y, p=scores)
        assert (found.review_at, found.review_for.nothing, found.review_for.flagged) == (None, True, 0)
        assert found.flags_from == NOTHING > 1  # so that a comparison counts it as flagging nothing
        assert "nothing is flagged" in found.says("review")
    everything = rule(Objective(cost=Cost(miss=100, alarm=1)), y=y, p=np.full(2000, 0.1))
    assert (everything.review_at, everything.review_for.flagged) == (0.1, 2000)  # 1,790 instead of 21,000
    # the best hit brings no alarm, so that a miss for 1 and an alarm for 100 are no reason to flag nothing
    assert rule(Objective(cost=Cost(miss=1, alarm=100))).review_at == 0.8


def test_a_model_that_knows_nothing_flags_nothing_for_the_mean_of_both_f1():
    # 970 of 4,000 harmful: all flagged gives (2*970/(4000+970) + 0)/2 = .195, nothing (0 + 2*3030/(4000+3030))/2 = .431
    y = np.arange(4000) < 970
    assert rule(Objective(f1_macro="best"), y=y, p=np.full(4000, 0.2425)).flags_from == NOTHING
    plain = rule(Objective(f1="best"), y=y, p=np.full(4000, 0.2425))  # flagging nothing has no F1
    assert (plain.review_at, plain.review_for.flagged) == (0.2425, 4000)


def test_where_the_best_score_is_shared_by_more_than_people_can_look_at_nothing_is_flagged():
    few_people = Objective(capacity=Capacity(reviews_a_day=5, posts_a_day=100))
    assert rule(few_people, p=np.full(10, 0.5)).flags_from == NOTHING
    assert rule(few_people, p=np.full(10, 0.5), y=np.zeros(10, int)).flags_from is None  # nothing is known of harm


def test_no_threshold_is_not_flagging_nothing():
    above = rule(Objective(fixed=0.95), Objective(f1="best"))  # removal starts above every score: no F1 there
    assert (above.remove_at, above.remove_for.nothing) == (None, False)
    assert rule(Objective(precision=0.9), y=Y[::-1].copy()).flags_from is None
    assert rule(Objective(recall=0.75)).flags_from == 0.6
    assert rule(None).flags_from is None


def test_removal_is_proven_by_default_and_by_the_study_s_own_wish_where_it_names_one():
    assert objectives({}, ("abuse",))["abuse"].remove == Objective(precision=0.9, sure=0.9)
    named = objectives({"default": {"remove": {"precision": 0.95}}}, ("abuse",))["abuse"].remove
    assert named == Objective(precision=0.95)


def test_what_is_not_proven_is_told_with_what_is():
    # of the first 100 in a thousand 90 are harmful, evenly, and none after: P(Binomial(98, .15) <= 9) is above .05
    y = np.arange(1000) < 100
    y[5:100:10] = False
    p, known = np.linspace(0.99, 0.01, 1000), np.ones((1000, 1), bool)
    wanted = {"abuse": LabelObjectives(review=None)}
    found = choose(p[:, None], y[:, None], known, wanted, expected=[0.1])["abuse"]
    assert found.remove_at is None
    assert found.remove_for.proven == 0.8
    assert 0.89 < found.remove_for.seen < 0.92
    assert found.says("remove").startswith("precision of at least 0.9, sure to 90 %: nothing is removed; no threshold")
    (sentence,) = found.adds("remove")
    assert sentence.startswith("A precision of 0.8 is proven, sure to 90 %; the precision seen at best is 0.9")
    lower = {"abuse": LabelObjectives(review=None, remove=Objective(precision=0.8, sure=0.9))}
    proven = choose(p[:, None], y[:, None], known, lower, expected=[0.1])
    assert proven["abuse"].remove_at is not None
    assert proven["abuse"].adds("remove") == [
        "This is proven of posts drawn as those of validation were, and of no others."
    ]


def test_harmful_posts_expected_from_training_say_where_a_proof_starts():
    # 60 of the first 64 in 600 are harmful. Told of 60, a test starts at 42 posts with half the level: 2 errors,
    # P(Binomial(42, .15) <= 2) = .038. Told of none, five starts share the level: at 29 posts with one error P is .055
    y = np.arange(600) < 64
    y[[10, 30, 45, 60]] = False
    p, known = np.linspace(0.99, 0.01, 600), np.ones((600, 1), bool)
    wanted = {"abuse": LabelObjectives(review=None, remove=Objective(precision=0.85, sure=0.9))}
    at = [choose(p[:, None], y[:, None], known, wanted, expected=[some])["abuse"].remove_at for some in (0.1, None)]
    assert at[0] is not None
    assert at[1] is None


# ------------------------------------------------------------------------------------------- sample and site, few


def test_a_share_at_the_site_counts_weights_and_its_interval_groups():
    y = np.array([1, 1, 0, 1, 0, 0], bool)
    flags = np.array([1, 1, 1, 0, 0, 0], bool)
    group, weight = np.array(list("abcdef")), np.array([1, 1, 8, 2, 1, 1.0])
    plain, site = shares(y, flags, group), shares(y, flags, group, weight)
    assert (plain.precision[0], plain.recall[0]) == pytest.approx((2 / 3, 2 / 3), abs=1e-4)
    assert (site.precision[0], site.recall[0]) == (0.2, 0.5)  # 2 of 10 flagged; 2 of 4 harmful
    assert plain.few
    many = np.tile(y, 200), np.tile(flags, 200)
    apart = shares(*many, np.arange(1200))
    copies = shares(*many, np.repeat(np.arange(120), 10))
    assert not apart.few
    assert copies.precision[2] - copies.precision[1] < apart.precision[2] - apart.precision[1]  # each group is the mix
    one = np.repeat(np.arange(6), 200)  # copies of one post are one piece of evidence
    same = shares(np.repeat(y, 200), np.repeat(flags, 200), one)
    assert same.few
    assert same.precision[2] - same.precision[1] > 3 * (apart.precision[2] - apart.precision[1])
    nothing = shares(y, np.zeros(6, bool), group)
    assert nothing.precision is None
    assert nothing.recall[0] == 0


def test_few_heavy_groups_make_a_share_few_and_its_interval_that_of_families():
    # 150 harmful posts, all flagged; nine stand for 30 each, 270 of 411 of their weight
    y, group = np.ones(150, bool), np.arange(150)
    weight = np.r_[np.full(9, 30.0), np.ones(141)]
    found = shares(y, y, group, weight)
    assert found.few
    assert not shares(y, y, group).few
    assert found.recall == pytest.approx((1.0, *fay_feuer(weight, weight)), abs=1e-4)  # Kish: 411^2 / 8,241 = 20.5
    assert shares(y, y, group).recall[1] > found.recall[1]


def test_the_site_stands_beside_the_sample_where_posts_weigh_unequally():
    weight = np.where(Y == 1, 1.0, 3.0)
    found = rule(Objective(fixed=0.6), weight=weight).review_for
    assert found.sample.precision[0] == 0.75
    assert found.site.precision[0] == 0.5  # 3 hits of weight 1, one alarm of weight 3
    assert found.more == [f"By the site's own mix of posts: {found.site}."]
    assert "site" not in found.promise  # sample and site stand in no one sentence
    assert rule(Objective(fixed=0.6), weight=np.full(10, 3.0)).review_for.site is None


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


# ------------------------------------------------------------------------------------- against a search post by post


def value(objective: Objective, flagged: list[int], y, weight, few: int) -> Fraction | None:
    """What an objective gives for flagging these posts, None where it forbids it; counted post by post."""
    worth = [Fraction(int(w)) if objective.weighted else Fraction(1) for w in weight]
    harmful = sum(w for w, one in zip(worth, y, strict=True) if one)
    tp, fp = (sum(worth[n] for n in flagged if y[n] == of) for of in (1, 0))
    passed = sum(worth) - tp - fp
    if objective.precision is not None:
        return tp + fp if len(flagged) >= few and tp >= Fraction(objective.precision) * (tp + fp) else None
    if objective.recall is not None:
        return -tp - fp if tp >= Fraction(objective.recall) * harmful else None
    if objective.capacity is not None:
        most = Fraction(objective.capacity.reviews_a_day) / Fraction(objective.capacity.posts_a_day)
        return tp + fp if tp + fp <= most * sum(worth) else None
    if objective.cost is not None:
        return -(Fraction(objective.cost.miss) * (harmful - tp) + Fraction(objective.cost.alarm) * fp)
    f1 = 2 * tp / (tp + fp + harmful)
    if objective.f1_macro:
        right = passed - (harmful - tp)
        return (f1 + 2 * right / max(passed + sum(worth) - harmful, Fraction(1, 10**9))) / 2
    return f1 if flagged else None


def searched(objective: Objective, y, p, weight, floor: float, few: int) -> dict[float, Fraction]:
    """What each threshold from `floor` on gives that an objective allows; infinite is the one that flags nothing."""
    given = {
        at: value(objective, [n for n in range(len(y)) if p[n] >= at], y, weight, few)
        for at in (np.inf, *sorted(set(p), reverse=True))
        if at >= floor
    }
    return {at: worth for at, worth in given.items() if worth is not None}


@pytest.mark.parametrize(
    "objective",
    [
        {"precision": 0.5},
        {"precision": 0.75, "mix": "site"},
        {"recall": 0.5},
        {"recall": 0.75, "mix": "site"},
        {"capacity": {"reviews_a_day": 2, "posts_a_day": 4}},
        {"capacity": {"reviews_a_day": 1, "posts_a_day": 4}, "mix": "sample"},
        {"cost": {"miss": 3, "alarm": 2}},
        {"cost": {"miss": 1, "alarm": 2}, "mix": "site"},
        {"f1": "best"},
        {"f1": "best", "mix": "site"},
        {"f1_macro": "best"},
        {"f1_macro": "best", "mix": "site"},
    ],
    ids=str,
)
def test_no_other_threshold_serves_an_objective_better(objective, monkeypatch):
    monkeypatch.setattr(thresholds, "MIN_FLAGGED", 3)
    objective, rng, kinds = Objective.model_validate(objective), np.random.default_rng(0), set()
    for n in range(60):
        y = rng.integers(0, 2, 3 + n % 7)
        y[rng.integers(len(y))] = 1  # without a harmful post nothing is searched
        p, weight = rng.integers(1, 8, len(y)) / 8, rng.integers(1, 5, len(y)).astype(float)
        floor = (0.0, 0.375, 0.75)[n % 3]
        chosen = rule(Objective(fixed=floor) if floor else None, objective, y=y, p=p, weight=weight)
        at = np.inf if chosen.remove_for.nothing else chosen.remove_at
        worth = searched(objective, y, p, weight, floor, 3)
        best = max(worth, key=lambda at: (worth[at], at), default=None)  # the highest of equal ones
        # a mean of two F1 is rounded, so that either of two equal ones may come out ahead
        assert at == best or (objective.f1_macro and worth[at] == worth[best])
        kinds.add("none" if best is None else "nothing" if best == np.inf else "some")
    assert "some" in kinds


# ------------------------------------------------------------------------------------------------------- at the edges


def test_a_precision_needs_twenty_flagged_posts(monkeypatch):
    monkeypatch.setattr(thresholds, "MIN_FLAGGED", FEWEST)
    for flagged, at in ((20, 0.5), (19, None)):
        y = np.r_[np.ones(flagged, int), np.zeros(30, int)]
        assert rule(Objective(precision=1.0), y=y, p=np.where(y, 0.5, 0.1)).review_at == at


def test_one_harmful_post_is_enough_to_choose_by_and_too_little_to_prove():
    y = (np.arange(10) == 1).astype(int)
    assert rule(Objective(f1="best"), y=y).review_at == 0.8
    proven = rule(Objective(recall=0.8, sure=0.9), y=y)
    assert (proven.review_at, proven.review_for.harmful) == (None, 1)
    assert proven.review_for.why.endswith("harmful groups without one error are needed to be sure")
    none = rule(Objective(recall=0.8, sure=0.9), y=np.zeros(10, int))
    assert none.review_for.why == "none of the 10 validation posts that know the label is harmful"


def test_a_weight_of_nothing_says_that_there_are_no_weights():
    weight = np.where(Y == 1, 0.5, 1.5)
    site = Objective(precision=0.75, mix="site")
    assert rule(site, weight=weight).review_at == 0.8
    weight[-1] = 0.0
    found = rule(site, weight=weight)
    assert (found.review_at, found.review_for.site) == (0.6, None)


def test_a_fixed_threshold_below_that_of_review_gives_way_to_it():
    found = rule(Objective(fixed=0.55), Objective(fixed=0.2))
    assert (found.remove_at, found.remove_for.flagged, found.remove_for.caught) == (0.55, 4, 3)
    assert (found.review_for.posts, found.review_for.harmful) == (10, 4)
    assert rule(None, Objective(fixed=0.2)).remove_at == 0.2
    assert (
        rule(Objective(precision=0.9), Objective(recall=0.5), y=Y[::-1].copy()).remove_at == 0.3
    )  # no review, no floor


@pytest.mark.parametrize(
    ("floor", "objective", "why"),
    [
        (0.6, {"precision": 0.9}, "the best precision on validation from 0.600 on is 0.750"),  # the four posts alone
        (0.65, {"precision": 0.5}, "fewer than 4 validation posts are flagged from 0.650 on, too few for a precision"),
        (None, {"precision": 0.9}, "the best precision on validation is 0.750"),
        (0.65, {"recall": 1.0}, "no score on validation from 0.650 on gives recall of at least 1"),
        (0.95, {"f1": "best"}, "no score on validation from 0.950 on gives best F1"),
        (0.65, {"cost": {"miss": 1, "alarm": 100}}, None),
        (0.85, {"cost": {"miss": 1, "alarm": 1}}, None),
        (0.95, {"cost": {"miss": 9, "alarm": 1}}, "no score that occurs from 0.950 on does as well"),
        (None, {"capacity": {"reviews_a_day": 1, "posts_a_day": 20}}, "no score that occurs does as well"),
    ],
)
def test_why_there_is_no_threshold(floor, objective, why, monkeypatch):
    monkeypatch.setattr(thresholds, "MIN_FLAGGED", 4)
    review = None if floor is None else Objective(fixed=floor)
    assert rule(review, Objective.model_validate(objective)).remove_for.why == why


def test_shares_are_told_to_four_places_and_are_few_where_one_of_them_is():
    y, flags = np.arange(90) < 60, np.arange(90) < 7
    found = shares(y, flags, np.arange(90))
    assert (found.precision[0], found.recall[0]) == (1, 0.1167)  # 7 of 60
    assert all(round(bound, 4) == bound for bound in (*found.precision, *found.recall))
    assert found.few  # seven flagged posts
    assert shares(flags, y, np.arange(90)).few  # seven harmful ones
    assert not shares(y, y, np.arange(90)).few
    weighed = shares(y, flags, np.arange(90), np.arange(90) + 1)  # whole numbers do, too
    assert weighed.recall[0] == pytest.approx(28 / 1830, abs=5e-5)
    assert shares(~y & y, flags, np.arange(90)).recall is None
