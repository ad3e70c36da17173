"""The comparison from run folders: values, views, refusals, ceilings, leaks; on small predictions made here."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from made_runs import World, sigmoid
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from workbench.comparison import compare as comparing
from workbench.comparison.compare import CompareOptions
from workbench.errors import WorkbenchError
from workbench.metrics.table import METRICS
from workbench.metrics.testing import holm
from workbench.report.terminal import tables

FAST = CompareOptions(resamples=100)


def compare(*given):
    """Return a comparison as its file holds it."""
    return comparing.compare(*given).plain()


@pytest.fixture
def world():
    return World()


@pytest.fixture
def runs(world, tmp_path):
    return [
        world.write(tmp_path, "prior", np.full((1, world.n, 2), -2.0), modalities=()),
        world.write(tmp_path, "words", world.noise(seed=3)),
        world.write(tmp_path, "pixels", world.noise(2, seed=4), modalities=("image",)),
        world.write(tmp_path, "cross", world.good(2), modalities=("text", "image")),
    ]


def row(comparison, model="cross", label="macro", view="paired", metric="average_precision", test="test"):
    wanted = {"model": model, "label": label, "view": view, "metric": metric, "test": test}
    (found,) = [row for row in comparison["models"] if wanted.items() <= row.items()]
    return found


def items(world, view="paired"):
    return (world.split == "test") & (world.has_image if view == "paired" else True)


def test_values_are_those_of_the_metrics_on_the_view_alone(world, runs):
    result, logit = compare("s", "Does it win?", runs, FAST), world.good(2).astype(np.float32)
    for view in ("paired", "all"):
        at = items(world, view)
        by_label = [[average_precision_score(world.y[at, k], logit[s, at, k]) for k in (0, 1)] for s in (0, 1)]
        assert row(result, view=view)["value"] == pytest.approx(np.mean(by_label))
        # one value per seed (the mean over labels), then the sample's standard deviation of the two
        assert row(result, view=view)["seed_sd"] == pytest.approx(np.mean(by_label, axis=1).std(ddof=1))
        auc = np.mean([roc_auc_score(world.y[at, 1], logit[s, at, 1]) for s in (0, 1)])
        assert row(result, label="violence", view=view, metric="roc_auc")["value"] == pytest.approx(auc)
        flagged = sigmoid(logit[:, at]) >= 0.5
        f1 = np.mean([f1_score(world.y[at].ravel(), flagged[s].ravel()) for s in (0, 1)])
        assert row(result, view=view, metric="f1_micro")["value"] == pytest.approx(f1)
        assert row(result, view=view)["n"] == at.sum()
        assert row(result, view=view, label="abuse")["positives"] == world.y[at, 0].sum()


def test_a_label_row_carries_its_counts_runs_and_costs(world, runs):
    found = row(compare("s", "?", runs, FAST), model="words", label="abuse", metric="recall")
    at, logit = items(world), world.noise(seed=3)
    flagged, y = logit[0, at, 0] >= 0, world.y[at, 0]
    counts = {"tn": ~y & ~flagged, "fp": ~y & flagged, "fn": y & ~flagged, "tp": y & flagged}
    assert found["confusion"] == {name: cell.sum() for name, cell in counts.items()}
    assert found["value"] == pytest.approx((y & flagged).sum() / y.sum())
    assert found["prevalence"] == pytest.approx(y.mean())
    assert (found["runs"], found["ms_per_post"], found["peak_mb"]) == (["key-words"], 1.5, 300.0)
    assert (found["fit_seconds"], found["parameters"]) == (12.25, 1234)
    assert found["lo"] < found["value"] < found["hi"]
    assert found["seed_sd"] is None  # one seed has no spread
    assert found["ceiling"] is None  # recall at a threshold has none


def test_it_is_json_and_the_same_every_time_whatever_the_order_of_the_runs(runs):
    settings = CompareOptions(resamples=100, pairs=[("cross", "best-unimodal"), ("cross", "prior")])
    first, again = (compare("s", "?", given, settings) for given in (runs, runs[::-1]))
    json.dumps(first, allow_nan=False)
    key = lambda row: (row["model"], row["test"], row["view"], row["label"], row["metric"])  # noqa: E731
    assert sorted(first["models"], key=key) == sorted(again["models"], key=key)
    assert [d for d in first["differences"] if d["primary"]] == [d for d in again["differences"] if d["primary"]]


def test_a_model_more_changes_no_other_number(runs):
    with_all, without = compare("s", "?", runs, FAST), compare("s", "?", runs[1:], FAST)
    assert row(with_all) == row(without)


@pytest.fixture
def often(world, runs, tmp_path):
    """The same with `cross` trained on eight seeds: two are too few to tell recipes apart."""
    (tmp_path / "often").mkdir()
    return [*runs[:3], world.write(tmp_path / "often", "cross", world.good(8), modalities=("text", "image"))]


def test_the_primary_family_alone_is_tested_and_adjusted(often):
    settings = CompareOptions(resamples=100, pairs=[("cross", "best-unimodal"), ("cross", "prior")])
    result = compare("s", "?", often, settings)
    primary = [d for d in result["differences"] if d["primary"]]
    others = [d for d in result["differences"] if not d["primary"]]
    best = result["best_unimodal"]
    assert best in ("words", "pixels")
    assert result["chosen"] == "cross"
    assert [(d["a"], d["b"]) for d in primary] == [("cross", best), ("cross", "prior")]
    assert primary[0]["pair"] == ["cross", "best-unimodal"]
    assert [d["p_holm"] for d in primary] == holm([d["p"] for d in primary]).tolist()
    # (cross, best) is primary already, best against itself says nothing
    assert {d["a"] for d in others} == {"prior", "words", "pixels"} - {best}
    assert {d["b"] for d in others} == {best}
    assert all(d["p_holm"] is None for d in others)
    values = {name: row(result, name)["value"] for name in ("cross", best)}
    assert primary[0]["delta"] == pytest.approx(values["cross"] - values[best])
    assert primary[0]["p_holm"] < 0.01
    assert primary[0]["lo"] > 0
    assert primary[0]["equivalent_within"] >= primary[0]["delta"]


UNASKED = ("average_precision", "recall_at_fpr_0.01", "recall_at_fpr_0.001")  # the last two ask for 500 negatives


@pytest.mark.parametrize("metric", sorted(name for name in METRICS if not METRICS[name].site and name not in UNASKED))
def test_any_metric_can_be_the_question(runs, metric):
    settings = CompareOptions(metric=metric, resamples=100, pairs=[("cross", "words")], view="all")
    result = compare("s", "?", runs, settings)
    difference = result["differences"][0]
    both = [row(result, name, view="all", metric=metric)["value"] for name in ("cross", "words")]
    assert difference["delta"] == pytest.approx(both[0] - both[1])
    assert 0 < difference["p"] <= 1


def test_a_difference_says_what_it_shows_and_what_it_would_take_to_show_more(world, often):
    found = compare("s", "?", often, FAST.model_copy(update={"pairs": (("cross", "words"), ("words", "cross"))}))
    one, other = found["differences"][:2]
    assert (one["verdict"], other["verdict"]) == ("better", "worse")
    assert one["detectable"] == pytest.approx((1.959964 + 0.841621) * one["se"], rel=1e-6)
    # no test set makes up for two trainings that vary so much
    groups = {(world.group[i], k) for i, k in zip(*np.nonzero(world.y & items(world)[:, None]), strict=True)}
    assert one["positive_groups"] == len(groups)
    assert (one["recipes"], one["seeds_to_halve"], one["groups_for_margin"]) == (True, None, None)
    for a, b in zip(one["disagreements"], other["disagreements"], strict=True):
        assert a == {"label": b["label"], "only_a": b["only_b"], "only_b": b["only_a"], "p": b["p"]}
        assert a["only_a"] > a["only_b"]


def test_a_model_against_itself_is_no_different(world, tmp_path):
    twins = [world.write(tmp_path, name, world.noise()) for name in ("one", "two")]
    difference = compare("s", "?", twins, CompareOptions(resamples=100, pairs=[("one", "two")]))["differences"][0]
    assert [difference[name] for name in ("delta", "p", "p_trained")] == [0, 1, 1]
    # that no resample tells them apart does not prove that no post could
    assert difference["lo"] < 0 < difference["hi"]
    assert difference["verdict"] == "undecided"
    assert all((row["only_a"], row["only_b"], row["p"]) == (0, 0, None) for row in difference["disagreements"])


def test_best_unimodal_is_picked_on_validation_and_not_on_test(world, tmp_path):
    truth = np.where(world.y, 3.0, -3.0)[None]
    noise, validation = world.noise(), (world.split == "validation")[:, None]
    lucky_later = world.write(tmp_path, "later", np.where(validation, noise, truth))
    good_before = world.write(tmp_path, "before", np.where(validation, truth, noise), modalities=("image",))
    both = world.write(tmp_path, "both", truth, modalities=("text", "image"))
    prior = world.write(tmp_path, "prior", truth, modalities=())
    assert compare("s", "?", [lucky_later, good_before, both, prior], FAST)["best_unimodal"] == "before"
    # of a rate that should be low the lowest is best: flagging nothing has no false positive
    quiet = world.write(tmp_path, "quiet", np.full_like(noise, -9.0))
    settings = CompareOptions(metric="false_positive_rate", resamples=100)
    assert compare("s", "?", [lucky_later, quiet], settings)["best_unimodal"] == "quiet"


def test_a_row_the_model_could_not_see_counts_with_the_prevalence_and_is_not_flagged(world, tmp_path):
    logit, seen = world.noise(), world.has_image
    logit[:, ~seen] = np.nan
    run = world.write(tmp_path, "pixels", logit, modalities=("image",), thresholds=0.05)
    result, at = compare("s", "?", [run], CompareOptions(view="all", resamples=100)), items(world, "all")
    # training prevalence .1 ranks between the logits below and above log(.1 / .9), though .1 is over the threshold
    score = np.where(seen, logit[0, :, 0], np.log(0.1 / 0.9))[at]
    ranked = row(result, "pixels", "abuse", "all")
    assert ranked["value"] == pytest.approx(average_precision_score(world.y[at, 0], score))
    assert ranked["coverage"] == pytest.approx(seen[at].mean())
    flagged = seen[at] & (sigmoid(logit[0, at, 0]) >= 0.05)
    assert ranked["confusion"]["tp"] == (flagged & world.y[at, 0]).sum()
    assert row(result, "pixels", "abuse", "paired")["coverage"] == 1


def test_probabilities_that_saturate_are_ranked_by_logit(world, tmp_path):
    # float32 sigmoid is exactly 1 above some 17, so these would all tie
    run = world.write(tmp_path, "sure", 20 + world.good())
    at = items(world)
    value = row(compare("s", "?", [run], FAST), "sure", "abuse")["value"]
    expected = average_precision_score(world.y[at, 0], (20 + world.good())[0, at, 0].astype(np.float32))
    assert value == pytest.approx(expected)


def test_an_unknown_label_is_left_out_and_a_label_without_positives_is_null(world, tmp_path):
    world.known[::2, 0] = False
    world.y[:, 1] = False
    result = compare("s", "?", [world.write(tmp_path, "words", world.good())], FAST)
    at = items(world) & world.known[:, 0]
    found = row(result, "words", "abuse")
    assert found["n"] == at.sum()
    assert found["value"] == pytest.approx(average_precision_score(world.y[at, 0], world.good()[0, at, 0]))
    nothing = row(result, "words", "violence")
    assert [nothing[name] for name in ("value", "lo", "hi", "positives", "few")] == [None, None, None, 0, True]
    assert row(result, "words", "violence", metric="recall")["value"] is None
    assert result["labels_used"]["test"]["paired"] == ["abuse"]
    assert row(result, "words")["value"] == found["value"]


def test_with_no_label_to_compare_by_everything_is_null_and_nothing_breaks(world, tmp_path):
    world.y[:] = True  # one class only
    runs = [world.write(tmp_path, name, np.full((1, world.n, 2), np.nan)) for name in ("a", "b")]
    result = compare("s", "?", runs, CompareOptions(resamples=100, pairs=[("a", "b")]))
    json.dumps(result, allow_nan=False)
    assert row(result, "a")["value"] is None
    assert row(result, "a")["few"]
    assert result["labels_used"]["test"] == {"paired": [], "all": []}
    assert [result["differences"][0][name] for name in ("delta", "p", "p_holm")] == [None, None, None]


def test_a_model_without_a_prevalence_to_stand_in_takes_its_label_out_of_macro(world, tmp_path):
    logit = world.noise()
    logit[:, 5, 1] = np.nan  # a paired test row
    vendor = replace(world.write(tmp_path, "vendor", logit), prevalence=np.array([0.1, np.nan]))
    result = compare("s", "?", [vendor, world.write(tmp_path, "cross", world.good())], FAST)
    assert row(result, "vendor", "violence", "all")["value"] is None
    assert result["labels_used"]["test"]["all"] == ["abuse"]


def test_an_undefined_threshold_leaves_the_ranking(world, tmp_path):
    result = compare("s", "?", [world.write(tmp_path, "words", world.noise(), thresholds=None)], FAST)
    assert row(result, "words", metric="recall")["value"] is None
    assert row(result, "words", "abuse")["confusion"] == {"tn": None, "fp": None, "fn": None, "tp": None}
    assert row(result, "words")["value"] is not None


def test_precision_at_the_site_weighs_posts_back(world, tmp_path):
    run = world.write(tmp_path, "words", world.good())
    result = compare("s", "?", [run], FAST)
    assert not [found for found in result["models"] if found["metric"] == "precision_site"]
    world.weight = np.where(world.y[:, 0], 0.1, 1.0)  # harm was oversampled tenfold
    (tmp_path / "weighted").mkdir()
    result = compare("s", "?", [world.write(tmp_path / "weighted", "words", world.good())], FAST)
    counts = row(result, "words", "abuse")["confusion"]
    found = row(result, "words", "abuse", metric="precision_site")
    assert found["value"] == pytest.approx(0.1 * counts["tp"] / (0.1 * counts["tp"] + counts["fp"]))
    at = items(world)
    assert found["prevalence"] == pytest.approx(np.average(world.y[at, 0], weights=world.weight[at]))
    assert row(result, "words", "abuse")["prevalence"] == pytest.approx(world.y[at, 0].mean())


def test_ceilings_are_those_of_what_the_model_sees(world, runs):
    result, at = compare("s", "?", runs, FAST), items(world)
    exact = world.exact["text+image"][at, 0]
    rng = np.random.default_rng(5)
    breaks = [np.lexsort((rng.random(at.sum()), exact)).argsort() for _ in range(300)]
    values = [average_precision_score(world.y[at, 0], order) for order in breaks]
    # the mean of 20 tie-breaks spreads by sd / sqrt(20); the seeds are fixed, so 3 of those is no gamble
    within = 3 * np.std(values) / np.sqrt(20)
    assert row(result, "cross", "abuse")["ceiling"] == pytest.approx(np.mean(values), abs=within)
    assert within < 0.04
    # the text alone says nothing
    assert row(result, "words", "abuse", metric="roc_auc")["ceiling"] == pytest.approx(0.5, abs=0.04)
    assert row(result, "prior")["ceiling"] is None  # the world tells no `none`
    limit = {found["label"]: found for found in result["late_fusion_limit"]}
    assert set(limit) == {"abuse", "violence", "macro"}
    assert limit["macro"]["value"] < row(result, "cross")["ceiling"] - 0.1
    assert limit["macro"]["lo"] < limit["macro"]["value"] < limit["macro"]["hi"]


def test_without_truth_there_is_no_ceiling_and_no_test_for_leaks(world, tmp_path):
    result = compare("s", "?", [world.write(tmp_path, "words", world.noise(), exact=False)], FAST)
    assert row(result, "words")["ceiling"] is None
    assert (result["late_fusion_limit"], result["leak_test"]) == ([], [])


def test_a_planted_leak_trips_and_a_bayes_optimal_model_does_not(tmp_path):
    world = World(1200)
    exact = world.exact["text+image"]
    optimal = world.write(tmp_path, "optimal", np.log(exact / (1 - exact))[None], modalities=("text", "image"))
    # a text model that has seen a hint of the truth of one label only
    leaky = world.noise()
    leaky[:, :, 1] += 1.0 * world.y[:, 1]
    result = compare("s", "?", [optimal, world.write(tmp_path, "leaky", leaky)], FAST)
    tripped = {(found["model"], found["label"]) for found in result["leak_test"] if found["tripped"]}
    assert ("leaky", "violence") in tripped
    assert not {label for model, label in tripped if model == "optimal"}
    assert ("leaky", "abuse") not in tripped
    found = next(found for found in result["leak_test"] if (found["model"], found["label"]) == ("leaky", "violence"))
    assert found["delta"] == pytest.approx(found["value"] - found["ceiling"])
    assert found["p_holm"] >= found["p"]


def test_luck_with_few_positives_is_no_leak(world, tmp_path):
    world.y[:] = False
    world.y[1:30, :] = True  # 15 paired test posts or so
    run = world.write(tmp_path, "lucky", np.where(world.y, 3.0, -3.0)[None])
    assert {found["tripped"] for found in compare("s", "?", [run], FAST)["leak_test"]} == {None}
    assert row(compare("s", "?", [run], FAST), "lucky", "abuse")["few"]


def test_intervals_know_that_copies_are_one_post(tmp_path):
    # every post twice in one group: twice the rows, the same evidence, so values and intervals must stay as they are
    once, twice = World(300), World(300)
    for name in ("post_id", "group", "split", "has_image", "weight", "y", "known"):
        value = getattr(twice, name)
        setattr(twice, name, np.concatenate([value, np.char.add(value, "b") if name == "post_id" else value]))
    twice.exact = {name: np.concatenate([value, value]) for name, value in twice.exact.items()}
    twice.n = 600
    logit, found = once.noise(), {}
    for name, world, scores in (("once", once, logit), ("twice", twice, np.concatenate([logit, logit], axis=1))):
        result = compare("s", "?", [world.write(tmp_path, name, scores)], FAST)
        found[name] = row(result, name, "abuse", metric="roc_auc")
    assert found["twice"]["n"] == 2 * found["once"]["n"]
    for bound in ("lo", "value", "hi"):
        assert found["twice"][bound] == pytest.approx(found["once"][bound])


def test_another_test_set_gets_rows_but_no_differences(world, tmp_path):
    world.split[:60:3] = "hatecheck"
    result = compare("s", "?", [world.write(tmp_path, "words", world.noise())], FAST)
    assert row(result, "words", view="all", test="hatecheck")["n"] == 20
    assert set(result["items"]) == {"test", "hatecheck"}
    assert {found["test"] for found in result["differences"]} <= {"test"}


# ---------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": [("cros", "words")]}, "unknown model 'cros'; did you mean 'cross'"),
        ({"label": "abus"}, "unknown label 'abus'; did you mean 'abuse'"),
        ({"metric": "f1_micro", "label": "abuse"}, "must be macro"),
    ],
)
def test_unknown_names_are_refused_with_the_choices(runs, options, message):
    with pytest.raises(WorkbenchError, match=message):
        compare("s", "?", runs, CompareOptions(**options))


def test_what_cannot_be_compared_is_refused(world, runs, tmp_path):
    with pytest.raises(WorkbenchError, match="no finished run"):
        compare("s", "?", [], FAST)
    with pytest.raises(WorkbenchError, match="both called 'cross'"):
        compare("s", "?", [runs[-1], runs[-1]], FAST)
    pairs = CompareOptions(resamples=100, pairs=[("cross", "best-unimodal")])
    with pytest.raises(WorkbenchError, match="no model with one modality"):
        compare("s", "?", [runs[0], runs[-1]], pairs)
    world.weight[:] = 2.0
    even = [world.write(tmp_path, "even", world.noise())]
    with pytest.raises(WorkbenchError, match="all test posts of the view 'paired' weigh the same"):
        compare("s", "?", even, CompareOptions(metric="precision_site", resamples=100))
    # the posts of the view that is asked decide: paired ones weigh the same here
    world.weight[:] = np.where(world.has_image, 2.0, 1.0)
    some = [world.write(tmp_path, "some", world.noise())]
    with pytest.raises(WorkbenchError, match="view 'paired' weigh the same"):
        compare("s", "?", some, CompareOptions(metric="precision_site", resamples=100))
    assert compare("s", "?", some, CompareOptions(metric="precision_site", resamples=100, view="all"))["models"]
    world.has_image[:] = False
    with pytest.raises(WorkbenchError, match="set `view: all`"):
        compare("s", "?", [world.write(tmp_path, "text-only", world.noise())], FAST)


def test_options_name_key_value_and_choices():
    with pytest.raises(WorkbenchError, match="unknown metric 'average_precison'; did you mean 'average_precision'"):
        CompareOptions.parse({"metric": "average_precison"}, "compare")
    with pytest.raises(WorkbenchError, match="unknown key 'resample'; did you mean 'resamples'"):
        CompareOptions.parse({"resample": 10}, "compare")
    with pytest.raises(WorkbenchError, match="10000"):  # fewer draws cannot resolve the p that is asked of them
        CompareOptions.parse({"draws": 500}, "compare")


def test_the_headline_table_has_a_line_per_model(runs):
    lines = tables(comparing.compare("s", "?", runs, FAST))
    assert [line["model"] for line in lines] == ["prior", "words", "pixels", "cross"]
    assert lines[0]["ceiling"] == "–"
    assert (lines[3]["ms/post"], lines[3]["fit s"], lines[3]["parameters"]) == ("1.5", "12.2", "1,234")
    apart = tables(comparing.compare("s", "?", runs, FAST), by_label=True)
    assert [(line["label"], line["model"]) for line in apart[:5]] == [
        *(("abuse", name) for name in ("prior", "words", "pixels", "cross")),
        ("violence", "prior"),
    ]
    low, high = (float(part) for part in lines[3]["average precision"].split("[")[1].rstrip("]").split(", "))
    assert low < high
