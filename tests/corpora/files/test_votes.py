"""Votes of several annotators: counted, decided by the majority, ties unknown, and kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench import corpora
from workbench.errors import WorkbenchError
from workbench.evidence import noise
from workbench.schema import Taxonomy

TAXONOMY = Taxonomy.load()
ONE_HOT = {"yes": ["a.-1", "b.-1"], "no": ["a.1", "b.1"]}


def load(path: Path, lines: list[str], **mapping):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {"source": "files", "path": str(path), "text": "text", **mapping}
    return corpora.load(config, TAXONOMY, cache=path.parent / "cache").table


def told(table) -> list[tuple]:
    votes = noise.votes_of(table, "abuse").tolist()
    return [(row["abuse"], *pair) for row, pair in zip(table["labels"].to_pylist(), votes, strict=True)]


def test_columns_of_counts_may_hold_several_annotations_of_a_repeated_post(tmp_path):
    lines = [
        "text,a.-1,a.1,b.-1,b.1",
        "one,1,0,1,0",
        'two,"1, 1","0, 0",0,1',
        "three,1,0,0,1",
        "four,,,0,1",
        "five,,,,",
    ]
    # a tie and a post that nobody judged stay unknown
    assert told(load(tmp_path / "p.csv", lines, votes={"abuse": ONE_HOT})) == [
        *((True, 2, 0), (True, 2, 1), (None, 1, 1), (False, 0, 1), (None, 0, 0)),
    ]


def test_columns_of_answers_are_counted_by_what_is_positive(tmp_path):
    lines = ["text,x,y,z", "one,Hate,fine,hate", "two,fine,skip,", "three,hate,fine,"]
    rule = {"columns": ["x", "y", "z"], "positive": ["hate"], "unclear": ["skip"]}
    with pytest.raises(WorkbenchError, match="more than one value"):  # is Hate another answer?
        load(tmp_path / "p.csv", lines, votes={"abuse": rule})
    rule["positive"] = ["hate", "Hate"]
    table = load(tmp_path / "p.csv", lines, votes={"abuse": rule}, keep=["x"])
    assert told(table) == [(True, 2, 1), (False, 0, 1), (None, 1, 1)]
    assert [row["x"] for row in table["meta"].to_pylist()] == ["Hate", "fine", "hate"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"yes": ["a.-1"]}, "both for `yes` and for `no`"),
        ({"yes": ["a.-1"], "no": ["a.1"], "columns": ["b.1"]}, "either `yes` and `no`"),
        ({"columns": ["b.1"]}, "`columns` needs the `positive` answers"),
        ({"columns": ["b.1"], "positive": ["hate"]}, "the value 'hate' does not occur in .*: b.1; list"),
        ({"yes": ["text"], "no": ["a.1"]}, "column 'text' must hold numbers of votes"),
        ({"yes": ["nowhere"], "no": ["a.1"]}, "nowhere"),
    ],
)
def test_what_cannot_be_counted_is_told(tmp_path, rule, message):
    lines = ["text,a.-1,a.1,b.-1,b.1", "one,1,0,1,0"]
    with pytest.raises(WorkbenchError, match=message):
        load(tmp_path / "p.csv", lines, votes={"abuse": rule})


def test_a_label_has_one_origin(tmp_path):
    with pytest.raises(WorkbenchError, match="both `labels` and `votes`"):
        load(
            tmp_path / "p.csv",
            ["text,a.-1,a.1,b.-1,b.1", "x,1,0,1,0"],
            votes={"abuse": ONE_HOT},
            labels={"abuse": "a.1"},
        )


DATA = os.environ.get("WORKBENCH_DATA")


@pytest.mark.skipif(not DATA, reason="needs WORKBENCH_DATA, the folder of public data sets")
def test_convabuse_is_read_with_every_vote(tmp_path):
    sides = {"yes": ("-1", "-2", "-3"), "no": ("1", "0")}
    rule = {side: [f"Annotator{a}_is_abuse.{s}" for a in range(1, 9) for s in said] for side, said in sides.items()}
    config = {"source": "files", "path": f"{DATA}/convabuse/ConvAbuseEMNLPtrain.csv", "text": "user"}
    table = corpora.load(config | {"votes": {"abuse": rule}}, TAXONOMY, cache=tmp_path).table
    found = noise.agreement_of(noise.votes_of(table, "abuse"))
    assert found["posts"] == found["several"] == 2501
    assert 0.5 < found["alpha"] < found["raw"] < 1
    unknown = sum(row["abuse"] is None for row in table["labels"].to_pylist())
    assert unknown == found["tied"] > 0
