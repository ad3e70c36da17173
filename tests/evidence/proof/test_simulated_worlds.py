"""The simulated worlds are what they say they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import logit

from workbench.evidence.proof.simulated_worlds import (
    FAMILIES,
    SINGLE,
    Sample,
    SimulatedWorlds,
    SortedScores,
    binormal_average_precision,
    binormal_precision,
)
from workbench.metrics.classification import average_precision


@pytest.fixture(scope="module")
def worlds():
    return SimulatedWorlds(FAMILIES, population=10_000)


def test_families_share_their_truth_and_the_optimal_model_is_the_best():
    worlds = SimulatedWorlds(FAMILIES, population=200_000)
    sample = worlds.sample(200, 1)
    for family in range(200):
        assert len(set(sample.y[sample.codes == family])) == 1
    values = {name: worlds.truth[name, "average_precision"] for name in sample.scores}
    assert values["words"] < values["both"] < values["optimal"] < values["leaky"]
    assert abs(values["both"] - values["twin"]) < 0.01


def test_the_truth_of_normal_scores_is_that_of_many_posts():
    rng, y = np.random.default_rng(0), np.arange(400_000) < 40_000
    score = 2.0 * y + rng.normal(size=len(y))
    assert average_precision(y, score) == pytest.approx(binormal_average_precision(2.0, 0.1), abs=0.005)
    assert y[score >= 1.6].mean() == pytest.approx(binormal_precision(1.6, 2.0, 0.1), abs=0.005)


@pytest.mark.parametrize(("apart", "prevalence"), [(1.0, 0.5), (2.0, 0.075), (3.0, 0.01)])
def test_average_precision_is_an_integral_over_recall(apart, prevalence):
    def precision(recall):
        threshold = apart + stats.norm.isf(recall)
        alarms = (1 - prevalence) * stats.norm.sf(threshold)
        return prevalence * recall / (prevalence * recall + alarms)

    exact = integrate.quad(precision, 0, 1, limit=200)[0]
    assert binormal_average_precision(apart, prevalence) == pytest.approx(exact, rel=1e-6)
    assert binormal_precision(apart, apart, prevalence) == pytest.approx(precision(0.5))


def test_a_sample_is_drawn_as_it_always_was(worlds):
    sample = worlds.sample(5, [1, 2])
    assert sample.codes.tolist() == [0, 1, 1, 2, 3, 4, 4]
    # by numpy's generator, in this order: the log-odds of words and of everything, and the errors of three models
    drawn = {
        "words": [-6.2058298, -7.1732532, -7.5528091, -2.7005695, -2.0437935, -6.7211871, -6.5815282],
        "both": [-6.6186758, -6.4291645, -6.5827727, -6.1614695, -7.5387498, -7.3634691, -7.3757619],
        "twin": [-7.2447827, -6.8379337, -7.1798361, -9.075323, -9.2779039, -5.9177964, -6.1973711],
        "optimal": [-6.9520076] * 7,
        "leaky": [-6.9520076] * 7,
    }
    assert list(sample.scores) == list(drawn)
    for name, scores in drawn.items():
        np.testing.assert_allclose(sample.scores[name], scores, rtol=1e-6)


def test_a_large_sample_has_as_many_posts_and_as_much_harm_as_it_always_had(worlds):
    sample = worlds.sample(3000, 1)
    assert (len(sample.y), sample.y.sum(), sample.positive_families) == (5592, 328, 184)
    sizes = np.bincount(np.bincount(sample.codes), minlength=7)[1:] / 3000
    np.testing.assert_allclose(sizes, FAMILIES, atol=0.03)
    assert set(SimulatedWorlds(population=10_000).sample(50, 1).codes) == set(range(50))


def test_the_optimal_model_knows_the_log_odds_and_the_leaky_one_some_of_the_truth(worlds):
    sample, latents = worlds.sample(1000, 7), worlds.world.draw(1000, np.random.default_rng(7))
    jitter = sample.scores["optimal"] - logit(worlds.tables["all"].posterior(latents)[:, 0])[sample.codes]
    assert -1e-14 < jitter.min() < 0.02e-10
    assert 0.98e-10 < jitter.max() < 1e-10 + 1e-14
    np.testing.assert_allclose(sample.scores["leaky"] - sample.scores["optimal"], 3.0 * sample.y, atol=1e-9)


def test_errors_are_a_familys_and_a_posts_own(worlds):
    sample = worlds.sample(20_000, 3)
    errors = sample.scores["both"] - sample.scores["optimal"]
    first = np.unique(sample.codes, return_index=True)[1]
    first = first[np.diff([*first, len(errors)]) > 1]  # of families of two posts or more
    assert errors.std() == pytest.approx((1 + 0.3**2) ** 0.5, rel=0.02)
    assert (errors[first] - errors[first + 1]).std() == pytest.approx(0.3 * 2**0.5, rel=0.03)


def test_harm_is_counted_by_families():
    y = np.array([True, True, False, True, False])
    assert Sample(y, np.array([0, 0, 1, 2, 3]), 4, {}).positive_families == 2


def test_a_score_at_the_threshold_is_flagged():
    curve = SortedScores(np.array([0.0, 1, 2, 3, 4], dtype=np.float32), np.array([1.0, 3, 4], dtype=np.float32))
    assert [curve.at(at, "precision") for at in (0, 1, 2.5, 4, 5)] == [3 / 5, 3 / 4, 1.0, 1.0, 0.0]
    assert [curve.at(at, "recall") for at in (0, 1, 2.5, 4, 5)] == [1.0, 1.0, 2 / 3, 1 / 3, 0.0]


def test_the_truth_about_all_posts(worlds):
    # of 10,000 families of numpy's generator: average precision, recall and precision where 6 % of posts are flagged
    truth = {
        "words": [0.55004875, 0.51419032, 0.55949137],
        "both": [0.92386174, 0.84974958, 0.92461399],
        "twin": [0.90091093, 0.84724541, 0.92188919],
        "optimal": [0.91826423, 0.85308848, 0.92824705],
        "leaky": [0.99211373, 0.91903172, 1.0],
    }
    expected = {
        (name, metric): value
        for name, values in truth.items()
        for metric, value in zip(("average_precision", "recall", "precision"), values, strict=True)
    }
    assert worlds.truth == pytest.approx(expected, rel=1e-6)
    thresholds = {"words": -0.81615217, "both": 1.1245851, "twin": 1.1617527, "optimal": 2.534309, "leaky": 3.8241812}
    assert worlds.thresholds == pytest.approx(thresholds, rel=1e-6)


def test_the_curve_counts_one_post_of_each_family(worlds):
    assert (len(worlds.curve.everything), len(worlds.curve.harmful)) == (10_000, 642)
    found = [worlds.curve.at(at, metric) for at in (-1, 0, 1.5) for metric in ("precision", "recall")]
    assert found == pytest.approx([0.85774648, 0.94859813, 0.90797546, 0.92211838, 0.93358634, 0.76635514], rel=1e-6)
    assert all(np.all(np.diff(side) >= 0) for side in worlds.curve)


def test_the_size_of_a_world_is_as_said():
    assert (SimulatedWorlds().population, SimulatedWorlds().sizes) == (1_500_000, SINGLE)
