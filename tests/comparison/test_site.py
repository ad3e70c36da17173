"""Metrics at the site's mix of posts: those of posts that count by their weights, told only where weights differ."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import World, sigmoid
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, precision_score, recall_score

from workbench.comparison.compare import CompareOptions, compare
from workbench.comparison.resampled import Cell, Seen, permutation
from workbench.metrics.table import METRICS

SITE = sorted(name for name, metric in METRICS.items() if metric.site)
BOTH = ("text", "image")


@pytest.fixture
def world() -> World:
    """Posts that stand for one to nine of the site's, the harmful ones for fewer."""
    world = World()
    weight = np.random.default_rng(7).integers(1, 10, world.n).astype(float)
    world.weight = np.where(world.y[:, 0], weight / 10, weight)
    return world


def asked(**options) -> CompareOptions:
    return CompareOptions(resamples=100, **options)


def value(comparison, model: str, metric: str, label: str = "abuse", view: str = "paired"):
    (row,) = (row for row in comparison.rows(model=model, metric=metric, label=label, view=view))
    return row


def test_each_is_the_metric_of_scikit_learn_with_weights(world, tmp_path):
    assert {"precision_site", "recall_site", "average_precision_site", "brier_site"} < set(SITE)
    found = compare("s", "?", [world.write(tmp_path, "words", world.good())], asked())
    at = (world.split == "test") & world.has_image
    logit = world.good().astype(np.float32)[0, at]
    of = {
        "precision_site": lambda y, prob, w: precision_score(y, prob >= 0.5, sample_weight=w),
        "recall_site": lambda y, prob, w: recall_score(y, prob >= 0.5, sample_weight=w),
        "f1_site": lambda y, prob, w: f1_score(y, prob >= 0.5, sample_weight=w),
        "false_positive_rate_site": lambda y, prob, w: 1 - recall_score(~y, prob < 0.5, sample_weight=w),
        "average_precision_site": lambda y, prob, w: average_precision_score(y, prob, sample_weight=w),
        "log_loss_site": lambda y, prob, w: log_loss(y, prob, sample_weight=w),
        "brier_site": lambda y, prob, w: brier_score_loss(y, prob, sample_weight=w),
    }
    assert [*of] == [name for name in METRICS if METRICS[name].site]
    for name, function in of.items():
        each = [function(world.y[at, k], sigmoid(logit[:, k]), world.weight[at]) for k in (0, 1)]
        row = value(found, "words", name)
        assert row.value == pytest.approx(each[0], rel=1e-5), name
        assert row.value != pytest.approx(value(found, "words", name.removesuffix("_site")).value, abs=1e-4), name
        assert row.lo < row.value < row.hi
        assert value(found, "words", name, "macro").value == pytest.approx(np.mean(each), rel=1e-5)
        # their share of harm is that of the site
        assert row.prevalence == pytest.approx(np.average(world.y[at, 0], weights=world.weight[at]))


def test_where_posts_weigh_the_same_none_is_told(world, tmp_path):
    world.weight = np.where(world.has_image, 2.0, 1.0)
    found = compare("s", "?", [world.write(tmp_path, "words", world.good())], asked())
    told = {(row.view, row.metric) for row in found.models if METRICS[row.metric].site}
    assert told == {("all", name) for name in SITE}


@pytest.mark.parametrize("metric", SITE)
def test_any_can_be_the_question(world, tmp_path, metric):
    runs = [
        world.write(tmp_path, "cross", world.good(2), modalities=BOTH),
        world.write(tmp_path, "words", world.noise()),
    ]
    found = compare("s", "?", runs, asked(metric=metric, label="abuse", pairs=[("cross", "best-unimodal")]))
    assert found.best_unimodal == "words"
    row = found.differences[0]
    assert row.delta == pytest.approx(value(found, "cross", metric).value - value(found, "words", metric).value)
    assert METRICS[metric].sign * row.delta > 0
    assert row.p_trained < 0.05  # two seeds are too few to tell recipes apart
    one, other = (Seen(run, Cell.of(runs, "test", "paired", 0)) for run in runs)
    assert permutation(one, other, [0], metric, 10_000)[0] == pytest.approx(row.delta)  # what is swapped weighs as much


def test_what_counts_twice_is_a_post_that_is_there_twice(tmp_path):
    once, twice = World(200), World(200)
    once.weight = np.where(np.arange(200) % 3 == 0, 2.0, 1.0)
    again = np.r_[np.arange(200), np.flatnonzero(once.weight == 2)]
    for name in ("group", "split", "has_image", "y", "known"):
        setattr(twice, name, getattr(twice, name)[again])
    twice.post_id = np.char.add(twice.post_id[again], np.where(np.arange(len(again)) < 200, "", "b"))
    twice.exact = {name: exact[again] for name, exact in twice.exact.items()}
    twice.weight, twice.n = np.ones(len(again)), len(again)
    found = []
    for place, world, rows, suffix in (("a", once, slice(None), "_site"), ("b", twice, again, "")):
        (tmp_path / place).mkdir()
        logits = {"cross": World(200).good()[:, rows], "words": World(200).noise()[:, rows]}
        runs = [world.write(tmp_path / place, name, logit, modalities=BOTH) for name, logit in logits.items()]
        options = {"metric": f"average_precision{suffix}", "label": "abuse", "pairs": [("cross", "words")]}
        found.append(compare("s", "?", runs, asked(**options)))
    first, second = (one.differences[0] for one in found)
    # the same groups are drawn, so nothing may differ; p is left out, as the ranks that are swapped share another scale
    assert (first.delta, first.lo, first.hi) == pytest.approx((second.delta, second.lo, second.hi))
    best = [value(one, "cross", f"brier{suffix}").ceiling for one, suffix in zip(found, ("_site", ""), strict=True)]
    assert best[0] == pytest.approx(best[1])
