"""Resampling by group: the fast kernels against brute force, and the promises of intervals and tests in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import average_precision_score, roc_auc_score

from workbench.metrics import classification as c
from workbench.metrics import intervals as iv
from workbench.metrics.table import METRICS


def sample(n=120, groups=40, *, levels=None, rate=0.3, strength=1.0, seed=0):
    """Truths, scores (with ties where `levels` is given) and group codes."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < rate
    score = rng.normal(size=n) + strength * y
    if levels:
        score = np.round(score * levels) / levels
    return y, score, *iv.group_codes(rng.integers(0, groups, n))


def test_counts_of_groups_add_up_to_confusions():
    y, score, codes, groups = sample()
    known = np.random.default_rng(3).random(len(y)) < 0.7
    counts = iv.group_confusions(y, score >= 0.5, codes, groups, known=known)
    w = np.random.default_rng(4).integers(0, 4, groups)
    expected = c.confusion(y, score, threshold=0.5, weight=w[codes], known=known)
    assert c.Confusion(*(counts @ w).tolist()) == expected


# ------------------------------------------------------------------------------------------------------------ bootstrap


def test_draws_are_the_samples_own_first_then_groups_with_replacement_whatever_the_chunk():
    whole = np.concatenate(list(iv.bootstrap_weights(7, 50, seed=3, chunk=50)), axis=1)
    parts = np.concatenate(list(iv.bootstrap_weights(7, 50, seed=3, chunk=6)), axis=1)
    np.testing.assert_array_equal(whole, parts)
    assert (whole[:, 0] == 1).all()
    assert (whole.sum(axis=0) == 7).all()  # each resample draws as many groups as there are
    assert whole[:, 1:].max() > 1
    other = np.concatenate(list(iv.bootstrap_weights(7, 50, seed=4)), axis=1)
    assert (whole != other).any()


def test_groups_are_drawn_multinomially():
    W = np.concatenate(list(iv.bootstrap_weights(20, 20_000, seed=0)), axis=1)[:, 1:]
    # a count is binomial (20, 1/20): mean 1, variance .95, none drawn with (19/20)^20 = .3585
    assert W.mean() == pytest.approx(1)
    assert W.var() == pytest.approx(0.95, abs=0.01)
    assert (W == 0).mean() == pytest.approx(0.3585, abs=0.003)


def test_the_bootstrap_returns_the_metric_itself_first():
    y, score, codes, groups = sample()
    ranking = iv.Ranking.build(y, score, codes, groups)
    draws = iv.bootstrap(ranking.average_precision, groups, 200, seed=0)
    assert draws.shape == (201,)
    assert draws[0] == pytest.approx(average_precision_score(y, score))
    np.testing.assert_array_equal(draws, iv.bootstrap(ranking.average_precision, groups, 200, seed=0))


def test_copies_in_one_group_do_not_narrow_the_interval():
    y, score, codes, groups = sample(levels=4)
    once = iv.Ranking.build(y, score, codes, groups)
    thrice = iv.Ranking.build(y.repeat(3), score.repeat(3), codes.repeat(3), groups)
    a, b = (iv.bootstrap(one.average_precision, groups, 100, seed=0) for one in (once, thrice))
    np.testing.assert_allclose(a, b)


DRAWS = [0.6, 0.5, 0.6, 0.7, np.nan]  # the sample's own value first


def test_intervals_leave_out_undefined_resamples_until_they_are_the_rule():
    assert iv.value_interval(DRAWS) == iv.value_interval(DRAWS[:4])
    zeros = [0.0] * len(DRAWS)
    assert iv.difference_interval(DRAWS, zeros) == iv.difference_interval(DRAWS[:4], zeros[:4])
    for undefined in ([np.nan, 0.5, 0.6], [0.5, np.nan, np.nan, 0.6, 0.4]):
        assert np.isnan(iv.value_interval(undefined)).all()
        assert np.isnan(iv.difference_interval(undefined, np.zeros(len(undefined)))).all()


def test_a_value_interval_by_hand():
    # variance .01 at one half is that of 25 posts, so 24 degrees of freedom; a step of .1 there is .4 in log-odds
    half = 0.4 * stats.t.ppf(0.975, 24)
    assert iv.value_interval([0.5, 0.4, 0.5, 0.6]) == pytest.approx(special.expit([-half, half]))
    # as uncertain as 8 independent posts: 0.8 * 0.2 / 0.02
    assert iv.value_interval([0.8, 0.7, 0.9], share=True) == pytest.approx(iv.wilson(6.4, 8))


