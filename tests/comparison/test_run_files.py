"""What a run says of itself: files of any version, and what is assumed where they say nothing."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from workbench.comparison.run_files import (
    Metrics,
    Overlap,
    RunRecord,
    Search,
    SearchBudget,
    SearchTrial,
    ShortcutScore,
    scored,
    study_name,
)
from workbench.schema import ROOT


def test_null_is_absent_and_what_this_version_does_not_know_is_kept(tmp_path):
    assert RunRecord.read(tmp_path) is None
    (tmp_path / "run.json").write_text(json.dumps({"key": None, "alias": "a", "seconds": 3, "later": 5}))
    record = RunRecord.read(tmp_path)
    assert (record.key, record.alias, record.seconds, record.later) == ("", "a", 3, 5)
    for torn in ("[]", '{"alias": ["a"]}', "{"):
        (tmp_path / "run.json").write_text(torn)
        assert RunRecord.read(tmp_path) is None
    with pytest.raises(ValidationError, match="frozen"):
        record.alias = "b"


def test_what_nobody_recorded_is_nothing():
    assert (Overlap().overlap, Overlap().of, Overlap().posts, Overlap().not_compared) == (0, 0, 0, 0)
    assert ShortcutScore().shortcut is False
    assert (Search().size, Search().seed, Search().seconds, Search().winner) == (0, 0, 0, 0)
    assert (SearchBudget().trials, SearchTrial().seconds, Metrics().dropped) == (0, 0, 0)


def test_inputs_are_told_by_their_kind_and_those_of_posts_apart():
    inputs = {"data posts": 1, "source code": 2, "parameter split.by": 3, "parameter model": 4, "taxonomy": 5, "w": 6}
    assert scored(inputs) == {"data posts": 1, "source code": 2, "parameter split.by": 3, "taxonomy": 5}
    record = RunRecord(inputs=inputs | {"parameter corpus.source": "world"}, notebook="n.ipynb")
    assert record.inputs_of("parameter") == {"split.by": 3, "model": 4, "corpus.source": "world"}
    assert record.source == "world"
    assert "notebook" not in record.model_dump()
    assert [RunRecord(dirty=dirty).edited for dirty in (True, False, None)] == [
        "with uncommitted changes",
        "nothing uncommitted",
        "state unknown",
    ]


def test_a_study_is_named_as_commands_find_it(tmp_path):
    assert study_name(ROOT / "experiments" / "sample") == "sample"
    assert study_name(tmp_path / "mine") == (tmp_path / "mine.yaml").resolve().as_posix()
    (tmp_path / "v1.2.yml").touch()
    assert study_name(tmp_path / "v1.2") == (tmp_path / "v1.2.yml").resolve().as_posix()
