"""Removal in a world where harm is certain to .92 at most: found often, and hardly ever falsely."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

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
