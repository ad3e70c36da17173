"""A study does what is missing or stale, says why, survives every kind of death, and never trusts a half-written run.

The runs are real processes with real kernels; the notebook is a toy whose behaviour the model's options choose. Models,
corpora and comparison are stood in for, so that these tests are about running alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml

from workbench.schema import WorkbenchError
from workbench.studies import progress, read_json, runs
from workbench.studies.config import StudyConfig

PARAMETERS = """
model: str = "toy"
options: dict = {}
corpus: dict = {}
split: dict = {}
tests: dict = {}
seeds: list[int] = [0]
device: str = "auto"
folder: str = "out"
"""
CELLS = (
    "import json, os, signal, time\nfrom pathlib import Path",
    """
do = options.get("do", "ok")
print(model, corpus, split, tests, seeds, device, "does", do)
if do == "die":
    os.kill(os.getpid(), signal.SIGKILL)
elif do == "raise":
    raise ValueError("the column is missing")
elif do == "sleep" and not Path(options["until"]).exists():
    time.sleep(60)
""",
    """
if do != "nothing":
    Path(folder, "predictions.parquet").write_text(model)
    peak = {"host": 10.0}
    Path(folder, "metrics.json").write_text(json.dumps({"peak_mb": peak, "device": device, "ms_per_post": 1.5}))
""",
)
FAKES = """
import hashlib, sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

from pydantic import Field

from workbench.schema import Options, WorkbenchError


class CompareOptions(Options):
    pairs: tuple[tuple[str, str], ...] = Field((), description="Pairs.")


@dataclass
class Loaded:
    alias: str


def compare(study, question, loaded, settings):
    log("compare " + " ".join(run.alias for run in loaded))
    return {"question": question, "models": [run.alias for run in loaded], "pairs": settings.pairs}


def write(folder, comparison, loaded):
    (folder / "report.html").write_text("report")
    return folder / "report.html"


def check(name, options):
    if "hiden" in options:
        raise WorkbenchError("unknown key 'hiden'")


def log(line):
    with open(Path(__file__).with_name("log.txt"), "a") as file:
        file.write(line + "\\n")


digest = lambda config, taxonomy: hashlib.sha256(Path(config["path"]).read_bytes()).hexdigest()
modules = lambda name, options: ["toylib"] if name == "toy" else ["otherlib"]
FAKES = {
    "workbench.models": dict(MODELS={"toy": "", "other": ""}, modules=modules, artefacts=lambda *_: [], check=check),
    "workbench.corpora": dict(SOURCES={"files": "workbench.schema"}, digest=digest),
    "workbench.studies.comparison": dict(
        CompareOptions=CompareOptions,
        load_run=lambda folder: Loaded(folder.name),
        compare=compare,
        tables=lambda comparison: [{"model": name} for name in comparison["models"]],
    ),
    "workbench.studies.report": dict(write=write),
}


def install(put=sys.modules.__setitem__):
    for name, content in FAKES.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        put(name, module)


if __name__ == "__main__":
    install()
    from workbench.cli import app

    app()
