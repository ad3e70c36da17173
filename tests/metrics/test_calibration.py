"""Calibration: the line by hand, the order of posts unchanged, prevalence moved by Bayes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_families import families
from scipy.special import expit, logit

from workbench.metrics import calibration
from workbench.metrics.calibration import (
    ENOUGH,
    ENOUGH_TO_BEND,
    IDENTITY,
    METHODS,
    calibration_error,
    calibrator,
    choose_calibrator,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    reliability_curve,
    shift,
)
from workbench.metrics.classification import average_precision


def test_two_scores_are_brought_to_the_shares_seen():
    # at each of two scores the line can meet the mean target: positives count as 51/52, negatives as 1/52
    y = np.r_[np.ones(40), np.zeros(10), np.ones(10), np.zeros(40)]
    x = np.r_[np.full(50, 3.0), np.full(50, -1.0)]
    line = fit_platt(y, x)
    high = (40 * 51 / 52 + 10 / 52) / 50
    assert expit(line(3.0)) == pytest.approx(high, abs=1e-6)
    assert expit(line(-1.0)) == pytest.approx(1 - high, abs=1e-6)


def test_a_score_that_misleads_is_flattened_and_never_turned_round():
    x = np.linspace(-2, 2, 200)
    line = fit_platt(x < 0, x)
    assert 0 < line.slope <= 0.011


@pytest.mark.parametrize(
    ("y", "x"),
    [([1] * (ENOUGH - 1) + [0] * 90, np.arange(99.0)), ([0] * 50, np.arange(50.0)), ([0, 1] * 50, [0.5] * 100)],
)
def test_where_there_is_too_little_the_scores_stay(y, x):
    line = fit_platt(y, x)
    assert line[:2] == IDENTITY[:2]
    assert "not calibrated" in line.note


def test_unknown_and_unread_rows_are_left_out_and_nan_stays():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = rng.random(400) < expit(2 * x - 1)
    clean = fit_platt(y, x)
    more_y, more_x = np.r_[y, np.ones(80, bool)], np.r_[x, np.full(40, np.nan), np.full(40, -9.0)]
    known = np.r_[np.ones(440, bool), np.zeros(40, bool)]
    assert fit_platt(more_y, more_x, known=known) == clean
    assert clean.slope == pytest.approx(2, abs=0.5)
    assert clean.offset == pytest.approx(-1, abs=0.4)
    assert np.isnan(clean(np.nan))


@given(st.lists(st.floats(-60, 60, width=32), min_size=30, max_size=80), st.randoms(use_true_random=False))
def test_the_order_of_posts_stays(values, random):
    x = np.array(values, dtype=np.float64)
    y = np.array([random.random() < 0.5 for _ in values])
    line = fit_platt(y, x)
    # probabilities near 1 crowd together in float64 too: ties may appear there, the order never turns round
    order = np.argsort(x, kind="stable")
    assert (np.diff(line(x)[order]) >= 0).all()
    assert (np.diff(expit(line(x))[order]) >= 0).all()


def test_average_precision_is_that_of_the_logits():
    rng = np.random.default_rng(1)
    x = rng.normal(0, 12, 3000)
    y = rng.random(3000) < expit(x / 4 - 3)
    line = fit_platt(y, x)
    assert average_precision(y, expit(line(x))) == average_precision(y, expit(x / 40))


def test_another_prevalence_is_bayes():
    # of 1000: 500 harmful, 300 of which look so; 500 harmless, 100 of which do: 300/400. At one harmful in 101 ...
    there = logit(300 / 400)
    assert expit(there + shift(0.5, 1 / 101)) == pytest.approx((0.6 * 1) / (0.6 * 1 + 0.2 * 100))
    for none_or_all in (0.0, 1.0):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            shift(none_or_all, 0.5)


def test_reliability_counts_every_post_once():
    rng = np.random.default_rng(2)
    p = rng.random(1000)
    y = rng.random(1000) < p
    predicted, observed, count = reliability_curve(y, p)
    assert count.tolist() == [100] * 10
    assert np.abs(predicted - observed).max() < 0.12
    assert calibration_error(y, p) < 0.06
    assert calibration_error(y, p**3) > 0.15


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_a_score_changes_no_probability(scale):
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    y = rng.random(400) < expit(3 * x - 1)
    expected = fit_platt(y, x)
    line = fit_platt(y, x * scale + 7 * scale)
    np.testing.assert_allclose(line((x + 7) * scale), expected(x), atol=1e-5)


# ---------------------------------------------------------------------------------------- the family, and its choice


def world(n: int = 3000, seed: int = 4, slope: float = 1.0, offset: float = 0.0):
    """Scores x whose true log-odds are slope * x + offset."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return rng.random(n) < expit(slope * x + offset), x


