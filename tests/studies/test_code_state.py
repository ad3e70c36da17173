"""The commit and the patch of a run give its code; what people write beside it is no edit."""

from __future__ import annotations

import subprocess

import pytest
from toy_study import OTHER, toy

from workbench.studies import execute, keys, plan, run
from workbench.studies.config import StudyConfig


@pytest.fixture
def repository(place, monkeypatch):
    """Put the toy's library, committed, where the workbench looks for its own repository."""

    def git(*arguments: str) -> bytes:
        who = ("-c", "user.name=x", "-c", "user.email=x@x")
        return subprocess.run(["git", *who, *arguments], cwd=place.folder, capture_output=True, check=True).stdout

    git("init", "-q")
    (place.folder / ".gitignore").write_text("toy/\nlog.txt\n")
    git("add", ".gitignore", "toylib.py", "n.ipynb")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(execute, "ROOT", place.folder)
    return git


def test_the_commit_and_its_patch_give_the_code_of_a_run(place, repository, tmp_path_factory):
    place.write(toy("a"), OTHER)  # this YAML, `otherlib.py` and the data are in no commit
    (place.folder / "toylib.py").write_text("from otherlib import value\nlimit = 'zwölf'\n")
    assert run.run_study(place.study) == 0
    first, other = (place.records()[name] for name in ("a", "other"))
    assert (first["commit"], first["dirty"]) == (repository("rev-parse", "HEAD").decode().strip(), True)
    for name, record in (("a", first), ("other", other)):
        clone = tmp_path_factory.mktemp(name)
        repository("clone", "-q", str(place.folder), str(clone / "c"))
        patch = str(place.results / record["key"] / "code.patch")
        subprocess.run(["git", "checkout", "-q", record["commit"]], cwd=clone / "c", check=True)
        subprocess.run(["git", "apply", patch], cwd=clone / "c", check=True)
        for file in ("toylib.py", "otherlib.py"):  # a module that the run reaches, in no commit yet
            assert (clone / "c" / file).read_text() == (place.folder / file).read_text()
        assert not (clone / "c" / "toy.yaml").exists()


def test_without_an_edit_there_is_no_patch_and_an_untracked_study_is_no_edit(place, repository):
    place.write(toy("a"))
    (waiting,) = plan.plan(StudyConfig.load(place.study))
    study = StudyConfig.load(place.study)
    commit, patch = execute.code_state(study, waiting)
    assert (commit, patch) == (repository("rev-parse", "HEAD").decode().strip(), b"")
    (place.folder / "experiments").mkdir()
    for name in ("experiments/other.yaml", "README.md"):
        (place.folder / name).write_text("first\n")
        repository("add", name)
    repository("commit", "-q", "-m", "second")
    for name in ("experiments/other.yaml", "README.md"):
        (place.folder / name).write_text("edited\n")
    (place.folder / ".venv").symlink_to(place.folder)
    assert execute.code_state(study, waiting)[1] == b""  # nor are what people write, and a linked environment
    (place.folder / "toylib.py").write_text("value = 2\n")
    assert b"+value = 2" in execute.code_state(study, waiting)[1]


def test_the_patch_holds_an_untracked_notebook_and_what_the_code_needs_whatever_ones_git_shows(
    place, repository, tmp_path_factory, monkeypatch
):
    place.write(toy("a"), notebook=str(place.folder / "new.ipynb"))
    (place.folder / "n.ipynb").rename(place.folder / "new.ipynb")
    (place.folder / "toylib.py").write_text("import apart\nvalue = 1\nlimit = 2\n")
    (place.folder / "apart.py").write_text("where = 1\n")
    monkeypatch.setitem(keys.OUTSIDE, "apart", "counts for nothing, and is needed")
    settings = {"diff.noprefix": "true", "color.ui": "always", "diff.external": "true", "diff.relative": "true"}
    settings["diff.context"] = "0"
    for name, value in settings.items():
        repository("config", name, value)
    study = StudyConfig.load(place.study)
    commit, patch = execute.code_state(study, plan.plan(study)[0])
    clone = tmp_path_factory.mktemp("c") / "c"
    repository("clone", "-q", str(place.folder), str(clone))
    subprocess.run(["git", "apply", "-"], input=patch, cwd=clone, check=True)
    for file in ("toylib.py", "apart.py", "new.ipynb"):
        assert (clone / file).read_text() == (place.folder / file).read_text()
    assert not (clone / "n.ipynb").exists()
    assert commit


def test_where_git_fails_nobody_says_that_nothing_was_edited(place, repository, monkeypatch):
    (place.folder / "toylib.py").write_text("value = 2\n")
    study = StudyConfig.load(place.write(toy("a")))
    (waiting,) = plan.plan(study)
    commit = repository("rev-parse", "HEAD").decode().strip()
    run_git = subprocess.run

    def failing(command, **named):
        return run_git(["git", "no-such-command"] if "diff" in command else command, **named)

    monkeypatch.setattr(execute.subprocess, "run", failing)
    state = execute.code_state(study, waiting)
    assert state == (commit, None)
    assert execute._job(study, waiting, *state)["facts"]["dirty"] is None


def test_outside_git_nothing_is_known_of_commits(place, monkeypatch):
    monkeypatch.setattr(execute, "ROOT", place.folder)
    study = StudyConfig.load(place.write(OTHER))
    assert execute.code_state(study, plan.plan(study)[0]) == (None, None)