def test_where_a_few_groups_decide_there_is_less_to_go_by():
    draws = [0.5, 0.4, 0.5, 0.6]
    even, one = np.tile([0.499, 0.501], 100), np.r_[0.3, np.full(199, 0.501)]
    widths = [np.ptp(iv.value_interval(draws, left_out)) for left_out in (None, even, one)]
    assert widths[0] == widths[1] < widths[2]
    # two blocks that differ by d from 198 others: 2 (2 d^2)^2 / (2 d^4) = 4 degrees of freedom, about
    two = np.r_[0.4, 0.6, np.full(198, 0.5)]
    half = 0.4 * stats.t.ppf(0.975, 4)
    assert iv.value_interval(draws, two) == pytest.approx(special.expit([-half, half]), rel=1e-3)


def test_leaving_out_blocks_leaves_each_group_out_once():
    def missing(W):
        return (1 - W).sum(axis=0)

    assert iv.leave_out(missing, 1000, seed=0).tolist() == [5] * iv.BLOCKS
    assert iv.leave_out(missing, 7, seed=0).tolist() == [1] * 7
    chunked = iv.leave_out(lambda W: W, 1000, seed=0, rows=10**7)
    np.testing.assert_array_equal(chunked, iv.leave_out(lambda W: W, 1000, seed=0))
    seen = iv.leave_out(lambda W: W, 50, seed=0)
    assert (seen.sum(axis=1) == 49).all()


def test_where_all_resamples_agree_only_the_evidence_says_how_sure():
    assert iv.value_interval([1.0, 1.0, 1.0], units=30) == iv.wilson(30, 30)
    assert iv.value_interval([0.0, 0.0, 0.0], units=30) == iv.wilson(0, 30)
    assert iv.value_interval([0.5, 0.5, 0.5], units=30) == (0.5, 0.5)  # a constant score: ROC AUC is one half
    assert iv.difference_interval([0.5, 0.5, 0.5], [0.2, 0.2, 0.2]) == pytest.approx((0.3, 0.3))


def test_a_difference_interval_uses_the_less_certain_side_and_turns_with_the_sides():
    a, b = np.array([0.9, 0.85, 0.9, 0.95]), np.array([0.5, 0.3, 0.5, 0.7])
    low, high = iv.difference_interval(a, b)
    posts = 0.25 / np.var(b[1:], ddof=1)
    half = stats.t.ppf(0.975, posts - 1) * np.std((a - b)[1:], ddof=1)
    assert (low, high) == pytest.approx((0.4 - half, 0.4 + half))
    assert iv.difference_interval(b, a) == pytest.approx((-high, -low))
    assert iv.difference_interval(a, a) == (0, 0)
    # two values in [0, 1] differ by no more than 1
    assert iv.difference_interval([0.9, 0.1, 0.9, 0.9], [0.1, 0.9, 0.1, 0.1])[1] == 1


def test_where_a_side_cannot_vary_a_difference_is_a_hybrid_of_both():
    all_hit, some = np.ones(4), np.array([0.5, 0.4, 0.5, 0.6])
    own = (iv.wilson(20, 20), iv.wilson(12, 24))
    found = iv.recipe_difference(all_hit, some, own=own)
    assert (found.lo, found.hi) == iv.hybrid_difference(1.0, own[0], 0.5, own[1])
    assert found.p == pytest.approx(0.05, abs=0.05)
    equal = iv.recipe_difference(some, some, own=(own[1], own[1]))
    assert (equal.lo, equal.hi) == pytest.approx((-equal.hi, equal.hi))
    assert (equal.hi > 0.2, equal.p) == (True, 1)


def by_seed(posts, together, seeds, values, draws=4000):
    """Draws (S, 1 + draws): of posts that all seeds share, of each seed with the posts, around each seed's value."""
    rng = np.random.default_rng(0)
    moved = posts * rng.normal(size=draws) + together * rng.normal(size=(seeds, draws))
    return np.column_stack([values, np.asarray(values)[:, None] + moved])


