"""What the runs of all folds say of themselves, put together."""

from __future__ import annotations

import pytest

from workbench.comparison import folds
from workbench.comparison.run_files import FOLD, Metrics, RunRecord
from workbench.errors import WorkbenchError


def record(fold: int, **about: object) -> RunRecord:
    return RunRecord(alias="words", inputs={"parameter split.folds": 3, FOLD: fold}, **about)


def test_a_run_of_a_fold_is_named_by_it():
    assert record(2).name == "words/2"
    assert RunRecord(alias="words").name == "words"


@pytest.mark.parametrize(
    ("there", "told"), [((0, 2), "these: 0, 2"), ((0, 1, 1), "these: 0, 1, 1"), ((3,), "these: 3")]
)
def test_folds_that_are_missing_or_there_twice_are_told(there, told):
    folds.check("words", [record(fold) for fold in (2, 0, 1)])
    with pytest.raises(WorkbenchError, match=f"'words' was to be tested in 3 folds, and has finished runs of {told}"):
        folds.check("words", [record(fold) for fold in there])


def test_a_record_of_all_adds_seconds_up_and_doubts_what_one_doubts():
    some = [record(0, seconds=2.0, n_train=10, dirty=False), record(1, seconds=3.0, n_train=13, dirty=None)]
    together = folds.record(some)
    assert (together.seconds, together.n_train, together.dirty) == (5.0, 12, None)  # 11.5 posts, rounded to even
    assert folds.record([*some, record(2, dirty=True)]).dirty is True
    assert folds.record([*some, record(2)]).seconds is None


def counts(yes: int, why: dict) -> dict:
    return {"abuse": {"yes": yes, "no": 1, "unknown": sum(why.values()), "why": why}}


def test_counts_add_up_trainings_stand_side_by_side_and_the_worst_crossing_is_told():
    first = Metrics(
        labelled={"train": counts(9, {}), "test": counts(1, {"empty": 2}), "elsewhere": counts(5, {})},
        unread={"test": {"image": 1}, "elsewhere": {"image": 4}},
        thresholds={"abuse": {"0": 0.25}},
        overlap={"author": {"overlap": 1, "of": 9}, "text": {"overlap": 0, "of": 9}},
        noticed=("a", "b"),
    )
    second = Metrics(
        labelled={"train": counts(8, {}), "test": counts(2, {"empty": 1, "nan": 1}), "elsewhere": counts(5, {})},
        unread={"test": {"image": 2}, "elsewhere": {"image": 4}},
        thresholds={"abuse": {"0": None}},
        overlap={"author": {"overlap": 3, "of": 9}, "text": {"overlap": 0, "of": 9}},
        noticed=("b", "c"),
    )
    together = folds.metrics([first, second])
    assert together.labelled["test"] == {"abuse": {"yes": 3, "no": 2, "unknown": 4, "why": {"empty": 3, "nan": 1}}}
    assert together.labelled["elsewhere"] == counts(5, {})  # the same posts for every fold
    assert "train" not in together.labelled
    assert together.unread == {"test": {"image": 3}, "elsewhere": {"image": 4}}
    assert together.thresholds == {"abuse": {"0 of fold 0": 0.25, "0 of fold 1": None}}
    assert (together.overlap["author"].overlap, together.noticed) == (3, ("a", "b", "c"))


def test_costs_are_means_and_unknown_where_one_is():
    assert folds.costs([{"ms": 1.0, "mb": None}, {"ms": 2.0, "mb": 3.0}]) == {"ms": 1.5, "mb": None}
