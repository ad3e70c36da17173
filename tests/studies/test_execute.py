"""A study does what is missing or stale, says why, survives every kind of death, and never trusts a half-written run.

The runs are real processes with real kernels; the notebook is a toy whose behaviour the model's options choose. Models,
corpora and comparison are stood in for, so that these tests are about running alone.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import nbformat
import pytest
from toy_study import OTHER, finish, toy, why

from workbench.artifacts import read_json
from workbench.comparison.rows import Comparison
from workbench.errors import WorkbenchError
from workbench.studies import compare, execute, plan, run, worker
from workbench.studies.config import StudyConfig

# ------------------------------------------------------------------------------------------------- what runs, and why


def test_a_study_runs_and_leaves_a_record_of_each_run(place, capsys):
    place.write(toy("a"), OTHER)
    assert run.run_study(place.study, dry_run=True) == 0
    assert "a: would run (never ran)" in capsys.readouterr().out
    assert not place.results.exists()  # a dry run writes nothing

    assert run.run_study(place.study, jobs=2) == 0
    records = place.records()
    assert {name: record["state"] for name, record in records.items()} == {"a": "done", "other": "done"}
    first = records["a"]
    assert first["reason"] == "never ran"
    assert (first["device"], first["peak_mb"], first["cuda_peak_mb"], first["ms_per_post"]) == ("cpu", 10.0, None, 1.5)
    assert (first["parameters"], first["fit_seconds"]) == (7, None)  # what metrics.json does not tell is null
    assert first["key"] in os.listdir(place.results)
    assert first["versions"] == {"python": platform.python_version()}  # a toy imports no library
    assert first["inputs"]["data corpus"] == first["corpus_digest"]
    folder = place.results / first["key"]
    assert sorted({*os.listdir(folder)} - {"code.patch"}) == [  # that is there where this very tree is edited
        "executed.ipynb",
        "log.txt",
        "metrics.json",
        "predictions.parquet",
        "run.json",
    ]
    assert Comparison.load(place.results).made_from.runs["a"] == first["key"]


def test_only_what_a_change_concerns_runs_again_and_the_reason_is_named(place, capsys):
    place.write(toy("a"), OTHER)
    finish(place)
    records = place.records()
    folder = place.results / records["a"]["key"]
    assert run.run_study(place.study) == 0

    # Nothing to do: no run, and the comparison is not computed again.
    for path in place.folder.glob("*"):
        os.utime(path, (1, 1))
    (place.folder / "toylib.py").write_text('"""What it is."""\n# a comment\nvalue = 1\n')
    assert why(place) == {}
    assert run.run_study(place.study) == 0
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
    assert run.run_study(place.study) == 0
    assert "a: started (parameter options.hidden: unset -> 128)" in capsys.readouterr().out
    assert place.records()["other"] == records["other"]
    assert read_json(folder / "run.json") == records["a"]
    assert [made.alias for made in plan.current(place.study)] == ["a", "other"]


def test_a_renamed_model_is_not_run_again_and_compared_under_its_new_name(place):
    place.write(OTHER)
    finish(place)
    assert run.run_study(place.study) == 0
    place.write({"name": "other", "as": "new-name"})
    assert run.run_study(place.study) == 0
    assert place.log.read_text() == "compare other\ncompare new-name\n"
    assert len(list(place.results.glob("*/run.json"))) == 1


def test_what_is_wrong_is_said_before_anything_starts(place):
    place.write(toy("a", hiden=1))
    with pytest.raises(WorkbenchError, match="model 'a': unknown key 'hiden'"):
        run.run_study(place.study)
    place.write(toy("a"), notebook=str(place.folder / "absent.ipynb"))
    with pytest.raises(WorkbenchError, match="cannot read notebook"):
        run.run_study(place.study)
    with pytest.raises(WorkbenchError, match="unknown device 'gpu'"):
        run.run_study(place.write(toy("a")), device="gpu")
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
    place.write(*bad, OTHER, timeout_minutes=0.1, compare={"pairs": [["other", "dead"], ["other", "best-unimodal"]]})
    assert run.run_study(place.study, jobs=2) == 1
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
    comparison = Comparison.load(place.results)
    assert [row.model for row in comparison.models] == ["other"]
    assert comparison.compare.pairs == (("other", "best-unimodal"),)  # the other pair waits for its model
    assert {row.model for row in comparison.missing} == {"dead", "wrong", "slow", "mute"}

    # Only the failed ones run again; one of them now ends well.
    Path(until).write_text("")
    assert why(place)["slow"] == ("last run ended as timeout at cell 2",)
    place.write(bad[2], OTHER, timeout_minutes=1)
    assert run.run_study(place.study) == 0
    again = place.records()
    assert (again["slow"]["state"], again["slow"]["key"]) == ("done", records["slow"]["key"])
    assert again["other"] == records["other"]


def test_torn_records_and_lost_results_are_not_trusted(place):
    place.write(toy("a"), OTHER)
    finish(place)
    a, other = (place.results / place.records()[name]["key"] for name in ("a", "other"))
    (a / "run.json").write_text((a / "run.json").read_text()[:100])
    (other / "predictions.parquet").unlink()
    (a / "left-over").write_text("from before")
    assert why(place) == {"a": ("last run was cut off before it ended",), "other": ("predictions.parquet is missing",)}
    assert run.run_study(place.study, jobs=2) == 0
    assert not (a / "left-over").exists()  # an unfinished folder is emptied first
    assert sorted(place.records()) == ["a", "other"]


@pytest.mark.slow
def test_done_again_keeps_the_old_results_until_the_new_ones_are_there(place):
    flag = place.folder / "go"
    flag.write_text("")
    place.write(toy("a", do="sleep", until=str(flag)), timeout_minutes=0.1)
    assert run.run_study(place.study) == 0
    first = place.records()["a"]
    flag.unlink()
    assert run.run_study(place.study, redo=True) == 1  # now it times out
    assert read_json(place.results / first["key"] / "run.json") == first
    assert read_json(place.results / f"{first['key']}.failed" / "run.json")["state"] == "timeout"
    flag.write_text("")
    assert run.run_study(place.study, redo=True) == 0
    assert place.records()["a"]["ended"] > first["ended"]
    # A runner killed in between leaves the old results aside; the next one brings them back.
    folder = place.results / first["key"]
    os.replace(folder, folder.with_name(f"{folder.name}.previous"))
    folder.mkdir()
    assert run.run_study(place.study) == 0
    assert read_json(folder / "run.json")["state"] == "done"


def test_results_that_cannot_be_written_are_one_sentence(place, monkeypatch):
    place.write(toy("a"))
    place.results.write_text("a file is in the way")
    with pytest.raises(WorkbenchError, match=r"cannot write results to .*toy: File exists"):
        run.run_study(place.study)
    place.results.unlink()
    mkdir = Path.mkdir

    def refuse(path, *arguments, **named):
        if path.parent.name == "toy":
            raise PermissionError(13, "Permission denied")
        return mkdir(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(WorkbenchError, match=r"cannot write results to .*: Permission denied"):
        run.run_study(place.study)


@pytest.mark.slow
def test_a_record_that_cannot_be_written_leaves_the_run_unfinished(place, monkeypatch):
    place.write(toy("a", do="raise"))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    class Silent(worker.RunProcess):
        def end(self, error=None):
            self.process.wait()
            (self.folder / "run.json").unlink()  # as if the worker had not had the room
            return super().end(error)

    monkeypatch.setattr(worker, "write_record", full)
    monkeypatch.setattr(execute, "RunProcess", Silent)
    assert run.run_study(place.study) == 1
    assert why(place) == {"a": ("last run was cut off before it ended",)}


# ------------------------------------------------------------------------------------------- comparing, and the display


def test_comparing_works_from_what_is_stored_even_without_the_data(place, capsys):
    place.write(toy("a"))
    with pytest.raises(WorkbenchError, match="has no finished run that is up to date"):
        compare.recompare(place.study)
    finish(place)
    (place.results / "comparison.json").write_text("{torn")
    assert [row.model for row in compare.recompare(place.study).models] == ["a"]
    place.write(toy("a"), corpus={"source": "files", "path": "${NOT_SET_ANYWHERE}/posts.csv"})
    capsys.readouterr()
    assert [row.model for row in compare.recompare(place.study).models] == ["a"]
    assert "the environment variable NOT_SET_ANYWHERE is not set" in capsys.readouterr().out


def test_moved_data_is_the_same_data(place, monkeypatch):
    monkeypatch.setenv("TOY_DATA", str(place.folder))
    place.write(OTHER, corpus={"source": "files", "path": "${TOY_DATA}/posts.csv"})
    finish(place)
    assert why(place) == {}
    (place.folder / "moved").mkdir()
    (place.folder / "posts.csv").rename(place.folder / "moved" / "posts.csv")
    monkeypatch.setenv("TOY_DATA", str(place.folder / "moved"))
    assert why(place) == {}


def test_results_from_another_device_count_where_this_one_has_none(place):
    place.write(OTHER)
    moved = finish(place, "cuda")[0]
    assert [made.key for made in plan.current(place.study)] == [moved.key]
    assert why(place) == {"other": ("device: cuda -> cpu",)}
    place.write(OTHER, toy("a", size=1))
    for model in finish(place, "cuda"):
        assert model.alias in ("other", "a")
    place.write(OTHER, toy("a", size=2))  # the plan for the device on which more is finished knows of earlier runs too
    assert [run.reasons for run in plan.standing(StudyConfig.load(place.study))] == [
        (),
        ("parameter options.size: 1 -> 2",),
    ]
    place.write(OTHER)
    (here,) = finish(place)
    assert [made.key for made in plan.current(place.study)] == [here.key]  # at a tie this machine's


@pytest.mark.slow
def test_workers_share_the_cores(place, monkeypatch):
    for name in worker._THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(execute, "_cores", lambda: 8)
    notebook = nbformat.read(place.folder / "n.ipynb", 4)
    notebook.cells.append(
        nbformat.v4.new_code_cell("Path(folder, 'threads').write_text(os.environ['OMP_NUM_THREADS'])")
    )
    nbformat.write(notebook, place.folder / "n.ipynb")
    place.write(OTHER)
    assert run.run_study(place.study, jobs=3) == 0
    assert (place.results / place.records()["other"]["key"] / "threads").read_text() == "2"  # 8 cores // 3 runs


def test_code_edited_while_a_run_waited_is_keyed_as_it_is_then(place):
    study = StudyConfig.load(place.write(toy("a")))
    waiting = plan.plan(study)[0]
    assert execute._fresh(study, waiting) is waiting
    (place.folder / "toylib.py").write_text("value = 3\n")
    assert execute._fresh(study, waiting).key == plan.plan(study)[0].key != waiting.key
    (place.folder / "toylib.py").write_text("value = (\n")
    assert execute._fresh(study, waiting) is waiting  # the kernel will say what is wrong with it


def stale(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    return {row.model: row.reasons for row in comparison.stale}


def test_comparing_shows_what_is_out_of_date_and_says_why(place, capsys):
    place.write(toy("a", size=1))
    finish(place)
    place.write(toy("a", size=2))
    assert stale(compare.recompare(place.study)) == {"a": ("parameter options.size: 1 -> 2",)}
    assert "out of date: a (parameter options.size: 1 -> 2)" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------ the code of a run, in git
