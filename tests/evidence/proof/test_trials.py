"""The simulated worlds are what they say they are."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.evidence.proof import concentrated, planted, recipes, winners
from workbench.evidence.proof.simulated_worlds import (
    FAMILIES,
    SimulatedWorlds,
    binormal_average_precision,
    binormal_precision,
)
from workbench.metrics.classification import average_precision


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


def test_a_gate_that_sees_no_edits_is_found_out(monkeypatch):
    monkeypatch.setattr(planted, "_named", lambda train, test, relation, taxonomy=None: 0)
    counts = planted.PlantTrial(40)(0)
    texts = {key[2]: n for key, n in counts.items() if key[0] != planted.OF}
    assert texts == dict.fromkeys(("repeated", *planted.REWRITES, "clean"), 0)


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


def test_models_of_a_recipe_share_what_the_recipe_sees():
    y, scores = recipes.RecipeTrial(0.02, 100).models(np.random.default_rng(0))
    own = np.corrcoef(scores["own"][:, ~y])[0, 1]
    assert own == pytest.approx(0.9, abs=0.02)  # a tenth is each model's own
    assert np.corrcoef(scores["own"][0, ~y], scores["other own"][0, ~y])[0, 1] == pytest.approx(0.6, abs=0.04)
    assert len(scores["constant"]) == 1


def test_scores_of_the_nine_are_alike_as_said():
    scores = winners.WinnerTrial(winners.EQUAL, 0.5, 100)._scores(np.random.default_rng(0))[:, winners.HARMFUL :]
    others = np.corrcoef(scores)[np.triu_indices(winners.MODELS, 1)]
    assert others.mean() == pytest.approx(0.5, abs=0.02)
    assert len(winners.UNEQUAL) == winners.MODELS > len({*winners.EQUAL})


def test_the_truth_at_the_site_counts_by_weight():
    tn, fp, fn, tp = concentrated._confusion(
        np.array([True, True, False]), np.array([1.0, 30.0, 30.0]), np.array([1.0, 0.5, 0.1])
    )
    assert [tn, fp, fn, tp] == pytest.approx([27.0, 3.0, 15.0, 16.0])
    assert [
        float(part / whole)
        for part, whole in (share.totals(np.array([tn, fp, fn, tp])) for share in concentrated.SHARES)
    ] == (pytest.approx([16 / 31, 16 / 19, 3 / 30]))


def test_a_row_that_says_few_need_not_hold_the_truth():
    held = concentrated.Covered()
    held.or_few(True, "ap", (0.1, 0.2), 0.5)
    held.or_few(False, "ap", (0.1, 0.3), 0.2)
    held.or_few(False, "ap", (0.1, 0.5), 0.6)
    counts = {key[:2]: n for key, n in held.items()}
    assert counts == {
        ("or few", "ap, or few"): 2,
        ("few", "ap: few"): 1,
        ("unmarked", "ap: where the row does not say few"): 1,
        ("of", "ap: where the row does not say few"): 2,
        ("width", "ap: width"): pytest.approx(0.7),
    }


def test_a_world_of_copies_has_as_many_posts_as_others_in_fewer_groups(monkeypatch):
    seen = []
    build = concentrated.Ranking.build
    monkeypatch.setattr(concentrated.Ranking, "build", lambda *about: seen.append(about) or build(*about))
    counts = concentrated.CopiesTrial(60, 0.03, 100)(0)
    y, score, codes, groups = seen[0]
    sizes = np.bincount(codes)
    assert set(sizes) == {1, 60}
    assert groups == len(sizes) == 722  # 2,000 posts / (1 + .03 * 59)
    assert 5 <= (sizes == 60).sum() <= 45  # 21.7 of them on average
    assert counts["positives"] == len(np.unique(codes[y]))
    for code in np.flatnonzero(sizes == 60):
        assert np.ptp(score[codes == code]) == 0
        assert len(set(y[codes == code])) == 1


def test_the_winner_is_chosen_on_validation(monkeypatch):
    # one model is far better on validation, another on test; what is printed is the first one's value on test
    validation, test = np.zeros((9, winners.POSTS)), np.random.default_rng(0).normal(size=(9, winners.POSTS))
    validation[3, : winners.HARMFUL] = test[5, : winners.HARMFUL] = 9.0
    scores = iter((validation, test))
    monkeypatch.setattr(winners.WinnerTrial, "_scores", lambda self, rng: next(scores))
    counts = winners.WinnerTrial(winners.EQUAL, 0.0, 100)(0)
    what = "the winner's value above the truth"
    assert counts["size", what, winners.HIGHEST] == pytest.approx(1 - binormal_average_precision(2.0, 0.075))
    assert counts["size", what, winners.CHOSEN] < 0
