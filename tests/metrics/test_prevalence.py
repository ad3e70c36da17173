"""Prevalence: Bayes' rule against published and hand-made numbers, intervals and estimates against planted truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import clopper_pearson
from scipy.special import expit, logit

from workbench.metrics import prevalence
from workbench.metrics.calibration import shift
from workbench.metrics.prevalence import (
    Estimate,
    alert_interval,
    alert_rate,
    estimate_from_flags,
    estimate_from_probabilities,
    importance_weights,
    label_shift_test,
    needed_fpr,
    needed_negatives,
    precision_at,
    precision_interval,
    share,
)

SHARES = st.floats(0.001, 0.999)


def test_llama_guard_3_vision_as_published():
    # recall .623 and FPR .052 (ANCHORS of the field): .92, .11 and .012 at 50 %, 1 % and 0.1 %
    found = precision_at([0.5, 0.01, 0.001], 0.623, 0.052)
    assert [round(found[0], 2), round(found[1], 2), round(found[2], 3)] == [0.92, 0.11, 0.012]


def test_nothing_flagged_has_no_precision():
    assert math.isnan(precision_at(0.1, 0.0, 0.0))
    assert alert_rate(0.1, 0.0, 0.0) == 0


@given(SHARES, SHARES, SHARES)
def test_the_needed_fpr_gives_the_wanted_precision(precision, share_of_harm, recall):
    fpr = needed_fpr(precision, share_of_harm, recall)
    assert precision_at(share_of_harm, recall, fpr) == pytest.approx(precision)


@pytest.mark.parametrize(("fpr", "alarms"), [(0.01, 0), (0.001, 0), (0.05, 3), (0.2, 10)])
def test_the_needed_negatives_are_the_fewest_that_prove_it(fpr, alarms):
    n = needed_negatives(fpr, alarms=alarms)
    assert clopper_pearson(alarms, n, alpha=0.1)[1] <= fpr  # one-sided 5 % is the upper end of a 90 % interval
    assert clopper_pearson(alarms, n - 1, alpha=0.1)[1] > fpr
    if not alarms:
        assert n == pytest.approx(3 / fpr, rel=0.01)  # the rule of three


def test_importance_weights_move_the_prevalence_and_nothing_else():
    y = np.r_[np.ones(30), np.zeros(70)]
    weight = importance_weights(y, 0.3, 0.01)
    assert np.average(y, weights=weight) == pytest.approx(0.01)
    assert weight.mean() == pytest.approx(1)
    with pytest.raises(ValueError, match="target must be above 0"):
        importance_weights(y, 0.3, 0.0)


# ---------------------------------------------------------------------------------------------------------- intervals


def test_copies_in_a_group_add_no_evidence_and_neither_do_seeds():
    rng = np.random.default_rng(0)
    flags = rng.random(200) < 0.3
    once = share(flags.astype(float), np.ones(200))
    assert share(5.0 * flags, np.full(200, 5.0)) == pytest.approx(once)
    independent = share(rng.binomial(5, 0.3, 200).astype(float), np.full(200, 5.0))
    assert independent.hi - independent.lo < 0.6 * (once.hi - once.lo)  # 1/sqrt(5) = .45 if nothing is shared
    assert np.isnan(share([], [])).all()


def test_weights_cost_evidence():
    weight = np.r_[
        np.full(10, 50.0), np.full(500, 1.0)
    ]  # 1000 in all, half of it ten posts: 1000^2 / 25,500 = 39.2 posts
    none = share(np.zeros(510), weight)
    assert none.hi == pytest.approx(share(np.zeros(39), np.ones(39)).hi, rel=0.01)


def test_no_false_alarm_bounds_precision_from_below_only():
    found = precision_interval(0.001, share(np.ones(50), np.ones(50)), share(np.zeros(1000), np.ones(1000)))
    assert (found.value, found.hi) == (1.0, 1.0)
    # recall near 1, FPR at most .0038: 1 in 1000 against 3.8, so little more than a fifth is certain
    assert 0.15 < found.lo < 0.3
    assert np.isnan(precision_interval(0.1, Estimate(0.0, 0.0, 0.1), Estimate(0.0, 0.0, 0.1))).all()


@given(SHARES, SHARES, SHARES)
def test_intervals_hold_their_value(share_of_harm, recall, fpr):
    r, f = (share([value * 40], [40.0])._replace(value=value) for value in (recall, fpr))
    r, f = (Estimate(value, max(value - 0.1, 0), min(value + 0.1, 1)) for value in (r.value, f.value))
    for found in (precision_interval(share_of_harm, r, f), alert_interval(share_of_harm, r, f)):
        assert 0 <= found.lo <= found.value + 1e-9
        assert found.value - 1e-9 <= found.hi <= 1


def test_intervals_of_precision_cover_the_truth():
    rng = np.random.default_rng(1)
    truth, covered = precision_at(0.01, 0.7, 0.02), 0
    for _ in range(400):
        sides = (share((rng.random(n) < p).astype(float), np.ones(n)) for n, p in ((80, 0.7), (600, 0.02)))
        found = precision_interval(0.01, *sides)
        covered += found.lo <= truth <= found.hi
    assert _plausible(covered, 400)


def _plausible(covered: int, of: int, band: tuple[float, float] = (0.92, 0.985)) -> bool:
    """Whether an exact 99.9 % interval of the coverage meets a band around 95 %."""
    low, high = clopper_pearson(covered, of, alpha=0.001)
    return low <= band[1] and high >= band[0]


# ------------------------------------------------------------------------------ a planted prevalence, and its estimates


class Worlds:
    """Scores with known probabilities: harmful posts score 2 higher than others; groups of `copies` share a score."""

    def __init__(self, seed: int, copies: int = 1) -> None:
        self.rng, self.copies = np.random.default_rng(seed), copies

    def draw(self, n: int, pi: float):
        y = self.rng.random(n // self.copies) < pi
        x = self.rng.normal(2.0 * y, 1.0)
        group = np.arange(n // self.copies)
        return np.repeat(y, self.copies), np.repeat(x, self.copies), np.repeat(group, self.copies)

    @staticmethod
    def prob(x: np.ndarray, pi: float) -> np.ndarray:
        # N(2, 1) against N(0, 1): log-odds are 2 x - 2, plus those of the prevalence
        return expit(2 * x - 2 + logit(pi))


@pytest.mark.parametrize("copies", [1, 4])
def test_estimates_cover_a_planted_shift(copies):
    worlds, of, hits = Worlds(3, copies), 300, {"flags": 0, "scores": 0, "em": 0}
    for _ in range(of):
        y, x, group = worlds.draw(1600, 0.25)
        _, there, there_group = worlds.draw(2000, 0.06)
        groups = {"group": group, "target_group": there_group}
        p, q = worlds.prob(x, 0.25), worlds.prob(there, 0.25)
        found = {
            "flags": estimate_from_flags(y, p >= 0.5, q >= 0.5, **groups),
            "scores": estimate_from_flags(y, p, q, **groups),
            "em": estimate_from_probabilities(q, 0.25, group=there_group),
        }
        for name, one in found.items():
            hits[name] += one.lo <= 0.06 <= one.hi
    assert {name: _plausible(count, of) for name, count in hits.items()} == dict.fromkeys(hits, True), hits


def test_without_groups_copies_are_taken_for_evidence_and_the_interval_fails():
    worlds, covered = Worlds(3, 4), 0
    for _ in range(200):
        _, x, _ = worlds.draw(2000, 0.06)
        found = estimate_from_probabilities(worlds.prob(x, 0.25), 0.25)
        covered += found.lo <= 0.06 <= found.hi
    assert not _plausible(covered, 200)


def test_the_estimate_corrects_probabilities():
    y, x, _ = Worlds(5).draw(20_000, 0.03)
    prob = Worlds.prob(x, 0.3)
    found = estimate_from_probabilities(prob, 0.3).value
    assert found == pytest.approx(0.03, abs=0.006)
    moved = expit(logit(prob) + shift(0.3, found))
    assert moved.mean() == pytest.approx(y.mean(), abs=0.006)
    assert prob.mean() > 0.08  # before, far too many were expected


def test_what_cannot_be_estimated_is_undefined():
    assert np.isnan(estimate_from_flags([1, 0], [1, 1], [1, 0])).all()  # the flags tell the classes not apart
    assert np.isnan(estimate_from_flags([0, 0], [1, 0], [1, 0])).all()
    assert np.isnan(estimate_from_probabilities([], 0.5)).all()
    assert estimate_from_probabilities([0.01] * 9, 0.5).value == pytest.approx(0, abs=1e-9)


# --------------------------------------------------------------------------------------------- which shift it can be


def test_a_post_of_weight_two_is_two_posts_of_its_group():
    rng = np.random.default_rng(4)
    y, score, weight = rng.random(300) < 0.3, rng.random(300), rng.integers(1, 3, 300)
    score, target, group = score + 0.5 * y, rng.random(200), np.arange(300)
    again = np.repeat(group, weight)
    found = prevalence.estimate_from_flags(y, score, target, group=group, weight=weight)
    twice = prevalence.estimate_from_flags(y[again], score[again], target, group=group[again])
    np.testing.assert_allclose(found, twice)


def test_weights_undo_a_sample_that_label_shift_alone_does_not_explain():
    rng = np.random.default_rng(5)
    easy, y = rng.random(6000) < 0.5, rng.random(6000) < 0.3
    score = rng.normal(size=6000) + np.where(y, np.where(easy, 3.0, -3.0), 0.0)
    kept = easy | (rng.random(6000) < 0.25)  # what is hard is sampled once in four times
    weight = np.where(easy, 1.0, 4.0)[kept]
    sampled = {"y": y[kept], "score": score[kept], "target": score}
    assert prevalence.label_shift_test(**sampled) < 0.001
    assert prevalence.label_shift_test(**sampled, weight=weight) > 0.01


def test_label_shift_passes_its_test_and_a_new_kind_of_harmless_post_does_not():
    p_values, caught = [], 0
    for seed in range(120):
        worlds = Worlds(seed)
        y, x, _ = worlds.draw(2000, 0.25)
        _, there, _ = worlds.draw(1500, 0.06)
        p_values.append(label_shift_test(y, x, there))
        odd = np.where(worlds.rng.random(1500) < 0.15, worlds.rng.normal(0.8, 0.3, 1500), there)
        caught += label_shift_test(y, x, odd) < 0.05
    refuted = sum(p < 0.05 for p in p_values)
    low, high = clopper_pearson(refuted, 120, alpha=0.001)
    assert low <= 0.05 <= high
    assert caught > 100
    assert math.isnan(label_shift_test(np.ones(9), np.arange(9.0), np.arange(9.0)))
