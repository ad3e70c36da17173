"""Prevalence: shares by groups, and numbers of fixed samples."""

from __future__ import annotations

import numpy as np
import pytest
from made_families import labelled
from scipy import stats

from workbench.metrics import prevalence
from workbench.metrics.intervals import wilson
from workbench.metrics.prevalence import (
    estimate_from_flags,
    estimate_from_probabilities,
    importance_weights,
    label_shift_test,
    needed_fpr,
    needed_negatives,
    share,
)

# ------------------------------------------------------------------------------------------- numbers on a fixed sample


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_a_share_is_wilsons_of_as_many_posts_as_would_vary_so(alpha):
    part, whole = np.array([3.0, 0, 1, 2]), np.array([4.0, 3, 3, 5])  # 6 of 15
    spread = ((3 - 1.6) ** 2 + 1.2**2 + (1 - 1.2) ** 2 + 0) / 15**2 * 4 / 3
    effective = 0.4 * 0.6 / spread
    assert share(part, whole, alpha) == pytest.approx((0.4, *wilson(0.4 * effective, effective, alpha)))
    assert share(0.001 * part, 0.001 * whole, alpha) == pytest.approx(share(part, whole, alpha))
    assert share(np.r_[part, 0], np.r_[whole, 0], alpha) == share(part, whole, alpha)  # a group without posts
    # all alike, or one group: Kish's number, here five
    assert share([1, 1, 1, 1, 2], [2, 2, 2, 2, 4], alpha) == pytest.approx((0.5, *wilson(72 / 32, 144 / 32, alpha)))
    assert share([2], [5], alpha) == pytest.approx((0.4, *wilson(0.4, 1, alpha)))
    assert share([0, 0, 0], [4, 3, 5], alpha) == pytest.approx((0, *wilson(0, 144 / 50, alpha)))
    # groups that hardly vary are worth ten posts each, and no more
    assert share([5, 5, 5, 6], [10, 10, 10, 10], alpha) == pytest.approx((0.525, *wilson(21, 40, alpha)))
    assert share(part, whole) == share(part, whole, 0.05)


def test_the_defaults_are_a_level_of_a_twentieth():
    y, score, target, about = labelled()
    for function, data in ((estimate_from_flags, (y, score, target)), (estimate_from_probabilities, (target, score))):
        assert function(*data, **about) == function(*data, alpha=0.05, **about)
        assert function(*data, **about) != function(*data, **about | {"target_group": None})
        assert function(*data, **about) != function(*data, **about | {"group": None})
        assert function(*data, **about) != function(*data, **about | {"weight": None})
    assert label_shift_test(y, score, target) == label_shift_test(y, score, target, bins=8)
    assert needed_negatives(0.01) == needed_negatives(0.01, alarms=0, alpha=0.05) == 299
    assert needed_negatives(0.01, alarms=1, alpha=0.1) == 388


def test_arithmetic_by_hand_and_what_is_no_share():
    assert needed_fpr(0.9, 0.001, 0.6) == pytest.approx(0.6 * 0.001 / 0.999 * 0.1 / 0.9)
    np.testing.assert_allclose(importance_weights([1, 0, 1], 0.4, 0.1), [0.25, 1.5, 0.25])
    for name, of in {
        "precision": lambda value: needed_fpr(value, 0.5, 0.5),
        "prevalence": lambda value: needed_fpr(0.5, value, 0.5),
        "recall": lambda value: needed_fpr(0.5, 0.5, value),
        "fpr": needed_negatives,
        "alpha": lambda value: needed_negatives(0.1, alpha=value),
        "source": lambda value: importance_weights([1], value, 0.5),
        "target": lambda value: importance_weights([1], 0.5, value),
    }.items():
        for value in (0.0, 1.0):
            with pytest.raises(ValueError, match=f"{name} must be above 0 and below 1"):
                of(value)


def test_where_one_post_decides_there_is_little_more_than_one_degree_of_freedom():
    # a source that is sure of its mean; the slope of one post of ten is nine times as far from the mean as the others'
    target = np.r_[np.full(9, 0.1), 0.9]
    found = estimate_from_probabilities(target, [0.3, 0.3], alpha=0.5)

    def slopes(pi):
        harmful, harmless = target / 0.3, (1 - target) / 0.7
        return (harmful - harmless) / (pi * harmful + (1 - pi) * harmless)

    off = slopes(found.value) - slopes(found.value).mean()
    np.testing.assert_allclose(off[-1] / off[:-1], -9)
    reach = stats.t.isf(0.25, (9 + 81) ** 2 / (9 + 81**2)) * np.sqrt(np.sum(off**2)) / 10
    assert [slopes(pi).mean() for pi in found] == pytest.approx([0, reach, -reach])


def test_what_lies_at_the_ends_is_found_there():
    # all posts look as the harmless or the harmful do: a share of 0 or 1, whose interval ends there
    y, flags = np.r_[np.ones(50), np.zeros(50)], np.r_[np.ones(40), np.zeros(10), np.ones(5), np.zeros(45)]
    low = estimate_from_flags(y, flags, np.r_[np.ones(5), np.zeros(45)])
    assert (low.value, low.lo) == (pytest.approx(0), 0)
    assert 0 < low.hi < 0.35
    high = estimate_from_flags(y, flags, np.r_[np.ones(40), np.zeros(10)])
    assert (high.value, high.hi) == (pytest.approx(1), 1)
    assert 0.65 < high.lo < 1
    beyond = estimate_from_flags(y, flags, np.r_[np.ones(45), np.zeros(5)])  # more flags than all harm would give
    assert (beyond.value, beyond.hi) == (1, 1)
    assert np.isnan(estimate_from_flags(y, flags, np.ones(500))).all()
    assert estimate_from_probabilities([0.01] * 9, [0.4, 0.6]).lo == pytest.approx(0, abs=1e-9)
    assert estimate_from_probabilities([0.99] * 9, [0.4, 0.6]).hi == pytest.approx(1, abs=1e-9)
    assert np.isnan(estimate_from_probabilities([0.5], [0.5, 0.5], weight=[0, 0])).all()
    assert prevalence.drawn_by_label([1, 1], [2, 2])
    assert prevalence.drawn_by_label([1, 0, 0], [1, 2.0, 2.02])
    assert not prevalence.drawn_by_label([1, 0, 0], [1, 2.0, 2.03])
