"""Removal in a world where harm is certain to .92 at most: found often, and hardly ever falsely."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.evidence.proof import removal
from workbench.evidence.proof.removal import CERTAIN, PREVALENCE, removal_trial, removal_world, true_precision

WORLDS = 60


def test_the_world_is_what_it_says():
    y, prob = removal_world(0, 400_000)
    assert y.mean() == pytest.approx(PREVALENCE, abs=0.002)
    for at in (0.2, 0.5, 0.9):
        assert y[prob >= at].mean() == pytest.approx(true_precision(at), abs=0.012)
    assert true_precision(1 - 1e-9) == pytest.approx(CERTAIN, abs=1e-3)
    assert true_precision(0.99) < CERTAIN


def test_a_threshold_is_found_in_most_worlds_and_misses_in_few():
    found, missed = np.transpose([removal_trial(seed) for seed in range(WORLDS)])
    # that at least 80 % have one, and at most 10 % a wrong one, is not contradicted
    assert stats.binomtest(int(found.sum()), WORLDS, 0.8, alternative="less").pvalue > 0.05
    assert stats.binomtest(int(missed.sum()), WORLDS, 0.1, alternative="greater").pvalue > 0.05


def test_what_no_threshold_has_is_proven_in_few_worlds():
    trials = [removal_trial(seed, precision=0.93) for seed in range(WORLDS)]
    assert all(found == missed for found, missed in trials)  # every threshold has less
    missed = sum(missed for _, missed in trials)
    assert stats.binomtest(missed, WORLDS, 0.1, alternative="greater").pvalue > 0.05


def test_the_world_is_drawn_as_it_always_was():
    y, prob = removal_world(3, 8)
    assert y.tolist() == [False, False, False, True, False, False, False, False]
    drawn = [0.23862149, 0.18314523, 0.021180416, 0.90433264, 0.14685967, 0.012223374, 0.09422466, 0.10891289]
    np.testing.assert_allclose(prob, drawn, rtol=1e-6)  # by numpy's generator, in this order


@pytest.mark.parametrize("at", [0.05, 0.5, 0.99])
def test_the_precision_is_that_of_both_kinds_of_posts(at):
    cells = 0.055 / 0.915  # so that .92 of these and .005 of the others make 6 %
    score = np.log(at / (1 - at))
    flagged = cells * stats.norm.cdf(2.5 - score), (1 - cells) * stats.norm.cdf(-2.5 - score)
    assert true_precision(at) == pytest.approx((0.92 * flagged[0] + 0.005 * flagged[1]) / sum(flagged))


def test_thresholds_of_a_few_worlds(heard):
    asked = heard(removal, "true_precision")
    assert [removal_trial(seed) for seed in range(4)] == [(True, False)] * 4
    thresholds = [at for (at,), _, _ in asked]
    # chosen on samples of numpy's generator; another rule for thresholds changes them
    np.testing.assert_allclose(thresholds, [0.60909206, 0.48412965, 0.73805774, 0.68453711], rtol=1e-6)
    asked.clear()
    told = [removal_trial(seed, posts=600, precision=0.7, sure=0.8) for seed in range(4)]
    assert told == [(True, False), (True, False), (False, False), (True, False)]
    np.testing.assert_allclose([at for (at,), _, _ in asked], [0.50683859, 0.46455913, 0.52412935], rtol=1e-6)


@pytest.mark.parametrize(("precision", "missed"), [(0.8, False), (0.8 - 1e-9, True)])
def test_a_threshold_misses_below_what_it_was_chosen_for(monkeypatch, precision, missed):
    monkeypatch.setattr(removal, "true_precision", lambda at: precision)
    assert removal_trial(0) == (True, missed)