def test_a_temperature_has_one_number_and_is_likeliest():
    y, x = world(slope=2.5)
    line = fit_temperature(y, x)
    assert (line.offset, line.method) == (0.0, "temperature")
    assert line.slope == pytest.approx(2.5, abs=0.3)
    target = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))
    loss = [np.mean(np.logaddexp(0, s * x) - target * s * x) for s in line.slope * np.array([0.999, 1, 1.001])]
    assert loss[1] < min(loss[0], loss[2])


def test_the_knots_are_the_pooled_steps():
    # in rising order of score: 20 harmless; then 10 of 40 and, out of order, 8 of 40, which are pooled: 18 of 80
    y = np.r_[np.zeros(20), np.ones(10), np.zeros(30), np.ones(8), np.zeros(32), np.ones(20)]
    x = np.r_[np.full(20, -2.0), np.full(40, 0.0), np.full(40, 1.0), np.full(20, 3.0)]
    curve = fit_isotonic(y, x)
    low, high = 1 / (82 + 2), (38 + 1) / (38 + 2)  # Platt's targets for 38 harmful and 82 other posts
    steps = [low, (18 * high + 62 * low) / 80, high]
    centres, log_odds = np.transpose(curve.knots)
    np.testing.assert_allclose(centres, [-2, 0.5, 3])
    np.testing.assert_allclose(expit(log_odds), steps)
    assert curve(1.75) == pytest.approx((log_odds[1] + log_odds[2]) / 2)  # straight between knots
    assert curve(4.0) == pytest.approx(log_odds[2] + curve.tail)  # and nearly flat beyond