"""


class Place:
    """A folder with a toy study, its notebook, its data and its library."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.study = folder, folder / "toy.yaml"
        self.results, self.log = folder / "toy", folder / "log.txt"
        cells = [nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
        cells += [nbformat.v4.new_code_cell(cell) for cell in CELLS]
        (folder / "n.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
        (folder / "posts.csv").write_text("a,b\n")
        (folder / "toylib.py").write_text("value = 1\n")
        (folder / "otherlib.py").write_text("value = 1\n")
        (folder / "fakes.py").write_text(FAKES)

    def write(self, *models: dict, **changes: object) -> Path:
        """Write the study with the models given."""
        corpus = {"source": "files", "path": str(self.folder / "posts.csv")}
        values = {
            "question": "Which?",
            "corpus": corpus,
            "models": list(models),
            "notebook": str(self.folder / "n.ipynb"),
        }
        self.study.write_text(yaml.safe_dump({**values, **changes}))
        return self.study

    def records(self) -> dict[str, dict]:
        """Return what each run recorded last, by its name in the study."""
        found = [json.loads(path.read_text()) for path in self.results.glob("*/run.json")]
        return {record["alias"]: record for record in sorted(found, key=lambda record: record["ended"])}

    def call(self, *arguments: object) -> subprocess.Popen:
        """Start the command line as a process of its own."""
        command = [sys.executable, str(self.folder / "fakes.py"), *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_for(self, **wanted: object) -> dict:
        """Wait until a worker says all of this of itself, and return it."""
        for _ in range(300):
            for path in self.results.glob("*/running.json"):
                said = read_json(path) or {}
                if all(said.get(name) == value for name, value in wanted.items()):
                    return {**said, "folder": path.parent}
            time.sleep(0.1)
        raise AssertionError(f"no worker said {wanted} within 30 s")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Make a toy study whose stand-ins are in place, here and in processes started from here."""
    made = Place(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict = {"__file__": str(tmp_path / "fakes.py"), "__name__": "fakes"}
    sys.modules["fakes"] = type(sys)("fakes")  # dataclasses look their module up
    exec(compile(FAKES, "fakes.py", "exec"), namespace)
    namespace["install"](lambda name, module: monkeypatch.setitem(sys.modules, name, module))
    yield made
    for name in ("fakes", "toylib", "otherlib"):
        sys.modules.pop(name, None)


def toy(alias: str, **options: object) -> dict:
    return {"name": "toy", "as": alias, "options": {"of": alias, **options}}


OTHER = {"name": "other"}


def why(place: Place) -> dict[str, tuple[str, ...]]:
    """Return, for each run that would run, why."""
    return {run.alias: run.reasons for run in runs.plan(StudyConfig.load(place.study)) if run.state != "done"}


# ------------------------------------------------------------------------------------------------- what runs, and why


def test_a_study_runs_once_and_again_only_what_a_change_concerns(place, capsys):
    place.write(toy("a"), OTHER)
    assert runs.run_study(place.study, dry_run=True) == 0
    assert "a: would run (never ran)" in capsys.readouterr().out
    assert not place.results.exists()  # a dry run writes nothing

    assert runs.run_study(place.study, jobs=2) == 0
    records = place.records()
    assert {name: record["state"] for name, record in records.items()} == {"a": "done", "other": "done"}
    first = records["a"]
    assert first["reason"] == "never ran"
    assert (first["device"], first["peak_mb"], first["cuda_peak_mb"], first["ms_per_post"]) == ("cpu", 10.0, None, 1.5)
    assert first["key"] in os.listdir(place.results)
    assert first["versions"]["torch"]
    assert first["inputs"]["data corpus"] == first["corpus_digest"]
    folder = place.results / first["key"]
    assert sorted(os.listdir(folder)) == [
        "executed.ipynb",
        "log.txt",
        "metrics.json",
        "predictions.parquet",
        "run.json",
    ]
    assert read_json(place.results / "comparison.json")["made_from"]["runs"]["a"] == first["key"]

    # Nothing to do: no run, and the comparison is not computed again.
    for path in place.folder.glob("*"):
        os.utime(path, (1, 1))
    (place.folder / "toylib.py").write_text('"""What it is."""\n# a comment\nvalue = 1\n')
    assert why(place) == {}
    assert runs.run_study(place.study) == 0
    assert place.records() == records
    assert place.log.read_text() == "compare a other\n"

    # Each change re-runs what depends on it, with the reason; all are undone again, and the old results count again.
    (place.folder / "toylib.py").write_text("value = 2\n")
    assert why(place) == {"a": ("module toylib.py changed",)}
    (place.folder / "toylib.py").write_text("value = 1\n")
    place.write(toy("a", hidden=128), OTHER)
    assert why(place) == {"a": ("parameter options.hidden: unset -> 128",)}
    place.write(toy("a"), OTHER)
    (place.folder / "posts.csv").write_text("a,c\n")
    assert why(place) == {"a": ("data corpus changed",), "other": ("data corpus changed",)}
    (place.folder / "posts.csv").write_text("a,b\n")
    assert why(place) == {}

    # The changed one runs, the other is left alone, the old results stay where they are.
    place.write(toy("a", hidden=128), OTHER)
    capsys.readouterr()
    assert runs.run_study(place.study) == 0
    assert "a: started (parameter options.hidden: unset -> 128)" in capsys.readouterr().out
    assert place.records()["other"] == records["other"]
    assert read_json(folder / "run.json") == first
    assert [run.alias for run in runs.current(place.study)] == ["a", "other"]


def test_a_renamed_model_is_not_run_again_and_compared_under_its_new_name(place):
    place.write(OTHER)
    assert runs.run_study(place.study) == 0
    place.write({"name": "other", "as": "new-name"})
    assert runs.run_study(place.study) == 0
    assert place.log.read_text() == "compare other\ncompare new-name\n"
    assert len(list(place.results.glob("*/run.json"))) == 1


def test_what_is_wrong_is_said_before_anything_starts(place):
    place.write(toy("a", hiden=1))
    with pytest.raises(WorkbenchError, match="model 'a': unknown key 'hiden'"):
        runs.run_study(place.study)
    place.write(toy("a"), notebook=str(place.folder / "absent.ipynb"))
    with pytest.raises(WorkbenchError, match="cannot read notebook"):
        runs.run_study(place.study)
    with pytest.raises(WorkbenchError, match="unknown device 'gpu'"):
        runs.run_study(place.write(toy("a")), device="gpu")
    assert not list(place.results.glob("*/"))


# --------------------------------------------------------------------------------------------------- what goes wrong


def test_failures_are_recorded_the_rest_is_compared_and_only_they_are_done_again(place, capsys):
    until = str(place.folder / "go")
    bad = [
        toy("dead", do="die"),
        toy("wrong", do="raise"),
        toy("slow", do="sleep", until=until),
        toy("mute", do="nothing"),
    ]
    place.write(*bad, OTHER, timeout_minutes=0.03, compare={"pairs": [["other", "dead"], ["other", "best-unimodal"]]})
    assert runs.run_study(place.study, jobs=2) == 1
    records = place.records()
    assert {name: (record["state"], record["cell"]) for name, record in records.items()} == {
        "dead": ("kernel-died", 2),
        "wrong": ("failed", 2),
        "slow": ("timeout", 2),
        "mute": ("failed", None),
        "other": ("done", None),
    }
    assert records["wrong"]["error"] == "ValueError: the column is missing"
    assert records["mute"]["error"] == "the notebook ended without writing metrics.json"
    said = capsys.readouterr()
    line = next(line for line in said.err.splitlines() if line.startswith("dead: "))
    assert "kernel-died at cell 2" in line
    assert "SIGKILL" in line
    assert Path(line.rpartition("see ")[2]).is_file()  # the executed notebook
    assert "missing: dead (kernel-died)" in said.out
    comparison = read_json(place.results / "comparison.json")
    assert comparison["models"] == ["other"]
    assert comparison["pairs"] == [["other", "best-unimodal"]]  # the other pair waits for its model
    assert {row["model"] for row in comparison["missing"]} == {"dead", "wrong", "slow", "mute"}

    # Only the failed ones run again; one of them now ends well.
    Path(until).write_text("")
    assert why(place)["slow"] == ("last run ended as timeout at cell 2",)
    place.write(bad[2], OTHER, timeout_minutes=1)
    assert runs.run_study(place.study) == 0
    again = place.records()
    assert (again["slow"]["state"], again["slow"]["key"]) == ("done", records["slow"]["key"])
    assert again["other"] == records["other"]


def test_torn_records_and_lost_results_are_not_trusted(place):
    place.write(toy("a"), OTHER)
    assert runs.run_study(place.study, jobs=2) == 0
    a, other = (place.results / place.records()[name]["key"] for name in ("a", "other"))
    (a / "run.json").write_text((a / "run.json").read_text()[:100])
    (other / "predictions.parquet").unlink()
    (a / "left-over").write_text("from before")
    assert why(place) == {"a": ("last run was cut off before it ended",), "other": ("predictions.parquet is missing",)}
    assert runs.run_study(place.study, jobs=2) == 0
    assert not (a / "left-over").exists()  # an unfinished folder is emptied first
    assert sorted(place.records()) == ["a", "other"]


def test_done_again_keeps_the_old_results_until_the_new_ones_are_there(place):
    flag = place.folder / "go"
    flag.write_text("")
    place.write(toy("a", do="sleep", until=str(flag)), timeout_minutes=0.03)
    assert runs.run_study(place.study) == 0
    first = place.records()["a"]
    flag.unlink()
    assert runs.run_study(place.study, redo=True) == 1  # now it times out
    assert read_json(place.results / first["key"] / "run.json") == first
    assert read_json(place.results / f"{first['key']}.failed" / "run.json")["state"] == "timeout"
    flag.write_text("")
    assert runs.run_study(place.study, redo=True) == 0
    assert place.records()["a"]["ended"] > first["ended"]
    # A runner killed in between leaves the old results aside; the next one brings them back.
    folder = place.results / first["key"]
    os.replace(folder, folder.with_name(f"{folder.name}.previous"))
    folder.mkdir()
    assert runs.run_study(place.study) == 0
    assert read_json(folder / "run.json")["state"] == "done"


def test_a_worker_killed_outright_is_recorded_and_leaves_no_kernel(place):
    place.write(toy("a", do="sleep", until="never"), OTHER)
    process = place.call("run", place.study, "--jobs", 2)
    said = place.wait_for(cell=2)
    os.killpg(said["pid"], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    records = place.records()
    assert (records["a"]["state"], records["a"]["cell"]) == ("interrupted", 2)
    assert "SIGKILL" in records["a"]["error"]
    assert records["other"]["state"] == "done"
    assert not psutil.pid_exists(said["kernel"])
    executed = nbformat.read(said["folder"] / "executed.ipynb", 4)
    assert [cell.metadata.papermill.status for cell in executed.cells][-2:] == ["failed", "pending"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interruption_is_quick_recorded_and_resumable(place, name):
    flag = place.folder / "go"
    place.write(toy("a", do="sleep", until=str(flag)), OTHER)
    process = place.call("run", place.study, "--jobs", 1)
    said = place.wait_for(cell=2)
    start = time.monotonic()
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - start < 10
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert place.records()["a"]["state"] == "interrupted"
    assert not psutil.pid_exists(said["pid"])
    assert not psutil.pid_exists(said["kernel"])
    assert why(place) == {"a": ("last run ended as interrupted at cell 2",), "other": ("never ran",)}
    flag.write_text("")
    assert runs.run_study(place.study, jobs=2) == 0


def test_two_runs_of_one_study_at_once_are_refused_and_status_sees_the_first(place):
    place.write(toy("a", do="sleep", until="never"))
    first = place.call("run", place.study)
    said = place.wait_for(cell=2)
    second = place.call("run", place.study)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert output.startswith("error: study 'toy' is being run by another process")
    assert output.count("\n") == 1
    status, _ = place.call("status", place.study).communicate(timeout=60)
    assert f"running      process {said['pid']}, cell 2 of 5" in status
    # The runner dies without a word: the lock is free, its worker and kernel end by themselves.
    first.kill()
    first.communicate()
    for _ in range(100):
        if not psutil.pid_exists(said["kernel"]) and progress.alive(said["folder"]) is None:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the worker outlived its runner by ten seconds")
    assert set(why(place)) == {"a"}
    with runs._locked(StudyConfig.load(place.study)):
        pass  # a lock left by a killed process is free


def test_results_that_cannot_be_written_are_one_sentence(place, monkeypatch):
    place.write(toy("a"))
    place.results.write_text("a file is in the way")
    with pytest.raises(WorkbenchError, match=r"cannot write results to .*toy: File exists"):
        runs.run_study(place.study)
    place.results.unlink()
    mkdir = Path.mkdir

    def refuse(path, *arguments, **named):
        if path.parent.name == "toy":
            raise PermissionError(13, "Permission denied")
        return mkdir(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(WorkbenchError, match=r"cannot write results to .*: Permission denied"):
        runs.run_study(place.study)


def test_a_record_that_cannot_be_written_leaves_the_run_unfinished(place, monkeypatch):
    place.write(toy("a", do="raise"))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    class Silent(progress.Worker):
        def end(self, error=None):
            self.process.wait()
            (self.folder / "run.json").unlink()  # as if the worker had not had the room
            return super().end(error)

    monkeypatch.setattr(progress, "write_record", full)
    monkeypatch.setattr(runs, "Worker", Silent)
    assert runs.run_study(place.study) == 1
    assert why(place) == {"a": ("last run was cut off before it ended",)}


# ------------------------------------------------------------------------------------------- comparing, and the display


def test_comparing_works_from_what_is_stored_even_without_the_data(place, capsys):
    place.write(toy("a"))
    with pytest.raises(WorkbenchError, match="has no finished run that is up to date"):
        runs.recompare(place.study)
    assert runs.run_study(place.study) == 0
    (place.results / "comparison.json").write_text("{torn")
    assert runs.recompare(place.study)["models"] == ["a"]
    place.write(toy("a"), corpus={"source": "files", "path": "${NOT_SET_ANYWHERE}/posts.csv"})
    capsys.readouterr()
    assert runs.recompare(place.study)["models"] == ["a"]
    assert "the environment variable NOT_SET_ANYWHERE is not set" in capsys.readouterr().out


def test_moved_data_is_the_same_data(place, monkeypatch):
    monkeypatch.setenv("TOY_DATA", str(place.folder))
    place.write(OTHER, corpus={"source": "files", "path": "${TOY_DATA}/posts.csv"})
    assert runs.run_study(place.study) == 0
    (place.folder / "moved").mkdir()
    (place.folder / "posts.csv").rename(place.folder / "moved" / "posts.csv")
    monkeypatch.setenv("TOY_DATA", str(place.folder / "moved"))
    assert why(place) == {}


def test_results_from_another_device_count_where_this_one_has_none(place):
    place.write(OTHER)
    assert runs.run_study(place.study) == 0
    run = runs.plan(StudyConfig.load(place.study))[0]
    moved = runs._again(run, "cuda")
    os.replace(run.folder, moved.folder)
    record = read_json(moved.folder / "run.json")
    (moved.folder / "run.json").write_text(json.dumps({**record, "key": moved.key}))
    assert [found.key for found in runs.current(place.study)] == [moved.key]
    assert why(place) == {"other": ("device: cpu -> cpu",)} or set(why(place)) == {"other"}


def test_plain_lines_tell_start_end_and_every_half_minute(monkeypatch):
    clock, lines = [0.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.Lines(2, lines.append) as shown:
        shown.start("a", "never ran")
        for clock[0] in (1.0, 29.0, 31.0, 40.0, 62.0):
            shown.tick({"a": {"cell": 4, "cells": 9}})
        shown.end("a", {"state": "timeout", "cell": 4, "seconds": 62.4, "error": "the cell ran longer than 60 s"})
    assert lines == [
        "[0/2] a: started (never ran)",
        "[0/2] a: cell 4 of 9, 31 s",
        "[0/2] a: cell 4 of 9, 62 s",
        "[1/2] a: timeout at cell 4 after 62 s: the cell ran longer than 60 s",
    ]


def test_bars_take_the_same_calls():
    with progress.Bars(1) as shown:
        shown.start("a [x]", "why [not]")
        shown.tick({"a [x]": None})
        shown.tick({"a [x]": {"cell": 1, "cells": 3}})
        shown.end("a [x]", {"state": "done", "seconds": 1})
    assert shown.ended == 1


def test_workers_share_the_cores(place, monkeypatch):
    for name in progress._THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runs, "_cores", lambda: 8)
    notebook = nbformat.read(place.folder / "n.ipynb", 4)
    notebook.cells.append(
        nbformat.v4.new_code_cell("Path(folder, 'threads').write_text(os.environ['OMP_NUM_THREADS'])")
    )
    nbformat.write(notebook, place.folder / "n.ipynb")
    place.write(OTHER)
    assert runs.run_study(place.study, jobs=3) == 0
    assert (place.results / place.records()["other"]["key"] / "threads").read_text() == "2"  # 8 cores // 3 runs


def test_code_edited_while_a_run_waited_is_keyed_as_it_is_then(place):
    study = StudyConfig.load(place.write(toy("a")))
    run = runs.plan(study)[0]
    assert runs._fresh(study, run) is run
    (place.folder / "toylib.py").write_text("value = 3\n")
    assert runs._fresh(study, run).key == runs.plan(study)[0].key != run.key
    (place.folder / "toylib.py").write_text("value = (\n")
    assert runs._fresh(study, run) is run  # the kernel will say what is wrong with it
