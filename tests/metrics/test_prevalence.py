"""Prevalence: Bayes' rule against published and hand-made numbers, intervals and estimates against planted truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_families import labelled
from oracles import clopper_pearson
from scipy.special import expit, logit

from workbench.metrics import prevalence, shares
from workbench.metrics.calibration import shift
from workbench.metrics.intervals import wilson
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
    weight = np.r_[np.full(100, 1.0), np.full(20, 3.0)]  # 160 in all: 160^2 / 280 = 91.4 posts
    none = share(np.zeros(120), weight)
    assert none.hi == pytest.approx(share(np.zeros(91), np.ones(91)).hi, rel=0.01)
    heavy = np.r_[np.full(10, 50.0), np.full(500, 1.0)]  # 1000 in all, half of it ten posts of a twentieth each
    # one of these could have been flagged: Poisson's upper limit of none, log(20), times a twentieth
    assert share(np.zeros(510), heavy).hi == pytest.approx(np.log(20) / 20, rel=1e-6)


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
            "em": estimate_from_probabilities(q, p, **groups),
        }
        for name, one in found.items():
            hits[name] += one.lo <= 0.06 <= one.hi
    assert {name: _plausible(count, of) for name, count in hits.items()} == dict.fromkeys(hits, True), hits


def test_without_groups_copies_are_taken_for_evidence_and_the_interval_fails():
    worlds, covered = Worlds(3, 4), 0
    for _ in range(200):
        (_, x, _), (_, there, _) = worlds.draw(1600, 0.25), worlds.draw(2000, 0.06)
        found = estimate_from_probabilities(worlds.prob(there, 0.25), worlds.prob(x, 0.25))
        covered += found.lo <= 0.06 <= found.hi
    assert not _plausible(covered, 200)


def test_the_estimate_corrects_probabilities():
    worlds = Worlds(5)
    (y, x, _), (_, source, _) = worlds.draw(20_000, 0.03), worlds.draw(20_000, 0.3)
    prob = Worlds.prob(x, 0.3)
    found = estimate_from_probabilities(prob, Worlds.prob(source, 0.3)).value
    assert found == pytest.approx(0.03, abs=0.006)
    moved = expit(logit(prob) + shift(0.3, found))
    assert moved.mean() == pytest.approx(y.mean(), abs=0.006)
    assert prob.mean() > 0.08  # before, far too many were expected


def test_what_cannot_be_estimated_is_undefined():
    assert np.isnan(estimate_from_flags([1, 0], [1, 1], [1, 0])).all()  # the flags tell the classes not apart
    assert np.isnan(estimate_from_flags([0, 0], [1, 0], [1, 0])).all()
    # of 100 harmless posts none is flagged, of others 60 in 100: with no share of harm can 20 in 100 be too few flags
    assert np.isnan(estimate_from_flags([1] * 50 + [0] * 100, [1] * 50 + [1] * 60 + [0] * 40, [1] * 2 + [0] * 98)).all()
    assert np.isnan(estimate_from_probabilities([], [0.5])).all()
    assert np.isnan(estimate_from_probabilities([0.5], [])).all()
    assert np.isnan(estimate_from_probabilities([0.5], [1.0, 1.0])).all()
    assert estimate_from_probabilities([0.01] * 9, [0.4, 0.6]).value == pytest.approx(0, abs=1e-9)
    assert estimate_from_probabilities([0.99] * 9, [0.4, 0.6]).value == pytest.approx(1, abs=1e-9)


def test_each_side_of_the_flags_is_as_unsure_as_it_weighs():
    # 10 of 20 harmful posts are flagged, Wilson's interval .299 to .701; 100,000 harmless and others tell .1 and .108
    # exactly. So the share is .008 / (recall - .1): .02, and at the ends of recall .0133 and .0402
    many = 100_000
    y, flags = np.r_[np.ones(20), np.zeros(many)], np.r_[np.arange(20) < 10, np.arange(many) < 0.1 * many]
    found = estimate_from_flags(y, flags, np.arange(10 * many) < 1.08 * many)
    assert found.value == pytest.approx(0.02, abs=1e-9)
    low, high = wilson(10, 20)
    # the harmless posts' own interval, +-.0019, is joined to it by squares and moves the ends a little
    assert found.lo == pytest.approx(0.008 / (high - 0.1), abs=0.002)
    assert found.hi == pytest.approx(0.008 / (low - 0.1), abs=0.004)
    assert found.hi > 0.035


def test_scores_that_fall_with_harm_tell_as_much():
    rng = np.random.default_rng(2)
    y = rng.random(500) < 0.3
    flags, there = rng.random(500) < np.where(y, 0.8, 0.1), rng.random(400) < 0.2
    found, turned = estimate_from_flags(y, flags, there), estimate_from_flags(y, ~flags, ~there)
    np.testing.assert_allclose(found, turned)


def test_a_small_source_makes_its_mean_unsure():
    source = Worlds.prob(Worlds(6).draw(400, 0.25)[1], 0.25)
    there, group = Worlds.prob(Worlds(7).draw(2000, 0.06)[1], 0.25), np.arange(400)
    small, large = (estimate_from_probabilities(there, np.tile(source, times)) for times in (1, 25))
    assert small.value == pytest.approx(large.value)
    assert small.hi - small.lo > 1.3 * (large.hi - large.lo)
    # a post of weight two is two posts of its group
    twice = estimate_from_probabilities(there, np.repeat(source, 2), group=np.repeat(group, 2))
    np.testing.assert_allclose(twice, estimate_from_probabilities(there, source, weight=np.full(400, 2.0), group=group))
    np.testing.assert_allclose(twice, small)


@pytest.mark.parametrize(
    ("weight", "by_label"),
    [
        ([1, 1, 1, 1], True),
        ([5, 5, 1, 1], True),  # harm was sampled less, and nothing else
        ([5, 5.04, 1, 1], True),  # rounded
        ([5, 6, 1, 1], False),
        ([1, 1, 1, 2], False),
    ],
)
def test_weights_that_the_label_does_not_explain_tell_how_a_sample_was_drawn(weight, by_label):
    assert prevalence.drawn_by_label([1, 1, 0, 0], weight) is by_label


def test_copies_of_a_post_are_one_of_the_few():
    assert prevalence.rests_on_few(np.ones(40), np.arange(40) // 4)
    assert not prevalence.rests_on_few(np.ones(80), np.arange(80) // 4)


def test_a_share_that_mostly_lies_in_a_few_families_has_their_interval():
    # one family of 60 copies, all flagged, and 60 single posts, of which none is
    part, whole = np.r_[60.0, np.zeros(60)], np.r_[60.0, np.ones(60)]
    found = share(part, whole)
    assert found.value == 0.5
    assert (found.lo, found.hi) == shares.fay_feuer(part, whole)
    assert found.hi - found.lo > 0.9


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
    # were p's degrees of freedom off by one, its mean would be .6: the error of the mean of 120 is .026
    assert abs(np.mean(p_values) - 0.5) < 0.07
    refuted = sum(p < 0.05 for p in p_values)
    low, high = clopper_pearson(refuted, 120, alpha=0.001)
    assert low <= 0.05 <= high
    assert caught > 100
    assert math.isnan(label_shift_test(np.ones(9), np.arange(9.0), np.arange(9.0)))


# ------------------------------------------------------------------------------------------- numbers on a fixed sample


def test_estimates_of_a_fixed_sample_stay():
    # only another formula or another sample changes these; the coverage of the formulas is tested above
    y, score, target, about = labelled()
    found = [
        estimate_from_flags(y, score >= 0.5, target >= 0.5, **about),
        estimate_from_flags(y, score, target, alpha=0.2, **about),
        estimate_from_flags(~y, score, target, **about),
        estimate_from_probabilities(target, score, **about),
        estimate_from_probabilities(target, score, alpha=0.2),
    ]
    expected = [
        [0.034522757, 0.0, 0.13822674],
        [0.092320553, 0.0039851701, 0.17340495],
        [0.90767945, 0.78489669, 1.0],
        [0.11002754, 0.031319948, 0.33412288],
        [0.10435206, 0.049436852, 0.21223267],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_the_p_of_label_shift_of_a_fixed_sample_stays():
    y, score, target, about = labelled()
    found = [label_shift_test(y, score, target, **kwargs) for kwargs in (about, {}, {"bins": 5}, {"bins": 20})]
    np.testing.assert_allclose(found, [0.18739966, 0.26130594, 0.63262345, 0.88634918], rtol=1e-3)
    few = (y[:60], score[:60], target[:60])  # 19 harmful posts, so three bins
    assert math.isnan(label_shift_test(*few))
    # of 20 harmful ones four bins have five each, and the posts of the target may be the few as well
    assert not math.isnan(label_shift_test(np.arange(60) < 20, score[:60], target))
    assert math.isnan(label_shift_test(y, score, target[:19]))
    assert not math.isnan(label_shift_test(y, score, target[:20]))


# recall and false positive rate with their intervals, of which precision and alert rate at a prevalence are made
RECALL, ALARMS, NONE = Estimate(0.6, 0.45, 0.7), Estimate(0.1, 0.05, 0.2), Estimate(0.0, 0.0, 0.05)


def test_intervals_of_a_ratio_and_of_a_sum_by_their_formulas():
    # MOVER: the ends of a ratio r solve (a - r b)^2 = (a - l_a)^2 + r^2 (u_b - b)^2 and its mirror image
    found = precision_interval(0.02, RECALL, ALARMS)
    assert found.value == pytest.approx(0.02 * 0.6 / (0.02 * 0.6 + 0.98 * 0.1))
    low, high = (end / (1 - end) * 0.98 / 0.02 for end in found[1:])
    assert (0.6 - low * 0.1) ** 2 == pytest.approx(0.15**2 + low**2 * 0.1**2)
    assert (0.6 - high * 0.1) ** 2 == pytest.approx(0.1**2 + high**2 * 0.05**2)
    assert low < 6 < high
    # without an alarm the ratio has only a lower end, without a hit only an upper one
    found = precision_interval(0.02, RECALL, NONE)
    assert found == (1, pytest.approx(0.19167191), 1)
    low = found.lo / (1 - found.lo) * 49
    assert pytest.approx(0.15**2 + low**2 * 0.05**2) == 0.6**2
    assert precision_interval(0.02, Estimate(0.0, 0.0, 0.1), ALARMS) == (0, 0, pytest.approx(0.023022778))
    found = precision_interval(0.02, RECALL, Estimate(0.01, 0.0, 0.05))
    assert found == (pytest.approx(0.012 / 0.0218), pytest.approx(0.19040614), 1)
    # an upper end that is twice the value makes the lower end that of the linear equation
    found = precision_interval(0.5, Estimate(0.6, 0.5, 0.7), Estimate(0.1, 0.05, 0.2))
    linear = 0.5 * 0.7 / (2 * 0.06)
    assert found.lo == pytest.approx(linear / (1 + linear))
    sum_of = alert_interval(0.3, RECALL, ALARMS)
    middle, below, above = 0.3 * 0.6 + 0.7 * 0.1, np.hypot(0.3 * 0.15, 0.7 * 0.05), np.hypot(0.3 * 0.1, 0.7 * 0.1)
    assert sum_of == pytest.approx((middle, middle - below, middle + above))
    cut = alert_interval(0.3, Estimate(0.1, 0.0, 1.0), Estimate(0.9, 0.0, 1.0))
    assert (cut.lo, cut.hi) == (pytest.approx(0.66 - np.hypot(0.03, 0.63)), pytest.approx(0.66 + np.hypot(0.27, 0.07)))
    assert alert_interval(0.5, Estimate(0.1, 0.0, 1.0), Estimate(0.1, 0.0, 1.0)).lo == pytest.approx(
        0.1 - np.hypot(0.05, 0.05)
    )
    assert alert_interval(0.5, Estimate(0.1, -0.5, 1.0), Estimate(0.9, 0.0, 2.5))[1:] == (0, 1)
    assert alert_rate(0.02, 0.6, 0.1) == pytest.approx(0.11)