@pytest.mark.parametrize("name", METHODS)
@given(st.lists(st.floats(-60, 60, width=16), min_size=30, max_size=60), st.randoms(use_true_random=False))
def test_no_calibrator_changes_a_ranking_or_ties_posts(name, values, random):
    x = np.array(values, dtype=np.float64)
    y = np.array([random.random() < 0.5 for _ in values])
    z = METHODS[name](y, x)(np.unique(x))
    assert (np.diff(z) > 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_calibrators_survive_json_and_keep_nan(name):
    y, x = world(400)
    fitted = choose_calibrator(y, x, method=name)
    again = calibrator(json.loads(json.dumps(fitted._asdict())))
    assert again.method == name
    assert again.numbers == json.loads(json.dumps(fitted.numbers))
    np.testing.assert_array_equal(again(np.r_[x, np.nan]), fitted(np.r_[x, np.nan]))
    assert np.isnan(again(np.nan))
    assert fitted.chosen == {"why": f"the study asks for {name}"}
    assert fitted.words


def test_a_bundle_of_before_is_read():
    assert calibrator({"slope": 2.0, "offset": -1.0, "note": None})(3.0) == 5.0
    assert calibrator({"slope": 1.0, "offset": 0.0, "note": "not calibrated: few"}).words == "not calibrated: few"


@pytest.mark.parametrize(
    ("slope", "offset", "bend", "expected"),
    [
        (1.0, 0.0, False, "none"),
        (3.0, 0.0, False, "temperature"),
        (2.0, -2.0, False, "platt"),
        (0, 0, True, "isotonic"),
    ],
)
def test_the_simplest_that_holds_is_chosen(slope, offset, bend, expected):
    rng = np.random.default_rng(6)
    x = rng.normal(0, 2, 6000)
    truth = np.where(x < 1.5, -3 + 0.2 * x, 2.5) if bend else slope * x + offset  # a step that no line can follow
    y = rng.random(6000) < expit(truth)
    found = choose_calibrator(y, x)
    assert found.method == expected
    losses = found.chosen["log_loss"]
    assert list(losses) == list(METHODS)
    assert losses[expected] <= min(losses.values()) + found.chosen["excess_error"][expected]
    assert expected in found.chosen["why"]


def test_few_positives_get_no_curve_and_very_few_nothing():
    x = world(2000)[1]
    few = choose_calibrator(np.r_[np.ones(ENOUGH_TO_BEND - 1, bool), np.zeros(900, bool)], np.r_[x[:949]])
    assert "isotonic" not in few.chosen["log_loss"]
    none = choose_calibrator(np.r_[np.ones(ENOUGH - 1, bool), np.zeros(900, bool)], x[:909])
    assert none.numbers == IDENTITY.numbers
    assert none.chosen["why"] == none.note
    assert f"{ENOUGH} of each are needed" in none.note


def test_copies_of_a_post_are_held_out_together():
    # each post five times over and no signal: with copies on both sides a curve would seem to know its labels
    rng = np.random.default_rng(8)
    y, x, group = (np.repeat(a, 5) for a in (rng.random(300) < 0.4, rng.normal(size=300), np.arange(300)))
    together, apart = choose_calibrator(y, x, group), choose_calibrator(y, x)
    assert together.chosen["log_loss"]["isotonic"] > apart.chosen["log_loss"]["isotonic"] + 0.01
    assert together.method != "isotonic"


def test_calibrating_makes_probabilities_hold_on_new_posts():
    y, x = world(3000, 10, slope=0.4, offset=-1.5)
    new_y, new_x = world(20_000, 11, slope=0.4, offset=-1.5)
    found = choose_calibrator(y, x)
    assert calibration_error(new_y, expit(new_x)) > 0.1
    assert calibration_error(new_y, expit(found(new_x))) < 0.025


def test_rare_harm_is_dealt_out_over_the_folds():
    # 10 of 1,000 groups have a harmful post, so 2 a fold; at random a fold of 5 would have none in half of all deals
    codes = np.repeat(np.arange(1000), 2)
    y = np.isin(codes, np.arange(0, 1000, 100)) & (np.arange(2000) % 2 == 0)
    fold = calibration._folds(y, codes)
    assert np.bincount(fold[::100]).tolist() == [2] * 5
    assert np.bincount(fold).tolist() == [200] * 5


# ------------------------------------------------------------------------------------------------ fitted by weights


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_a_fit_by_weights_is_that_of_the_posts_they_stand_for(method):
    # every second post of x > 0 was sampled once in four; weighted it is the fit of all of them
    y, x = world(40_000, 3, slope=0.6, offset=-0.5)
    rng = np.random.default_rng(4)
    kept = (x < 0) | (rng.random(len(x)) < 0.25)
    weight = np.where(x < 0, 1.0, 4.0)[kept]
    everything, weighted = METHODS[method](y, x), METHODS[method](y[kept], x[kept], weight=weight)
    at = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(expit(weighted(at)), expit(everything(at)), atol=0.03)


def test_where_the_truth_itself_depends_on_what_was_sampled_weights_bring_back_the_site():
    # half of the posts are of a kind that a score does not see and that is harmful more often, sampled ninefold
    rng = np.random.default_rng(5)
    kind, x = rng.random(20_000) < 0.9, rng.normal(size=20_000)
    y = rng.random(20_000) < expit(x - 2 + 2.0 * kind)
    weight = np.where(kind, 1 / 9, 1.0)
    found = choose_calibrator(y, x, weight=weight)
    site = expit(found(x))
    assert np.average(site, weights=weight) == pytest.approx(np.average(y, weights=weight), abs=0.01)
    assert expit(choose_calibrator(y, x)(x)).mean() > 1.4 * np.average(y, weights=weight)


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_equal_change_nothing(method):
    y, x = world(800, 6, slope=0.5, offset=-1)
    plain, weighted = METHODS[method](y, x), METHODS[method](y, x, weight=np.full(800, 7.0))
    np.testing.assert_allclose(plain([-1.0, 0.5, 2.0]), weighted([-1.0, 0.5, 2.0]), rtol=1e-4)


def test_weighted_posts_count_as_kishs_and_those_without_weight_not_at_all():
    y, x = world(400, 7)
    weight = np.where(y, 0.001, 1.0)
    weight[np.flatnonzero(y)[:3]] = 1.0  # three harmful posts have nearly all of their weight
    note = fit_platt(y, x, weight=weight).note
    assert note.startswith("not calibrated: by their weights validation is worth 3 harmful")
    assert choose_calibrator(y, x, weight=weight).chosen["why"] == note
    more_y, more_x = np.r_[y, np.ones(50, bool)], np.r_[x, np.full(50, -9.0)]
    whole = np.r_[np.full(400, 2.0), np.zeros(50)]
    np.testing.assert_allclose(fit_platt(more_y, more_x, weight=whole)[:2], fit_platt(y, x)[:2], rtol=1e-4)
    assert choose_calibrator(more_y, more_x, weight=whole).method == choose_calibrator(y, x).method


def test_an_unknown_method_is_named_with_the_choices():
    with pytest.raises(ValueError, match="unknown calibration 'plat'; the choices are: auto, none, temperature"):
        choose_calibrator([0, 1], [0.0, 1.0], method="plat")


# ------------------------------------------------------------------------------------------- numbers on a fixed sample


@pytest.mark.parametrize(
    ("method", "plain", "masked"),
    [
        ("none", [-1.0, 0.2, 3.0], [-1.0, 0.2, 3.0]),
        ("temperature", [-1.628299, 0.3256599, 4.884898], [-1.665889, 0.3331778, 4.997667]),
        ("platt", [-2.37009, -0.2610337, 4.660098], [-2.435215, -0.2499884, 4.848874]),
        ("isotonic", [-1.938095, -0.2696212, 5.678616], [-1.987848, -0.3089255, 4.961683]),
    ],
)
def test_fits_of_a_fixed_sample_stay(method, plain, masked):
    # only another loss, target or sample changes these
    y, x, _, masks = families()
    np.testing.assert_allclose(METHODS[method](y, x)([-1.0, 0.2, 3.0]), plain, rtol=1e-4)
    fitted = METHODS[method](y, x, **masks)
    np.testing.assert_allclose(fitted([-1.0, 0.2, 3.0]), masked, rtol=1e-4)
    keep = masks["known"] & (masks["weight"] > 0)
    assert METHODS[method](y[keep], x[keep], weight=masks["weight"][keep]).numbers == fitted.numbers


@pytest.mark.parametrize(
    ("use", "groups", "losses", "errors"),
    [
        ((), (157, 206), [0.5277396, 0.5080862, 0.4800112, 0.4865826], [0.01252446, 0.01009625, 0, 0.003361434]),
        (("weight",), (135, 170), [0.5271505, 0.509649, 0.483651, 0.499941], [0.01703188, 0.01308976, 0, 0.00679615]),
        (("known",), (148, 200), [0.5285534, 0.5110591, 0.485127, 0.4906156], [0.01247389, 0.01041915, 0, 0.003996083]),
        (
            ("known", "weight"),
            (126, 162),
            [0.5261028, 0.5029898, 0.4765242, 0.482201],
            [0.01669399, 0.01399607, 0, 0.00703047],
        ),
    ],
)
def test_the_choice_on_a_fixed_sample_stays(use, groups, losses, errors):
    y, x, group, masks = families()
    masks = {name: masks[name] for name in use}
    found = choose_calibrator(y, x, group, **masks)
    assert found.numbers == METHODS["platt"](y, x, **masks).numbers
    assert found.chosen["groups"] == {"harmful": groups[0], "other": groups[1]}
    np.testing.assert_allclose(list(found.chosen["log_loss"].values()), losses, rtol=1e-4)
    np.testing.assert_allclose(list(found.chosen["excess_error"].values()), errors, rtol=1e-3, atol=1e-9)
    assert found.chosen["why"].endswith("nothing simpler comes within one standard error of it")
    # what nobody knows or has no score is not looked at
    known = np.r_[masks.get("known", np.ones(700, bool)), False, True]
    weight = {name: np.r_[masks[name], 1, 1] for name in use if name == "weight"}
    longer = np.r_[y, True, False], np.r_[x, -9.0, np.nan], np.r_[group, 0, 0]
    assert choose_calibrator(*longer, known=known, **weight) == found


def test_a_curve_is_tried_from_fifty_groups_of_each_class_on():
    y, x = np.r_[np.ones(ENOUGH_TO_BEND, bool), np.zeros(200, bool)], np.random.default_rng(0).normal(size=250)
    for truth in (y, ~y):
        assert "isotonic" in choose_calibrator(truth, x).chosen["log_loss"]
        assert "isotonic" not in choose_calibrator(truth[1:], x[1:]).chosen["log_loss"]
    copies = np.r_[0, np.arange(249)]  # the first two posts are one
    assert "isotonic" not in choose_calibrator(y, x, copies).chosen["log_loss"]


def test_two_numbers_are_fitted_from_ten_posts_of_each_class_on():
    y, x = np.r_[np.ones(ENOUGH, bool), np.zeros(30, bool)], np.random.default_rng(0).normal(size=40)
    for truth in (y, ~y):
        for fit in (fit_temperature, fit_platt, fit_isotonic):
            assert fit(truth, x).note is None
            assert fit(truth[1:], x[1:]).note.startswith("not calibrated: validation has")
    assert fit_platt(y, np.full(40, 0.1)).note.startswith("not calibrated: all scores")
    assert fit_platt(y[:0], x[:0], weight=x[:0]).note.startswith("not calibrated: validation has 0 harmful")


@pytest.mark.parametrize("weighted", [False, True])
def test_a_line_is_the_likeliest_and_no_steeper_than_allowed(weighted):
    y, x = world(600, 9, slope=2.0, offset=-0.7)
    weight = np.random.default_rng(2).integers(1, 4, 600) if weighted else None
    mass = (
        np.ones(600) if weight is None else weight * 600 / weight.sum() * (weight.sum() ** 2 / 600 / np.sum(weight**2))
    )
    positives, negatives = mass[y].sum(), mass[~y].sum()
    target = np.where(y, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    line, temperature = fit_platt(y, x, weight=weight), fit_temperature(y, x, weight=weight)
    off = expit(line(x)) - target  # at the best line its weighted mean is 0, alone and times the score
    assert np.average(off, weights=mass) == pytest.approx(0, abs=1e-6)
    assert np.average(off * x, weights=mass) == pytest.approx(0, abs=1e-6)
    assert np.average((expit(temperature(x)) - target) * x, weights=mass) == pytest.approx(0, abs=1e-6)
    flat = fit_temperature(x < 0, x)
    assert flat.slope * np.std(x) == pytest.approx(0.01, rel=1e-3)
    assert fit_platt(x < 0, x).slope * np.std(x) == pytest.approx(0.01, rel=1e-3)
    assert fit_isotonic(y, x).tail * np.std(x) == pytest.approx(0.01)
