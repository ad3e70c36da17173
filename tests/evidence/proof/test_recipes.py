"""Worlds of recipes: how seeds spread, and what both tests find."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats

from workbench.evidence.proof import recipes
from workbench.evidence.proof.recipes import RecipeTrial
from workbench.evidence.proof.simulated_worlds import binormal_average_precision
from workbench.metrics.classification import average_precision


@pytest.mark.parametrize("spread", recipes.CHANCE)
def test_seeds_spread_average_precision_as_the_trial_is_named(spread):
    trial, variances = recipes.RecipeTrial(spread, 100), []
    for world in range(20):
        y, scores = trial.models(np.random.default_rng(world))
        variances += [
            np.var([average_precision(y, score) for score in scores[name]], ddof=1) for name in ("one", "other")
        ]
    assert np.mean(variances) ** 0.5 == pytest.approx(spread, rel=0.25)


def test_a_recipe_without_chance_is_as_good_as_the_mean_of_seeds():
    rng = np.random.default_rng(0)
    values = [binormal_average_precision(apart, 0.075) for apart in recipes.APART + 0.2 * rng.normal(size=2000)]
    # of 2,000 seeds the mean has a standard error of .075 / 45
    assert binormal_average_precision(recipes.as_good(0.2), 0.075) == pytest.approx(np.mean(values), abs=0.005)
    assert recipes.as_good(0.0) == pytest.approx(recipes.APART)


@pytest.mark.parametrize("chance", recipes.CHANCE.values())
def test_the_mean_over_seeds_is_that_of_an_integral(chance):
    def part(z):
        return binormal_average_precision(2.0 + chance.quality * z, 0.075) * stats.norm.pdf(z)

    z = np.linspace(-8, 8, 401)
    mean = integrate.simpson([part(one) for one in z], x=z)
    assert binormal_average_precision(recipes.as_good(chance.quality), 0.075) == pytest.approx(mean, rel=1e-8)


def test_models_of_a_recipe_share_what_the_recipe_sees():
    y, scores = recipes.RecipeTrial(0.02, 100).models(np.random.default_rng(0))
    own = np.corrcoef(scores["own"][:, ~y])[0, 1]
    assert own == pytest.approx(0.9, abs=0.02)  # a tenth is each model's own
    assert np.corrcoef(scores["own"][0, ~y], scores["other own"][0, ~y])[0, 1] == pytest.approx(0.6, abs=0.04)
    assert len(scores["constant"]) == 1


# low, high and p of the recipe's test, low and high of posts resampled alone, where there is no difference: a row for
# three and for five seeds of each pair. Drawn by numpy's generator: another order of draws changes the rows.
PAIRS = ("", " against a recipe without chance", " of recipes that differ post by post")
FOUND = {
    0.08: [
        [-0.099403583, 0.23996229, 0.22886563, 0.040647662, 0.099911043],
        [-0.0082122171, 0.17882063, 0.06704905, 0.062607016, 0.1080014],
        [-0.031988853, 0.068824085, 0.455816, -0.032881871, 0.069717103],
        [-0.03770815, 0.085680791, 0.42532014, -0.026726984, 0.074699626],
        [-0.19059078, 0.27912401, 0.62173482, -0.018118906, 0.10665214],
        [-0.093838705, 0.14449022, 0.64960471, -0.033964767, 0.084616287],
    ],
    0.004: [
        [-0.0025313873, 0.0093801131, 0.22149556, -0.0043979067, 0.011246633],
        [-0.0018898512, 0.0085617878, 0.18879357, -0.0018064707, 0.0084784074],
        [-0.0053527176, 0.012200552, 0.41113168, -0.0059188335, 0.012766668],
        [-0.0056616079, 0.010850137, 0.51817891, -0.0056132089, 0.010801738],
        [-0.090138571, 0.029527338, 0.31046663, -0.090058907, 0.029447673],
        [-0.093680065, 0.027900776, 0.27930709, -0.093703358, 0.027924069],
    ],
}
P_OF_PLANTED = {
    0.08: [0.082776116, 0.0089837506, 0.0067046354, 0.011210144, 0.27842021, 0.14351483],
    0.004: [4.7859238e-06, 4.9403269e-10, 0.00015758072, 3.6572473e-06, 0.32018055, 0.37119418],
}
DEVIATIONS = {0.08: [0.014114438, 0.038964743], 0.004: [0.0019560774, 0.0035179532]}


@pytest.mark.parametrize("spread", FOUND)
def test_a_world_of_recipes_in_full(heard, spread):
    asked = heard(recipes.intervals, "recipe_difference")  # which also makes the interval of posts alone
    counts = RecipeTrial(spread, 100)(0)
    tests = [
        (one.lo, one.hi, one.p, other.lo, other.hi)
        for (_, _, one), (_, _, other) in zip(asked[::2], asked[1::2], strict=True)
    ]
    expected = np.array(FOUND[spread])
    np.testing.assert_allclose(tests[::2], expected, rtol=1e-6)
    np.testing.assert_allclose(np.array(tests[1::2])[:, [0, 1, 3, 4]], expected[:, [0, 1, 3, 4]] + 0.06, rtol=1e-6)
    np.testing.assert_allclose([row[2] for row in tests[1::2]], P_OF_PLANTED[spread], rtol=1e-6)

    wanted = {"positives": 150}
    names = [f"{seeds} seeds{pair}" for pair in PAIRS for seeds in (3, 5)]
    for name, plain, planted in zip(names, tests[::2], tests[1::2], strict=True):
        judged, constant = name in ("3 seeds", "5 seeds"), "without chance" in name
        level = "level at most" if constant and spread == 0.004 else "level"
        for kind, found, (_, _, p, low, high) in (
            (level, "a difference found where there is none", plain),
            ("found", "a difference of 0.06 found", planted),
        ):
            wanted[kind, f"{name}: {found}", "the recipe's test"] = p <= 0.05
            alone = f"{kind} alone" if judged else "tabulated"
            wanted[alone, f"{name}: {found}", "posts resampled alone"] = low > 0 or high < 0
        wide = (planted[1] - planted[0]) / (planted[4] - planted[3])
        key = "size", f"{name}: width of the interval, of that of posts alone", "the recipe's test"
        wanted[key] = pytest.approx(wide)

    for seeds, deviation in zip((3, 5), DEVIATIONS[spread], strict=True):
        key = "size", f"{seeds} seeds: standard deviation of average precision", "of one sample"
        wanted[key] = pytest.approx(deviation, rel=1e-6)
    assert counts == wanted


def test_a_p_at_the_level_is_a_finding_and_an_interval_that_touches_0_is_none(monkeypatch):
    touching = iter([(0.0, 0.4), (-0.4, 0.0)])
    stub = SimpleNamespace(
        recipe_difference=lambda *sides, alpha: SimpleNamespace(p=alpha, lo=-0.5, hi=0.3),
        difference_interval=lambda *sides, alpha: next(touching),
    )
    monkeypatch.setattr(recipes, "intervals", stub)
    counts, side = Counter(), (np.ones((3, 5)), np.ones((3, 4)))
    recipes._tests(counts, "3 seeds", side, side, "level", judged=True)
    assert counts == {
        ("level", "3 seeds: a difference found where there is none", "the recipe's test"): 1,
        ("level alone", "3 seeds: a difference found where there is none", "posts resampled alone"): 0,
        ("found", "3 seeds: a difference of 0.06 found", "the recipe's test"): 1,
        ("found alone", "3 seeds: a difference of 0.06 found", "posts resampled alone"): 0,
        ("size", "3 seeds: width of the interval, of that of posts alone", "the recipe's test"): pytest.approx(2.0),
    }


def test_both_tests_are_of_the_level_that_is_named(heard, monkeypatch):
    asked = heard(recipes.intervals, "recipe_difference")
    RecipeTrial(0.02, 100)(0)
    wide = [found.hi - found.lo for _, _, found in asked]
    asked.clear()
    monkeypatch.setattr(recipes, "ALPHA", 0.5)
    RecipeTrial(0.02, 100)(0)
    assert all(found.hi - found.lo < before for (_, _, found), before in zip(asked, wide, strict=True))