def test_a_recipe_is_as_uncertain_as_posts_and_trainings_make_it():
    values = [0.4, 0.5, 0.6]  # variance .01, over three seeds
    found = iv.Spread.of(by_seed(0.02, 0.05, 3, values))
    assert found.value == pytest.approx(0.5)
    assert found.posts == pytest.approx(0.02**2, rel=0.15)  # what trainings and posts do together is in the seeds' part
    assert found.training == pytest.approx(0.01 / 3)
    # nearly all of it is known from three values
    assert found.freedom(np.inf) == pytest.approx(2 * (1 + 0.02**2 / (0.01 / 3)) ** 2, rel=0.1)
    alone = iv.Spread.of(by_seed(0.02, 0.05, 3, values)[0])
    assert (alone.training, alone.posts) == (0, pytest.approx(0.02**2 + 0.05**2, rel=0.1))


def test_the_test_of_recipes_is_students_on_both_sides_seeds():
    a, b = by_seed(0.02, 0.0, 3, [0.4, 0.5, 0.6]), by_seed(0.02, 0.0, 3, [0.3, 0.3, 0.3])
    found = iv.recipe_difference(a, b)
    # the posts move both sides alike, and b's training changes nothing: a's three seeds alone decide
    assert (found.delta, found.posts) == (pytest.approx(0.2), pytest.approx(0, abs=1e-9))
    assert found.training == (pytest.approx(0.01 / 3), 0)
    t = stats.ttest_1samp([0.4, 0.5, 0.6], 0.3)
    assert found.p == pytest.approx(t.pvalue)
    assert (found.lo, found.hi) == pytest.approx(np.array(t.confidence_interval()) - 0.3)
    # Welch's test, where both vary
    both = iv.recipe_difference(a, by_seed(0.02, 0.0, 4, [0.2, 0.3, 0.4, 0.3]))
    assert both.p == pytest.approx(stats.ttest_ind([0.4, 0.5, 0.6], [0.2, 0.3, 0.4, 0.3], equal_var=False).pvalue)


def test_equal_recipes_are_told_apart_as_often_as_the_level_says():
    rng, trained, recipes = np.random.default_rng(1), 0, 0
    for _ in range(400):
        posts = 0.02 * rng.normal(size=301)  # the sample's own first, then 300 resamples around it
        posts[1:] += posts[0]
        sides = [0.6 + posts + 0.04 * rng.normal(size=(3, 1)) + 0.01 * rng.normal(size=(3, 301)) for _ in range(2)]
        recipes += iv.recipe_difference(*sides).p < 0.05
        low, high = iv.difference_interval(*(side.mean(axis=0) for side in sides))
        trained += not low <= 0 <= high
    assert 0.02 <= recipes / 400 <= 0.08
    assert trained / 400 > 0.3  # what resampling posts alone says of recipes


def test_a_share_of_copies_has_the_interval_of_families_and_of_trainings():
    part, whole = np.r_[60.0, np.ones(40), np.zeros(20)], np.r_[60.0, np.ones(60)]
    draws = [0.83, 0.8, 0.85, 0.84]
    assert iv.value_interval(draws, share=True, totals=(part, whole)) == iv.fay_feuer(part, whole)
    low, high = iv.fay_feuer(part, whole)
    two = iv.value_interval([draws, [0.85, *draws[1:]]], share=True, totals=(part, whole))
    assert two[0] < low
    assert two[1] >= high
    even = np.ones(100)
    assert iv.value_interval(draws, share=True, totals=(even * 0.83, even)) == iv.value_interval(draws, share=True)


def test_one_sided_p_counts_and_reaches_below_its_count():
    draws = np.array([-1.0, 0.0, 1.0, 2.0])
    assert iv.one_sided_p(0.5, draws) == pytest.approx(3 / 5)  # two of four at or below 0, more than the tail
    assert iv.one_sided_p(0.0, np.zeros(99)) == 1
    # nine standard errors above 0 with 999 resamples: a count alone would stop at .001
    far = 9 + np.random.default_rng(0).normal(size=999)
    assert iv.one_sided_p(9.0, far) == pytest.approx(stats.norm.sf(9 / far.std(ddof=1)))
    near = np.linspace(0.01, 1, 9)  # all above 0 by luck of few: the spread says how little that is worth
    assert iv.one_sided_p(0.1, near) == pytest.approx(stats.norm.sf(0.1 / near.std(ddof=1)))
    assert np.isnan(iv.one_sided_p(np.nan, draws))
    assert np.isnan(iv.one_sided_p(0.5, [np.nan, np.nan, 1.0]))


