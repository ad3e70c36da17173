"""The report: its sentences follow from the numbers, its sections appear when they should, its page stands alone.

The comparison is made by `compare` from small predictions written here; the sentences also by hand, number by number.
"""

from __future__ import annotations

import base64
import functools
import importlib
import itertools
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score

from workbench import corpora
from workbench.schema import Taxonomy, corpus_schema
from workbench.studies import report, wording
from workbench.studies.comparison import CompareOptions, compare
from workbench.studies.predictions import Run, load_run

# `workbench.studies.sections` is a module; its function of the same name is what is called
sections = importlib.import_module("workbench.studies.sections")

LABELS = ("abuse", "violence")
N = 240
POSTS = np.array([f"p{i:04d}" for i in range(N)])
SPLIT = np.where(np.arange(N) % 4 == 0, "validation", "test")
PAIRED = np.arange(N) % 3 != 2
Y = np.random.default_rng(1).random((N, 2)) < 0.3
EXACT = np.where(Y, 0.8, 0.8 * 0.2 / 0.7)  # whatever: some probability that a posterior could be
NOWHERE = {"source": "files", "path": "${NO_SUCH_VARIABLE}/posts.csv", "text": "text"}
HOSTILE = '<script>alert("1")</script> & \'quoted\' "x" {{ 7 * 7 }}'


def noise(seeds: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(seeds, N, 2))


def good(seeds: int = 1) -> np.ndarray:
    return np.where(Y, 1.5, -1.5) + noise(seeds, 9)


def write(folder: Path, alias: str, logit: np.ndarray, **changed) -> Run:
    """Write a run from logits (S, N, 2) and return it as loaded; `changed` overrides what is below, by name."""
    given = {"modalities": ("text",), "split": SPLIT, "paired": PAIRED, "y": Y, "weight": np.ones(N), "exact": True}
    given |= {"known": np.ones((N, 2), bool), "thresholds": 0.5, "record": {}, "metrics": {}} | changed
    parts = []
    for seed, scores in enumerate(logit):
        columns = {"post_id": POSTS, "group": POSTS, "split": given["split"], "weight": given["weight"]}
        columns |= {"seed": np.full(N, seed), "has_text": np.ones(N, bool), "has_image": given["paired"]}
        columns |= {"has_video": np.zeros(N, bool)}
        for k, label in enumerate(LABELS):
            columns[f"y_{label}"] = pa.array(given["y"][:, k], mask=~given["known"][:, k])
            columns[f"logit_{label}"] = scores[:, k].astype(np.float32)
            columns[f"prob_{label}"] = (1 / (1 + np.exp(-scores[:, k]))).astype(np.float32)
            for name in ("text", "image", "text+image", "late-fusion") if given["exact"] else ():
                columns[f"exact_{name}_{label}"] = EXACT[:, k]
        parts.append(pa.table(columns))
    about = {"labels": LABELS, "model": alias, "modalities": given["modalities"], "taxonomy": "t"}
    place = folder / f"key-{len(list(folder.iterdir()))}"
    place.mkdir()
    table = pa.concat_tables(parts).replace_schema_metadata({"workbench": json.dumps(about)})
    pq.write_table(table, place / "predictions.parquet")
    cuts = {str(seed): given["thresholds"] for seed in range(len(logit))}
    metrics = {"thresholds": dict.fromkeys(LABELS, cuts), "train_prevalence": dict.fromkeys(LABELS, 0.1)}
    (place / "metrics.json").write_text(json.dumps(metrics | given["metrics"]))
    (place / "run.json").write_text(json.dumps({"key": place.name, "alias": alias, "state": "done"} | given["record"]))
    return load_run(place)


RECORD = {
    "model": "clip-cross",
    "device": "cpu",
    "dtype": "float32",
    "seconds": 12.345,
    "n_train": 8000,
    "commit": "0123456789abcdef",
    "dirty": True,
    "corpus_digest": "fedcba9876543210ff",
    "ms_per_post": 1.5,
    "peak_mb": 300.25,
}
BOTH = ("text", "image")


def four(folder: Path, **changed) -> list[Run]:
    """Return four runs: a prior, one model for each half, and one for both, which is much the best."""
    one = {"record": RECORD} | changed
    return [
        write(folder, "prior", np.full((1, N, 2), -2.0), modalities=(), **one),
        write(folder, "words", noise(seed=3), **one),
        write(folder, "pixels", noise(2, seed=4), modalities=("image",), **one),
        write(folder, "cross", good(2), modalities=BOTH, **one),
    ]


