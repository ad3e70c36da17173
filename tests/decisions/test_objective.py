"""What a threshold is chosen for: which numbers may be asked for, and what is said of it, word by word."""

from __future__ import annotations

import math

import pytest

from workbench.decisions.objective import Capacity, Chosen, Cost, Objective, Shares
from workbench.errors import WorkbenchError

SURE = Objective(precision=0.9, sure=0.95)


def chosen(**more) -> Chosen:
    return Chosen(**{"objective": Objective(recall=0.8), "at": 0.25, "posts": 1000, "harmful": 40} | more)


# ---------------------------------------------------------------------------------------------------- what may be asked


@pytest.mark.parametrize(
    ("options", "given", "name", "allowed", "refused"),
    [
        (Capacity, {"posts_a_day": 9}, "reviews_a_day", (0.5,), (0, -1)),
        (Capacity, {"reviews_a_day": 9}, "posts_a_day", (0.5,), (0, -1)),
        (Cost, {"alarm": 1}, "miss", (0.5,), (0, -1)),
        (Cost, {"miss": 1}, "alarm", (0.5,), (0, -1)),
        (Objective, {}, "precision", (0.01, 1), (0, 1.01)),
        (Objective, {}, "recall", (0.01, 1), (0, 1.01)),
        (Objective, {}, "fixed", (0, 0.5, 1), (-0.01, 1.01)),
        (Objective, {"recall": 0.8}, "sure", (0.01, 0.99), (0, 1, 1.01)),
        (Chosen, {"objective": SURE, "at": None, "harmful": 0}, "posts", (0, 1), (-1,)),
        (Chosen, {"objective": SURE, "at": None, "posts": 0}, "harmful", (0, 1), (-1,)),
        (Chosen, {"objective": SURE, "at": None, "posts": 0, "harmful": 0}, "flagged", (0, 1), (-1,)),
        (Chosen, {"objective": SURE, "at": None, "posts": 0, "harmful": 0}, "caught", (0, 1), (-1,)),
        (Chosen, {"objective": SURE, "at": None, "posts": 0, "harmful": 0}, "needed", (1, 2), (0, -1)),
    ],
)
def test_a_number_out_of_its_bounds_is_refused(options, given, name, allowed, refused):
    for value in allowed:
        assert getattr(options(**given, **{name: value}), name) == value
    for value in refused:
        with pytest.raises(ValueError, match=name):
            options(**given, **{name: value})


def test_an_objective_is_exactly_one_of_the_eight():
    for wrong in ({}, {"precision": 0.9, "recall": 0.9}, {"f1": "best", "f1_macro": "best", "fixed": 0.5}):
        with pytest.raises(WorkbenchError, match="exactly one of precision, recall, f1, f1_macro, f1_micro, cap"):
            Objective.parse(wrong, "policy")


def test_only_a_precision_or_recall_of_posts_as_sampled_can_be_sure():
    assert (SURE.kind, Objective(recall=0.5, sure=0.5, mix="sample").kind) == ("precision", "recall")
    for wrong in ({"f1": "best"}, {"fixed": 0.5}, {"recall": 0.5, "mix": "site"}):
        assert Objective(**wrong).sure is None
        with pytest.raises(ValueError, match="`sure` goes with"):
            Objective(**wrong, sure=0.9)


def test_posts_count_by_their_weights_for_a_capacity_and_where_it_is_asked_for():
    people = Capacity(reviews_a_day=1, posts_a_day=2)
    assert Objective(capacity=people).weighted
    assert not Objective(capacity=people, mix="sample").weighted
    assert not Objective(precision=0.5).weighted
    assert not Objective(precision=0.5, mix="sample").weighted
    assert Objective(precision=0.5, mix="site").weighted


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        (Objective(capacity=Capacity(reviews_a_day=20, posts_a_day=5000)), "at most 20 of 5000 posts a day"),
        (Objective(cost=Cost(miss=10, alarm=0.5)), "least cost, a miss costing 10 and a false alarm 0.5"),
        (Objective(fixed=0.0), "fixed at 0"),
        (Objective(f1="best"), "best F1"),
        (Objective(f1_macro="best", mix="site"), "best F1, mean of both classes, by the site's mix"),
        (Objective(f1_micro="best"), "best F1 over all labels"),
        (Objective(precision=0.9), "precision of at least 0.9"),
        (SURE, "precision of at least 0.9, sure to 95 %"),
        (Objective(recall=0.75, sure=0.8), "recall of at least 0.75, sure to 80 %"),
    ],
)
def test_an_objective_in_words(objective, said):
    assert str(objective) == said
    assert set(objective.model_dump()) == objective.model_fields_set  # only what was asked for is written


# --------------------------------------------------------------------------------------------------- what came of it