# ---------------------------------------------------------------------------------------------------------- permutation


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metric", ["average_precision", "roc_auc"])
def test_swaps_are_those_of_naive_swapping(metric, weighted):
    y, a, codes, groups = sample(levels=3)
    b = sample(levels=2, seed=9)[1] * 100  # another scale: only ranks may matter
    known = np.random.default_rng(5).random(len(y)) < 0.8
    weight = np.random.default_rng(7).random(len(y)) if weighted else None
    about = {"metric": METRICS[metric].function, "known": known, "weight": weight}
    difference = iv.swapped_ranking(y, a, b, codes, groups, **about)
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
    for s, found in zip(S.T, iv.swapped_pieces(*counts, METRICS["f1"].of_pieces)(S), strict=True):
        keep = s[codes] == 1
        expected = METRICS["f1"](y, np.where(keep, a, b)) - METRICS["f1"](y, np.where(keep, b, a))
        assert found == pytest.approx(expected)


def test_swapped_sums_are_those_of_naive_swapping():
    rng = np.random.default_rng(3)
    codes, losses = rng.integers(0, 9, 40), rng.random((2, 40))
    S = rng.integers(0, 2, (9, 12)).astype(float)
    posts = np.bincount(codes, minlength=9)
    sums = [np.stack([np.bincount(codes, weights=side, minlength=9), posts]) for side in losses]
    for s, found in zip(S.T, iv.swapped_pieces(*sums, METRICS["brier"].of_pieces)(S), strict=True):
        keep = s[codes] == 1
        assert found == pytest.approx(np.where(keep, *losses).mean() - np.where(keep, *losses[::-1]).mean())


def test_the_permutation_p_is_the_share_of_all_swaps_at_least_as_extreme():
    # 6 groups have 64 swaps, so the exact p can be counted; 20,000 draws lie within .01 of it
    y, a, codes, groups = sample(24, 6, strength=1.5, seed=2)
    b = sample(24, 6, seed=3)[1]
    difference = iv.swapped_ranking(y, a, b, codes, groups)
    every = np.array([[i >> g & 1 for i in range(2**groups)] for g in range(groups)], dtype=float)
    exact = np.mean(np.abs(difference(every)) >= abs(difference(np.ones((groups, 1)))[0]) - 1e-12)
    delta, p = iv.permutation_test([difference], groups, draws=20_000, seed=0)
    assert p == pytest.approx(exact, abs=0.01)
    assert delta == pytest.approx(average_precision_score(y, a) - average_precision_score(y, b))
    assert iv.permutation_test([difference], groups, draws=20_000, seed=0) == (delta, p)


def test_labels_and_seeds_are_averaged_under_the_same_swaps():
    y, a, codes, groups = sample()
    b = sample(seed=9)[1]
    forward, back = (iv.swapped_ranking(y, *scores, codes, groups) for scores in ((a, b), (b, a)))
    # under the same swaps the two cancel in every draw; under separate ones they would not
    assert iv.permutation_test([forward, back], groups, draws=1000) == (pytest.approx(0), 1)


def test_equal_models_differ_by_nothing_and_unlike_ones_clearly():
    y, a, codes, groups = sample(600, 600, strength=2.0)
    noise = sample(600, 600, strength=0.0, seed=7)[1]
    assert iv.permutation_test([iv.swapped_ranking(y, a, a, codes, groups)], groups) == (0, 1)
    # no draw of 9,999 is as extreme: the smallest p there is
    assert iv.permutation_test([iv.swapped_ranking(y, a, noise, codes, groups)], groups, draws=9999)[1] == 1e-4


def test_an_undefined_difference_has_no_p():
    nothing = iv.swapped_ranking([0, 0], [0.1, 0.2], [0.2, 0.1], [0, 1], 2)
    assert np.isnan(iv.permutation_test([nothing], 2)).all()
    assert np.isnan(iv.permutation_test([], 2)).all()


# ------------------------------------------------------------------------------------------------ corrections and rates