def settled(runs: list[Run], question: str = "Does it win?", **options) -> dict:
    """Return the comparison of runs as it is read back from its file."""
    names = {"pairs": [("cross", "best-unimodal"), ("cross", "prior")], "resamples": 100} | options
    return json.loads(json.dumps(compare("tiny", question, runs, CompareOptions(**names))))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Run]:
    split = SPLIT.copy()
    split[1::12] = "hatecheck"
    return four(tmp_path_factory.mktemp("tiny"), split=split)


@pytest.fixture(scope="module")
def comparison(runs) -> dict:
    return settled(runs)


@pytest.fixture(scope="module")
def posts() -> pa.Table:
    taxonomy = Taxonomy.load()
    rows = [
        {"post_id": post, "text": f"{HOSTILE} {post}", "labels": dict.fromkeys(taxonomy.names), "group": post}
        for post in POSTS
    ]
    return pa.Table.from_pylist(rows, schema=corpus_schema(taxonomy))


def by_key(comparison: dict, runs: list[Run], posts: pa.Table | None = None) -> dict:
    return {section.key: section for section in sections.sections(comparison, runs, posts)}


def row(comparison: dict, model: str, metric: str = "average_precision", label: str = "macro", view: str = "paired"):
    wanted = {"model": model, "metric": metric, "label": label, "view": view, "test": "test"}
    (found,) = [row for row in comparison["models"] if wanted.items() <= row.items()]
    return found


# ----------------------------------------------------------------------------------------- numbers and words, by hand


def test_numbers_as_people_read_them():
    assert [wording.number(value) for value in (None, 0.0, 0.12349, 1)] == ["–", "0.000", "0.123", "1.000"]
    assert wording.number(12.5, 0) == "12"
    assert [wording.percent(value) for value in (None, 0.0, 0.1234, 1.0)] == ["–", "0.0 %", "12.3 %", "100.0 %"]
    assert [wording.p(value) for value in (None, 0.0001, 0.001, 0.0432, 1.0)] == [
        "–",
        "< 0.001",
        "0.001",
        "0.043",
        "1.000",
    ]
    assert [wording.plain(value) for value in (None, "", 0, "x", False)] == ["–", "–", "0", "x", "False"]
    assert wording.metric("false_positive_rate") == "harmless posts flagged (false positive rate)"
    assert wording.metric("recall") == "recall"


@pytest.mark.parametrize(
    ("found", "signed", "expected"),
    [
        ({"value": 0.5, "lo": 0.4, "hi": 0.6, "few": False}, False, "0.500 [0.400, 0.600]"),
        ({"value": 0.5, "lo": 0.4, "hi": 0.6, "few": True}, False, "0.500 [0.400, 0.600] few"),
        ({"value": 0.1, "lo": -0.05, "hi": 0.25}, True, "+0.100 [-0.050, +0.250]"),
        ({"value": -0.1, "lo": -0.2, "hi": -0.05}, True, "-0.100 [-0.200, -0.050]"),
        ({"value": 0.5, "lo": None, "hi": None, "few": True}, False, "0.500 few"),
        ({"value": None, "lo": None, "hi": None, "few": True}, True, "–"),
    ],
)
def test_an_interval_stands_beside_its_value(found, signed, expected):
    assert wording.interval(found, signed=signed) == expected


def asked(*, metric: str = "average_precision", models=(), differences=(), **more) -> dict:
    """Return a comparison with just what the sentences look at."""
    place = {"test": "test", "view": "paired", "label": "macro", "metric": metric}
    rows = [{"lo": None, "hi": None, "ceiling": None, "few": False} | place | model for model in models]
    settings = {"metric": metric, "label": "macro", "view": "paired", "alpha": 0.05}
    return {"compare": settings, "models": rows, "differences": [place | one for one in differences], **more}


def primary(a: str, b: str, delta: float | None, p: float | None, **more) -> dict:
    margin = {"lo": None, "hi": None, "equivalent_within": 0.08, "primary": True, "pair": [a, b]}
    return {"a": a, "b": b, "delta": delta, "p_holm": p} | margin | more


def said(comparison: dict) -> list[str]:
    return list(wording.answer(comparison))


def test_the_best_model_is_named_with_its_value_and_how_near_it_is_to_the_best_possible():
    models = [{"model": "a", "value": 0.4}, {"model": "b", "value": 0.6, "lo": 0.5, "hi": 0.7, "ceiling": 0.8}]
    first, second = said(asked(models=models))
    best = "On posts with text and media, b is best: average precision 0.600 [0.500, 0.700] (mean over labels)."
    assert first == best
    assert second == "That is 75.0 % of the best its inputs allow (0.800)."  # 0.6 / 0.8


def test_of_a_rate_that_should_be_low_the_lowest_is_best():
    models = [{"model": "a", "value": 0.4}, {"model": "b", "value": 0.1}, {"model": "c", "value": None}]
    (only,) = said(asked(metric="false_positive_rate", models=models))
    assert "b is best" in only
    assert only.endswith("(mean over labels, of which less is better).")


