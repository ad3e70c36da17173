"""Tests of differences against brute force and simulation, their corrections, and how large a test set they need."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_samples import sample, simulated
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from workbench.metrics import intervals as iv
from workbench.metrics import testing
from workbench.metrics.table import METRICS


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_the_three_formulas_agree(alpha, power):
    found = testing.detectable(0.02, alpha=alpha, power=power)
    assert testing.chance_to_find(found, 0.02, alpha=alpha) == pytest.approx(power, abs=1e-4)
    needed = testing.positives_needed(found / 3, 0.02, 150, alpha=alpha, power=power)
    assert needed == pytest.approx(9 * 150, abs=1)
    assert testing.rescaled(0.02, 150, 9 * 150) == pytest.approx(0.02 / 3)


def test_the_chance_to_find_a_difference_is_that_of_simulated_tests():
    rng = np.random.default_rng(0)
    seen = rng.normal(0.03, 0.01, 20_000)
    assert testing.chance_to_find(0.03, 0.01) == pytest.approx(np.mean(np.abs(seen) > 1.959964 * 0.01), abs=0.01)
    assert testing.chance_to_find(0.0, 0.01) == pytest.approx(0.05)  # nothing there: the level of the test


def test_what_no_test_set_can_do_is_refused():
    with pytest.raises(ValueError, match="difference of 0"):
        testing.positives_needed(0.0, 0.01, 100)
    with pytest.raises(ValueError, match="above 0, not 0 and 5"):
        testing.rescaled(0.01, 0, 5)
    assert np.isnan(testing.chance_to_find(0.1, np.nan))


def test_one_sided_p_counts_and_reaches_below_its_count():
    draws = np.array([-1.0, 0.0, 1.0, 2.0])
    assert testing.one_sided_p(0.5, draws) == pytest.approx(3 / 5)  # two of four at or below 0, more than the tail
    assert testing.one_sided_p(0.0, np.zeros(99)) == 1
    # nine standard errors above 0 with 999 resamples: a count alone would stop at .001
    far = 9 + np.random.default_rng(0).normal(size=999)
    assert testing.one_sided_p(9.0, far) == pytest.approx(stats.norm.sf(9 / far.std(ddof=1)))
    near = np.linspace(0.01, 1, 9)  # all above 0 by luck of few: the spread says how little that is worth
    assert testing.one_sided_p(0.1, near) == pytest.approx(stats.norm.sf(0.1 / near.std(ddof=1)))
    assert np.isnan(testing.one_sided_p(np.nan, draws))
    assert np.isnan(testing.one_sided_p(0.5, [np.nan, np.nan, 1.0]))


# ---------------------------------------------------------------------------------------------------------- permutation


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metric", ["average_precision", "roc_auc"])
def test_swaps_are_those_of_naive_swapping(metric, weighted):
    y, a, codes, groups = sample(levels=3)
    b = sample(levels=2, seed=9)[1] * 100  # another scale: only ranks may matter
    known = np.random.default_rng(5).random(len(y)) < 0.8
    weight = np.random.default_rng(7).random(len(y)) if weighted else None
    about = {"metric": METRICS[metric].function, "known": known, "weight": weight}
    difference = testing.swapped_ranking(y, a, b, codes, groups, **about)
    weight = weight[known] if weighted else None
    S = np.random.default_rng(6).integers(0, 2, (groups, 12)).astype(float)
    exact = {"average_precision": average_precision_score, "roc_auc": roc_auc_score}[metric]
    ranks = [stats.rankdata(score[known]) for score in (a, b)]
    for s, found in zip(S.T, difference(S), strict=True):
        keep = s[codes[known]] == 1
        first, second = np.where(keep, *ranks), np.where(keep, *ranks[::-1])
        one, other = (exact(y[known], side, sample_weight=weight) for side in (first, second))
        assert found == pytest.approx(one - other, abs=1e-12)
    one, other = (exact(y[known], side[known], sample_weight=weight) for side in (a, b))
    observed = one - other
    assert difference(np.ones((groups, 1)))[0] == pytest.approx(observed)


def test_swapped_counts_are_those_of_naive_swapping():
    y, a, codes, groups = sample()
    b = sample(seed=9)[1]
    counts = [iv.group_confusions(y, score >= 0.5, codes, groups) for score in (a, b)]
    S = np.random.default_rng(6).integers(0, 2, (groups, 12)).astype(float)
    for s, found in zip(S.T, testing.swapped_pieces(*counts, METRICS["f1"].of_pieces)(S), strict=True):
        keep = s[codes] == 1
        expected = METRICS["f1"](y, np.where(keep, a, b)) - METRICS["f1"](y, np.where(keep, b, a))
        assert found == pytest.approx(expected)


def test_swapped_sums_are_those_of_naive_swapping():
    rng = np.random.default_rng(3)
    codes, losses = rng.integers(0, 9, 40), rng.random((2, 40))
    S = rng.integers(0, 2, (9, 12)).astype(float)
    posts = np.bincount(codes, minlength=9)
    sums = [np.stack([np.bincount(codes, weights=side, minlength=9), posts]) for side in losses]
    for s, found in zip(S.T, testing.swapped_pieces(*sums, METRICS["brier"].of_pieces)(S), strict=True):
        keep = s[codes] == 1
        assert found == pytest.approx(np.where(keep, *losses).mean() - np.where(keep, *losses[::-1]).mean())


def test_the_permutation_p_is_the_share_of_all_swaps_at_least_as_extreme():
    # 6 groups have 64 swaps, so the exact p can be counted; 20,000 draws lie within .01 of it
    y, a, codes, groups = sample(24, 6, strength=1.5, seed=2)
    b = sample(24, 6, seed=3)[1]
    difference = testing.swapped_ranking(y, a, b, codes, groups)
    every = np.array([[i >> g & 1 for i in range(2**groups)] for g in range(groups)], dtype=float)
    exact = np.mean(np.abs(difference(every)) >= abs(difference(np.ones((groups, 1)))[0]) - 1e-12)
    delta, p = testing.permutation_test([difference], groups, draws=20_000, seed=0)
    assert p == pytest.approx(exact, abs=0.01)
    assert delta == pytest.approx(average_precision_score(y, a) - average_precision_score(y, b))
    assert testing.permutation_test([difference], groups, draws=20_000, seed=0) == (delta, p)


def test_labels_and_seeds_are_averaged_under_the_same_swaps():
    y, a, codes, groups = sample()
    b = sample(seed=9)[1]
    forward, back = (testing.swapped_ranking(y, *scores, codes, groups) for scores in ((a, b), (b, a)))
    # under the same swaps the two cancel in every draw; under separate ones they would not
    assert testing.permutation_test([forward, back], groups, draws=1000) == (pytest.approx(0), 1)


def test_equal_models_differ_by_nothing_and_unlike_ones_clearly():
    y, a, codes, groups = sample(600, 600, strength=2.0)
    noise = sample(600, 600, strength=0.0, seed=7)[1]
    assert testing.permutation_test([testing.swapped_ranking(y, a, a, codes, groups)], groups) == (0, 1)
    # no draw of 9,999 is as extreme: the smallest p there is
    assert (
        testing.permutation_test([testing.swapped_ranking(y, a, noise, codes, groups)], groups, draws=9999)[1] == 1e-4
    )


def test_an_undefined_difference_has_no_p():
    nothing = testing.swapped_ranking([0, 0], [0.1, 0.2], [0.2, 0.1], [0, 1], 2)
    assert np.isnan(testing.permutation_test([nothing], 2)).all()
    assert np.isnan(testing.permutation_test([], 2)).all()


# ------------------------------------------------------------------------------------------------ corrections and rates


def test_mcnemar_by_hand_and_with_near_duplicates_as_one_piece():
    # 8 against 1: the two tails of nine fair coins hold 2 * (1 + 9) of 512
    a, b = np.array([1] * 8 + [0] + [1] * 5), np.array([0] * 8 + [1] + [1] * 5)
    assert testing.mcnemar(a, b, np.arange(14)) == (8, 1, pytest.approx(20 / 512))
    assert testing.mcnemar(b, a, np.arange(14))[:2] == (1, 8)
    copies = np.r_[np.zeros(8, int), 1, np.arange(2, 7)]  # the eight are copies of one post
    assert testing.mcnemar(a, b, copies) == (1, 1, 1.0)
    assert np.isnan(testing.mcnemar(a, a, np.arange(14))[2])


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, and no later one below an earlier
    np.testing.assert_allclose(testing.holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(testing.holm([0.5, np.nan, 0.9]), [1.0, np.nan, 1.0])
    # three were planned and one is missing: 3 * .0012, then 2 * .5; all of two would have been .0024
    np.testing.assert_allclose(testing.holm([0.5, 0.0012], planned=3), [1.0, 0.0036])
    np.testing.assert_allclose(testing.holm([0.01, 0.04], planned=1), [0.02, 0.04])  # what is there counts anyway
    assert testing.holm([]).shape == (0,)
    assert np.isnan(testing.holm([np.nan])).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers_a_p(p):
    adjusted = testing.holm(p)
    assert (adjusted >= np.array(p) - 1e-15).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@pytest.mark.slow
def test_the_permutation_test_holds_its_level_and_finds_what_is_there():
    rng, p = np.random.default_rng(1), {"equal": [], "better": []}
    for trial in range(400):
        for name, strength in (("equal", (1.0, 1.0)), ("better", (1.0, 2.2))):
            y, a, b, codes = simulated(rng, groups=120, strength=strength)
            difference = testing.swapped_ranking(y, a, b, codes, 120)
            p[name].append(testing.permutation_test([difference], 120, draws=499, seed=trial)[1])
    rejected = {name: np.mean(np.array(values) <= 0.05) for name, values in p.items()}
    # at most 5 % of true hypotheses; three standard errors of 400 trials are 3.3 points
    assert rejected["equal"] <= 0.083
    assert 0.4 <= np.mean(p["equal"]) <= 0.6
    assert rejected["better"] > 0.8


@pytest.mark.parametrize(
    ("interval", "inner", "verdict"),
    [
        ((0.001, 0.2), (0.002, 0.1), "better"),
        ((-0.2, -0.001), (-0.1, -0.002), "worse"),
        ((-0.009, 0.009), (-0.008, 0.008), "equivalent"),
        ((-0.009, 0.02), (-0.008, 0.015), "no worse"),
        ((-0.02, 0.009), (-0.015, 0.008), "no better"),
        ((-0.02, 0.02), (-0.015, 0.015), "undecided"),
        ((-0.011, 0.02), (-0.01, 0.015), "undecided"),  # the margin itself is not within it
        ((np.nan, np.nan), (np.nan, np.nan), "undefined"),
    ],
)
def test_verdicts(interval, inner, verdict):
    assert testing.verdict(0.01, interval, inner, 0.01, 1) == verdict


def test_a_verdict_follows_the_corrected_test():
    assert testing.verdict(0.06, (0.001, 0.2), (0.002, 0.1), 0.01, 1) == "no worse"
    assert testing.verdict(np.nan, (0.1, 0.2), (0.11, 0.19), 0.01, 1) == "no worse"
    assert testing.verdict(0.01, (-0.001, 0.2), (0.002, 0.1), 0.01, 1) == "no worse"  # nor without its interval
    assert testing.verdict(0.01, (-0.2, -0.1), (-0.19, -0.11), 0.01, -1) == "better"  # a loss


def recipes(posts, training, seeds=3, half=None):
    error = np.sqrt(posts + sum(training))
    reach = testing.student_reach(0.05, (posts, np.inf), [(part, seeds - 1) for part in training])
    half = reach * error if half is None else half
    return iv.RecipeDifference(0.1, 0.1 - half, 0.1 + half, 0.01, posts, training, (seeds, seeds), np.inf)


def test_more_seeds_halve_an_interval_that_trainings_make_wide():
    found = recipes(1.0, (50.0, 50.0))
    more = testing.seeds_to_halve(found)
    halves = {}
    for seeds in (more - 1, more):
        parts = [(150.0 / seeds, seeds - 1)] * 2
        halves[seeds] = testing.student_reach(0.05, (1.0, np.inf), parts) * np.sqrt(1 + 300 / seeds)
    assert halves[more] <= (found.hi - found.lo) / 4 < halves[more - 1]
    assert testing.seeds_to_halve(recipes(1.0, (0.1, 0.1))) is None  # the posts alone are wider than half of it
    assert testing.seeds_to_halve(recipes(1.0, (0.0, 0.0))) is None  # no training moves


def test_a_side_without_a_varying_training_asks_for_no_seeds_and_any_answer_is_more_than_there_are():
    def found(seeds, training, posts=1e-6):
        return iv.RecipeDifference(0.1, -0.4, 0.6, 0.01, posts, training, seeds, np.inf)

    # one side alone: half of the interval is .5, so .25 is to be had from a variance of .01 over its seeds
    needed = testing.seeds_to_halve(found((2, 2), (0.005, 0.0)))
    reach = [stats.t.isf(0.025, seeds - 1) * 0.1 / np.sqrt(seeds) for seeds in (needed - 1, needed)]
    assert reach[1] <= 0.25 < reach[0]
    assert testing.seeds_to_halve(found((2, 2), (0.005, 0.0)), alpha=0.5) == 3
    assert testing.seeds_to_halve(found((2, 6), (0.005, 0.0))) == 7
    assert testing.seeds_to_halve(found((2, 2), (3.0, 3.0), posts=0.0)) == 739  # 12 * (1.962 / .25)^2
    # at the most that is looked for, a thousand
    assert testing.seeds_to_halve(found((2, 2), (8.11, 0.0), posts=0.0)) == 1000
    assert testing.seeds_to_halve(found((2, 2), (8.13, 0.0), posts=0.0)) is None
    assert testing.seeds_to_halve(found((2, 2), (0.005, 0.0))._replace(lo=0.1, hi=0.1)) is None


def test_how_many_rows_of_swaps_there_are():
    y, score = np.tile([0, 1], 10), np.arange(20.0)
    assert testing.swapped_ranking(y, score, score, np.zeros(20, int), 1).rows == 10  # a segment for each harmful post
    assert testing.swapped_ranking(y, score, score, np.arange(20), 30).rows == 30
    assert testing.swapped_pieces(np.ones((4, 3, 7)), np.ones((4, 3, 7)), np.sum).rows == 21


def test_swapped_pieces_of_several_labels_are_swapped_in_each():
    rng = np.random.default_rng(4)
    a, b = rng.random((2, 2, 3, 7))  # two models' pieces (2, labels, groups)
    S = rng.integers(0, 2, (7, 5)).astype(float)

    def metric(pieces):
        return (pieces[0] / pieces[1]).mean(axis=0)

    naive = [metric(np.where(s, a, b).sum(axis=-1)) - metric(np.where(s, b, a).sum(axis=-1)) for s in S.T]
    np.testing.assert_allclose(testing.swapped_pieces(a, b, metric)(S), naive)


def test_a_permutation_has_ten_thousand_draws_of_seed_0():
    values = np.array([1.0, 2.0, 4.0, 3.0, -2.0])

    def difference(S):
        return values @ (2 * S - 1)

    difference.rows = 5
    found = testing.permutation_test([difference], 5)
    assert found == testing.permutation_test([difference], 5, draws=10_000, seed=0)
    assert found[0] == 8
    # of 32 sums of +-1 +-2 +-4 +-3 +-2 ten are at least 8 away from 0
    exact = np.mean([abs(values @ np.array(signs)) >= 8 for signs in itertools.product((-1, 1), repeat=5)])
    assert found[1] == pytest.approx(exact, abs=0.015)
    assert testing.permutation_test([difference, difference], 5, draws=50)[0] == 8  # a mean
    assert testing.permutation_test([difference], 5, draws=50, seed=1) != testing.permutation_test(
        [difference], 5, draws=50
    )


def test_a_difference_that_every_swap_keeps_is_never_extreme_by_rounding():
    def constant(S):
        return np.full(S.shape[1], 0.3) + 1e-14 * S[0]

    constant.rows = 1
    assert testing.permutation_test([constant], 3, draws=50) == (pytest.approx(0.3), 1)


def test_one_resample_has_no_spread():
    assert testing.one_sided_p(0.5, [0.4]) == 0
    assert testing.one_sided_p(-0.5, [0.4]) == 1
    assert testing.one_sided_p(0.0, [0.4, 0.4]) == 1
    assert testing.one_sided_p(0.5, [-0.4]) == 1  # (1 + 1) / (1 + 1)
    # three of nine at or below 0 where the tail says less: a third and the sample's own
    draws = np.r_[-0.01, -0.01, 0.0, np.full(6, 0.01)]
    assert testing.one_sided_p(0.5, draws) == pytest.approx(4 / 10)
    # the tail counts where it says more than the count
    assert testing.one_sided_p(0.1, [-0.5, 0.5, 0.6, 0.7, 0.8]) == pytest.approx(
        stats.norm.sf(0.1 / np.std([-0.5, 0.5, 0.6, 0.7, 0.8], ddof=1))
    )


def test_formulas_of_power_by_hand():
    assert testing.detectable(0.01) == pytest.approx(0.01 * (1.959964 + 0.841621), rel=1e-6)
    assert testing.chance_to_find(0.03, 0.02) == pytest.approx(
        stats.norm.sf(0.459964) + stats.norm.cdf(-3.459964), rel=1e-5
    )
    assert testing.chance_to_find(-0.03, 0.02) == pytest.approx(testing.chance_to_find(0.03, 0.02))
    assert (testing.chance_to_find(0.1, 0.0), testing.chance_to_find(0.0, 0.0)) == (1, 0)
    assert testing.rescaled(0.02, 0.25, 0.0625) == pytest.approx(0.04)
    for have, planned in ((5, 0), (-1, 5), (0, 5)):
        with pytest.raises(ValueError, match="above 0"):
            testing.rescaled(0.01, have, planned)
    # 100 groups at .02 a piece; the training's variance is taken off what is allowed
    allowed = (0.05 / 2.801585) ** 2 - 0.01**2
    assert testing.positives_needed(0.05, 0.02, 100, training=0.01**2) == int(np.ceil(100 * 0.02**2 / allowed))
    assert testing.positives_needed(0.05, 0.02, 100, training=0.0004) is None
    all_of_it = (0.05 / testing.detectable(1.0)) ** 2
    assert testing.positives_needed(0.05, 0.02, 100, training=all_of_it) is None
    assert testing.positives_needed(0.05, 0.02, 100) == testing.positives_needed(-0.05, 0.02, 100) == 126


def test_trials_by_hand():
    assert testing.trials_needed(0.95, 0.9) == 184
    assert testing.trials_needed(1.0, 0.9) == 29  # .9^28 is still above 5 %
    assert testing.trials_needed(0.999, 0.5) == 5  # 3 by the normal law, but .5^4 is above 5 %
    # (2.326348 * sqrt(.16) + 1.281552 * sqrt(.0475))^2 / .15^2
    assert testing.trials_needed(0.95, 0.8, alpha=0.01, power=0.9) == int(
        np.ceil((2.326348 * 0.4 + 1.281552 * 0.0475**0.5) ** 2 / 0.15**2)
    )
    with pytest.raises(ValueError, match="is not above"):
        testing.trials_needed(0.9, 0.9)


def test_a_verdict_at_its_limits():
    inner = (0.02, 0.1)
    assert testing.verdict(0.049, (0.01, 0.2), inner, 0.01, 1) == "better"
    assert testing.verdict(0.05, (0.01, 0.2), inner, 0.01, 1) == "no worse"
    assert testing.verdict(0.05, (0.01, 0.2), inner, 0.01, 1, alpha=0.1) == "better"
    assert testing.verdict(0.07, (0.01, 0.2), inner, 0.01, 1) == "no worse"
    assert testing.verdict(0.01, (0.0, 0.2), inner, 0.01, 1) == "no worse"  # 0 is in its interval
    assert testing.verdict(0.01, (-0.2, 0.0), (-0.1, -0.02), 0.01, 1) == "no better"
    assert testing.verdict(0.5, (-0.02, 0.02), (-0.015, 0.01), 0.01, 1) == "undecided"
    assert testing.verdict(0.01, (0.1, np.nan), inner, 0.01, 1) == "undefined"
    assert testing.verdict(0.01, (0.01, 0.2), inner, 0.01, -1) == "worse"
    assert testing.verdict(0.5, (-0.1, 0.02), (-0.05, 0.005), 0.01, -1) == "no worse"


@pytest.mark.parametrize("rank", [1, 30, 62, 119])
def test_one_positive_ranked_anywhere_is_no_evidence_against_a_constant(rank):
    y, score = np.zeros(120), np.random.default_rng(rank).permutation(120).astype(float)
    y[np.flatnonzero(score == 120 - rank)] = 1
    swaps = testing.swapped_ranking(y, score, np.zeros(120), np.arange(120), 120)
    found, p = testing.permutation_test([swaps], 120, draws=2000)
    assert found == pytest.approx(1 / rank - 1 / 120)  # average precision of one positive is one over its rank
    assert math.isnan(p)


def test_a_ranking_with_a_few_ties_is_still_tested():
    rng = np.random.default_rng(3)
    y, score = np.arange(300) % 3 == 0, rng.normal(size=300)
    rounded = np.round(score + 0.8 * y, 1)  # ties few pairs
    p = testing.permutation_test([testing.swapped_ranking(y, rounded, score, np.arange(300), 300)], 300, draws=2000)[1]
    assert p < 0.01
