"""Resampling by group: the fast kernels against brute force, and the promises of intervals and tests in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from made_samples import sample, simulated
from scipy import special, stats
from sklearn.metrics import average_precision_score

from workbench.metrics import classification as c
from workbench.metrics import intervals as iv
from workbench.metrics.classification import Curve
from workbench.metrics.ranking import Ranking


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
    ranking = Ranking.build(y, score, codes, groups)
    draws = iv.bootstrap(ranking.average_precision, groups, 200, seed=0)
    assert draws.shape == (201,)
    assert draws[0] == pytest.approx(average_precision_score(y, score))
    np.testing.assert_array_equal(draws, iv.bootstrap(ranking.average_precision, groups, 200, seed=0))


def test_copies_in_one_group_do_not_narrow_the_interval():
    y, score, codes, groups = sample(levels=4)
    once = Ranking.build(y, score, codes, groups)
    thrice = Ranking.build(y.repeat(3), score.repeat(3), codes.repeat(3), groups)
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
    # nearly all of it is known from three values: as many standard errors as two degrees of freedom ask, about
    assert stats.norm.isf(0.025) < 3.8 < found.reach(0.05) < stats.t.isf(0.025, 2)
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


@pytest.mark.parametrize("metric", [Curve.roc_auc, Curve.average_precision])
def test_a_score_that_means_nothing_is_told_from_a_constant_as_often_as_the_level_says(metric):
    rng, y, codes = np.random.default_rng(5), np.arange(200) % 10 == 0, np.arange(200)
    W = np.c_[np.ones(200), rng.multinomial(200, np.full(200, 1 / 200), size=200).T]
    constant = Ranking.build(y, np.zeros(200), codes, 200).values(W, (metric,))[0]
    p = []
    for _ in range(200):
        noise = Ranking.build(y, rng.normal(size=200), codes, 200).values(W, (metric,))[0]
        own = tuple(iv.value_interval(side) for side in (noise, constant))
        p.append(iv.recipe_difference(noise, constant, own=own).p)
    assert np.mean(np.array(p) < 0.05) < 0.1  # 0.05 + 3 standard errors of 200 trials


def test_a_share_of_copies_has_the_interval_of_families_and_of_trainings():
    part, whole = np.r_[60.0, np.ones(40), np.zeros(20)], np.r_[60.0, np.ones(60)]
    draws = [0.83, 0.8, 0.85, 0.84]
    assert iv.value_interval(draws, share=True, totals=(part, whole)) == iv.fay_feuer(part, whole)
    low, high = iv.fay_feuer(part, whole)
    two = iv.value_interval([draws, [0.85, *draws[1:]]], share=True, totals=(part, whole))
    assert (two[0], low) == (0, 0)  # nearly all depends on one family
    assert two[1] > high
    even = np.ones(100)
    assert iv.value_interval(draws, share=True, totals=(even * 0.83, even)) == iv.value_interval(draws, share=True)


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


@pytest.mark.slow
def test_the_interval_covers_the_truth_and_one_by_post_would_not():
    rng = np.random.default_rng(0)
    y, score, _, _ = simulated(rng, groups=200_000)
    truth, hits = average_precision_score(y, score), {"group": 0, "post": 0}
    for trial in range(400):
        y, score, _, codes = simulated(rng)
        for unit, units in (("group", codes), ("post", np.arange(len(codes)))):
            n = units.max() + 1
            draws = iv.bootstrap(Ranking.build(y, score, units, n).average_precision, n, 400, seed=trial)
            low, high = iv.value_interval(draws)
            hits[unit] += low <= truth <= high
    # 95 % nominal; 400 trials have a standard error of 1.1 points; near-copies taken for evidence cost far more
    assert 0.92 <= hits["group"] / 400 <= 0.98
    assert hits["post"] / 400 < 0.88


@pytest.mark.parametrize(
    ("posts", "one", "other"),
    [(1.0, 9.0, 0.0), (1.0, 1.0, 0.0), (0.5, 0.5, 0.5), (1.0, 0.0, 0.0), (1.0, 1e-19, 0.0), (1e-19, 1.0, 0.0)],
)
def test_how_far_an_interval_reaches_and_its_p_agree(posts, one, other):
    parts = (posts, 80.0), [(one, 2), (other, 4)]
    reach = iv.student_reach(0.05, *parts)
    assert iv.student_tail(reach, *parts) == pytest.approx(0.05)
    assert stats.norm.isf(0.025) < reach <= stats.t.isf(0.025, 2)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
@pytest.mark.parametrize(("seeds", "other"), [(3, 0.0), (3, 0.1), (5, 0.0), (5, 1.0)])
def test_the_level_holds_whatever_share_of_the_variance_either_side_has(seeds, other, share):
    # with Satterthwaite's degrees of freedom alone three seeds of one side reject 7 to 8 % where it has nine tenths
    rng, n = np.random.default_rng(0), 10_000
    of_training = share / (1 - share) / (1 + other)
    sides = [np.sqrt(of_training * seeds * part) * rng.normal(size=(n, seeds)) for part in (1.0, other)]
    delta = rng.normal(size=n) + sides[0].mean(axis=1) - sides[1].mean(axis=1)
    trainings = np.stack([side.var(axis=1, ddof=1) / seeds for side in sides], axis=1)
    p = [
        iv.student_tail(d / np.sqrt(1 + v.sum()), (1.0, np.inf), [(part, seeds - 1) for part in v])
        for d, v in zip(delta, trainings, strict=True)
    ]
    assert 0.038 < np.mean(np.array(p) < 0.05) < 0.069


# ------------------------------------------------------------------------------------------ numbers on fixed draws


def trained(seeds, level, seed):
    """Draws (seeds, 41) of several trainings, one of them undefined."""
    rng = np.random.default_rng(seed)
    draws = (
        level + 0.03 * rng.normal(size=41) + 0.02 * rng.normal(size=(seeds, 1)) + 0.01 * rng.normal(size=(seeds, 41))
    )
    draws[:, 5] = np.nan
    return draws


A, B = trained(3, 0.6, 1), trained(2, 0.5, 2)
FEW = np.r_[0.1, 0.13, 0.02, np.zeros(60), np.nan]  # three of 63 blocks decide


@pytest.mark.parametrize(
    ("about", "several", "with_few", "one_training"),
    [
        ({}, [0.53208094, 0.65832223], [0.51067404, 0.6773509], [0.51105067, 0.6750507]),
        ({"alpha": 0.2}, [0.55572403, 0.63656841], [0.54921082, 0.64264072], [0.54910448, 0.64067049]),
        ({"share": True}, [0.5325103, 0.6579342], [0.5325103, 0.6579342], [0.53579632, 0.65291967]),
        ({"share": True, "alpha": 0.2}, [0.55585568, 0.63644504], [0.55585568, 0.63644504], [0.55669063, 0.63357552]),
        ({"top": np.inf}, [0.53668311, 0.66365843], [0.51836847, 0.68710635], [0.51848942, 0.68445499]),
        ({"top": np.inf, "alpha": 0.2}, [0.55766519, 0.63868837], [0.55174891, 0.64553688], [0.55153815, 0.64344174]),
    ],
)
def test_value_intervals_of_fixed_draws_stay(about, several, with_few, one_training):
    # only another formula changes these; its coverage is tested above and by `workbench prove`
    assert iv.value_interval(A, **about) == pytest.approx(several, rel=1e-6)
    assert iv.value_interval(A, FEW, **about) == pytest.approx(with_few, rel=1e-6)
    assert iv.value_interval(A[0], FEW, **about) == pytest.approx(one_training, rel=1e-6)


def test_a_share_of_uneven_groups_adds_the_trainings_to_the_interval_of_families():
    part, whole = np.r_[30.0, np.ones(20), np.zeros(20)], np.r_[60.0, np.ones(40)]  # a half
    draws = np.array([[0.5, 0.4, 0.6, 0.5], [0.6, 0.5, 0.7, 0.4], [0.4, 0.4, 0.5, 0.6]])
    for alpha in (0.05, 0.2):
        low, high = iv.fay_feuer(part, whole, alpha)
        reach = stats.t.isf(alpha / 2, 2) * np.sqrt(0.01 / 3)
        expected = max(0.5 - np.hypot(0.5 - low, reach), 0), min(0.5 + np.hypot(high - 0.5, reach), 1)
        assert iv.value_interval(draws, share=True, totals=(part, whole), alpha=alpha) == pytest.approx(expected)
    assert iv.value_interval(draws, totals=(part, whole)) == iv.value_interval(draws)  # of a share only


def test_the_spread_of_fixed_draws_stays():
    found = iv.Spread.of(A)
    assert found == pytest.approx((0.59680338, 0.00084410643, 0.00011289384, 3), rel=1e-6)
    assert found.variance == pytest.approx(0.00095700028, rel=1e-6)
    assert (found.reach(0.05), found.reach(0.2, 7.0)) == pytest.approx((2.0433004, 1.4216016), rel=1e-6)
    # what each training moves by itself is its mean variance less the mean covariance of two, over their number
    draws = np.delete(A, [0, 5], axis=1)
    covariance = np.cov(draws)
    pairs = [covariance[0, 1], covariance[0, 2], covariance[1, 2]]
    assert iv._own(A) == pytest.approx((np.trace(covariance) / 3 - np.mean(pairs)) / 3)
    assert found.posts == pytest.approx(np.mean(pairs))
    assert iv._own(A[:1]) == iv._own(A[:, :2]) == iv._own(np.tile(A[:1], (2, 1))) == 0
    assert iv._own(np.array([[0, 1, 2, 3.0], [0, 3, 2, 1.0]])) == 1  # variances 1, covariance -1, so 2 over two
    empty = iv.Spread.of([[np.nan, 0.5], [0.5, 0.5]])
    assert np.isnan([empty.value, empty.posts, empty.training]).all()
    assert empty.seeds == 2


@pytest.mark.parametrize(
    ("sides", "about", "expected"),
    [
        (
            (A, B),
            {},
            [0.089953051, -0.03051048, 0.21041658, 0.098636952, 0.001319684, 0.00011289384, 0.00057883972, 273.84594],
        ),
        (
            (A, B, FEW),
            {"alpha": 0.2, "top": 0.12},
            [0.089953051, 0.016654295, 0.12, 0.13878222, 0.001319684, 0.00011289384, 0.00057883972, 4.102235],
        ),
        ((A[0], B[0], FEW), {}, [0.064810879, -0.032229944, 0.1618517, 0.13842441, 0.0012457852, 0.0, 0.0, 4.102235]),
        (
            (np.ones((2, 41)), B),
            {"own": ((0.8, 1.0), (0.3, 0.7))},
            [0.49314967, 0.21510868, 0.7, 0.02843382, 0.00085264907, 0.0, 0.00057883972, 275.62095],
        ),
        (
            (B, np.ones((2, 41))),
            {"own": ((0.3, 0.7), (0.8, 1.0))},
            [-0.49314967, -0.7, -0.21510868, 0.02843382, 0.00085264907, 0.00057883972, 0.0, 275.62095],
        ),
    ],
)
def test_differences_of_fixed_draws_stay(sides, about, expected):
    found = iv.recipe_difference(*sides, **about)
    numbers = (found.delta, found.lo, found.hi, found.p, found.posts, *found.training, found.of_posts)
    assert numbers == pytest.approx(expected, rel=1e-6)
    assert found.seeds == tuple(len(np.atleast_2d(side)) for side in sides[:2])
    assert found.se == pytest.approx(np.sqrt(sum(expected[4:7])), rel=1e-6)
    assert iv.difference_interval(*sides, **about) == (found.lo, found.hi)


def test_an_undefined_difference_keeps_what_is_known_of_the_trainings():
    found = iv.recipe_difference([[np.nan, 0.5], [0.5, 0.5]], A[:, :2])
    assert np.isnan([found.delta, found.lo, found.hi, found.p, found.posts, found.of_posts]).all()
    assert found.seeds == (2, 3)
    wide = iv.recipe_difference([0.5, 0.1, 0.9, 0.5], [0.5, 0.9, 0.1, 0.4])
    assert (wide.lo, wide.hi) == (-1, 1)


def test_tails_and_reaches_by_their_definition():
    posts, trainings = (1.0, 5.0), [(2.0, 2), (0.5, 3)]
    pooled = 2.5**2 / (4 / 2 + 0.25 / 3)
    whole = 3.5**2 / (1 / 5 + 4 / 2 + 0.25 / 3)
    mixed = (stats.t.sf(2, 5) * 1.0 + stats.t.sf(2, pooled) * 2.5) * 2 / 3.5
    single = 2 * stats.t.sf(2, whole)
    expected = single + (mixed - single) / pooled
    assert iv.student_tail(2.0, posts, trainings) == pytest.approx(expected)
    assert iv.student_tail(-2.0, posts, trainings) == pytest.approx(expected)
    assert iv.student_tail(2.0, (0.0, 5.0), trainings) == pytest.approx(2 * stats.t.sf(2, pooled))
    assert iv.student_tail(2.0, posts, [(0.0, 2)]) == pytest.approx(2 * stats.t.sf(2, 5))
    assert iv.student_tail(1.96, (1.0, np.inf), []) == pytest.approx(2 * stats.norm.sf(1.96))
    assert (iv.student_reach(0.05, posts, trainings), iv.student_reach(0.2, posts, trainings)) == pytest.approx(
        (2.6662659, 1.5001333), rel=1e-6
    )
    # one degree of freedom: the mixture alone
    half = (2 * stats.t.sf(3, 5) + 2 * stats.t.sf(3, 1)) / 2
    assert iv.student_tail(3.0, (1.0, 5.0), [(1.0, 1)]) == pytest.approx(half)
