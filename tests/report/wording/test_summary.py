"""The page in plain words: each sentence against the rows that it must follow from."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import Metrics, RunRecord
from workbench.errors import WorkbenchError
from workbench.report import cards, checklist, sections, terminal, wording
from workbench.report import section as section_module
from workbench.report.wording import summary

Row = SimpleNamespace
NOTICED, SURE, WRONG = "What people would notice", "How sure is this?", "What could be wrong?"


def row(metric: str, value: float | None, label: str = "abuse", **more) -> dict:
    place = {"test": "test", "view": "paired", "label": label, "metric": metric, "model": "m", "value": value}
    numbers = {"lo": None, "hi": None, "n": 1000, "positives": 50, "prevalence": 0.05, "few": False, "seed_sd": None}
    numbers |= {"coverage": 1.0}
    return place | numbers | {"ms_per_post": 2.0, "peak_mb": 300.0, "fit_seconds": 1.0} | more


def made(*rows: dict, **more) -> Comparison:
    asked = {"metric": "average_precision", "label": "macro", "view": "paired", "alpha": 0.05, "test": ("test",)}
    best = row("average_precision", 0.8, "macro")
    tables = {
        "models": [best, *rows],
        "differences": (),
        "leak_test": (),
        "missing": (),
        "stale": (),
        "costs": (),
    } | more
    found = {name: [Row(**one) for one in table] for name, table in tables.items() if name != "cost"}
    cost = Row(**more["cost"]) if "cost" in more else None
    about = {"compare": Row(**asked), "labels": ["abuse"], "cost": cost, "chosen": "m", "items": {"test": "x"}}
    return Comparison.model_construct(**about, **found)


def told(record: dict | None = None, **metrics) -> list[SimpleNamespace]:
    """One run with no more than its records."""
    metrics = {"overlap": {"group": {"overlap": 0, "of": 9}}} | metrics
    record = RunRecord.model_validate(record or {})
    about = {"alias": "m", "labels": ("abuse",), "parts": (), "sets": {}}
    return [SimpleNamespace(**about, record=record, metrics=Metrics.model_validate(metrics))]


FUSIONS = "What do fusions gain?"


def fused(best: str = "words", single: str = "words", *, a: str = "both", b: str = "words", **delta) -> Comparison:
    """A comparison of `both`, made of words and pixels, and its best member."""
    place = {"test": "test", "view": "paired", "label": "macro", "metric": "average_precision", "few": False}
    about = {"primary": False, "recipes": False, "p_holm": None, "verdict": None}
    page = made(differences=[place | about | {"a": a, "b": b, "pair": (a, b)} | delta])
    made_of = {"members": {"both": ("words", "pixels")}, "best_member": {"both": best}, "best_unimodal": single}
    return page.model_copy(update=made_of)


@pytest.mark.parametrize(
    ("found", "verdict", "value"),
    [
        ({"delta": 0.1, "lo": 0.05, "hi": 0.15}, "is better", "+0.100 [+0.050, +0.150]"),
        ({"delta": 0.1, "lo": -0.05, "hi": 0.2}, "is not shown to be better", "+0.100 [-0.050, +0.200]"),
        ({"delta": -0.1, "lo": -0.2, "hi": -0.05}, "is worse", "-0.100 [-0.200, -0.050]"),
        ({"delta": 0.1, "lo": None, "hi": None}, "is not shown to be better", "+0.100"),
        ({"a": "words", "b": "both", "delta": 0.1, "lo": 0.05, "hi": 0.15}, "is worse", "-0.100 [-0.150, -0.050]"),
    ],
)
def test_a_fusion_is_held_against_its_best_member(found, verdict, value):
    which = "words, the best of words and pixels on validation"
    assert summary.points(fused(**found), told())[FUSIONS] == [
        f"both {verdict} than {which}: average precision {value} (exploratory)."
    ]


@pytest.mark.parametrize(
    ("lo", "verdict", "said"),
    [(0.05, "unclear", "is not shown to be better"), (-0.05, "better", "is better")],
)
def test_a_fusion_that_the_study_asked_about_is_judged_by_its_test(lo, verdict, said):
    found = {"delta": 0.1, "lo": lo, "hi": 0.15, "primary": True, "p_holm": 0.2, "verdict": verdict}
    (sentence,) = summary.points(fused(**found), told())[FUSIONS]
    assert sentence.startswith(f"both {said} than words")
    assert "exploratory" not in sentence


def test_a_fusion_without_the_best_single_model_is_told_so():
    found = {"delta": 0.1, "lo": 0.05, "hi": 0.15}
    _, sentence = summary.points(fused(single="hashed", **found), told())[FUSIONS]
    assert sentence == "both leaves out hashed, the best model of one modality on validation: try it as a member."


def test_where_the_best_member_decides_alone_it_is_said():
    gain = {"best": "text-tfidf", "gain": {"value": -0.01, "lo": -0.02, "hi": 0.0}, "alone": True}
    every = told(gains={"0": {"abuse": gain}, "1": {"abuse": gain}})
    assert summary.points(made(), every)[FUSIONS] == [
        "m lets text-tfidf decide abuse alone: adding up gained nothing there out of fold."
    ]
    once = told(gains={"0": {"abuse": gain}, "1": {"abuse": gain | {"alone": False}}})
    assert "alone in 1 of 2 trainings:" in summary.points(made(), once)[FUSIONS][0]
    assert FUSIONS not in summary.points(made(), told(gains={"0": {"abuse": gain | {"alone": False}}}))


def test_what_people_would_notice_is_of_the_site_or_of_the_test_posts_and_never_of_both():
    rows = [row("recall", 0.87, lo=0.80, hi=0.92), row("precision", 0.95)]
    site = [row("precision_site", 0.78, lo=0.65, hi=0.87, prevalence=0.009), row("recall_site", 0.6, lo=0.46, hi=0.82)]
    here = summary.points(made(*rows), told())[NOTICED][0]
    assert here == (
        "Abuse: of 100 harmful posts 87 [80 to 92] are caught; of 100 flagged posts 5 are harmless where 5.0 % of "
        "posts are harmful, as here."
    )
    there = summary.points(made(*rows, *site), told())[NOTICED][0]
    # of 100 flagged, 1 - .78 are harmless, from 1 - .87 to 1 - .65
    assert there == (
        "Abuse: of 100 harmful posts on the site 60 [46 to 82] are caught; of 100 flagged posts 22 [13 to 35] are "
        "harmless there, where 0.9 % of posts are harmful."
    )
    # one of the two alone is not mixed with a number of the test posts
    assert summary.points(made(*rows, site[0]), told())[NOTICED][0] == here


def test_what_rests_on_few_posts_of_the_site_is_said_where_it_stands():
    rows = [row("recall", 0.87, positives=154), row("precision", 0.95)]
    site = [row(f"{name}_site", 0.6, few=True, positives=154) for name in ("recall", "precision")]
    points = summary.points(made(*rows, *site), told())
    assert points[NOTICED][0].endswith(
        " That rests on few: 154 harmful posts, of which some stand for many of the site."
    )
    weigh = "Abuse: at the site's mix few harmful posts decide, those of 154 harmful posts that weigh most."
    assert weigh in points[WRONG]
    assert weigh not in summary.points(made(*rows), told()).get(WRONG, [])


def test_no_round_number_that_is_not_exact_and_nothing_flagged():
    rows = [row("recall", 0.999), row("precision", None)]
    assert summary.points(made(*rows), told())[NOTICED][0] == (
        "Abuse: of 100 harmful posts more than 99 are caught; nothing is flagged."
    )


def test_few_and_no_positives_stand_under_what_could_be_wrong():
    few = made(row("recall", 0.5, few=True, positives=3), row("precision", 0.5))
    points = summary.points(few, told())
    assert points[NOTICED][0].endswith(" That rests on few: 3 harmful posts.")
    assert "Abuse: few harmful posts decide (3 harmful posts)." in points[WRONG]
    none = summary.points(made(row("recall", None, few=True, positives=0)), told())
    assert NOTICED not in none
    assert "Abuse: none of 1,000 posts is harmful, so nothing can be said of it." in none[WRONG]
    nothing = row("recall", None, few=True, positives=0, n=0)
    elsewhere = row("recall", 0.5, test="far")  # a label that no post tells anything of is no subject of the study
    untold = summary.points(made(nothing, elsewhere), told())[WRONG]
    assert "Nothing is said of abuse: these posts do not tell whether they apply." in untold
    assert not any("abuse" in one.lower() for one in summary.points(made(nothing), told())[WRONG])
    assert not any("none of" in one for one in untold)


def test_what_the_records_say_against_the_answer():
    overlap = {"text": {"overlap": 2, "of": 30, "allowed": "as published"}}
    records = told({"dirty": True, "inputs": {"parameter corpus.source": "synthetic"}}, overlap=overlap)
    leak = [{"model": "m", "tripped": True}]
    said = summary.points(
        made(leak_test=leak, missing=[{"model": "x", "state": "failed"}], stale=[{"model": "y"}]), records
    )[WRONG]
    assert said[0] == "Do not trust this yet: m scores better than its inputs allow, which points to a leak."
    assert "2 of 30 texts stand on both sides of the split; accepted because: as published." in said
    assert [any(one.startswith(start) for one in said) for start in ("Out of date", "Not compared")] == [True, True]
    assert any("generated" in one for one in said)
    assert any("not committed" in one for one in said)
    clean, unknown = (summary.points(made(), told(*record, overlap=None))[WRONG] for record in ([{"dirty": False}], []))
    assert [any("committed" in one for one in said) for said in (clean, unknown)] == [False, True]
    assert "Whether the same post stands on both sides of the split is not recorded." in unknown


def test_how_sure_it_is_follows_from_p_and_seeds():
    pair = {"primary": True, "a": "m", "b": "o", "pair": ["m", "o"], "delta": 0.1, "metric": "average_precision"}
    pair |= {"recipes": False, "seeds_to_halve": None}
    sure = summary.points(made(differences=[pair | {"p_holm": 0.0004, "verdict": "better"}]), told())[SURE]
    # p is the probability of no such thing as chance
    assert "A difference between m and o is shown (p < 0.001 after correction for all that was asked)." in sure
    assert sure[0] == (
        "The numbers rest on 1,000 test posts with 50 label-posts (a post counts once for each label that applies to "
        "it); intervals are of 95 %."
    )
    assert "Intervals and tests speak of these trained models on other posts" in sure[-1]
    spread = made(differences=[pair | {"p_holm": 0.3, "verdict": "undecided", "recipes": True, "seeds_to_halve": 12}])
    spread.models[0].seed_sd = 0.0123
    said = summary.points(spread, told())[SURE]
    assert said[1].startswith("No difference between m and o is shown, nor that there is none (p = 0.300")
    assert said[2:] == [
        "Models were trained on several seeds, so intervals and tests speak of recipes: of other posts and other "
        "trainings.",
        "12 seeds a model would halve the interval between m and o.",
    ]
    spread.differences[0].recipes, spread.differences[0].seeds_to_halve = False, None
    assert "No model here changes with its seed" in summary.points(spread, told())[SURE][-1]


def test_few_none_and_other_items_from_predictions_to_the_page(small, tmp_path):
    # 3 positives of abuse, none of violence in the test set
    y = np.zeros((small.N, 2), bool)
    y[[i for i in range(small.N) if small.SPLIT[i] == "test" and small.PAIRED[i]][:3], 0] = True
    y[::4] = small.Y[::4]
    runs = [small.write(tmp_path, name, small.good(), y=y, exact=False) for name in ("a", "b")]
    found = small.settled(runs, pairs=[("a", "b")])
    values = {(one["label"], one["metric"]): one for one in found["models"]
              if (one["model"], one["view"]) == ("a", "paired")}  # fmt: skip
    assert (values["abuse", "recall"]["few"], values["abuse", "recall"]["positives"]) == (True, 3)
    nothing = values["violence", "average_precision"]
    assert (nothing["value"], nothing["lo"], nothing["positives"]) == (None, None, 0)
    assert nothing["n"] > 0
    said = summary.points(Comparison.model_validate(found), runs)[WRONG]
    assert any(one.startswith("Abuse: few harmful posts decide (3") for one in said)
    assert any(one.startswith("Violence: none of ") for one in said)
    assert json.dumps(found, allow_nan=False)
    other = np.where(np.arange(small.N) % 5 == 0, "validation", "test")
    with pytest.raises(WorkbenchError, match="scored on different items"):
        small.settled([runs[0], small.write(tmp_path, "c", small.good(), y=y, split=other, exact=False)], pairs=[])


def test_few_posts_in_a_file_of_scores_are_told_on_the_first_page(small, tmp_path):
    few = np.full((1, small.N, 2), np.nan)
    few[:, 6::8] = 1.0  # 30 of the 180 test posts
    runs = [
        small.write(tmp_path, "words", small.noise(seed=3)),
        small.write(tmp_path, "vendor", few, record={"model": "scores"}),
    ]
    said = summary.points(small.compared(runs, pairs=[], view="all"), runs)["What could be wrong?"]
    assert (
        "The file of vendor has scores for 30 of 180 posts of the study's own test set only: if it should have more, "
        "compare how both write their ids." in said
    )


def test_a_study_of_one_label_does_not_speak_of_others(small, tmp_path):
    known = np.tile([True, False], (small.N, 1))
    runs = small.four(tmp_path, known=known, metrics={"calibration": {"violence": {"0": {"note": "untold"}}}})
    found = small.compared(runs, view="all", label="abuse")
    page = {section.key: section for section in sections.sections(found, runs)}
    said = " ".join(wording.answer(found)) + str(summary.points(found, runs)) + "".join(page)
    said += "".join(part for section in page.values() for part in (section.title, section.prose, *section.tables))
    said += "".join(item.evidence for item in checklist.answered(found, runs))
    said += cards.data_card(found, runs).partition("\n---\n")[2]
    said += str(terminal.tables(found, by_label=True))
    assert "violence" not in said.lower()
    assert "abuse" in said


def test_models_that_figures_leave_out_are_named(small, tmp_path):
    runs = [*small.four(tmp_path), small.write(tmp_path, "dull", small.noise(seed=8))]
    found = small.compared(runs, view="all", pairs=[("cross", "words")])
    page = {section.key: section for section in sections.sections(found, runs)}
    assert section_module.shown_models(found) == ["cross", "words"]
    for key in ("label-abuse", "slices"):
        assert (
            "Left out here are models that the study's pairs do not name first: prior, pixels, dull" in page[key].prose
        )
    assert page["label-abuse"].prose.endswith("; the tables have them.")
    assert {"prior", "pixels", "dull"} <= set(page["label-abuse"].tables[""].index)
