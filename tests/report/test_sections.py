"""The sections of a report: each appears when it should and says what the comparison's numbers say."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import Metrics
from workbench.report import wording

sections = importlib.import_module("workbench.report.sections")  # the module; its function has the same name


def by_key(comparison: dict, runs: list[Run], posts: pa.Table | None = None) -> dict:
    return {section.key: section for section in sections.sections(Comparison.model_validate(comparison), runs, posts)}


def row(comparison: dict, model: str, metric: str = "average_precision", label: str = "macro", view: str = "paired"):
    wanted = {"model": model, "metric": metric, "label": label, "view": view, "test": "test"}
    (found,) = [row for row in comparison["models"] if wanted.items() <= row.items()]
    return found


def test_every_section_is_there_in_its_order(comparison, runs, posts):
    keys = [
        "answer",
        "transfer",
        "values",
        "differences",
        "label-abuse",
        "label-violence",
        "prevalence",
        "calibration",
        "all",
    ]
    keys += ["test-hatecheck", "slices", "ceilings", "errors", "cost", "provenance", "checklist"]
    assert [*by_key(comparison, runs, posts)] == keys
    assert "not at hand" in by_key(comparison, runs)["errors"].prose


def measured(runs: list[Run], **metrics) -> list[Run]:
    """Return the runs, the first with these metrics."""
    return [replace(runs[0], metrics=Metrics.model_validate(metrics)), *runs[1:]]


def test_what_crosses_the_split_is_told_with_the_reason(comparison, runs):
    assert "overlaps" not in by_key(comparison, runs)  # runs from before it was looked for
    found = {"overlap": 2, "of": 1500, "posts": 4, "not_compared": 3, "examples": []}
    told = {
        "group": {**found, "overlap": 0, "posts": 0, "not_compared": 0},
        "text": {**found, "allowed": "kept as it was published"},
    }
    table = by_key(comparison, measured(runs, overlap=told))["overlaps"].tables[""]
    assert table.loc["texts"].tolist() == ["2 of 1,500", "4", "3", "kept as it was published"]
    assert table.loc["groups"].tolist() == ["0 of 1,500", "0", "0", ""]


def test_how_options_were_chosen_is_told_where_there_was_a_budget(comparison, runs):
    assert "search" not in by_key(comparison, runs)
    budget = {"trials": 4, "seconds": 60.0, "metric": "average_precision", "label": "macro", "view": "paired"}
    trials = [{"options": {}, "score": 0.25, "seconds": 1.0}]
    record = {"budget": budget, "space": {}, "size": 1, "seconds": 1.0, "trials": trials, "winner": 0}
    section = by_key(comparison, measured(runs, search=record))["search"]
    assert section.title == "How were hyperparameters chosen?"
    assert "4 trials and 60 seconds" in section.prose
    assert section.tables[""].loc[runs[0].alias, "space"] == "nothing to search"


def test_sections_without_content_are_left_out(small, tmp_path):
    runs = [
        small.write(tmp_path, "cross", small.good(), modalities=small.BOTH, exact=False, paired=np.zeros(small.N, bool))
    ]
    bare = small.settled(runs, view="all", pairs=[])
    keys = ["answer", "values", "label-abuse", "label-violence", "prevalence", "calibration", "errors", "provenance"]
    keys += ["checklist"]
    assert [*by_key(bare, runs)] == keys
    assert "tick" not in by_key(bare, runs)["values"].prose  # nothing is known about the best possible
    assert "first seed" not in by_key(bare, runs)["label-abuse"].prose  # there is but one


def test_the_answer_has_the_numbers_of_the_comparison(comparison, runs):
    prose = by_key(comparison, runs)["answer"].prose
    best = row(comparison, "cross")
    value = f"{best['value']:.3f} [{best['lo']:.3f}, {best['hi']:.3f}]"
    assert f"cross, chosen on validation, is best: average precision {value}" in prose
    first = comparison["differences"][0]
    assert first["p_holm"] < 0.01
    unimodal = comparison["best_unimodal"]
    assert f"cross beats {unimodal} (best unimodal) by {first['delta']:.3f}" in prose
    assert first["delta"] > 0.2  # the good model is good, so the sentence above is no accident


def test_a_rate_that_should_be_low_is_answered_the_right_way_round(small, runs):
    low = small.settled(runs, metric="false_positive_rate")
    values = {model: row(low, model, "false_positive_rate")["value"] for model in ("prior", "words", "pixels", "cross")}
    # all below .5, the prior flags nothing
    assert values["prior"] == 0
    page = by_key(low, runs)
    assert "no model is shown to be best: prior, which validation would choose," in page["answer"].prose
    verdicts = {tuple(one["pair"]): one for one in low["differences"] if one["primary"]}
    assert verdicts["cross", "best-unimodal"]["delta"] < 0
    assert f"cross against {low['best_unimodal']} (best unimodal): -0." in page["answer"].prose  # two seeds are few
    assert verdicts["cross", "prior"]["delta"] > 0
    assert "cross beats prior" not in page["answer"].prose


def test_the_value_table_has_a_row_per_model_in_order(comparison, runs):
    table = by_key(comparison, runs)["values"].tables[""]
    assert list(table.index) == ["prior", "words", "pixels", "cross"]
    one, line = row(comparison, "cross"), table.loc["cross"]
    assert line["average precision"] == f"{one['value']:.3f} [{one['lo']:.3f}, {one['hi']:.3f}]"
    far = json.loads(json.dumps(comparison))
    row(far, "cross")["ceiling"] = one["value"] / 0.8
    assert by_key(far, runs)["values"].tables[""].loc["cross", "of the Bayes ranking"] == "80.0 %"
    assert line["seeds' sd"] == f"{one['seed_sd']:.3f}"
    assert (line["ms per post"], line["peak MB"], line["coverage"]) == ("1.50", "300", "100.0 %")
    assert line["recall"] == f"{row(comparison, 'cross', 'recall')['value']:.3f}"
    assert (table.loc["words", "seeds' sd"], table.loc["prior", "of the Bayes ranking"]) == ("–", "–")
    assert table.columns.is_unique


def test_the_compared_metric_stands_once_whichever_it_is(small, tmp_path):
    weight = np.where(np.arange(small.N) % 2, 0.5, 2.0)
    runs = [small.write(tmp_path, "cross", small.good(), modalities=small.BOTH, weight=weight)]
    for metric in ("average_precision", "precision_site", "f1_micro", "recall"):
        section = by_key(small.settled(runs, metric=metric, pairs=[]), runs)["values"]
        assert (", all labels together, " in section.prose) == (metric == "f1_micro")
        table = section.tables[""]
        assert table.columns[0] == wording.metric(metric)
        assert table.columns.is_unique
        assert any(name.startswith("precision at the site") for name in table.columns)


def test_a_metric_that_one_view_has_not_leaves_that_view_out(small, tmp_path):
    # all paired posts weigh the same, so that precision at the site is no number of its own there
    runs = [
        small.write(tmp_path, "cross", small.good(), modalities=small.BOTH, weight=np.where(small.PAIRED, 1.0, 3.0))
    ]
    page = by_key(small.settled(runs, metric="precision_site", view="all", pairs=[]), runs)
    assert "values" in page
    assert "all" not in page


def test_the_difference_table_marks_what_is_exploratory(small, comparison, runs):
    section = by_key(comparison, runs)["differences"]
    table, unimodal = section.tables[""], comparison["best_unimodal"]
    assert list(table.index[:2]) == [f"cross − {unimodal} (best unimodal)", "cross − prior"]
    assert table["p (Holm)"].iloc[0] == wording.p(comparison["differences"][0]["p_holm"])
    assert list(table["p (Holm)"].iloc[2:]) == ["exploratory"] * 2
    first = comparison["differences"][0]
    assert table["difference"].iloc[0] == f"{first['delta']:+.3f} [{first['lo']:+.3f}, {first['hi']:+.3f}]"
    assert table["at most"].iloc[0] == f"{first['equivalent_within']:.3f}"
    assert "no plan says that it stood there before anything was scored" in section.prose
    assert "was chosen before" not in section.prose
    planned = by_key(comparison | {"made_from": small.PLAN}, runs)["differences"]
    assert "What has a p was chosen before anything was scored" in planned.prose


def test_differences_that_nobody_asked_for_are_called_exploratory(small, runs):
    section = by_key(small.settled(runs, pairs=[]), runs)["differences"]
    assert "all of this is exploratory" in section.prose
    assert "chosen before" not in section.prose
    assert set(section.tables[""]["p (Holm)"]) == {"exploratory"}
    waiting = small.settled(runs, pairs=[]) | {"missing": [{"model": "late", "state": "failed"}]}
    prose = by_key(waiting, runs)["differences"].prose
    assert prose.startswith("What the study asked waits for models without a run on these posts")
    plan = small.PLAN | {"asked": [["cross", "prior"]]}  # asked of another metric than the plan is for
    prose = by_key(small.settled(runs, pairs=[]) | {"made_from": plan}, runs)["differences"].prose
    assert prose.startswith("What the study asks was not planned before anything was scored, so all of this")


def test_few_positives_are_marked_everywhere(small, tmp_path):
    y = np.zeros((small.N, 2), bool)
    y[1:40, :] = True  # 20 paired test posts or fewer
    runs = [small.write(tmp_path, "cross", small.good(), modalities=small.BOTH, y=y)]
    page = by_key(small.settled(runs, pairs=[], few=40), runs)
    assert "few positives" in page["answer"].prose
    assert "Few positives: read with care." in page["label-abuse"].prose
    assert page["values"].tables[""].loc["cross", "average precision"].endswith(" few")
    assert page["label-abuse"].tables[""].loc["cross", "recall"].endswith(" few")


def test_a_label_without_positives_has_no_section_and_undefined_values_are_dashes(small, tmp_path):
    y = small.Y & [True, False]
    runs = [small.write(tmp_path, "cross", small.good(), modalities=small.BOTH, y=y, thresholds=None)]
    page = by_key(small.settled(runs, pairs=[]), runs)
    assert "label-violence" not in page
    assert page["label-abuse"].tables[""].loc["cross", ["precision", "recall", "F1"]].tolist() == ["–", "–", "–"]
    assert "confusion matrices" not in page["label-abuse"].figures  # no threshold, no counts
    assert page["values"].tables[""].loc["cross", "recall"] == "–"


def test_where_nothing_is_defined_the_page_still_says_so(small, tmp_path):
    nothing = np.full((1, small.N, 2), np.nan)
    runs = [
        small.write(tmp_path, "a", nothing, y=np.ones((small.N, 2), bool)),
        small.write(tmp_path, "b", nothing, y=np.ones((small.N, 2), bool)),
    ]
    page = by_key(small.settled(runs, pairs=[("a", "b")]), runs)
    assert page["answer"].prose.startswith("No model has a value of average precision")
    assert "Between a and b nothing can be said" in page["answer"].prose


def test_a_further_test_shows_both_halves_apart(comparison, runs):
    table = by_key(comparison, runs)["test-hatecheck"].tables[""]
    scores = runs[3].sets["hatecheck"]
    y, flagged = scores.y[:, 0], scores.prob[:, :, 0] >= 0.5
    caught, passed = (flagged & y).sum(1).mean() / y.sum(), (~flagged & ~y).sum(1).mean() / (~y).sum()
    line = table.loc[("abuse", "cross")]
    assert line["harmful posts caught"].startswith(f"{caught:.3f} [")
    assert line["harmless posts passed"].startswith(f"{passed:.3f} [")
    assert line["posts"] == f"20 ({y.sum()} harmful)"


def test_a_further_test_of_harmless_posts_alone_still_says_how_many_pass(small, tmp_path):
    split = small.SPLIT.copy()
    split[1:41] = np.where(small.SPLIT[1:41] == "test", "calm", "validation")
    y = small.Y.copy()
    y[split == "calm"] = False
    runs = [small.write(tmp_path, "cross", small.good(), modalities=small.BOTH, y=y, split=split)]
    line = by_key(small.settled(runs, pairs=[]), runs)["test-calm"].tables[""].loc[("abuse", "cross")]
    scores = runs[0].sets["calm"]
    assert line["harmful posts caught"] == "–"
    assert line["harmless posts passed"].startswith(f"{(scores.prob[0, :, 0] < 0.5).mean():.3f}")
    assert line["posts"] == "30 (0 harmful)"


def test_the_leak_test_names_who_trips_it_and_only_then(comparison, runs):
    section = by_key(comparison, runs)["ceilings"]
    assert {one["tripped"] for one in comparison["leak_test"]} == {False}
    assert "The leak test asks of each label whether a model beats it" in section.prose
    assert "in the long run no model beats it, on one sample one may by luck" in section.prose
    assert "No model is provably better" in section.prose
    assert "It finds a leak with 80 % probability where the model has memorised at least" in section.prose
    assert "average precision" in section.tables["against the Bayes ranking"].columns
    bad = json.loads(json.dumps(comparison))
    bad["leak_test"][0] |= {"tripped": True, "label": "macro"}
    name = bad["leak_test"][0]["model"]
    page = by_key(bad, runs)
    assert f"It is tripped by {name} (mean over labels)" in page["ceilings"].prose
    assert "No model is provably better" not in page["ceilings"].prose
    assert f"Do not trust this yet: {name} scores better" in page["answer"].prose


def test_what_the_leak_test_could_not_test_is_no_all_clear(comparison, runs):
    some = json.loads(json.dumps(comparison))
    for one in some["leak_test"]:
        one["tripped"] = None if one["label"] == "abuse" else False
    prose = by_key(some, runs)["ceilings"].prose
    assert "No model is provably better" in prose
    assert "Not tested, for lack of positives: abuse." in prose
    for one in some["leak_test"]:
        one["tripped"] = one["p_holm"] = None
    section = by_key(some, runs)["ceilings"]
    assert "No model is provably better" not in section.prose
    assert (
        "It says nothing here. Not tested, for lack of positives: abuse, mean over labels, violence." in section.prose
    )
    assert set(section.tables["against the Bayes ranking"]["p (Holm)"]) == {"–"}


def test_the_ceilings_and_the_limit_of_late_fusion_are_those_of_the_comparison(comparison, runs):
    tables = by_key(comparison, runs)["ceilings"].tables
    one = comparison["leak_test"][0]
    line = tables["against the Bayes ranking"].loc[(one["model"], wording.label(one["label"]))]
    best = f"{one['ceiling']:.3f} [{one['ceiling_lo']:.3f}, {one['ceiling_hi']:.3f}]"
    assert line.tolist()[:2] == [f"{one['value']:.3f}", best]
    assert line["difference"].startswith(f"{one['delta']:+.3f} [")
    (limit,) = [table for caption, table in tables.items() if caption.startswith("what adding up one calibrated text")]
    assert list(limit.index) == ["abuse", "violence", "mean over labels"]
    for found, shown in zip(comparison["late_fusion_limit"], limit["at most, average precision"], strict=True):
        assert shown == f"{found['value']:.3f} [{found['lo']:.3f}, {found['hi']:.3f}]"


def test_which_leak_would_not_have_been_found_is_told_rounded_up(comparison, runs):
    some = json.loads(json.dumps(comparison))
    for one in some["leak_test"]:
        one["detectable_leak"] = {"words": 0.1201, "cross": None}.get(one["model"], 0.5)
    section = by_key(some, runs)["ceilings"]
    assert (
        "share of the harmful test posts; a leak of less than 13 % (words), 50 % (pixels) of the harmful test posts "
        "and one of any size for cross would not have been found (mean over labels)."
    ) in section.prose
    found = section.tables["against the Bayes ranking"]["finds a leak from"]
    assert (found["words"] == "13 %").all()
    assert (found["cross"] == "none").all()
    some["leak_test"][0]["tripped"] = True  # what has been found is no question any more
    assert "would not have been found" not in by_key(some, runs)["ceilings"].prose


def test_a_tick_has_the_interval_of_the_leak_test_and_is_no_bound(comparison, runs):
    section = by_key(comparison, runs)["values"]
    assert "on one sample one may be by luck" in section.prose
    assert "best that any model" not in section.prose
    (axis,) = section.figures["every model with its interval"]("light").axes
    drawn = [list(line.get_xdata()) for line in axis.get_lines()]
    (test,) = (one for one in comparison["leak_test"] if (one["model"], one["label"]) == ("words", "macro"))
    assert [test["ceiling_lo"], test["ceiling_hi"]] in drawn


def test_a_model_that_scored_half_of_the_posts_is_told_beside_the_values(comparison, runs):
    assert "scored" not in by_key(comparison, runs)["values"].prose
    half = json.loads(json.dumps(comparison))
    row(half, "words")["coverage"] = 0.5
    page = by_key(half, runs)
    for prose in (page["values"].prose, page["answer"].prose):
        assert "words scored 50.0 % of these posts; the others count with the share of harm in training" in prose


def test_a_study_elsewhere_is_told_by_its_folder(comparison, runs):
    # these runs lie in a temporary folder, not in the repository
    assert f"under {runs[0].folder.parent.resolve().as_posix()}/." in by_key(comparison, runs)["provenance"].prose


def test_slices_say_that_posts_count_once_where_they_weigh_unequally(small, comparison, runs, tmp_path):
    assert not any("count once each" in section.prose for section in by_key(comparison, runs).values())
    weight = np.where(np.arange(small.N) % 2, 0.5, 2.0)
    page = by_key(small.settled(some := small.four(tmp_path, weight=weight)), some)
    for key in ("slices", "calibration"):
        assert "Posts count once each, whatever they stand for on the site." in page[key].prose
    assert " on the site " in page["answer"].points["What people would notice"][0]


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


def test_a_model_without_errors_is_not_blamed(small, tmp_path, posts):
    runs = [small.write(tmp_path, "cross", np.where(small.Y, 3.0, -3.0)[None], modalities=small.BOTH)]
    section = by_key(small.settled(runs, pairs=[]), runs, posts)["errors"]
    assert section.fragment.count("<p>None.</p>") == 2


def test_provenance_follows_each_number_to_its_run(comparison, runs):
    tables = by_key(comparison, runs)["provenance"].tables
    line = tables["runs"].loc["cross"]
    expected = [
        "clip-cross",
        runs[3].key,
        "cpu, float32",
        "12.3",
        "8000",
        "0, 1",
        "0123456789, with uncommitted changes",
    ]
    assert line.tolist() == [*expected, "fedcba9876543210"]
    assert tables["test sets"].loc["test", "items"] == comparison["items"]["test"][:16]
    unknown = [replace(run, record=run.record.model_copy(update={"dirty": None})) for run in runs]
    assert (
        by_key(comparison, unknown)["provenance"].tables["runs"].loc["cross", "commit"] == "0123456789, state unknown"
    )


def test_runs_that_scored_a_test_set_count_old_ones_and_the_present_ones_once(small, tmp_path):
    runs = small.four(tmp_path)
    found = small.settled(runs)
    items, later = found["items"]["test"], {"items": {"test": "another"}}
    small.write(
        tmp_path, "old", small.noise(), metrics={"items": {"test": items}}
    )  # of an earlier version of the study
    small.write(tmp_path, "elsewhere", small.noise(), metrics=later)
    small.write(tmp_path, "torn", small.noise(), metrics={"items": None})
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "metrics.json").write_text("{")
    # four runs are compared here, whatever their files say, and one old one scored the same posts
    assert by_key(found, runs)["provenance"].tables["test sets"].loc["test", "runs that scored it"] == "5"


def test_missing_models_are_named_with_their_state(comparison, runs):
    partial = comparison | {"missing": [{"model": "late-fusion", "state": "timeout"}]}
    page = by_key(partial, runs)
    assert "not finished: late-fusion." in page["answer"].prose
    assert page["provenance"].prose.endswith("Missing: late-fusion (timeout).")


def test_no_cell_shows_a_null_as_anything_but_a_dash(small, tmp_path):
    bare = small.four(tmp_path, record={}, thresholds=None)
    dashes = 0
    for section in sections.sections(small.compared(bare), bare):
        for table in section.tables.values():
            cells = table.to_numpy().ravel().tolist()
            assert all(isinstance(cell, str) and cell for cell in cells), section.key
            assert not re.search(r"\b(None|nan|NaN|null)\b", " ".join(cells)), section.key
            dashes += cells.count("–")
    assert dashes > 20