@pytest.mark.parametrize(
    ("metric", "delta", "p", "words"),
    [
        ("average_precision", 0.1, 0.01, "a beats b by +0.100, p = 0.010 after correction."),
        ("average_precision", -0.1, 0.0001, "a is worse than b by -0.100, p < 0.001 after correction."),
        ("false_positive_rate", -0.1, 0.01, "a beats b by -0.100, p = 0.010 after correction."),
        ("false_positive_rate", 0.1, 0.01, "a is worse than b by +0.100, p = 0.010 after correction."),
        ("precision_site", 0.1, 0.01, "a beats b by +0.100, p = 0.010 after correction."),
        # the level itself is not below the level
        (
            "roc_auc",
            0.1,
            0.05,
            "a against b: +0.100, no difference is shown (p = 0.050); with 95 % confidence it is at most 0.080.",
        ),
        (
            "roc_auc",
            0.1,
            None,
            "a against b: +0.100, which could not be tested; with 95 % confidence it is at most 0.080.",
        ),
        ("roc_auc", None, None, "Between a and b nothing can be said: a value is undefined."),
    ],
)
def test_a_verdict_has_the_sign_and_p_of_its_row(metric, delta, p, words):
    models = [{"model": "a", "value": 0.5}]
    assert said(asked(metric=metric, models=models, differences=[primary("a", "b", delta, p)]))[1] == words


def test_a_verdict_without_a_margin_does_not_make_one_up():
    one = primary("a", "b", 0.1, 0.5, equivalent_within=None)
    (_, verdict) = said(asked(models=[{"model": "a", "value": 0.5}], differences=[one]))
    assert verdict == "a against b: +0.100, no difference is shown (p = 0.500)."


def test_the_level_is_the_studys_own():
    one = asked(models=[{"model": "a", "value": 0.5}], differences=[primary("a", "b", 0.1, 0.02)])
    one["compare"]["alpha"] = 0.01
    assert said(one)[1].endswith("no difference is shown (p = 0.020); with 99 % confidence it is at most 0.080.")


def test_the_best_unimodal_model_is_marked_on_its_side():
    for pair, words in (
        (["a", "best-unimodal"], "a beats b (best unimodal) by"),
        (["best-unimodal", "b"], "a (best unimodal) beats b by"),
        (["a", "b"], "a beats b by"),
    ):
        one = primary("a", "b", 0.1, 0.01, pair=pair)
        assert said(asked(models=[{"model": "a", "value": 0.5}], differences=[one]))[1].startswith(words)
    same = primary("a", "a", 0.0, 1.0, pair=["a", "best-unimodal"])
    assert "a is itself the best unimodal" in said(asked(models=[{"model": "a", "value": 0.5}], differences=[same]))[1]


def test_exploratory_differences_are_no_answer():
    one = primary("a", "b", 0.1, None, primary=False)
    assert len(said(asked(models=[{"model": "a", "value": 0.5}], differences=[one]))) == 1


def test_doubts_are_said():
    leaks = [{"model": "a", "tripped": True}, {"model": "b", "tripped": None}, {"model": "a", "tripped": True}]
    missing = [{"model": "late", "state": "timeout"}, {"model": "slow", "state": "failed"}]
    models = [{"model": "a", "value": 0.5, "few": True}]
    _, few, leak, gone = said(asked(models=models, leak_test=leaks, missing=missing))
    assert few.startswith("Some label has few positives")
    assert leak == "Do not trust this yet: a scores better than its inputs allow, which points to a leak."
    assert gone == "Not compared, because their runs are not finished: late, slow."
    leaks.append({"model": "c", "tripped": True})
    assert "a, c score better than their inputs allow" in said(asked(models=models, leak_test=leaks))[2]


def test_nothing_defined_is_said_and_hides_nothing_else():
    models = [{"model": "a", "value": None, "few": True}]
    first, gone = said(asked(models=models, missing=[{"model": "b", "state": "failed"}]))
    assert first.startswith("No model has a value of average precision on posts with text and media")
    assert "not finished: b" in gone


# ------------------------------------------------------------------------------------------------------------- sections


def test_every_section_is_there_in_its_order(comparison, runs, posts):
    keys = ["answer", "values", "differences", "label-abuse", "label-violence", "all", "test-hatecheck"]
    assert [*by_key(comparison, runs, posts)] == [*keys, "ceilings", "errors", "provenance"]
    assert "errors" not in by_key(comparison, runs)


def test_sections_without_content_are_left_out(tmp_path):
    runs = [write(tmp_path, "cross", good(), modalities=BOTH, exact=False, paired=np.zeros(N, bool))]
    bare = settled(runs, view="all", pairs=[])
    assert [*by_key(bare, runs)] == ["answer", "values", "label-abuse", "label-violence", "provenance"]
    assert "tick" not in by_key(bare, runs)["values"].prose  # nothing is known about the best possible
    assert "first seed" not in by_key(bare, runs)["label-abuse"].prose  # there is but one


