"""Shares of posts in families: Kish's number, what is few, and the intervals that then stand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.metrics import shares


def test_kishs_number_by_hand():
    assert shares.kish([1, 2, 3]) == pytest.approx(36 / 14)
    assert shares.kish([0.1, 0.1, 0.2]) == pytest.approx(0.16 / 0.06)
    assert (shares.kish([]), shares.kish([0, 0])) == (0, 0)


def test_uneven_groups_are_worth_less_than_half_of_their_number():
    assert not shares.uneven([6, 1, 1, 1, 1])  # 100 / 40 is half of five
    assert not shares.uneven([6, 1, 1, 1, 1, 0, 0])  # what weighs nothing is no group
    assert shares.uneven([7, 1, 1, 1, 1])  # 121 / 53


def test_few_counts_groups_by_what_they_weigh():
    assert not shares.few_groups(np.ones(20))
    assert shares.few_groups(np.ones(19))
    assert shares.few_groups(np.r_[np.ones(25), np.zeros(9)], few=26)  # what weighs nothing says nothing
    # nine of weight 6 beside 100 carry 54 of 154, ten carry 60 of 160: enough to count on
    assert shares.few_groups(np.r_[np.ones(100), np.full(9, 6.0)])
    assert not shares.few_groups(np.r_[np.ones(100), np.full(10, 6.0)])
    assert not shares.few_groups(np.r_[np.ones(100), np.full(9, 5.0)])  # not over five times the median
    assert not shares.few_groups(np.r_[np.ones(100), np.full(4, 6.0)])  # they carry 24 of 124, under a fifth
    assert not shares.few_groups(np.r_[np.ones(100), np.full(4, 6.25)])  # exactly a fifth is not over a fifth
    assert shares.few_groups([])
    for scale in (0.01, 100):  # only what weights are to each other counts
        assert shares.few_groups(scale * np.r_[np.ones(100), np.full(9, 6.0)])
        assert not shares.few_groups(scale * np.ones(20))
    # the median of those that weigh anything is 2, so that 9 is no five times as much
    assert not shares.few_groups(np.r_[np.ones(25), np.full(30, 2.0), np.full(8, 9.0), np.zeros(20)])


def test_equal_groups_have_the_mid_p_interval_of_a_poisson_count():
    # three of a hundred: the mean of the laws that count three and four solves either end
    low, high = shares.fay_feuer([1] * 3 + [0] * 97, [1] * 100)
    for limit, level in ((low, 0.025), (high, 0.975)):
        assert (stats.gamma(3).cdf(100 * limit) + stats.gamma(4).cdf(100 * limit)) / 2 == pytest.approx(level)


@pytest.mark.parametrize("about", [{}, {"alpha": 0.2}])
def test_unequal_groups_have_the_mean_of_two_gamma_laws(about):
    part, whole = np.array([3, 0, 1, 0, 2, *[0] * 15]), np.array([10, 2, 4, 5, 9] * 4)  # 6 of 120
    variance, largest = (9 + 1 + 4) / 120**2, 10 / 120

    def law(mean, variance):
        return stats.gamma(mean**2 / variance, scale=variance / mean)

    lower, upper = law(0.05, variance), law(0.05 + largest, variance + largest**2)
    low, high = shares.fay_feuer(part, whole, **about)
    alpha = about.get("alpha", 0.05)
    for limit, level in ((low, alpha / 2), (high, 1 - alpha / 2)):
        assert (lower.cdf(limit) + upper.cdf(limit)) / 2 == pytest.approx(level, abs=1e-9)
    assert shares.fay_feuer(part / 1000, whole / 1000, **about) == pytest.approx((low, high))  # the scale plays no part
    assert shares.fay_feuer(whole - part, whole, **about) == pytest.approx((1 - high, 1 - low))
    # without a hit there is no law below: the upper end has alpha beyond it
    assert shares.fay_feuer([0] * 20, [1] * 20, **about) == (0, pytest.approx(-np.log(alpha) / 20))


def test_one_group_says_nothing_and_a_half_has_its_interval_on_both_sides():
    assert shares.fay_feuer([0.0], [1.0]) == (0, 1)
    assert shares.fay_feuer([1.0], [1.0]) == (0, 1)
    low, high = shares.fay_feuer([1, 0] * 50, [1] * 100)
    assert 0.35 < low < 0.42 < 0.58 < high < 0.66
    assert np.isnan(shares.fay_feuer([0.0], [0.0])).all()


def test_the_interval_turns_with_the_share_and_stays_within_its_range():
    whole = np.array([60.0, 1, 1, 1, 1])
    part = np.array([60.0, 1, 0, 0, 1])
    low, high = shares.fay_feuer(part, whole)
    assert shares.fay_feuer(whole - part, whole) == pytest.approx((1 - high, 1 - low))
    assert 0 <= low < part.sum() / whole.sum() < high <= 1
    assert shares.fay_feuer(np.zeros(5), whole)[0] == 0
    assert np.isnan(shares.fay_feuer([], [])).all()


@pytest.mark.parametrize(("size", "often"), [(20, 0.03), (60, 0.01)])
@pytest.mark.parametrize("rate", [0.9, 0.1])
def test_families_of_copies_are_covered(size, often, rate):
    rng, hits, uneven = np.random.default_rng(0), 0, 0
    for _ in range(200):
        whole = np.where(rng.random(300) < often, float(size), 1.0)
        part = whole * (rng.random(300) < rate)  # copies are flagged alike
        low, high = shares.fay_feuer(part, whole)
        hits, uneven = hits + (low <= rate <= high), uneven + shares.uneven(whole)
    assert uneven > 180
    assert stats.binomtest(hits, 200, 0.93, alternative="less").pvalue > 0.05


def test_the_hybrid_of_two_values_is_newcombes():
    # Newcombe 1998, table II, method 10: 56/70 - 48/80
    from workbench.metrics.intervals import wilson

    found = shares.hybrid_difference(56 / 70, wilson(56, 70), 48 / 80, wilson(48, 80))
    assert [round(bound, 4) for bound in found] == [0.0524, 0.3339]