def test_what_is_not_said_of_a_threshold_is_not_written():
    plain = {"objective": {"recall": 0.8}, "at": 0.25, "posts": 1000, "harmful": 40, "flagged": 0, "caught": 0}
    assert chosen().model_dump(mode="json") == {**plain, "why": None}  # `why` was always there
    shares = Shares(precision=None, recall=(0.5, 0.25, 0.75), few=False)
    more = {"nothing": True, "proven": 0.8, "seen": 0.9, "needed": 7, "sample": shares, "site": shares}
    written = chosen(**more).model_dump(mode="json")
    told = {"precision": None, "recall": [0.5, 0.25, 0.75], "few": False}
    assert written == {**plain, "why": None, **more, "sample": told, "site": told}
    assert chosen(nothing=False).model_dump(mode="json") == chosen().model_dump(mode="json")


def test_shares_are_those_of_groups_where_they_are_recorded_and_else_wilson_s():
    plain = chosen(flagged=64, caught=32)
    assert plain.precision == pytest.approx((0.5, 0.3809, 0.6191), abs=1e-3)
    assert plain.recall == pytest.approx((0.8, 0.6524, 0.8950), abs=1e-3)
    assert math.isnan(chosen().precision[0])
    of_groups = {"precision": (0.6, 0.3, 0.8), "recall": (0.7, 0.2, 0.9), "few": True}
    recorded = chosen(flagged=64, caught=32, sample=of_groups)
    assert (recorded.precision, recorded.recall) == (of_groups["precision"], of_groups["recall"])
    undefined = chosen(flagged=64, caught=32, sample={"precision": None, "recall": None, "few": True})
    assert (undefined.precision, undefined.recall) == (plain.precision, plain.recall)


def test_what_a_threshold_promises_in_words():
    did = "of 1,000 validation posts (40 harmful) 64 reach it, 32 of them harmful: "
    plain = chosen(flagged=64, caught=32)
    assert plain.promise == f"{did}precision 0.50 [0.38, 0.62], recall 0.80 [0.65, 0.90]"
    assert plain.more == []
    told = {"precision": (0.6, 0.3, 0.8), "recall": (0.7, 0.2, 0.9)}
    few = chosen(flagged=64, caught=32, sample={**told, "few": True}, why="tested")
    assert few.promise == f"{did}precision 0.60 [0.30, 0.80], recall 0.70 [0.20, 0.90] (few); tested"
    many = chosen(flagged=64, caught=32, sample={**told, "few": False})
    assert many.promise == f"{did}precision 0.60 [0.30, 0.80], recall 0.70 [0.20, 0.90]"
    assert chosen(at=None, why="too few").promise == "no threshold qualifies (too few)"
    assert (
        chosen(at=None, why="nothing does as well", nothing=True).promise == "nothing is flagged (nothing does as well)"
    )


def test_shares_in_words():
    share = (0.5, 0.25, 0.75)
    assert str(Shares(precision=share, recall=None, few=False)) == "precision 0.50 [0.25, 0.75]"
    assert str(Shares(precision=None, recall=share, few=True)) == "recall 0.50 [0.25, 0.75] (few)"
    both = "precision 0.50 [0.25, 0.75] and recall 0.50 [0.25, 0.75]"
    assert str(Shares(precision=share, recall=share, few=False)) == both
    assert str(Shares(precision=None, recall=None, few=False)) == "nothing is flagged"


def test_a_proof_is_told_where_there_is_one_and_what_is_proven_instead_where_there_is_none():
    proof = "This is proven of posts drawn as those of validation were, and of no others."
    site = {"precision": None, "recall": (0.5, 0.25, 0.75), "few": True}
    elsewhere = "By the site's own mix of posts: recall 0.50 [0.25, 0.75] (few)."
    assert chosen(objective=SURE).more == [proof]
    assert chosen(objective=SURE, site=site).more == [proof, elsewhere]
    assert chosen(site=site).more == [elsewhere]
    none = {"objective": SURE, "at": None}
    assert chosen(**none).more == ["No lower precision is proven."]
    assert chosen(**none, site=site, proven=0.7).more == ["A precision of 0.7 is proven, sure to 95 %."]
    assert chosen(**none, seen=0.85).more == [
        "No lower precision is proven; the precision seen at best is 0.85, so that more posts alone would not prove "
        "0.9."
    ]
    assert chosen(**none, proven=0.8, seen=0.92, needed=4000).more == [
        "A precision of 0.8 is proven, sure to 95 %; the precision seen at best is 0.92, and if that holds about 4,000 "
        "labelled groups of posts like those of validation would prove 0.9."
    ]
    for other in (Objective(precision=0.9), Objective(recall=0.9, sure=0.95), Objective(recall=0.9)):
        assert chosen(objective=other, at=None).more == []