def test_mcnemar_by_hand_and_with_near_duplicates_as_one_piece():
    # 8 against 1: the two tails of nine fair coins hold 2 * (1 + 9) of 512
    a, b = np.array([1] * 8 + [0] + [1] * 5), np.array([0] * 8 + [1] + [1] * 5)
    assert iv.mcnemar(a, b, np.arange(14)) == (8, 1, pytest.approx(20 / 512))
    assert iv.mcnemar(b, a, np.arange(14))[:2] == (1, 8)
    copies = np.r_[np.zeros(8, int), 1, np.arange(2, 7)]  # the eight are copies of one post
    assert iv.mcnemar(a, b, copies) == (1, 1, 1.0)
    assert np.isnan(iv.mcnemar(a, a, np.arange(14))[2])


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, and no later one below an earlier
    np.testing.assert_allclose(iv.holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(iv.holm([0.5, np.nan, 0.9]), [1.0, np.nan, 1.0])
    # three were planned and one is missing: 3 * .0012, then 2 * .5; all of two would have been .0024
    np.testing.assert_allclose(iv.holm([0.5, 0.0012], planned=3), [1.0, 0.0036])
    np.testing.assert_allclose(iv.holm([0.01, 0.04], planned=1), [0.02, 0.04])  # what is there counts anyway
    assert iv.holm([]).shape == (0,)
    assert np.isnan(iv.holm([np.nan])).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers_a_p(p):
    adjusted = iv.holm(p)
    assert (adjusted >= np.array(p) - 1e-15).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (3, 10), (50, 50), (123, 1000)])
def test_wilson_is_scipys(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.9, method="wilson")
    assert iv.wilson(successes, trials, alpha=0.1) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert np.isnan(iv.wilson(0, 0)).all()


@pytest.mark.parametrize("trials", [1, 7, 23, 188, 4567])
def test_wilsons_ends_hold_all_and_nothing_exactly(trials):
    assert iv.wilson(trials, trials)[1] == 1.0
    assert iv.wilson(0, trials)[0] == 0.0
    assert iv.value_interval([1.0, 1.0], units=trials)[1] == 1.0


# -------------------------------------------------------------------------------------------------------- in simulation


def simulated(rng, groups=250, rate=0.3, strength=(1.0, 1.0)):
    """Groups of one to three near-copies; two models of the given strengths whose errors go together."""
    sizes = rng.integers(1, 4, groups)
    y, shared = rng.random(groups) < rate, rng.normal(size=groups)
    scores = [s * y + 0.7 * shared + 0.7 * rng.normal(size=groups) for s in strength]
    codes = np.repeat(np.arange(groups), sizes)
    near = [np.repeat(score, sizes) + 0.05 * rng.normal(size=len(codes)) for score in scores]
    return np.repeat(y, sizes), *near, codes


@pytest.mark.slow
def test_the_interval_covers_the_truth_and_one_by_post_would_not():
    rng = np.random.default_rng(0)
    y, score, _, _ = simulated(rng, groups=200_000)
    truth, hits = average_precision_score(y, score), {"group": 0, "post": 0}
    for trial in range(400):
        y, score, _, codes = simulated(rng)
        for unit, units in (("group", codes), ("post", np.arange(len(codes)))):
            n = units.max() + 1
            draws = iv.bootstrap(iv.Ranking.build(y, score, units, n).average_precision, n, 400, seed=trial)
            low, high = iv.value_interval(draws)
            hits[unit] += low <= truth <= high
    # 95 % nominal; 400 trials have a standard error of 1.1 points; near-copies taken for evidence cost far more
    assert 0.92 <= hits["group"] / 400 <= 0.98
    assert hits["post"] / 400 < 0.88


@pytest.mark.slow
def test_the_permutation_test_holds_its_level_and_finds_what_is_there():
    rng, p = np.random.default_rng(1), {"equal": [], "better": []}
    for trial in range(400):
        for name, strength in (("equal", (1.0, 1.0)), ("better", (1.0, 2.2))):
            y, a, b, codes = simulated(rng, groups=120, strength=strength)
            difference = iv.swapped_ranking(y, a, b, codes, 120)
            p[name].append(iv.permutation_test([difference], 120, draws=499, seed=trial)[1])
    rejected = {name: np.mean(np.array(values) <= 0.05) for name, values in p.items()}
    # at most 5 % of true hypotheses; three standard errors of 400 trials are 3.3 points
    assert rejected["equal"] <= 0.083
    assert 0.4 <= np.mean(p["equal"]) <= 0.6
    assert rejected["better"] > 0.8
