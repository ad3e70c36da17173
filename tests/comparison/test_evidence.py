"""What the numbers of a comparison rest on: thresholds that a score meets, groups, all seeds, ties, and corrections."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import World
from sklearn.metrics import average_precision_score

from workbench.comparison import ceilings, resampled
from workbench.comparison.compare import compare
from workbench.comparison.options import CompareOptions


def settings(**changed) -> CompareOptions:
    return CompareOptions(**{"resamples": 100, "view": "all"} | changed)


def row(comparison, metric: str, label: str = "abuse", model: str = "words"):
    (found,) = comparison.rows(metric=metric, label=label, model=model)
    return found


def on_test(world: World) -> np.ndarray:
    return world.split == "test"


def test_a_score_at_the_threshold_is_flagged(tmp_path):
    world = World()
    # a logit of 0 is a probability of .5 exactly, and so is the threshold: all posts are flagged
    run = world.write(tmp_path, "words", np.zeros((1, world.n, 2)), thresholds=0.5)
    found = compare("s", "?", [run], settings())
    positives = int(world.y[on_test(world), 0].sum())
    assert row(found, "recall").confusion == {"tn": 0, "fp": on_test(world).sum() - positives, "fn": 0, "tp": positives}
    assert row(found, "recall").value == 1
    assert row(found, "false_positive_rate").value == 1


def test_copies_of_a_positive_are_one_piece_of_evidence(tmp_path):
    world = World(groups=50)
    runs = [world.write(tmp_path, name, world.noise(seed=seed)) for seed, name in enumerate(("words", "other"))]
    for label, of in (("abuse", [0]), ("macro", [0, 1])):
        found = compare("s", "?", runs, settings(label=label, pairs=[("words", "other")])).differences[0]
        groups = [len(np.unique(world.group[on_test(world) & world.y[:, k]])) for k in of]
        assert found.positive_groups == sum(groups)
        assert max(groups) <= 50 < found.positives / len(of)


def test_equivalence_is_asked_at_twice_alpha(tmp_path):
    world = World()
    runs = [world.write(tmp_path, name, world.noise(seed=seed)) for seed, name in ((3, "words"), (4, "other"))]
    found = compare("s", "?", runs, settings(resamples=2000, pairs=[("words", "other")])).differences[0]
    half, inner = (found.hi - found.lo) / 2, found.equivalent_within - abs(found.delta)
    # two one-sided tests at .05 take the interval of 90 %: 1.645 of a standard error, not 1.960
    assert inner / half == pytest.approx(1.645 / 1.960, abs=0.05)
    margin = (found.equivalent_within + max(abs(found.lo), abs(found.hi))) / 2
    asked = settings(resamples=2000, pairs=[("words", "other")], margin=margin)
    assert compare("s", "?", runs, asked).differences[0].verdict == "equivalent"


def test_a_permutation_looks_at_every_seed(tmp_path):
    world = World()
    logit = np.concatenate([world.good(), world.noise(seed=5)])  # the second training failed
    runs = [world.write(tmp_path, "words", logit), world.write(tmp_path, "other", world.noise(seed=3))]
    cell = resampled.Cell.of(runs, "test", "all", 0)
    a, b = (resampled.Seen(run, cell) for run in runs)
    for labels in ([0], [0, 1]):
        delta, p = resampled.permutation(a, b, labels, "average_precision", 500)
        values = {
            run.alias: np.mean([
                average_precision_score(world.y[on_test(world), k], scores[on_test(world), k].astype(np.float32))
                for scores in given
                for k in labels
            ])
            for run, given in zip(runs, (logit, world.noise(seed=3)), strict=True)
        }  # fmt: skip
        assert delta == pytest.approx(values["words"] - values["other"])
        assert 1 / 501 <= p <= 1
    # of a rate the pieces are swapped, seed by seed too
    y = world.y[on_test(world), 0]
    recall = [(y & (scores[on_test(world), 0] >= 0)).sum() / y.sum() for scores in (*logit, *world.noise(seed=3))]
    assert resampled.permutation(a, b, [0], "recall", 500)[0] == pytest.approx(np.mean(recall[:2]) - recall[2])


def test_posteriors_that_differ_by_rounding_alone_are_tied_in_a_ceiling(tmp_path):
    world = World()
    # the same posterior for all posts, summed in two orders: what is left of it happens to follow the labels
    world.exact["text"] = 0.3 + 1e-15 * world.y
    run = world.write(tmp_path, "words", world.noise())
    found = row(compare("s", "?", [run], settings()), "roc_auc")
    assert found.ceiling == pytest.approx(0.5, abs=0.05)


def test_a_leak_is_judged_after_the_correction_for_all_that_were_tested(tmp_path, monkeypatch):
    monkeypatch.setattr(ceilings, "LEAK_ALPHA", 0.5)  # where models without a leak have a p below it, too
    world = World(n=800)
    leaked = on_test(world)[:, None] & (np.random.default_rng(0).random((world.n, 1)) < 0.3)
    logits = {f"words{k}": world.noise(seed=k) for k in range(3)}
    logits["leak"] = np.where(leaked, np.where(world.y, 6.0, -6.0), logits["words0"])
    runs = [world.write(tmp_path, name, logit) for name, logit in logits.items()]
    rows = compare("s", "?", runs, settings()).leak_test
    assert {found.tripped for found in rows if found.model == "leak"} == {True}
    assert any(found.p < 0.5 and not found.tripped for found in rows)
    assert all(found.tripped == (found.p_holm < 0.5) for found in rows)
