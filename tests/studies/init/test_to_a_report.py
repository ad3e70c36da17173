"""From a file that the workbench has never seen to a report, by the two commands of the README, as they stand there."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from typer.testing import CliRunner
from written_study import HARMFUL, N, delimited, texts

from workbench import cli, studies
from workbench.corpora import splits
from workbench.schema import ROOT
from workbench.studies import init
from workbench.studies.config import StudyConfig

WORDS = ["awful fool", "lovely day"]


def semicolons(folder):
    rows = [{"Nr": f"{n:03}", "Beitrag": text, "Abuse?": answer} for n, text, answer in rows_of("yes", "no")]
    path = folder / "posts.csv"
    path.write_text(delimited(rows, ";"), encoding="utf-8-sig")
    return path


def annotators(folder):
    rows = [
        {"post": n, "rater": who, "text": text, "abuse": answer if who else 0}
        for n, text, answer in rows_of(1, 0)
        for who in range(3)
    ]
    path = folder / "posts.csv"
    path.write_text(delimited([{"post_id": row.pop("post"), **row} for row in rows]))
    return path


def label_studio(folder):
    tasks = [
        {"id": n, "data": {"text": text}, "annotations": [{"result": [{"value": {"choices": [answer]}}]}]}
        for n, text, answer in rows_of("abuse", "none")
    ]
    path = folder / "posts.json"
    path.write_text(json.dumps(tasks))
    return path


def rows_of(yes, no):
    """Yield number, words and answer of 120 posts."""
    for n, text in enumerate(texts(2 * N)):
        harmful = HARMFUL[n % N]
        yield n, f"{WORDS[not harmful]} {text}", yes if harmful else no


def commands() -> list[list[str]]:
    """Return the arguments of `workbench` in the first block of the README's section."""
    section = (ROOT / "README.md").read_text("utf-8").split("## Your first real model\n", 1)[1]
    lines = re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1].splitlines()
    parts = [shlex.split(line, comments=True) for line in lines]
    assert [part[:2] for part in parts] == [[".venv/bin/workbench", "init"], [".venv/bin/workbench", "run"]]
    return [part[1:] for part in parts]


@pytest.fixture
def do(tmp_path, monkeypatch):
    """The function that does the two commands on posts that `write` writes; it returns the folder of the results."""
    for module in (studies, init):
        monkeypatch.setattr(module, "ROOT", tmp_path)  # whose experiments/ is meant
    monkeypatch.chdir(tmp_path)

    def done(write, *more):
        path = write(tmp_path)
        for command in commands():
            words = [path.name if word == "posts.csv" else word for word in command]
            given = [*words, *more] if "run" in words else words
            said = CliRunner().invoke(cli.app, given, input="\n" * 20)  # whatever is asked, the guess stands
            assert said.exit_code == 0, said.output
        return tmp_path / "experiments" / "posts", said.output

    return done


@pytest.mark.long
@pytest.mark.parametrize("write", [semicolons, annotators, pytest.param(label_studio, marks=pytest.mark.campaign)])
def test_two_commands_lead_to_a_report(do, write):
    results, _ = do(write, "--jobs", "1")
    assert "Which posts are these?" in (results / "report.html").read_text()
    found = json.loads((results / "comparison.json").read_text())
    rows = found["models"]
    (planned,) = [row for row in found["differences"] if row["primary"]]
    assert (planned["a"], planned["b"]) == ("text-tfidf", "text-vectors")
    assert planned["p_holm"] is not None  # a first report tests something
    best = {
        row["model"]: row["value"] for row in rows if row["metric"] == "average_precision" and row["test"] == "test"
    }
    assert best["text-tfidf"] > 0.9 > best["prior"]


def test_two_commands_lead_to_a_plan(do):
    """Once its posts are read, a study of Label Studio's file is one as of the others."""
    results, said = do(label_studio, "--dry-run")
    assert said.count("would run (never ran)") == 3
    study = StudyConfig.load(results.with_suffix(".yaml"))
    sets, _, _ = splits.divide(study.corpus, study.split, study.tests, study.taxonomy)
    labels = {row["text"]: row["labels"]["abuse"] for part in sets.values() for row in part.to_pylist()}
    assert labels == {text: answer == "yes" for _, text, answer in rows_of("yes", "no")}
