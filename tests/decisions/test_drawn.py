"""How validation was drawn, told by its weights: what leads from its probabilities to the site's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, logit

from workbench.decisions.drawn import Drawn
from workbench.metrics.calibration import IDENTITY, choose_calibrator


def posts(n: int, seed: int, hidden: float = 2.0):
    """Posts of which half at the site are of a loud kind, sampled nine times as often as the others.

    The loud kind is harmful more often by `hidden` in log-odds, which a score x does not see.
    """
    rng = np.random.default_rng(seed)
    loud, x = rng.random(n) < 0.9, rng.normal(size=n)
    return rng.random(n) < expit(x - 2 + hidden * loud), x, np.where(loud, 1 / 9, 1.0)


def as_sampled(x: np.ndarray, hidden: float = 2.0) -> np.ndarray:
    """The log-odds that hold among the sampled posts."""
    return logit(0.1 * expit(x - 2) + 0.9 * expit(x - 2 + hidden))


def log_loss(y: np.ndarray, z: np.ndarray, weight: np.ndarray) -> float:
    return float(np.average(np.logaddexp(0, z) - y * z, weights=weight))


def test_equal_weights_leave_probabilities_where_they_are():
    y, x, _ = posts(400, 0)
    drawn = Drawn.of(y, x, np.full(400, 3.0), np.arange(400))
    assert drawn == Drawn(True, float(y.mean()), IDENTITY)
    assert not drawn.moves


def test_a_sample_by_label_moves_by_the_ratio_of_its_weights():
    y, x, _ = posts(400, 1)
    drawn = Drawn.of(y, x, np.where(y, 0.1, 1.0), np.arange(400))
    share = 0.1 * y.sum() / (0.1 * y.sum() + (~y).sum())
    assert drawn.share == pytest.approx(share)
    # that of the shares' odds, as Bayes has it
    assert drawn.line(0.0) == pytest.approx(logit(share) - logit(y.mean()))
    assert drawn.by_label


def test_a_sample_drawn_otherwise_is_calibrated_by_its_weights():
    y, x, weight = posts(4000, 2)
    drawn = Drawn.of(y, as_sampled(x), weight, np.arange(4000))
    assert not drawn.by_label
    assert drawn.moves
    new_y, new_x, new_weight = posts(20_000, 3)
    before, after = (log_loss(new_y, z, new_weight) for z in (as_sampled(new_x), drawn.line(as_sampled(new_x))))
    assert after < before - 0.01


def test_probabilities_that_hold_in_both_places_stay():
    stayed = 0
    for seed in range(20):
        y, x, weight = posts(1500, seed, hidden=0.0)
        stayed += not Drawn.of(y, as_sampled(x, 0.0), weight, np.arange(1500)).moves
    assert stayed >= 18  # of 20: what bends must pay by a standard error, which luck does now and then


def test_a_few_heavy_harmful_posts_bend_nothing():
    y, x, _ = posts(1500, 5)
    weight = np.full(1500, 0.01)
    weight[np.flatnonzero(y)[:5]] = 1.0
    drawn = Drawn.of(y, x, weight, np.arange(1500))
    assert not drawn.moves
    assert f"a few of validation's {y.sum()} harmful posts decide" in drawn.line.note


def test_posts_without_a_score_or_weight_are_left_out_and_one_class_tells_no_share():
    y, x, weight = posts(400, 6)
    more = (np.r_[y, True, True], np.r_[x, np.nan, 1.0], np.r_[weight, 500.0, 0.0], np.arange(402))
    assert Drawn.of(*more) == Drawn.of(y, x, weight, np.arange(400))
    assert Drawn.of(np.ones(9, bool), np.zeros(9), np.ones(9), np.arange(9)) == Drawn(True, None)


def test_what_is_saved_is_read_back():
    y, x, weight = posts(4000, 2)
    for drawn in (Drawn.of(y, as_sampled(x), weight, np.arange(4000)), Drawn(True, None)):
        assert Drawn.parse(json.loads(json.dumps(drawn.saved))) == drawn


def test_shares_that_differ_by_less_than_a_hundredth_are_equal():
    y, x, _ = posts(400, 7)
    near, off = (Drawn.of(y, x, np.where(y, ratio, 1.0), np.arange(400)) for ratio in (1.008, 1.015))
    assert near.line == IDENTITY
    assert off.by_label
    assert (off.line(0.0), off.line(1.0)) == pytest.approx((np.log(1.015), 1 + np.log(1.015)))
    why = "validation was drawn by the label alone, so its weights tell the ratio of shares"
    assert off.line.chosen == {"why": why}


def test_the_line_is_fitted_by_the_weights_and_the_share_counts_them():
    y, x, weight = posts(3000, 8)
    z, group = as_sampled(x), np.arange(3000) // 2
    drawn = Drawn.of(y, z, weight, group)
    assert drawn.line == choose_calibrator(y, z, group, weight=weight)
    assert drawn.line.numbers != choose_calibrator(y, z, group).numbers
    assert drawn.share == pytest.approx(weight[y].sum() / weight.sum())


def test_one_class_tells_whether_it_was_drawn_by_label_and_nothing_else():
    for y in (np.ones(4, bool), np.zeros(4, bool)):
        assert Drawn.of(y, np.zeros(4), np.ones(4), np.arange(4)) == Drawn(True, None, IDENTITY)
        assert Drawn.of(y, np.zeros(4), np.array([1, 2, 1, 2.0]), np.arange(4)) == Drawn(False, None, IDENTITY)
