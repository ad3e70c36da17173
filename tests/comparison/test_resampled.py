"""One test set in one view: what is counted in it, ranks, losses, and the permutation of two models."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from joblib import Parallel
from made_varied import sets, told, varied

from workbench.comparison import resampled
from workbench.comparison.resampled import Cell, Seen, at_once, dense_ranks, in_large_blocks, permutation, resample
from workbench.metrics.table import METRICS

# delta and p of words against cross, and of pixels against cross: of two seeds against three
# fmt: off
PERMUTED = {"paired": {"average_precision": (-0.034561634, 0.1641791, -0.028495071, 0.1641791),
    "average_precision_site": (-0.019518112, 0.54726368, -0.05510334, 0.019900498), "brier": (-0.011629025,
    0.11442786, -0.020565734, 0.0049751244), "f1": (-0.007160101, 0.75124378, -0.01068187, 0.64179104), "f1_micro":
    (-0.0072020952, 0.76119403, -0.013062865, 0.53233831), "exact_match": (-0.0029112082, 0.92039801, 0.033114993,
    0.11940299)}, "all": {"average_precision": (-0.021530102, 0.27860697, -0.061215391, 0.0099502488),
    "average_precision_site": (-0.0076763471, 0.74626866, -0.080671555, 0.0099502488), "brier": (-0.013073254,
    0.014925373, -0.012864578, 0.014925373), "f1": (-0.0064548603, 0.72636816, -0.048320034, 0.034825871), "f1_micro":
    (-0.0064883778, 0.70646766, -0.050383438, 0.029850746), "exact_match": (-0.0027027027, 0.86069652, 0.033108108,
    0.029850746)}}
# fmt: on
# what `told` says of metric after metric under two weights; another metric changes it
# fmt: off
STATISTICS = {"paired": {"precision": 16.603021, "recall": 41.769972, "f1": 17.068815, "f1_macro": 23.63036,
    "accuracy": 34.683302, "false_positive_rate": 3.8825729, "true_negative_rate": 49.584029, "precision_micro":
    -43.167891, "recall_micro": -12.768411, "f1_micro": -30.572282, "f1_weighted": -26.142336, "exact_match":
    -20.92862, "hamming_loss": -24.182105, "average_precision": 5.7431285, "roc_auc": 54.46995, "partial_roc_auc":
    29.523003, "precision_at_recall_0.8": 10.237803, "precision_at_recall_0.9": 20.289946, "precision_at_recall_0.95":
    13.412839, "recall_at_fpr_0.01": -39.938821, "recall_at_fpr_0.001": -25.129279, "log_loss": 10.038527, "brier":
    10.127627, "precision_site": 22.037454, "recall_site": 34.221905, "f1_site": 27.624834,
    "false_positive_rate_site": 6.3900686, "average_precision_site": 27.391422, "log_loss_site": 12.330469,
    "brier_site": 1.9665087}, "all": {"precision": 16.710354, "recall": 42.817465, "f1": 16.815275, "f1_macro":
    23.719379, "accuracy": 34.805218, "false_positive_rate": 3.8204056, "true_negative_rate": 50.019058,
    "precision_micro": -43.099148, "recall_micro": -12.643769, "f1_micro": -30.580121, "f1_weighted": -26.20418,
    "exact_match": -20.894875, "hamming_loss": -24.186314, "average_precision": 5.7388444, "roc_auc": 54.796296,
    "partial_roc_auc": 29.679391, "precision_at_recall_0.8": 10.199936, "precision_at_recall_0.9": 20.093074,
    "precision_at_recall_0.95": 13.066038, "recall_at_fpr_0.01": 4.5675074, "recall_at_fpr_0.001": -25.129279,
    "log_loss": 9.9543655, "brier": 9.9624347, "precision_site": 21.918594, "recall_site": 35.270654, "f1_site":
    27.56506, "false_positive_rate_site": 5.8437554, "average_precision_site": 27.414745, "log_loss_site": 12.297261,
    "brier_site": 1.7949679}}
# fmt: on


@pytest.fixture(scope="module", params=["paired", "all"])
def cell(request) -> Cell:
    return Cell.of(varied(), "test", request.param, 0)


@pytest.fixture(scope="module")
def seen(cell) -> dict[str, Seen]:
    return {run.alias: Seen(run, cell) for run in varied()}


def test_posts_are_counted_by_group_and_by_known_label(cell):
    facts = sets()["test"]
    at = facts["paired"] if cell.view == "paired" else np.ones(740, bool)
    y, known, group, weight = (facts[name][at] for name in ("y", "known", "group", "weight"))
    names = sorted(set(group))
    assert cell.groups == len(names)
    assert cell.positives.tolist() == y.sum(0).tolist()
    assert cell.positive_groups.tolist() == [len(set(group[y[:, k]])) for k in range(3)]
    expected = [[weight[(group == name) & y[:, k]].sum() for name in names] for k in range(3)]
    np.testing.assert_allclose(cell.positive_weight[True], expected)
    counts = [[(y[:, k] & (group == name)).sum() for name in names] for k in range(3)]
    np.testing.assert_allclose(cell.positive_weight[False], counts)
    assert cell.groups_of(y[:, 1]).tolist() == counts[1]
    rows = np.arange(len(y)) % 3 == 0
    negatives = (rows & known[:, 1] & ~y[:, 1]).sum()
    there = (rows & y[:, 1]).sum()
    assert cell.counted(rows, 1) == {"n": there + negatives, "positives": there, "negatives": negatives}
    assert cell.uneven == (cell.view == "all")  # the family of sixty is not paired
    assert cell.weighted
    assert cell.defined.tolist() == [True] * 3


def test_one_run_alone_has_the_posts_that_it_has_among_others(cell):
    alone = Cell.of(varied()[:1], "test", cell.view, 0)
    for name in ("rows", "codes", "weight", "y", "known"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(cell, name))
    assert (alone.groups, alone.seed, alone.exact.keys()) == (cell.groups, cell.seed, cell.exact.keys())


def test_as_many_harmless_posts_as_a_metric_asks_for_are_enough():
    cell, metric = Cell.of(varied(), "test", "all", 0), METRICS["recall_at_fpr_0.01"]
    harmless = (~cell.y & cell.known).sum(0)
    assert harmless[0] == metric.negatives == 500
    assert cell.enough(metric).tolist() == (harmless >= 500).tolist()


def test_every_metric_of_every_model_is_as_it_was(cell, seen):
    used = np.array([True, False, True])
    W = np.stack([np.ones(cell.groups), np.arange(cell.groups) % 3], axis=1).astype(float)
    rows = [
        dict(zip(METRICS, model.statistic(used)(W).reshape(len(METRICS), -1).tolist(), strict=True))
        for model in seen.values()
    ]
    rows = [{name: [None if math.isnan(one) else one for one in of] for name, of in row.items()} for row in rows]
    assert told(rows) == pytest.approx(STATISTICS[cell.view], rel=2e-7)


def test_a_post_that_is_not_seen_counts_with_the_prevalence_and_is_not_flagged(cell, seen):
    model = seen["pixels"]
    scores = model.run.sets["test"]
    at = np.flatnonzero(scores.paired) if cell.view == "paired" else np.arange(740)
    unseen = np.isnan(scores.logit[0, at, 0])
    assert model.coverage == pytest.approx([1 - unseen.mean()] * 3)
    assert (model.prob[:, unseen] == [0.2, 0.25, 0.3]).all()
    assert not model.flagged[:, unseen].any()
    flagged = scores.prob[:, at] >= model.run.thresholds[:, None]
    assert (model.flagged == flagged).all()
    for s, k in np.ndindex(2, 3):
        y, known, said = cell.y[:, k], cell.known[:, k], flagged[s, :, k]
        cells = [(known & (y == truth) & (said == told)).sum() for truth, told in ((0, 0), (0, 1), (1, 0), (1, 1))]
        undefined = math.isnan(model.run.thresholds[s, k])
        np.testing.assert_array_equal(model.counts[:, k, s].sum(-1), [math.nan] * 4 if undefined else cells)
        prob = np.where(unseen, model.run.prevalence[k], scores.prob[s, at, k])
        order = {pair: n for n, pair in enumerate(sorted(set(prob)))}
        assert model.ranks[s, :, k].tolist() == [order[one] for one in prob]
    assert [seen[name].ranked.tolist() for name in ("words", "pixels")] == [[True, True, False], [True] * 3]


def test_the_log_odds_of_the_prevalence_stand_in_where_probabilities_tie(cell):
    run = varied()[2]
    scores = run.sets["test"]
    flat = replace(scores, prob=np.where(np.isnan(scores.prob), np.nan, 0.25))
    model = Seen(replace(run, sets={"test": flat}), cell)
    logit = scores.logit[:, scores.paired if cell.view == "paired" else slice(None), 1]
    logit = np.where(np.isnan(logit), math.log(1 / 3), logit)
    order = [{one: n for n, one in enumerate(np.unique(of))} for of in logit]
    assert model.ranks[:, :, 1].tolist() == [[order[s][one] for one in of] for s, of in enumerate(logit)]


def test_a_share_is_made_of_hits_and_posts_by_group(cell, seen):
    used, model = np.array([True, True, False]), seen["cross"]
    tn, fp, fn, tp = model.counts
    for name, k, part, whole in (
        ("recall", 1, tp[1], tp[1] + fn[1]),
        ("precision", 0, tp[0], tp[0] + fp[0]),
        ("hamming_loss", 2, (fp + fn)[:2].sum(0), (tn + fp + fn + tp)[:2].sum(0)),
    ):
        # macro of what is over all labels is the label after the last
        found = model.totals(METRICS[name], used, 3 if name == "hamming_loss" else k)
        np.testing.assert_allclose(found, [part.mean(0), whole.mean(0)])
    assert model.totals(METRICS["recall"], used, 3) is None
    assert model.totals(METRICS["hamming_loss"], used, 1) is None
    assert model.totals(METRICS["f1"], used, 1) is None


def test_ranks_go_by_the_first_then_the_second_and_are_undefined_where_either_is():
    first = np.array([0.5, 0.2, 0.5, 0.5, np.nan, 0.2, 0.1])[None, :, None]
    second = np.array([1.0, 3.0, 0.0, 1.0, 0.0, 3.0, np.nan])[None, :, None]
    np.testing.assert_array_equal(dense_ranks(first, second)[0, :, 0], [3, 1, 2, 3, np.nan, 1, np.nan])
    assert dense_ranks(np.empty((1, 0, 1)), np.empty((1, 0, 1))).shape == (1, 0, 1)


def test_the_samples_own_value_comes_first_and_blocks_are_of_the_same_draws(cell, seen):
    values = np.random.default_rng(4).random(cell.groups)
    statistic = lambda W: (values @ W)[None] / W.sum(0)  # noqa: E731
    whole, blocks = resample(statistic, cell, 30), in_large_blocks(statistic, cell, 30)
    assert whole.shape == blocks.shape == (1, 31)
    assert whole[0, 0] == pytest.approx(values.mean()) == at_once(statistic, cell)[0]
    np.testing.assert_allclose(whole, blocks)
    sizes = []
    in_large_blocks(lambda W: sizes.append(W.shape[1]) or W[:1], cell, 1200)
    assert sizes == [501, 500, 200]  # the sample itself comes before the first block


def test_other_processes_draw_the_same(small, runs, monkeypatch):
    here = small.compared(runs)
    asked = []
    monkeypatch.setattr(resampled, "_MUCH", 0)
    monkeypatch.setattr(resampled, "cpu_count", lambda: 2)
    monkeypatch.setattr(resampled, "Parallel", lambda n_jobs: asked.append(n_jobs) or Parallel(n_jobs))
    assert small.compared(runs).plain() == here.plain()
    assert 2 in asked


@pytest.mark.parametrize(
    "name", ["average_precision", "average_precision_site", "brier", "f1", "f1_micro", "exact_match"]
)
def test_a_permutation_pairs_seeds_and_swaps_groups(cell, seen, name):
    labels = [0, 1]
    found = [permutation(seen[a], seen["cross"], labels, name, 200) for a in ("words", "pixels")]
    assert found[0] + found[1] == pytest.approx(PERMUTED[cell.view][name], rel=2e-7)
    place, used = [*METRICS].index(name), np.array([True, True, False])
    values = {one: at_once(model.statistic(used), cell)[place, -1].mean() for one, model in seen.items()}
    deltas = [values[one] - values["cross"] for one in ("words", "pixels")]
    assert [delta for delta, _ in found] == pytest.approx(deltas)


def test_what_has_no_score_or_ties_much_is_not_exchangeable(cell, seen):
    for labels, a, name in (([2], "words", "brier"), ([0, 2], "words", "roc_auc"), ([0], "prior", "roc_auc")):
        assert math.isnan(permutation(seen[a], seen["cross"], labels, name, 50)[1])
        assert math.isnan(permutation(seen["cross"], seen[a], labels, name, 50)[1])
    assert not math.isnan(permutation(seen["prior"], seen["cross"], [0], "brier", 50)[1])
