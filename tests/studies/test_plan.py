"""Finished runs count on when a library has another version, and say so; those of earlier versions are read."""

from __future__ import annotations

import json
import platform

import pytest
from toy_study import OTHER, finish, toy, why

from workbench.artifacts import read_json
from workbench.studies import compare, keys, plan, run
from workbench.studies.config import StudyConfig


@pytest.fixture
def libraries(place, monkeypatch):
    """The versions of what the toy library imports, to be changed by a test."""
    (place.folder / "toylib.py").write_text("import ftfy\nfrom PIL import Image\nimport transformers.models\n")
    versions = {"ftfy": "6.3.1", "pillow": "12.3.0", "transformers": "5.24.0"}
    monkeypatch.setattr(keys.importlib.metadata, "version", lambda name: versions[name])
    return versions


@pytest.mark.parametrize("name", ["pillow", "transformers", "ftfy"])
def test_another_minor_version_of_a_library_is_told_and_its_runs_are_kept(place, libraries, capsys, name):
    place.write(toy("a"), OTHER)
    finish(place)
    records = place.records()
    assert records["a"]["versions"] == {"ftfy": "6.3.1", "pillow": "12.3.0", "transformers": "5.24.0"}
    libraries[name] = libraries[name].rpartition(".")[0] + ".99"  # a patch is nothing to tell
    assert run.run_study(place.study) == 0
    assert read_json(place.results / "comparison.json")["stale"] == []

    was = libraries[name].rpartition(".")[0]
    libraries[name] = "99.1.0"
    told = f"made with {name} {was} (now 99.1)"
    capsys.readouterr()
    assert run.run_study(place.study, dry_run=True) == 0
    line = f"a: up to date, but {told}; --stale-libraries redoes it\nother: up to date\n"
    assert capsys.readouterr().out == line
    assert run.run_study(place.study) == 0
    said = capsys.readouterr().out
    assert "0 of 2 runs to do" in said
    assert f"out of date: a ({told})" in said
    assert place.records() == records
    assert read_json(place.results / "comparison.json")["stale"] == [{"model": "a", "reasons": [told]}]
    assert run.run_study(place.study, dry_run=True, stale_libraries=True) == 0
    assert capsys.readouterr().out == f"a: would run ({told})\nother: up to date\n"


def test_stale_libraries_redoes_what_they_made_under_the_same_key(place, libraries):
    place.write(toy("a"), OTHER)
    (place.folder / "toylib.py").write_text("import ftfy\n")
    finish(place)
    before, libraries["ftfy"] = place.records(), "7.0.0"
    assert run.run_study(place.study, stale_libraries=True) == 0
    after = place.records()
    assert after["other"] == before["other"]
    assert after["a"]["key"] == before["a"]["key"]
    assert after["a"]["versions"] == {"python": platform.python_version(), "ftfy": "7.0.0"}
    assert after["a"]["reason"] == "made with ftfy 6.3 (now 7.0)"
    assert run.run_study(place.study, stale_libraries=True) == 0
    assert place.records() == after


def test_runs_of_an_earlier_version_are_read_and_done_again(place):
    place.write(OTHER)
    (run_of,) = plan.plan(StudyConfig.load(place.study))
    inputs = {name: value for name, value in run_of.inputs.items() if name not in ("imports", "classes")}
    record = {
        "key": "0123456789abcdef",
        "alias": "other",
        "state": "done",
        "inputs": {**inputs, "version torch": "2.9"},
    }
    record |= {"ended": "2026-01-01T00:00:00+00:00", "versions": {"python": "3.11.7", "torch": "2.9.0"}, "dirty": True}
    folder = place.results / record["key"]
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    ((_, (reason,)),) = why(place).items()
    assert reason == "code, options and weights were keyed otherwise in an earlier version of the workbench"
    assert [(row.model, row.reasons) for row in compare.recompare(place.study).stale] == [("other", (reason,))]