def test_the_answer_has_the_numbers_of_the_comparison(comparison, runs):
    prose = by_key(comparison, runs)["answer"].prose
    best = row(comparison, "cross")
    assert f"cross is best: average precision {best['value']:.3f} [{best['lo']:.3f}, {best['hi']:.3f}]" in prose
    first = comparison["differences"][0]
    assert first["p_holm"] < 0.001 < 0.05
    unimodal = comparison["best_unimodal"]
    assert f"cross beats {unimodal} (best unimodal) by {first['delta']:+.3f}" in prose
    assert first["delta"] > 0.2  # the good model is good, so the sentence above is no accident


def test_a_rate_that_should_be_low_is_answered_the_right_way_round(runs):
    low = settled(runs, metric="false_positive_rate")
    values = {model: row(low, model, "false_positive_rate")["value"] for model in ("prior", "words", "pixels", "cross")}
    # all below .5, the prior flags nothing
    assert values["prior"] == 0
    page = by_key(low, runs)
    assert "prior is best" in page["answer"].prose
    verdicts = {tuple(one["pair"]): one for one in low["differences"] if one["primary"]}
    assert verdicts["cross", "best-unimodal"]["delta"] < 0
    assert f"cross beats {low['best_unimodal']} (best unimodal) by -" in page["answer"].prose
    assert verdicts["cross", "prior"]["delta"] > 0
    assert "cross beats prior" not in page["answer"].prose


def test_the_value_table_has_a_row_per_model_in_order(comparison, runs):
    table = by_key(comparison, runs)["values"].tables[""]
    assert list(table.index) == ["prior", "words", "pixels", "cross"]
    one, line = row(comparison, "cross"), table.loc["cross"]
    assert line["average precision"] == f"{one['value']:.3f} [{one['lo']:.3f}, {one['hi']:.3f}]"
    assert line["of the best possible"] == f"{100 * one['value'] / one['ceiling']:.1f} %"
    assert line["seeds' sd"] == f"{one['seed_sd']:.3f}"
    assert (line["ms per post"], line["peak MB"], line["coverage"]) == ("1.50", "300", "100.0 %")
    assert line["recall"] == f"{row(comparison, 'cross', 'recall')['value']:.3f}"
    # one seed has no spread, a model that sees nothing no ceiling
    assert (table.loc["words", "seeds' sd"], table.loc["prior", "of the best possible"]) == ("–", "–")
    assert table.columns.is_unique


def test_the_compared_metric_stands_once_whichever_it_is(tmp_path):
    weight = np.where(np.arange(N) % 2, 0.5, 2.0)
    runs = [write(tmp_path, "cross", good(), modalities=BOTH, weight=weight)]
    for metric in ("average_precision", "precision_site", "f1_micro", "recall"):
        table = by_key(settled(runs, metric=metric, pairs=[]), runs)["values"].tables[""]
        assert table.columns[0] == wording.metric(metric)
        assert table.columns.is_unique
        assert "precision at the site's mix of posts" in table.columns


def test_a_metric_that_one_view_has_not_leaves_that_view_out(tmp_path):
    # all paired posts weigh the same, so that precision at the site is no number of its own there
    runs = [write(tmp_path, "cross", good(), modalities=BOTH, weight=np.where(PAIRED, 1.0, 3.0))]
    page = by_key(settled(runs, metric="precision_site", view="all", pairs=[]), runs)
    assert "values" in page
    assert "all" not in page


def test_the_difference_table_marks_what_is_exploratory(comparison, runs):
    section = by_key(comparison, runs)["differences"]
    table, unimodal = section.tables[""], comparison["best_unimodal"]
    assert list(table.index[:2]) == [f"cross − {unimodal} (best unimodal)", "cross − prior"]
    assert table["p (Holm)"].iloc[0] == "< 0.001"
    assert list(table["p (Holm)"].iloc[2:]) == ["exploratory"] * 2
    first = comparison["differences"][0]
    assert table["difference"].iloc[0] == f"{first['delta']:+.3f} [{first['lo']:+.3f}, {first['hi']:+.3f}]"
    assert table["at most"].iloc[0] == f"{first['equivalent_within']:.3f}"
    assert "chosen before anything was scored" in section.prose


def test_differences_that_nobody_asked_for_are_called_exploratory(runs):
    section = by_key(settled(runs, pairs=[]), runs)["differences"]
    assert "all of this is exploratory" in section.prose
    assert "chosen before" not in section.prose
    assert set(section.tables[""]["p (Holm)"]) == {"exploratory"}


