"""What is chosen on validation and called best, what is few, and where there is no test; on small predictions."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import World
from sklearn.metrics import average_precision_score

from workbench.comparison.compare import CompareOptions
from workbench.comparison.compare import compare as comparing

FAST = CompareOptions(resamples=100)


def compare(*given):
    """Return a comparison as its file holds it."""
    return comparing("s", "?", *given).plain()


@pytest.fixture
def world():
    return World()


def row(comparison, model="cross", label="macro", view="paired", metric="average_precision"):
    wanted = {"model": model, "label": label, "view": view, "metric": metric, "test": "test"}
    (found,) = [row for row in comparison["models"] if wanted.items() <= row.items()]
    return found


def items(world):
    return (world.split == "test") & world.has_image


def test_where_few_false_alarms_decide_there_is_no_value_and_no_ceiling_but_few(world, tmp_path):
    runs = [world.write(tmp_path, "words", world.noise())]
    found = row(compare(runs, FAST), "words", "abuse", "all", "recall_at_fpr_0.01")
    assert [found[name] for name in ("value", "lo", "hi", "ceiling", "few")] == [None, None, None, None, True]
    assert not row(compare(runs, FAST), "words", "abuse", "all", "roc_auc")["few"]


def test_the_chosen_model_is_best_on_validation_and_its_peers_are_those_not_shown_to_be_worse(world, tmp_path):
    truth, validation = np.where(world.y, 3.0, -3.0)[None], (world.split == "validation")[:, None]
    noise = world.noise()
    steady = world.write(tmp_path, "steady", truth + world.noise(seed=9))
    lucky = world.write(tmp_path, "lucky", np.where(validation, noise, 2 * truth))  # better on test alone
    weak = world.write(tmp_path, "weak", noise)
    found = compare([weak, lucky, steady], FAST)
    assert (found["chosen"], found["peers"]) == ("steady", {"test": ["lucky"]})


def test_the_bundle_is_the_training_that_is_best_on_validation(world, tmp_path):
    logit = world.good(2)
    logit[0] = np.where((world.split == "validation")[:, None], world.noise()[0], logit[0])
    found = compare([world.write(tmp_path, "cross", logit)], FAST)
    assert found["seeds"] == {"cross": 1}
    (one,) = [r for r in found["bundle"] if (r["label"], r["metric"]) == ("abuse", "average_precision")]
    at = items(world)
    assert one["value"] == pytest.approx(average_precision_score(world.y[at, 0], logit[1, at, 0].astype(np.float32)))
    assert (one["seed"], one["seed_sd"]) == (1, None)
    assert one["id"] == "test/paired/abuse/cross:seed:1/average_precision"
    both = row(found, "cross", "abuse")
    # of one training the interval is that of posts alone, and of the recipe wider
    assert one["hi"] - one["lo"] < both["hi"] - both["lo"]


def test_a_p_needs_three_groups_with_harm_and_where_scores_tie_otherwise_comes_from_the_variance(world, tmp_path):
    settings = CompareOptions(resamples=100, pairs=[("words", "coarse")], label="abuse")
    fine = world.write(tmp_path, "words", world.good())
    coarse = world.write(tmp_path, "coarse", np.where(world.good() > 0, 1.0, -1.0))
    difference = compare([fine, coarse], settings)["differences"][0]
    assert difference["p_trained"] is None  # a swap of tied scores with others says nothing
    assert difference["p"] == difference["p_holm"] < 1
    assert (difference["p"] < 0.05) == (difference["lo"] > 0)
    (tmp_path / "rare").mkdir()
    world.y[:] = False
    world.y[np.flatnonzero(items(world))[:2]] = True
    twice = [world.write(tmp_path / "rare", name, world.noise(seed=s)) for name, s in (("words", 1), ("coarse", 2))]
    assert compare(twice, settings)["differences"][0]["p"] is None


def test_copies_of_a_few_posts_are_few(world, tmp_path):
    copies = np.flatnonzero(items(world) & world.y[:, 0])
    assert len(copies) > 25
    world.group = world.group.copy()
    world.group[copies] = np.where(np.arange(len(copies)) % 2, "a", "b")
    found = row(compare([world.write(tmp_path, "words", world.good())], FAST), "words", "abuse")
    assert (found["positives"], found["few"]) == (len(copies), True)
    assert found["effective"] == pytest.approx(2, abs=0.1)


def test_a_model_is_tested_against_one_that_says_the_same_of_every_post(world, tmp_path):
    constant = np.zeros_like(world.good())
    sides = {"good": world.good(), "noise": world.noise(), "prior": constant}
    runs = [world.write(tmp_path, name, logit) for name, logit in sides.items()]
    for metric in ("roc_auc", "average_precision"):
        pairs = [("good", "prior"), ("noise", "prior")]
        settings = CompareOptions(resamples=200, pairs=pairs, metric=metric, label="abuse")
        good, noise = compare(runs, settings)["differences"][:2]
        assert (good["verdict"], noise["verdict"] in ("better", "worse")) == ("better", False)
        assert good["p_holm"] < 0.001 < 0.05 < noise["p_holm"]


def test_a_fusion_is_compared_with_the_best_of_its_members_beside_what_was_asked(world, tmp_path):
    runs = [
        world.write(tmp_path, "prior", np.full((1, world.n, 2), -2.0), modalities=()),
        world.write(tmp_path, "words", world.noise(seed=3)),
        world.write(tmp_path, "pixels", world.noise(2, seed=4), modalities=("image",)),
        world.write(tmp_path, "cross", world.good(2), modalities=("text", "image")),
    ]
    of_two = comparing("s", "?", runs, FAST, members={"cross": ("words", "pixels")})
    best, other = of_two.best_unimodal, ({"words", "pixels"} - {of_two.best_unimodal}).pop()
    assert of_two.best_member == {"cross": best}
    # the best of its members is the best unimodal, and that difference stands already
    assert [row.pair for row in of_two.differences if row.a == "cross"] == [("cross", "best-unimodal")]

    of_one = comparing("s", "?", runs, FAST, members={"cross": (other, "prior")})
    assert of_one.best_member == {"cross": other}
    (found,) = (row for row in of_one.differences if (row.a, row.b) == ("cross", other))
    assert (found.primary, found.p, found.pair) == (False, None, ("cross", other))

    asked = CompareOptions(resamples=100, pairs=[(other, "cross")])
    named = comparing("s", "?", runs, asked, members={"cross": (other,)})
    assert [row.pair for row in named.differences if {row.a, row.b} == {"cross", other}] == [(other, "cross")]
