"""Shares of posts in families: Kish's number, what is few, and the intervals that then stand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.metrics import shares


def test_few_counts_groups_by_what_they_weigh():
    assert not shares.few_groups(np.ones(20))
    assert shares.few_groups(np.ones(19))
    assert shares.few_groups(np.r_[np.ones(25), np.zeros(9)], few=26)  # what weighs nothing says nothing
    # nine of weight 6 beside 100 carry 54 of 154, ten carry 60 of 160: enough to count on
    assert shares.few_groups(np.r_[np.ones(100), np.full(9, 6.0)])
    assert not shares.few_groups(np.r_[np.ones(100), np.full(10, 6.0)])
    assert not shares.few_groups(np.r_[np.ones(100), np.full(9, 5.0)])  # not over five times the median
    assert not shares.few_groups(np.r_[np.ones(100), np.full(4, 6.0)])  # they carry 24 of 124, under a fifth
    assert shares.few_groups([])


def test_equal_groups_have_the_mid_p_interval_of_a_poisson_count():
    # three of a hundred: the mean of the laws that count three and four solves either end
    low, high = shares.fay_feuer([1] * 3 + [0] * 97, [1] * 100)
    for limit, level in ((low, 0.025), (high, 0.975)):
        assert (stats.gamma(3).cdf(100 * limit) + stats.gamma(4).cdf(100 * limit)) / 2 == pytest.approx(level)


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