def test_a_label_section_counts_and_draws_what_it_says(comparison, runs, monkeypatch):
    drawn = {}
    monkeypatch.setattr(sections.plots, "pr_curves", lambda curves, **more: drawn.update(curves=curves, **more))
    monkeypatch.setattr(sections.plots, "confusion_matrices", lambda counts, **more: drawn.update(counts=counts))
    section = by_key(comparison, runs)["label-violence"]
    at = (runs[0].sets["test"].paired, 1)
    scores = runs[3].sets["test"]
    y = scores.y[at]
    assert section.prose.startswith(f"{y.sum()} positives among {len(y)} posts ({100 * y.mean():.1f} %).")
    assert "first seed" in section.prose
    for draw in section.figures.values():
        draw("light")
    # the best, the best unimodal, the family: pixels or words is not among them
    shown = {"cross", comparison["best_unimodal"], "prior"}
    assert set(drawn["curves"]) == set(drawn["counts"]) == shown
    precision, recall = drawn["curves"]["cross"]
    area = -np.sum(np.diff(recall) * precision[:-1])
    assert area == pytest.approx(average_precision_score(y, scores.logit[0][at]))
    assert drawn["counts"]["cross"] == row(comparison, "cross", "recall", "violence")["confusion"]
    assert (drawn["label"], drawn["prevalence"]) == ("violence", pytest.approx(y.mean()))
    # the best possible of text and picture together knows the truth here: it never errs
    assert drawn["ceiling"][0].min() == pytest.approx(y.mean())
    assert (drawn["ceiling"][0][1:] == 1).all()


def test_curves_stay_apart_where_probabilities_tie(tmp_path, monkeypatch):
    # float32 probabilities are exactly 1 from a logit of 17 on
    runs = [write(tmp_path, "sure", 20 + good())]
    drawn = {}
    monkeypatch.setattr(sections.plots, "pr_curves", lambda curves, **more: drawn.update(curves))
    by_key(settled(runs, pairs=[]), runs)["label-abuse"].figures["precision against recall"]("light")
    precision, recall = drawn["sure"]
    scores = runs[0].sets["test"]
    expected = average_precision_score(scores.y[scores.paired, 0], (20 + good())[0, SPLIT == "test"][scores.paired, 0])
    assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(expected, abs=1e-6)


def test_posts_a_model_cannot_see_are_ranked_by_its_prevalence(tmp_path, monkeypatch):
    logit = good()
    logit[:, ~PAIRED] = np.nan
    runs = [write(tmp_path, "pixels", logit, modalities=("image",))]
    drawn = {}
    monkeypatch.setattr(sections.plots, "pr_curves", lambda curves, **more: drawn.update(curves))
    both = settled(runs, view="all", pairs=[])
    by_key(both, runs)["label-abuse"].figures["precision against recall"]("light")
    precision, recall = drawn["pixels"]
    assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(
        row(both, "pixels", label="abuse", view="all")["value"]
    )


def test_without_a_truth_of_both_halves_no_best_curve_is_drawn(tmp_path, monkeypatch):
    runs = [write(tmp_path, "cross", good(), modalities=BOTH, exact=False)]
    drawn = {}
    monkeypatch.setattr(sections.plots, "pr_curves", lambda curves, **more: drawn.update(more))
    by_key(settled(runs, pairs=[]), runs)["label-abuse"].figures["precision against recall"]("light")
    assert drawn["ceiling"] is None


def test_few_positives_are_marked_everywhere(tmp_path):
    y = np.zeros((N, 2), bool)
    y[1:40, :] = True  # 20 paired test posts or fewer
    runs = [write(tmp_path, "cross", good(), modalities=BOTH, y=y)]
    page = by_key(settled(runs, pairs=[], few=40), runs)
    assert "few positives" in page["answer"].prose
    assert "Few positives: read with care." in page["label-abuse"].prose
    assert page["values"].tables[""].loc["cross", "average precision"].endswith(" few")
    assert page["label-abuse"].tables[""].loc["cross", "recall"].endswith(" few")


def test_a_label_without_positives_has_no_section_and_undefined_values_are_dashes(tmp_path):
    y = Y & [True, False]
    runs = [write(tmp_path, "cross", good(), modalities=BOTH, y=y, thresholds=None)]
    page = by_key(settled(runs, pairs=[]), runs)
    assert "label-violence" not in page
    assert page["label-abuse"].tables[""].loc["cross", ["precision", "recall", "F1"]].tolist() == ["–", "–", "–"]
    assert "confusion matrices" not in page["label-abuse"].figures  # no threshold, no counts
    assert page["values"].tables[""].loc["cross", "recall"] == "–"


