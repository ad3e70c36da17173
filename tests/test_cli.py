"""The command line: quick to answer, plain in its errors, and it passes on what it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from toy_study import OTHER, toy, why
from typer.testing import CliRunner

from workbench import cli, studies
from workbench.comparison.run_files import RunRecord
from workbench.errors import WorkbenchError
from workbench.studies import display, run, worker
from workbench.studies.config import StudyConfig
from workbench.studies.plan import plan


@pytest.fixture
def call():
    """Call the command line in this process."""
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def study(tmp_path):
    """A study file; what is in it does not matter here."""
    path = tmp_path / "toy.yaml"
    path.write_text("question: Which?\n")
    return path


def test_help_names_every_command_and_imports_nothing_heavy():
    ask = (
        "import sys\nfrom workbench.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print({'torch', 'open_clip', 'datasets', 'papermill', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert {"run", "status", "compare"} <= set(done.stdout.split())


@pytest.mark.parametrize("command", ["run", "status", "compare"])
def test_each_command_explains_itself(call, command):
    shown = call(command, "--help")
    assert shown.exit_code == 0
    assert "STUDY" in shown.stdout


def test_run_passes_on_what_it_is_told_and_returns_its_status(call, study, monkeypatch):
    told = []

    def run_study(path, **options):
        told.append((path, options))
        return 130

    monkeypatch.setitem(sys.modules, "workbench.studies.run", SimpleNamespace(run_study=run_study))
    assert (
        call("run", study, "--dry-run", "--jobs", 3, "--all", "--stale-libraries", "--device", "cpu").exit_code == 130
    )
    assert told == [(study, {"jobs": 3, "redo": True, "stale_libraries": True, "dry_run": True, "device": "cpu"})]
    assert call("run", study, "--jobs", 0).exit_code == 2


def test_an_error_is_one_sentence_on_stderr(call, study, monkeypatch):
    def run_study(*_, **__):
        raise WorkbenchError("unknown model 'clip-cros'; did you mean 'clip-cross'?")

    monkeypatch.setitem(sys.modules, "workbench.studies.run", SimpleNamespace(run_study=run_study))
    shown = call("run", study)
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert shown.stderr == "error: unknown model 'clip-cros'; did you mean 'clip-cross'?\n"


def test_ctrl_c_before_anything_runs_is_no_traceback(call, study, monkeypatch):
    def run_study(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "workbench.studies.run", SimpleNamespace(run_study=run_study))
    shown = call("run", study)
    assert (shown.exit_code, shown.stderr) == (130, "interrupted\n")


def test_a_study_is_found_by_path_and_by_name(study, monkeypatch, tmp_path):
    monkeypatch.setattr(studies, "ROOT", tmp_path / "repository")
    (tmp_path / "repository" / "experiments").mkdir(parents=True)
    named = tmp_path / "repository" / "experiments" / "quickstart.yaml"
    named.write_text("")
    monkeypatch.chdir(tmp_path)
    assert studies.find(str(study)) == study
    assert studies.find("quickstart") == named
    with pytest.raises(WorkbenchError, match=r"unknown study 'quikstart'; did you mean 'quickstart'\?"):
        studies.find("quikstart")


def test_status_of_all_shows_the_others_where_one_cannot_be_read(call, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    (tmp_path / "experiments").mkdir()
    assert "no studies" in call("status").stdout
    (tmp_path / "experiments" / "bad.yaml").write_text("- a list\n")
    (tmp_path / "experiments" / "worse.yaml").write_text("[\n")
    shown = call("status")
    assert shown.exit_code == 0
    assert "bad:\n" in shown.stdout
    assert "worse:\n" in shown.stdout
    assert "must hold a mapping" in shown.stdout
    assert call("status", "bad").exit_code == 2


@pytest.mark.slow
def test_a_worker_killed_outright_is_recorded_and_leaves_no_kernel(place):
    place.write(toy("a", do="sleep", until="never"), OTHER)
    process = place.call("run", place.study, "--jobs", 2)
    said = place.wait_for(cell=2, folder=plan(StudyConfig.load(place.study))[0].folder)
    os.killpg(said["pid"], signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    records = place.records()
    assert (records["a"]["state"], records["a"]["cell"]) == ("interrupted", 2)
    assert "SIGKILL" in records["a"]["error"]
    assert records["other"]["state"] == "done"
    assert not psutil.pid_exists(said["kernel"])
    executed = nbformat.read(said["folder"] / "executed.ipynb", 4)
    assert [cell.metadata.papermill.status for cell in executed.cells][-2:] == ["failed", "pending"]


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_an_interruption_is_quick_recorded_and_resumable(place, name):
    flag = place.folder / "go"
    place.write(toy("a", do="sleep", until=str(flag)), OTHER)
    process = place.call("run", place.study, "--jobs", 1)
    said = place.wait_for(cell=2)
    start = time.monotonic()
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=300)
    assert time.monotonic() - start < 60  # on a busy machine; the cell would take ten minutes
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert place.records()["a"]["state"] == "interrupted"
    assert not psutil.pid_exists(said["pid"])
    assert not psutil.pid_exists(said["kernel"])
    assert why(place) == {"a": ("last run ended as interrupted at cell 2",), "other": ("never ran",)}
    flag.write_text("")
    assert run.run_study(place.study, jobs=2) == 0


def test_two_runs_of_one_study_at_once_are_refused_and_status_sees_the_first(place):
    place.write(toy("a", do="sleep", until="never"))
    first = place.call("run", place.study)
    said = place.wait_for(cell=2)
    second = place.call("run", place.study)
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 2
    assert output.startswith("error: study 'toy' is being run by another process")
    assert output.count("\n") == 1
    status, _ = place.call("status", place.study).communicate(timeout=300)
    assert f"running      process {said['pid']}, cell 2 of 4" in status
    # The runner dies without a word: the lock is free, its worker and kernel end by themselves.
    first.kill()
    first.communicate()
    for _ in range(600):
        if not psutil.pid_exists(said["kernel"]) and worker.alive(said["folder"]) is None:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the worker outlived its runner by a minute")
    assert set(why(place)) == {"a"}
    with run._locked(StudyConfig.load(place.study)):
        pass  # a lock left by a killed process is free


def test_plain_lines_tell_start_end_and_every_half_minute(monkeypatch):
    clock, lines = [0.0], []
    monkeypatch.setattr(worker.time, "monotonic", lambda: clock[0])
    with display.Lines(2, lines.append) as shown:
        shown.start("a", "never ran")
        for clock[0] in (1.0, 29.0, 31.0, 40.0, 62.0):
            shown.tick({"a": {"cell": 4, "cells": 9}})
        shown.end("a", RunRecord(state="timeout", cell=4, seconds=62.4, error="the cell ran longer than 60 s"))
    assert lines == [
        "[0/2] a: started (never ran)",
        "[0/2] a: cell 4 of 9, 31 s",
        "[0/2] a: cell 4 of 9, 62 s",
        "[1/2] a: timeout at cell 4 after 62 s: the cell ran longer than 60 s",
    ]


def test_bars_take_the_same_calls():
    with display.Bars(1) as shown:
        shown.start("a [x]", "why [not]")
        shown.tick({"a [x]": None})
        shown.tick({"a [x]": {"cell": 1, "cells": 3}})
        shown.end("a [x]", RunRecord(state="done", seconds=1))
    assert shown.ended == 1


def test_trace_says_in_which_studies_a_number_stands(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    golden = (Path(__file__).parent / "comparison" / "golden" / "comparison.json").read_text()
    number = "test/paired/abuse/prior/recall"
    with pytest.raises(WorkbenchError, match="stands in no study's comparison"):
        cli._study_of(number)
    for name in ("one", "two"):
        (tmp_path / "experiments" / name).mkdir(parents=True)
        (tmp_path / "experiments" / name / "comparison.json").write_text(golden)
        if name == "one":
            assert cli._study_of(number) == "one"
    with pytest.raises(WorkbenchError, match="stands in one, two; name the study"):
        cli._study_of(number)
