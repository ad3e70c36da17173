"""The checklist: `yes` needs a record that shows it, and each answer moves when its record does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import Metrics, RunRecord
from workbench.report import checklist
from workbench.report.checklist import NO, PARTLY, UNKNOWN, YES

FREE = {"overlap": 0, "of": 10, "posts": 0}
RECORD = {
    "model": "prior",
    "commit": "c0ffee",
    "dirty": False,
    "corpus_digest": "d1",
    "versions": {"torch": "2"},
    "inputs": {"weights data/w": "ab", "parameter corpus.source": "files"},
}
METRICS = {
    "overlap": dict.fromkeys(("group", "text", "image", "video"), FREE),
    "thresholds": {"abuse": {"0": 0.5}},
    "calibration": {"abuse": {"0": {}}},
    "search": {"budget": {"trials": 2}},
}


def run_of(alias: str, record: dict, metrics: dict) -> SimpleNamespace:
    """A run with no more than its records."""
    return SimpleNamespace(
        sets={}, alias=alias, record=RunRecord.model_validate(record), metrics=Metrics.model_validate(metrics)
    )


def answers(comparison: dict, run: dict | None = None, metrics: dict | None = None) -> dict[str, str]:
    runs = [run_of(name, RECORD | (run or {}), METRICS | (metrics or {})) for name in ("a", "b")]
    return {item.question: item.answer for item in checklist.answered(Comparison.model_validate(comparison), runs)}


def test_without_records_nothing_is_answered_yes():
    bare = {"study": "s", "question": "?", "compare": {"metric": "recall", "view": "all"}, "models": []}
    bare |= {"labels": ["abuse"], "labels_used": {}, "best_unimodal": None, "items": {"test": "x"}}
    items = checklist.answered(Comparison.model_validate(bare), [run_of("a", {}, {})])
    # that no model is missing is true of an empty study too; it is the only thing that can be
    assert [item.question for item in items if item.answer == YES] == [
        "Are all models of the study shown, failures too?"
    ]
    assert all(item.evidence for item in items)


@pytest.mark.parametrize(
    ("question", "run", "metrics", "expected"),
    [
        ("code of every run", {}, {}, YES),
        ("code of every run", {"dirty": True}, {}, PARTLY),
        ("code of every run", {"commit": None}, {}, UNKNOWN),
        ("versions of the libraries", {}, {}, YES),
        ("versions of the libraries", {"versions": {}}, {}, UNKNOWN),
        ("state of the posts", {}, {}, YES),
        ("state of the posts", {"corpus_digest": None}, {}, UNKNOWN),
        ("pretrained weights", {}, {}, YES),
        ("pretrained weights", {"inputs": {}}, {}, UNKNOWN),
        ("those of the site", {}, {}, UNKNOWN),
        ("those of the site", {"inputs": {"parameter corpus.source": "synthetic"}}, {}, NO),
        ("free of groups", {}, {}, YES),
        ("the same texts", {}, {"overlap": METRICS["overlap"] | {"image": FREE | {"not_compared": 3}}}, PARTLY),
        ("free of groups", {}, {"overlap": {"group": FREE | {"overlap": 1}}}, NO),
        ("free of groups", {}, {"overlap": {"group": FREE | {"overlap": 1, "allowed": "so"}}}, PARTLY),
        ("free of groups", {}, {"overlap": None}, UNKNOWN),
        ("same texts", {}, {"overlap": {"text": FREE | {"overlap": 3}}}, NO),
        ("without the test set", {}, {}, YES),
        ("without the test set", {}, {"thresholds": {}}, UNKNOWN),
        ("same budget", {}, {}, YES),
        ("same budget", {}, {"search": None}, UNKNOWN),
        ("looks at nothing", {}, {}, YES),
        ("looks at nothing", {"model": "clip"}, {}, NO),
        ("licence, consent", {}, {}, UNKNOWN),
    ],
)
def test_an_answer_follows_its_record(comparison, question, run, metrics, expected):
    (found,) = [answer for name, answer in answers(comparison, run, metrics).items() if question in name]
    assert found == expected


def test_answers_follow_the_comparison(small, comparison, runs):
    def answer(question: str, **changed) -> str:
        items = checklist.answered(Comparison.model_validate(comparison | changed), runs)
        return next(item.answer for item in items if question in item.question)

    planned = {"made_from": small.PLAN}
    assert answer("which models are compared", **planned) == answer("corrected for how many", **planned) == YES
    assert answer("which models are compared") == answer("corrected for how many") == PARTLY  # no plan says since when
    assert answer("which models are compared", differences=[]) == PARTLY
    assert answer("corrected for how many", differences=[]) == UNKNOWN
    other = {"made_from": small.PLAN | {"asked": [["cross", "prior"]]}, "differences": []}
    items = checklist.answered(Comparison.model_validate(comparison | other), runs)
    (said,) = (one.evidence for one in items if "which models are compared" in one.question)
    assert "the pairs it asks are not in its plan" in said
    assert answer("failures too", missing=[{"model": "x", "state": "failed"}]) == PARTLY
    assert answer("posts from elsewhere") == YES  # the comparison has a further test set
    assert answer("posts from elsewhere", items={"test": "x"}) == NO
    assert answer("inputs can explain", leak_test=[comparison["leak_test"][0] | {"tripped": True}]) == NO
    assert answer("inputs can explain", leak_test=[]) == UNKNOWN

    def evidence(question: str, **changed) -> str:
        items = checklist.answered(Comparison.model_validate(comparison | changed), runs)
        return next(item.evidence for item in items if question in item.question)

    shares = [row | {"detectable_leak": 0.121} for row in comparison["leak_test"]]
    assert "a leak of less than 13 % of the posts would not have been found" in evidence("explain", leak_test=shares)
    shares[0]["detectable_leak"] = None
    assert "a leak of any size of the posts would not have been" in evidence("explain", leak_test=shares)
    untold = [
        row | ({"n": 0, "positives": 0, "few": True} if row["label"] == "violence" else {})
        for row in comparison["models"]
    ]
    assert answer("enough harmful", models=untold) == YES  # a label that no post tells is no label with few
    assert evidence("enough harmful", models=untold).endswith("; not told in these posts: violence")
    assert answer("own share of harm") == NO
    site = [row | {"metric": "recall_site"} for row in comparison["models"] if row["metric"] == "recall"]
    assert answer("own share of harm", models=site) == YES
    site[0]["few"] = True
    assert answer("own share of harm", models=site) == PARTLY
    few = [row | {"few": True} for row in comparison["models"]]
    assert answer("enough harmful", models=few) == NO
    bare = [row | {"lo": None, "seed_sd": None} for row in comparison["models"]]
    assert answer("how uncertain", models=bare) == answer("training again", models=bare) == NO
    untold = [row | {"ms_per_post": None} for row in comparison["costs"]]
    assert answer("takes to run", costs=untold) == UNKNOWN