def test_where_nothing_is_defined_the_page_still_says_so(tmp_path):
    nothing = np.full((1, N, 2), np.nan)
    runs = [
        write(tmp_path, "a", nothing, y=np.ones((N, 2), bool)),
        write(tmp_path, "b", nothing, y=np.ones((N, 2), bool)),
    ]
    page = by_key(settled(runs, pairs=[("a", "b")]), runs)
    assert page["answer"].prose.startswith("No model has a value of average precision")
    assert "Between a and b nothing can be said" in page["answer"].prose
    report.write(tmp_path, settled(runs, pairs=[("a", "b")]), runs, NOWHERE)


def test_a_further_test_shows_both_halves_apart(comparison, runs):
    table = by_key(comparison, runs)["test-hatecheck"].tables[""]
    scores = runs[3].sets["hatecheck"]
    y, flagged = scores.y[:, 0], scores.prob[:, :, 0] >= 0.5
    caught, passed = (flagged & y).sum(1).mean() / y.sum(), (~flagged & ~y).sum(1).mean() / (~y).sum()
    line = table.loc[("abuse", "cross")]
    assert line["harmful posts caught"].startswith(f"{caught:.3f} [")
    assert line["harmless posts passed"].startswith(f"{passed:.3f} [")
    assert line["posts"] == f"20 ({y.sum()} harmful)"


def test_a_further_test_of_harmless_posts_alone_still_says_how_many_pass(tmp_path):
    split = SPLIT.copy()
    split[1:41] = np.where(SPLIT[1:41] == "test", "calm", "validation")
    y = Y.copy()
    y[split == "calm"] = False
    runs = [write(tmp_path, "cross", good(), modalities=BOTH, y=y, split=split)]
    line = by_key(settled(runs, pairs=[]), runs)["test-calm"].tables[""].loc[("abuse", "cross")]
    scores = runs[0].sets["calm"]
    assert line["harmful posts caught"] == "–"
    assert line["harmless posts passed"].startswith(f"{(scores.prob[0, :, 0] < 0.5).mean():.3f}")
    assert line["posts"] == "30 (0 harmful)"


def test_the_leak_test_names_who_trips_it_and_only_then(comparison, runs):
    section = by_key(comparison, runs)["ceilings"]
    assert {one["tripped"] for one in comparison["leak_test"]} == {False}
    assert "nothing points to a leak" in section.prose
    bad = json.loads(json.dumps(comparison))
    bad["leak_test"][0] |= {"tripped": True, "label": "macro"}
    name = bad["leak_test"][0]["model"]
    page = by_key(bad, runs)
    assert f"It is tripped by {name} (mean over labels)" in page["ceilings"].prose
    assert "nothing points to a leak" not in page["ceilings"].prose
    assert f"Do not trust this yet: {name} scores better" in page["answer"].prose


def test_what_the_leak_test_could_not_test_is_no_all_clear(comparison, runs):
    some = json.loads(json.dumps(comparison))
    for one in some["leak_test"]:
        one["tripped"] = None if one["label"] == "abuse" else False
    prose = by_key(some, runs)["ceilings"].prose
    assert "nothing points to a leak" in prose
    assert "Not tested, for lack of positives: abuse." in prose
    for one in some["leak_test"]:
        one["tripped"] = one["p_holm"] = None
    section = by_key(some, runs)["ceilings"]
    assert "nothing points to a leak" not in section.prose
    assert (
        "It says nothing here. Not tested, for lack of positives: abuse, mean over labels, violence." in section.prose
    )
    assert set(section.tables["against the best possible"]["p (Holm)"]) == {"–"}


def test_the_ceilings_and_the_limit_of_late_fusion_are_those_of_the_comparison(comparison, runs):
    tables = by_key(comparison, runs)["ceilings"].tables
    one = comparison["leak_test"][0]
    line = tables["against the best possible"].loc[(one["model"], one["label"])]
    assert line.tolist()[:2] == [f"{one['value']:.3f}", f"{one['ceiling']:.3f}"]
    assert line["difference"].startswith(f"{one['delta']:+.3f} [")
    (limit,) = [table for caption, table in tables.items() if "fusion" in caption]
    assert set(limit.index) == {"abuse", "violence", "macro"}


def test_the_errors_are_those_of_the_best_model(comparison, runs, posts):
    section = by_key(comparison, runs, posts)["errors"]
    assert section.prose.startswith("What cross got most wrong")
    scores = runs[3].sets["test"]
    mean, flags = scores.prob.mean(axis=0), (scores.prob >= 0.5).mean(axis=0)
    missed = np.where(scores.y & (flags <= 0.5), mean, 2)
    worst = scores.post_id[np.unravel_index(missed.argmin(), missed.shape)[0]]
    missed_part = section.fragment.partition("Flagged, but harmless")[0]
    assert re.findall(r"p\d{4}", missed_part)[0] == worst
    assert "<script" not in section.fragment


