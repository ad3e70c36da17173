"""Prior shift where the sample was drawn otherwise: estimates by weight, and what cannot be told."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_runs import World, sigmoid

from workbench.decisions.drawn import Drawn
from workbench.evidence import prior_shift
from workbench.evidence.prior_shift import Labelled
from workbench.metrics import prevalence as rates
from workbench.metrics.calibration import IDENTITY, Line
from workbench.metrics.prevalence import Estimate

# ------------------------------------------------------------------------------------------------- numbers, one by one


def labelled(n: int = 400, weight=None, threshold: float = 0.5) -> Labelled:
    rng = np.random.default_rng(1)
    y = rng.random(n) < 0.3
    prob = np.round(sigmoid(rng.normal(size=n) + 2 * y - 1), 2)
    return Labelled(y, prob, np.ones(n) if weight is None else weight, np.arange(n) // 2, threshold)


def test_where_the_sample_was_drawn_otherwise_means_are_compared_by_weight():
    posts, there = labelled(weight=np.where(np.arange(400) % 3 == 0, 2.0, 1.0)), labelled(300).prob ** 2
    found = prior_shift.estimated("abuse", posts, there, None)
    about = {"group": posts.group, "weight": posts.weight}
    assert found.by_probabilities == rates.estimate_from_flags(posts.y, posts.prob, there, **about)
    assert found.p == rates.label_shift_test(posts.y, posts.prob, there, **about)
    assert posts.weighted
    assert not posts.by_label
    assert found.tested == pytest.approx((posts.weight * posts.y).sum() / posts.weight.sum())
    heavy = labelled(weight=np.where(np.arange(400) == np.flatnonzero(posts.y)[0], 500.0, 1.0))
    refused = prior_shift.estimated("abuse", heavy, there, None)
    assert f"a few of the {int(posts.y.sum())} harmful test posts" in refused.why
    assert math.isnan(refused.by_flags.value)
    assert math.isnan(refused.p)
    assert not labelled(0).weighted


def test_a_share_at_the_end_of_its_interval_has_not_moved_and_p_at_its_limit_is_no_doubt():
    found = prior_shift.Shift("abuse", labelled(), None, by_flags=Estimate(0.2, 0.1, 0.3), p=0.01)
    moved = {at: found._replace(holds_at=at).moved for at in (0.09, 0.1, 0.2, 0.3, 0.31)}
    assert moved == {0.09: True, 0.1: False, 0.2: False, 0.3: False, 0.31: True}
    assert not found.moved
    assert (found.doubtful, found.answered) == (False, True)
    doubted = found._replace(p=0.0099, holds_at=0.5)
    assert (doubted.doubtful, doubted.answered, doubted.moved) == (True, False, False)
    assert not found._replace(p=0.015).doubtful
    unknown = found._replace(by_flags=Estimate(math.nan, math.nan, math.nan), holds_at=0.5)
    assert (unknown.answered, unknown.moved) == (False, False)


def test_a_class_weight_is_the_ratio_of_odds_at_each_end():
    assert prior_shift._class_weight(0.2, Estimate(0.5, 0.25, 1.0)) == pytest.approx((4.0, 4 / 3, math.inf))
    assert prior_shift._class_weight(0.5, Estimate(0.8, 0.0, 0.9)) == pytest.approx((4.0, 0.0, 9.0))
    for trained, share in ((0.0, 0.5), (1.0, 0.5), (0.5, 0.0), (0.5, 1.0), (0.5, math.nan)):
        told = prior_shift._class_weight(trained, Estimate(share, 0.0, 1.0))
        assert all(map(math.isnan, told))


def test_each_label_is_estimated_from_its_own_column_and_its_training_share(tmp_path):
    world = World(400)
    run = world.write(tmp_path, "m", world.good())
    there = sigmoid(world.good()[0, :, 0])
    decided = pd.DataFrame({"p_abuse": [*there, np.nan]})
    (found,) = prior_shift.shift(run, 0, decided, {"prevalence": {"abuse": 0.35}})
    posts = Labelled.of(run.sets["test"], 0, 0, float(run.thresholds[0, 0]))
    assert found.by_flags == prior_shift.estimated("abuse", posts, there, None).by_flags
    assert (found.label, found.holds_at, found.drawn) == ("abuse", 0.35, None)
    assert found.class_weight == prior_shift._class_weight(float(run.prevalence[0]), found.by_flags)
    saved = Drawn(False, 0.2)
    head = {"prevalence": {"abuse": 0.35}, "drawn": {"abuse": saved.saved}}
    assert prior_shift.shift(run, 0, decided, head)[0].drawn == saved
    always = replace(run.sets["test"], y=np.ones_like(run.sets["test"].y))
    assert prior_shift.shift(replace(run, sets={"test": always}), 0, decided, head) == []
    assert prior_shift.shift(run, 0, decided[:0], head) == []


@pytest.mark.parametrize(
    ("estimate", "digits"),
    [
        ((0.2, 0.125, 0.375), 1),
        ((0.2, 0.15, 0.25), 2),
        ((2.0, 1.0, 3.0), 0),
        ((2.0, 0.5, 2.4), 1),
        ((20.0, 0.0, 40.0), 0),
        ((0.2, 0.2, 0.2), 0),
        ((3.0, 1.0, math.inf), 0),
    ],
)
def test_digits_are_those_to_the_first_one_of_half_the_interval(estimate, digits):
    assert prior_shift._digits(Estimate(*estimate)) == digits


def test_values_are_told_between_their_ends():
    assert prior_shift._ends(Estimate(0.0778, 0.0621, 0.0954)) == "0.062 to 0.095"
    assert prior_shift._interval(Estimate(0.0778, 0.0621, 0.0954)) == "7.78 % [6.21, 9.54]"
    assert prior_shift._percent(0.1234) == "12 %"


def test_every_line_about_shares_follows_from_what_is_known():
    moved = prior_shift.Shift("a", labelled(), None, Estimate(0.2, 0.15, 0.25), Estimate(0.21, 0.16, 0.26), 0.5, 0.4)
    moved = moved._replace(class_weight=Estimate(2.0, 1.5, 2.5))
    stay, doubted = moved._replace(label="s", holds_at=0.2), moved._replace(label="d", p=0.001)
    unknown = moved._replace(label="u", holds_at=None, class_weight=Estimate(*[math.nan] * 3))
    untold = moved._replace(label="n", p=math.nan)
    lines = list(prior_shift._lines([moved, stay, doubted, unknown, untold]))
    share = prior_shift._percent(moved.tested)
    assert lines[1:5] == [
        f"a: {share} of the labelled test posts",
        "  by flags          20.00 % [15.00, 25.00]",
        "  by probabilities  21.00 % [16.00, 26.00]",
        "  that only the share has changed: p = 0.500, nothing speaks against it",
    ]
    assert [line for line in lines if "trust neither" in line] == [
        "  that only the share has changed: p = 0.001, more than the share has changed, trust neither"
    ]
    assert sum("that only the share has changed" in line for line in lines) == 4
    assert lines[-3:] == [
        "s: the share may be that at which the probabilities hold, so nothing is to be moved",
        "to train for it, among the options of a model: class_weight: {a: 2.0, n: 2.0}  # 95 %: a 1.50 to 2.50, "
        "n 1.50 to 2.50",
        "to serve there: workbench bundle move BUNDLE --prevalence a=0.20,n=0.20 -o FOLDER  # 95 %: a 0.150 to 0.250, "
        "n 0.150 to 0.250",
    ]
    otherwise = labelled(weight=np.where(np.arange(400) % 3 == 0, 2.0, 1.0))
    held = moved._replace(posts=otherwise, drawn=Drawn(False, 0.2), holds_at=None)
    bent = held._replace(label="b", drawn=Drawn(True, 0.2, Line(1.5, 0.0)))
    few = held._replace(label="f", drawn=Drawn(False, 0.2, IDENTITY._replace(note="too few")))
    lost = held._replace(label="l", drawn=None)
    told = list(prior_shift._lines([held, bent, few, lost]))[-2:]
    assert told[0].startswith("a: calibrated by weight")
    assert told[1].startswith("b, f, l: ")
    one = moved._replace(by_flags=Estimate(1.2, 0.5, 1.9), class_weight=Estimate(math.nan, 0.0, 1.0), holds_at=0.1)
    assert list(prior_shift._recommended([one])) == []
