"""Fair search: who is tried, what is judged by, what bounds it, and that the test set is left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import pytest
from checkpoints import checkpoint
from pydantic import Field, model_validator

from workbench import models
from workbench.comparison.run_files import Search
from workbench.errors import WorkbenchError
from workbench.report.sections.provenance import search_table
from workbench.schema import Options
from workbench.studies.steps import search as searching
from workbench.studies.steps.search import SearchOptions, asked, candidates, judge, search

SEEN: list[tuple] = []


class TurnOptions(Options):
    turn: Literal[-1, 1] = Field(-1, description="The sign of all scores.")
    fail: bool = Field(False, description="Whether training fails.")
    size: int = Field(0, description="Changes nothing.")

    @model_validator(mode="after")
    def _no_three_with_failure(self):
        if self.fail and self.size == 3:
            raise ValueError("size 3 cannot fail")
        return self


@pytest.fixture
def turning(small, monkeypatch):
    """A model named `turning` that scores the right way round only with turn 1."""

    class Turning(small.Fixed):
        options_class = TurnOptions
        search: ClassVar[dict[str, tuple]] = {"turn": (-1, 1), "fail": (False, True), "size": (0, 1, 2, 3)}

        def _fit(self, train, validation, seed):
            super()._fit(train, validation, seed)
            SEEN.append((self.options.turn, self.options.fail, self.options.size))
            if self.options.fail:
                raise WorkbenchError("training diverged")

        def _predict(self, posts):
            made = super()._predict(posts)
            return replace(made, logits=made.logits * self.options.turn)

    SEEN.clear()
    monkeypatch.setattr(models, "_class", lambda name: Turning)
    return Turning


def run(small, store, options: dict[str, Any] | None = None, **wanted):
    return search("turning", options or {}, small.material(), {"trials": 30, **wanted}, store, seed=3)


def test_the_best_on_validation_wins_and_the_test_set_is_not_touched(small, store, turning):
    small.SEEN.clear()
    found = run(small, store)
    assert found.options["turn"] == 1
    assert found.record["winner"] > 0
    scored = [one.scored for one in small.SEEN if hasattr(one, "scored")]
    assert scored
    assert all(post.startswith("b") for posts in scored for post in posts)  # validation's; test's begin with c
    assert {one.seed for one in small.SEEN if hasattr(one, "seed")} == {3}
    # by hand, abuse: hits at ranks 1 and 3 of 4, (1 + 2/3) / 2; violence: the one hit first of all: 1
    assert found.record["trials"][found.record["winner"]]["score"] == pytest.approx((5 / 6 + 1) / 2)
    json.dumps(found.record)
    assert (found.table()["taken"] == "taken").sum() == 1


def test_each_option_is_tried_once_its_own_first_and_impossible_ones_never(turning):
    tried = [models.parse("turning", one) for one in candidates("turning", {}, turning.search, 100, 0)]
    assert tried[0] == TurnOptions()
    # 2 * 2 * 4 combinations, of which 2 cannot be
    assert len({(one.turn, one.fail, one.size) for one in tried}) == len(tried) == 14
    again = [models.parse("turning", one) for one in candidates("turning", {}, turning.search, 100, 0)]
    assert again == tried
    other = [models.parse("turning", one) for one in candidates("turning", {}, turning.search, 100, 1)]
    assert other != tried
    assert len([*candidates("turning", {}, turning.search, 5, 0)]) == 5
    big = {"turn": (-1, 1), "size": tuple(range(200_000))}
    assert len([*candidates("turning", {}, big, 7, 0)]) == 7


def test_what_the_study_writes_is_kept(small, store, turning):
    found = run(small, store, {"turn": -1})
    assert {turn for turn, _, _ in SEEN} == {-1}
    assert "turn" not in found.record["space"]
    assert found.record["kept"] == ["turn"]


def test_a_failed_trial_has_no_score_but_the_first_one_must_train(small, store, turning):
    record = run(small, store).record
    failed = [one for one in record["trials"] if one["options"].get("fail")]
    assert failed
    assert {one["score"] for one in failed} == {None}
    with pytest.raises(WorkbenchError, match="diverged"):
        run(small, store, {"fail": True})


def test_one_trial_is_the_models_own_options_and_costs_no_training(small, store, turning):
    found = run(small, store, {"size": 2}, trials=1)
    assert found.options == {"size": 2}
    assert SEEN == []
    assert search("turning", {}, small.material(), {}, store) is None


def test_no_trial_starts_once_the_time_is_used(small, store, turning, monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(searching.time, "perf_counter", lambda: float(next(clock)))
    record = run(small, store, seconds=15).record
    # each look at the clock is 4 s later: a trial ends 4 s after it began, and the next begins 4 s after that
    assert len(record["trials"]) == 2
    assert record["budget"]["seconds"] == 15


@pytest.mark.usefixtures("_readers")
def test_a_post_that_is_not_seen_counts_with_the_prevalence_and_the_view_is_heeded(small, store):
    yes, no = True, False
    validation = small.table([(None, yes, no), ("9 0", yes, no), ("-9 0", no, no)], "b")
    material = small.material(validation=validation)
    model = models.create("fixed", {}, taxonomy=material.taxonomy, store=store)
    model.fit(material.sets["train"], validation, seed=0)
    # of abuse, 1 in 4 training posts: log-odds under 0 and over -9, so both harmful posts stand first
    assert judge(model, material, SearchOptions()) == 1.0
    assert judge(model, material, SearchOptions(view="paired")) is None  # no post has a picture
    with pytest.raises(WorkbenchError, match="unknown label 'abus'"):
        judge(model, material, SearchOptions(label="abus"))


def test_a_study_asks_for_its_own_comparison():
    compare = SimpleNamespace(metric="roc_auc", label="abuse", view="paired")
    assert asked({}, compare) == {}
    assert asked({"trials": 3}, compare) == {"trials": 3, "metric": "roc_auc", "label": "abuse", "view": "paired"}
    assert asked({"trials": 3}, SimpleNamespace(metric="f1"))["metric"] == "average_precision"


def test_the_report_shows_budget_space_and_winner():
    budget = SearchOptions(trials=2).model_dump()
    trials = [{"options": {}, "score": 0.5, "seconds": 1.0}, {"options": {"C": 3}, "score": 0.625, "seconds": 1.0}]
    record = {"budget": budget, "space": {"C": [1, 3]}, "size": 2, "seconds": 2.0, "trials": trials, "winner": 1}
    bare = {**record, "space": {}, "size": 1, "trials": [{**trials[0], "score": None}], "winner": 0}
    other = {**record, "budget": {**budget, "trials": 3}}
    record, bare, other = map(Search.model_validate, (record, bare, other))
    prose, table = search_table({"words": record, "prior": bare})
    assert "the same budget: 2 trials." in prose
    assert table.loc["words", ["space", "trials run", "winner", "winner's score"]].tolist() == [
        "C: 1, 3",
        2,
        "C=3",
        "0.625",
    ]
    assert table.loc["prior", ["space", "combinations", "winner"]].tolist() == [
        "nothing to search",
        0,
        "its own options",
    ]
    assert "not fair" in search_table({"words": record, "other": other})[0]


@pytest.mark.parametrize("name", models.MODELS)
def test_every_candidate_of_every_model_is_accepted(name):
    needed = {"scores": {"path": "x.csv"}, "text-transformer": {"encoder": checkpoint("bert")}}
    options = needed.get(name, {})
    for key, values in models.space(name).items():
        for value in values:
            models.check(name, {**options, key: list(value) if isinstance(value, tuple) else value})