def test_a_model_without_errors_is_not_blamed(tmp_path, posts):
    runs = [write(tmp_path, "cross", np.where(Y, 3.0, -3.0)[None], modalities=BOTH)]
    section = by_key(settled(runs, pairs=[]), runs, posts)["errors"]
    assert section.fragment.count("<p>None.</p>") == 2


def test_provenance_follows_each_number_to_its_run(comparison, runs):
    tables = by_key(comparison, runs)["provenance"].tables
    line = tables["runs"].loc["cross"]
    expected = ["clip-cross", runs[3].key, "cpu, float32", "12.3", "8000", "0, 1", "0123456789 (changed)"]
    assert line.tolist() == [*expected, "fedcba9876543210"]
    assert tables["test sets"].loc["test", "items"] == comparison["items"]["test"][:16]


def test_runs_that_scored_a_test_set_count_old_ones_and_the_present_ones_once(tmp_path):
    runs = four(tmp_path)
    found = settled(runs)
    items, later = found["items"]["test"], {"items": {"test": "another"}}
    write(tmp_path, "old", noise(), metrics={"items": {"test": items}})  # of an earlier version of the study
    write(tmp_path, "elsewhere", noise(), metrics=later)
    write(tmp_path, "torn", noise(), metrics={"items": None})
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "metrics.json").write_text("{")
    # four runs are compared here, whatever their files say, and one old one scored the same posts
    assert by_key(found, runs)["provenance"].tables["test sets"].loc["test", "runs that scored it"] == "5"


def test_missing_models_are_named_with_their_state(comparison, runs):
    partial = comparison | {"missing": [{"model": "late-fusion", "state": "timeout"}]}
    page = by_key(partial, runs)
    assert "not finished: late-fusion." in page["answer"].prose
    assert "late-fusion is missing: timeout." in page["provenance"].prose


def test_no_cell_shows_a_null_as_anything_but_a_dash(tmp_path):
    bare = four(tmp_path, record={}, thresholds=None)
    dashes = 0
    for section in sections.sections(settled(bare), bare):
        for table in section.tables.values():
            cells = table.to_numpy().ravel().tolist()
            assert all(isinstance(cell, str) and cell for cell in cells), section.key
            assert not re.search(r"\b(None|nan|NaN|null)\b", " ".join(cells)), section.key
            dashes += cells.count("–")
    assert dashes > 20


# ------------------------------------------------------------------------------------------------------------- the page

VOID = {"meta", "img", "source", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart; every tag must close the one that was opened last."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.cells: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes), f"<{tag}> repeats an attribute"
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag == "td" and "tbody" in self.open:
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        if re.fullmatch("h[1-6]", "".join(self.open[-1:])):
            self.headings[-1] = (self.headings[-1][0], self.headings[-1][1] + data)
        if self.open[-1:] == ["td"] and "tbody" in self.open:
            self.cells[-1] += data
        if not {"style", "script"} & set(self.open):
            self.words += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory, comparison, runs, posts) -> Path:
    """The report of the whole comparison, with a hostile question."""
    hostile = comparison | {"question": HOSTILE}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "posts_of", lambda corpus: posts if corpus == {"source": "here"} else None)
        return report.write(tmp_path_factory.mktemp("page"), hostile, runs, {"source": "here"})


@pytest.fixture(scope="module")
def page(written) -> Page:
    return Page(written.read_text(encoding="utf-8"))


def test_the_page_is_whole_and_named_as_documented(written, page):
    assert written.name == "report.html"
    assert [path.name for path in written.parent.iterdir()] == ["report.html"]  # no draft is left beside it
    assert written.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert [page.tags[0][0], len(page.all("main")), len(page.all("title"))] == ["html", 1, 1]


