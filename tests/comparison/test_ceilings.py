"""What no model can beat, and which leak its test would have found."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import World

from workbench.comparison.compare import CompareOptions, compare

BOTH = ("text", "image")


def log_odds(prob: np.ndarray) -> np.ndarray:
    return np.log(prob) - np.log1p(-prob)


def leaks(folder, world: World, logits: dict[str, np.ndarray], **options) -> dict:
    """Return the leak test's row of each model, of abuse."""
    folder.mkdir()
    runs = [world.write(folder, name, logit[None], modalities=BOTH) for name, logit in logits.items()]
    found = compare("s", "?", runs, CompareOptions(resamples=200, **options))
    return {row.model: row for row in found.leak_test if row.label == "abuse"}


@pytest.fixture(scope="module")
def world() -> World:
    """900 paired test posts or so, of which a quarter is harmful."""
    return World(1800)


def test_the_leak_that_would_have_been_found_is_found_and_half_of_it_is_not(world, tmp_path):
    noise = np.random.default_rng(3).normal(size=world.exact["text+image"].shape)
    weak = log_odds(world.exact["text+image"]) + 2 * noise
    row = leaks(tmp_path / "a", world, {"weak": weak})["weak"]
    assert row.tripped is False
    assert row.value < row.ceiling_lo < row.ceiling < row.ceiling_hi
    assert 0.05 < row.detectable_leak < 0.9
    found = {}
    for part in (0.5, 1.3):
        told = np.random.default_rng(4).random(world.y.shape) < part * row.detectable_leak
        leaky = leaks(tmp_path / f"{part}", world, {"leaky": np.where(told & world.y, 50.0, weak)})
        found[part] = leaky["leaky"].tripped
    assert found == {0.5: False, 1.3: True}


def test_a_better_model_hides_less_and_a_loss_counts_all_posts(world, tmp_path):
    noise = np.random.default_rng(3).normal(size=world.exact["text+image"].shape)
    exact = log_odds(world.exact["text+image"])
    models = {"best": exact + 0.1 * noise, "good": exact + noise, "weak": exact + 3 * noise}
    for metric in ("average_precision", "roc_auc", "brier"):
        rows = leaks(tmp_path / metric, world, models, metric=metric)
        shares = [rows[name].detectable_leak for name in models]
        assert 0 < shares[0] < shares[1] < shares[2] < 1, metric


def test_where_no_leak_of_any_size_would_be_found_none_is_told(tmp_path):
    # whoever knows both halves knows the truth, so nobody can be better
    world = World(400)
    world.exact["text+image"] = np.where(world.y, 1 - 1e-9, 1e-9)
    row = leaks(tmp_path / "a", world, {"weak": np.random.default_rng(1).normal(size=world.y.shape)})["weak"]
    assert (row.ceiling, row.tripped, row.detectable_leak) == (1, False, None)


def test_what_is_not_tested_tells_no_leak(tmp_path):
    row = leaks(tmp_path / "a", World(400), {"weak": np.zeros((400, 2))}, few=300)["weak"]
    assert (row.tripped, row.detectable_leak) == (None, None)


def test_a_model_that_sees_nothing_has_no_ceiling(tmp_path):
    world = World(400)
    world.exact["none"] = np.full(world.y.shape, 0.3)
    runs = [
        world.write(tmp_path, "prior", np.zeros((1, 400, 2)), modalities=()),
        world.write(tmp_path, "w", world.noise()),
    ]
    found = compare("s", "?", runs, CompareOptions(resamples=100))
    assert {row.ceiling for row in found.models if row.model == "prior"} == {None}
    assert {row.model for row in found.models if row.ceiling is not None} == {"w"}
