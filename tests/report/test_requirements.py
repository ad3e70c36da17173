"""What is required, held against the rows of the model that would be deployed."""

from __future__ import annotations

import pytest

from workbench.comparison.compare import CompareOptions, compare
from workbench.comparison.options import CostOptions
from workbench.comparison.rows import Comparison
from workbench.report import page, requirements
from workbench.requirements import Requirements
from workbench.studies import display

NEEDS = {
    "problem": "Spam drives people away",
    "asked_by": "community staff",
    "objectives": {
        "abuse": {"first": "precision", "because": "a joke is no insult", "precision": 0.999, "recall": 0.01},
        "spam": {"first": "recall", "because": "it is cheap", "recall": 0.9},
    },
    "latency": {"ms_per_post": 2, "seconds_to_verdict": 10},
    "volume": {"posts_per_day": 1_000_000, "shares": {"text": 1}},
    "limits": {"memory_gb": 0.2, "cost_per_day": 5},
}


@pytest.fixture(scope="module")
def compared(small, tmp_path_factory) -> Comparison:
    runs = small.four(tmp_path_factory.mktemp("runs"))
    found = compare("tiny", "?", runs, CompareOptions(resamples=100), cost=CostOptions(price_per_hour=3.6))
    return found.model_copy(update={"requirements": Requirements.load(NEEDS)})


def test_every_target_has_a_verdict_and_missed_ones_come_first(compared):
    found = {one.what: one for one in requirements.held(compared)}
    # 1.5 ms a post at 0.001 USD a second make 1.5 USD of a million posts
    assert {what: one.verdict for what, one in found.items()} == {
        "precision of abuse": "missed",
        "memory in training": "missed",
        "recall of abuse": "met",
        "time per post": "met",
        "cost of a day": "met",
        "time from post to verdict": "not measured",
    }
    assert list(found)[:2] == ["precision of abuse", "memory in training"]
    assert found["cost of a day"].measured == "1.50 USD"
    assert str(found["memory in training"]) == "Memory in training, at most 0.2 GB: missed, 0.300 GB."
    assert str(found["time from post to verdict"]) == "Time from post to verdict, at most 10 s: not measured."
    row = next(row for row in compared.bundle if (row.label, row.metric) == ("abuse", "precision"))
    assert f"{row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}]" in found["precision of abuse"].measured


def test_money_in_another_currency_is_not_measured(compared):
    needs = Requirements.load(NEEDS | {"limits": {"cost_per_day": 5, "currency": "EUR"}})
    held = requirements.held(compared.model_copy(update={"requirements": needs}))
    (cost,) = (one for one in held if "cost" in one.what)
    assert cost.verdict == "not measured"


def test_the_page_begins_with_the_problem_and_lists_what_is_missed(compared, tmp_path):
    lines = requirements.sentences(compared)
    assert lines[:2] == [
        "Asked by community staff. Precision first for abuse.",
        "Abuse: precision first, since a joke is no insult.",
    ]
    written = page.write(tmp_path, compared, [], None).read_text()
    assert "Why it is asked: Spam drives people away" in written
    assert written.index("Why it is asked") < written.index("What the site needs") < written.index("What was asked")
    assert "Precision of abuse, at least 0.999: missed" in written


def test_nothing_is_required_of_labels_that_the_study_does_not_have(compared, tmp_path):
    for needs in (None, Requirements.load(NEEDS | {"objectives": {"spam": NEEDS["objectives"]["spam"]}})):
        bare = compared.model_copy(update={"requirements": needs})
        assert (requirements.held(bare), requirements.sentences(bare), requirements.problem(bare)) == ([], [], "")
    unchosen = compared.model_copy(update={"chosen": None})
    assert requirements.held(unchosen) == []
    assert requirements.sentences(unchosen) != []


def test_status_counts_what_is_met_and_names_the_rest(compared, tmp_path):
    assert display.targets(tmp_path) == []
    (tmp_path / "comparison.json").write_text(compared.model_dump_json())
    first, second, *rest = display.targets(tmp_path)
    assert first == "cross meets 3 of 6 targets"
    assert second.startswith("Precision of abuse, at least 0.999: missed, 0.")
    assert rest[-1] == "Time from post to verdict, at most 10 s: not measured."
    (tmp_path / "comparison.json").write_text("{}")
    assert display.targets(tmp_path) == []
