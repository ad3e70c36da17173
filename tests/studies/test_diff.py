"""What differs between two runs: an edited module, an option, a library by name, and the numbers that moved."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from workbench import cli
from workbench.errors import WorkbenchError
from workbench.studies.diff import diff

INPUTS = {
    "notebook": "n",
    "imports": "i",
    "classes": ["TfidfClassifier"],
    "module workbench/models/text/tfidf.py": "t1",
    "module workbench/schema.py": "s",
    "parameter options.min_df": 2,
    "parameter seeds": [0],
    "data corpus": "d",
    "device": "cpu",
}
RECORD = {"inputs": INPUTS, "versions": {"python": "3.11.7", "ftfy": "6.3.1"}, "ended": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def runs(small, tmp_path):
    """Two runs of a study: the second misses every other harmful post of the test set, by other code and options."""
    folder = tmp_path / "mini"
    folder.mkdir()
    (tmp_path / "mini.yaml").write_text("")
    right = np.where(small.Y, 2.0, -2.0)[None]
    harmful = np.flatnonzero((small.SPLIT == "test") & small.Y[:, 0])
    missed = right.copy()
    missed[0, harmful[::2], 0] = -2.0
    inputs = INPUTS | {"module workbench/models/text/tfidf.py": "t2", "parameter options.min_df": 1, "imports": "j"}
    later = {"inputs": inputs, "versions": {"python": "3.11.7", "ftfy": "6.4.0"}, "ended": "2026-01-02T00:00:00+00:00"}
    first = small.write(folder, "words", right, record=RECORD).folder
    second = small.write(folder, "words", missed, record=later).folder
    return first, second, len(harmful)


def test_an_edited_module_an_option_and_a_library_are_named(runs):
    assert diff(*runs[:2]).sources == {
        "code": ["module workbench/models/text/tfidf.py changed"],  # and not, beside it, what imports it
        "data": [],
        "options": ["parameter options.min_df: 2 -> 1"],
        "weights": [],
        "device": [],
        "libraries": ["ftfy 6.3.1 -> 6.4.0"],
    }


def test_the_numbers_that_moved_are_told_with_their_difference(runs):
    first, second, harmful = runs
    found = diff(first, second)
    rows = {tuple(row[:4]): row[4:] for row in found.moved.itertuples(index=False, name=None)}
    left = harmful // 2  # of n harmful posts every other one is missed, the first included
    was, now, moved = rows["test", "all", "abuse", "recall"]
    assert (was, now, moved) == (1.0, pytest.approx(left / harmful), pytest.approx(left / harmful - 1))
    assert ("test", "all", "abuse", "precision") not in rows  # nothing harmless is flagged in either
    assert not [address for address in rows if address[2] == "violence"]
    assert f"numbers: {len(rows)} of {len(found.numbers)} moved" in list(found.lines())


def test_a_run_does_not_differ_from_itself(runs):
    found = diff(runs[0], runs[0])
    assert not len(found.moved)
    assert not any(found.sources.values())
    assert "code: the same" in list(found.lines())


def test_what_a_run_of_an_earlier_version_did_not_record_is_not_called_the_same(runs):
    first, second, _ = runs
    record = json.loads((first / "run.json").read_text())
    kept = {"module workbench/schema.py": "other", "parameter options.min_df": 1, "parameter seeds": [0]}
    (first / "run.json").write_text(json.dumps(record | {"inputs": kept, "versions": {}}))
    assert diff(first, second).sources == {
        "code": ["not comparable: an earlier version of the workbench recorded it otherwise"],
        "data": ["not recorded in a"],
        "options": [],
        "weights": ["not recorded in a and b"],
        "device": ["not recorded in a"],
        "libraries": ["not recorded in a"],
    }
    (first / "run.json").write_text(json.dumps(record | {"inputs": {}}))
    (second / "run.json").write_text(json.dumps(record | {"inputs": {}}))
    nothing = diff(first, second)
    assert {kind for kind, lines in nothing.sources.items() if lines == ["not recorded in a and b"]} == {
        "code",
        "data",
        "options",
        "weights",
        "device",
    }
    assert "code: not recorded in a and b" in list(nothing.lines())


def test_a_model_stands_for_its_last_finished_run(runs, tmp_path):
    first, second, _ = runs
    assert cli._run_folder(f"{tmp_path / 'mini.yaml'}:words") == second
    record = json.loads((second / "run.json").read_text())
    (second / "run.json").write_text(json.dumps(record | {"state": "failed"}))
    assert cli._run_folder(f"{tmp_path / 'mini.yaml'}:words") == first
    with pytest.raises(WorkbenchError, match="unknown finished run 'word'; did you mean 'words'"):
        cli._run_folder(f"{tmp_path / 'mini.yaml'}:word")


def test_the_command_takes_folders_and_models(runs, tmp_path):
    first, second, _ = runs
    (second / "code.patch").write_text("")
    shown = CliRunner().invoke(cli.app, ["diff", str(first), f"{tmp_path / 'mini.yaml'}:words"])
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].startswith(f"a: words in {first}, ended 2026-01-01")
    assert lines[0].endswith("commit None, state unknown")  # nobody recorded whether it was edited
    assert lines[1].endswith(", with code.patch")
    assert "code: module workbench/models/text/tfidf.py changed" in lines
    assert any(line.split()[:4] == ["test", "all", "abuse", "recall"] for line in lines)
    refused = CliRunner().invoke(cli.app, ["diff", str(first), str(tmp_path / "absent")])
    assert refused.exit_code == 2
    assert "is no folder of a run; give one, or STUDY:MODEL" in refused.stderr
