"""Intervals: numbers of fixed samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.metrics import intervals as iv


def test_weights_of_a_seed_stay():
    # numpy's generator draws them; another order of drawing would make old and new runs disagree
    expected = [[1, 3, 1, 2, 1, 2], [1, 0, 0, 2, 2, 0], [1, 0, 1, 0, 1, 2], [1, 1, 2, 0, 0, 0]]
    for chunk in (None, 2, 5):
        np.testing.assert_array_equal(np.hstack(list(iv.bootstrap_weights(4, 5, seed=3, chunk=chunk))), expected)
    assert [W.shape[1] for W in iv.bootstrap_weights(4, 5, seed=3, chunk=2)] == [3, 2, 1]
    left = iv.leave_out(lambda W: W, 5, seed=3)
    assert left.tolist() == [[1, 0, 1, 1, 1], [1, 1, 1, 1, 0], [0, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 0, 1]]
    many = iv.leave_out(lambda W: np.arange(450) @ W, 450, seed=3)
    assert many[:4].tolist() == [100632, 100295, 100432, 100046]
    assert many.shape == (200,)
    assert iv.bootstrap(lambda W: W.sum(axis=0), 0, 3, seed=0).tolist() == [0, 0, 0, 0]
    widths = []
    iv.bootstrap(lambda W: widths.append(W.shape[1]) or W[0], 4, 2000, seed=0, rows=1000)
    assert widths == [126, *[125] * 15]
    iv.leave_out(lambda W: widths.append(W.shape[1]) or W[0], 400, seed=0, rows=1000)
    assert widths[-2:] == [125, 75]


def test_a_single_group_is_drawn_every_time():
    for chunk in (None, 2):
        blocks = list(iv.bootstrap_weights(1, 5, seed=3, chunk=chunk))
        assert np.hstack(blocks).tolist() == [[1] * 6]
    assert iv.bootstrap(lambda W: 7 * W[0], 1, 20, seed=0).tolist() == [7] * 21


def test_a_block_is_about_a_million_bytes_within_limits():
    assert [iv.chunk_of(rows) for rows in (0, 1, 125, 126, 1000, 7812, 10**6)] == [1000, 1000, 1000, 992, 125, 16, 16]


def test_how_many_groups_decide():
    # influences -4/3, -1/3, 5/3 after the mean is taken off, NaN left out
    squares = np.array([16, 1, 25]) / 9
    assert iv.deciding_groups([1, 2, 4, np.nan]) == pytest.approx(squares.sum() ** 2 / (squares**2).sum())
    assert iv.deciding_groups([0.3, 0.3]) == iv.deciding_groups([]) == np.inf
    assert not iv.decided_by_few(np.r_[np.ones(5), -np.ones(5)])  # ten share alike
    assert iv.decided_by_few(np.r_[np.ones(4), -np.ones(4)])


def test_half_of_the_draws_defined_is_too_few():
    assert iv.defined_draws([0.5, 0.4, np.nan])[1].tolist() == []
    assert iv.defined_draws([0.5, 0.4, 0.6, np.nan])[1].tolist() == [0.4, 0.6]
    assert iv.defined_draws([np.nan, 0.4])[1].tolist() == []
    assert iv.value_interval([0.5, 0.4]) == (0.5, 0.5)  # one draw has no spread
    assert iv.value_interval([1.0, 1.0, 1.0]) == (1, 1)


def test_wilson_reaches_as_far_as_it_is_told():
    assert iv.wilson(3, 10) == iv.wilson(3, 10, 0.05) == iv.wilson(3, 10, reach=stats.norm.isf(0.025))
    low, high = iv.wilson(3, 10, reach=2.5)
    for end in (low, high):
        assert abs(end - 0.3) == pytest.approx(2.5 * np.sqrt(end * (1 - end) / 10))


def test_group_confusions_by_hand():
    y, flagged, codes = [1, 1, 0, 0, 1], [1, 0, 1, 0, 1], np.array([0, 1, 1, 0, 1])
    counts = iv.group_confusions(y, flagged, codes, 3, weight=[2, 3, 5, 7, 11])
    assert counts.tolist() == [[7, 0, 0], [0, 5, 0], [0, 3, 0], [2, 11, 0]]
    known = [True, False, True, True, True]
    assert iv.group_confusions(y, flagged, codes, 2, known=known).tolist() == [[1, 0], [0, 1], [0, 0], [1, 1]]