def test_the_page_asks_for_nothing_from_anywhere(written, page):
    text = written.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    addresses = [
        value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "srcset")
    ]
    assert len(addresses) >= 12
    assert all(re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", address) for address in addresses)
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_the_page_forbids_what_it_does_not_need(page):
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # a policy counts for what comes after it
    kinds = [tag for tag, _ in page.tags]
    assert page.tags[kinds.index("style") - 2][1].get("http-equiv") == "Content-Security-Policy"


def test_hostile_words_are_words(page):
    texts = len(page.all("details"))
    assert texts >= 2
    assert page.words.count(HOSTILE) == 2 + texts  # the title, the heading, and the texts of the worst errors
    assert [heading for level, heading in page.headings if level == 1] == [HOSTILE]


def test_a_hostile_alias_and_test_name_are_words(tmp_path):
    split = SPLIT.copy()
    split[1::12] = '"><script>x</script>'
    runs = [
        write(tmp_path, HOSTILE, good(), modalities=BOTH, split=split, record={"model": HOSTILE, "device": HOSTILE})
    ]
    page = Page(report.write(tmp_path, settled(runs, pairs=[]), runs, NOWHERE).read_text(encoding="utf-8"))
    assert page.all("script") == []
    assert page.words.count(HOSTILE) >= 6
    assert "&lt;" not in page.words  # escaped once, not twice


def test_headings_go_down_one_level_at_a_time(page):
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(words.strip() for _, words in page.headings)
    titles = ["The answer", "How good is each model?", "Which differences are real?"]
    assert [words for level, words in page.headings if level == 2][:3] == titles


def test_the_contents_lead_to_each_section(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [link["href"] for link in page.all("a")] == [f"#{part['id']}" for part in page.all("section")]
    assert len(page.all("section")) == 10


def test_pictures_are_described_and_come_for_light_and_dark(page):
    assert all(image.get("alt") for image in page.all("img"))
    sources = page.all("source")
    assert len(sources) == len(page.all("picture")) == 6  # values, differences, two for each label
    assert {source["media"] for source in sources} == {"(prefers-color-scheme: dark)"}
    light = [image["src"] for image in page.all("img") if "png" in image["src"][:20]]
    assert all(source["srcset"] != src for source, src in zip(sources, light, strict=True))
    assert all(base64.b64decode(src.partition(",")[2]).startswith(b"\x89PNG") for src in light)


def test_wide_tables_scroll_in_a_box_that_the_keyboard_reaches(page):
    boxes = [attributes for tag, attributes in page.tags if attributes.get("class") == "wide"]
    assert len(boxes) == len(page.all("table"))
    assert all(box["tabindex"] == "0" and box["aria-label"].startswith("Table: ") for box in boxes)
    assert len({box["aria-label"] for box in boxes}) == len(boxes)


def test_every_cell_of_the_page_says_something(page):
    assert len(page.cells) > 100
    assert not [cell for cell in page.cells if cell.strip() in ("", "None", "nan", "NaN")]
    assert "–" in page.cells


def test_long_cells_are_not_cut(tmp_path):
    seeds = tuple(range(40))
    runs = [replace(write(tmp_path, "cross", good(40), modalities=BOTH), seeds=seeds)]
    words = Page(report.write(tmp_path, settled(runs, pairs=[]), runs, NOWHERE).read_text(encoding="utf-8")).words
    assert ", ".join(map(str, seeds)) in words  # 158 characters; pandas would cut at 50


def test_a_report_replaces_the_one_before(tmp_path, comparison, runs):
    (tmp_path / "report.html").write_text("old")
    page = Page(report.write(tmp_path, comparison, runs, NOWHERE).read_text(encoding="utf-8"))
    assert len(page.all("section")) == 9  # without the posts the worst errors cannot be shown


def test_posts_come_from_the_corpus_where_it_is_at_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(report.corpora, "load", functools.partial(corpora.load, cache=tmp_path / "cache"))
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    (tmp_path / "posts.csv").write_text("text\nhello\n")
    config = {"source": "files", "path": "${WORKBENCH_DATA}/posts.csv", "text": "text"}
    assert report.posts_of(config)["text"].to_pylist() == ["hello"]
    (tmp_path / "posts.csv").unlink()
    assert report.posts_of(config) is None
    monkeypatch.delenv("WORKBENCH_DATA")
    assert report.posts_of(config) is None


def test_a_fragment_is_a_section_with_its_style(comparison, runs):
    section = by_key(comparison, runs)["values"]
    fragment = report.fragment(section)
    page = Page(fragment)
    assert [part["id"] for part in page.all("section")] == ["values"]
    assert page.all("source") == []  # a notebook has a light page
    assert len(page.all("img")) == len(page.all("style")) == 1


# --------------------------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs Chromium, and this machine has none")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_and_is_quiet_in_a_browser(browser, written, scheme, width):
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    tab, asked_for, complaints = context.new_page(), [], []
    tab.on("request", lambda request: asked_for.append(request.url.partition(":")[0]))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(written.as_uri())
    tab.wait_for_load_state("networkidle")
    assert complaints == []
    assert set(asked_for) <= {"file", "data"}
    assert asked_for.count("file") == 1
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    boxes = tab.evaluate("[...document.querySelectorAll('.wide')].map(b => b.scrollWidth > b.clientWidth)")
    assert any(boxes) == (width == 390) or width == 1200  # on a phone some table must scroll in its box
    assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    chosen = tab.evaluate(
        "[...document.querySelectorAll('picture')].map("
        "p => p.querySelector('img').currentSrc === p.querySelector('source').srcset)"
    )
    assert set(chosen) == {scheme == "dark"}
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(tab)
    assert found.response["violations"] == []
    context.close()
