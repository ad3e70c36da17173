"""A study with a toy notebook and fake models, corpora and report, for tests of runner and command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import yaml

from workbench.artifacts import read_json
from workbench.schema import ROOT
from workbench.studies import plan, worker
from workbench.studies.config import StudyConfig

PARAMETERS = """
model: str = "toy"
options: dict = {}
corpus: dict = {}
split: dict = {}
tests: dict = {}
leaks: dict = {}
policy: dict = {}
seeds: list[int] = [0]
device: str = "auto"
folder: str = "out"
"""
CELLS = (
    "import json, os, signal, time\nfrom pathlib import Path",
    """
do = options.get("do", "ok")
print(model, corpus, split, tests, leaks, policy, seeds, device, "does", do)
if do == "die":
    os.kill(os.getpid(), signal.SIGKILL)
elif do == "raise":
    raise ValueError("the column is missing")
elif do == "sleep" and not Path(options["until"]).exists():
    time.sleep(600)
""",
    """
if do != "nothing":
    Path(folder, "predictions.parquet").write_text(model)
    peak = {"host": 10.0}
    metrics = {"peak_mb": peak, "device": device, "ms_per_post": 1.5, "parameters": 7}
    Path(folder, "metrics.json").write_text(json.dumps(metrics))
""",
)
FAKES = """
import hashlib, sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from workbench import corpora, models
from workbench.comparison import predictions
from workbench.comparison.rows import Comparison, ModelRow
from workbench.errors import WorkbenchError
from workbench.report import cards, page, terminal
from workbench.studies import run


@dataclass
class Loaded:
    alias: str


def compare(study, question, loaded, settings, family, cost, members):
    log("compare " + " ".join(run.alias for run in loaded))
    place = dict(label="abuse", view="all", test="test", metric="recall", n=1, positives=1, prevalence=1, few=True)
    numbers = dict(value=1, lo=None, hi=None, seed_sd=None, coverage=1, ceiling=None, confusion=None)
    rows = [ModelRow(model=run.alias, runs=(run.alias,), **place, **numbers) for run in loaded]
    about = dict(labels=("abuse",), labels_used={}, best_unimodal=None, items={})
    return Comparison(study=study, question=question, compare=settings, models=rows, **about)


def write(folder, comparison, loaded, posts):
    (folder / "report.html").write_text("report")


def check(name, options):
    if "hiden" in options:
        raise WorkbenchError("unknown key 'hiden'")


def log(line):
    with open(Path(__file__).with_name("log.txt"), "a") as file:
        file.write(line + "\\n")


def install(patch):
    patch.setitem(models.MODELS, "toy", "toylib:Toy")
    patch.setitem(models.MODELS, "other", "otherlib:Other")
    patch.setattr(models, "entries", lambda name, options: [models.MODELS[name]])
    patch.setattr(models, "artefacts", lambda *_: [])
    patch.setattr(models, "check", check)
    patch.setitem(corpora.SOURCES, "files", "toysource")
    digest = lambda config, taxonomy: hashlib.sha256(Path(config["path"]).read_bytes()).hexdigest()
    patch.setattr(corpora, "digest", digest)
    patch.setattr(corpora, "code", lambda config: "reader")
    patch.setattr(run, "gate", lambda study, waiting: None)
    patch.setattr("workbench.studies.compare.refresh_posts", lambda study, inputs, runs: None)
    patch.setattr(predictions, "load_runs", lambda folders: [Loaded(alias) for alias in folders])
    patch.setattr(predictions, "sources", lambda loaded: {})
    patch.setattr("workbench.comparison.compare.on_validation", lambda loaded, settings: {})
    patch.setattr("workbench.comparison.compare.best_unimodal", lambda loaded, values: loaded[0].alias)
    patch.setattr("workbench.studies.compare.members", lambda done: {})
    patch.setattr("workbench.studies.compare.posts_of", lambda study, loaded: None)
    patch.setattr("workbench.comparison.compare.compare", compare)
    patch.setattr(cards, "write", lambda folder, comparison, loaded: None)
    patch.setattr(page, "write", write)
    tables = lambda comparison, **_: [{"model": row.model} for row in comparison.models]
    patch.setattr(terminal, "tables", tables)


if __name__ == "__main__":
    install(pytest.MonkeyPatch())
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
        """Wait until a worker says all of this of itself, and return it with its folder."""
        for _ in range(3000):
            for path in self.results.glob("*/running.json"):
                said = {**(read_json(path) or {}), "folder": path.parent}
                if all(said.get(name) == value for name, value in wanted.items()):
                    return said
            time.sleep(0.1)
        raise AssertionError(f"no worker said {wanted} within five minutes")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Make a toy study whose fakes are in place, here and in processes started from here."""
    made = Place(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict = {"__file__": str(tmp_path / "fakes.py"), "__name__": "fakes"}
    sys.modules["fakes"] = type(sys)("fakes")  # dataclasses look their module up
    exec(compile(FAKES, "fakes.py", "exec"), namespace)
    namespace["install"](monkeypatch)
    yield made
    for name in ("fakes", "toylib", "otherlib"):
        sys.modules.pop(name, None)


def toy(alias: str, **options: object) -> dict:
    return {"name": "toy", "as": alias, "options": {"of": alias, **options}}


OTHER = {"name": "other"}


def finish(place: Place, device: str = "cpu") -> list[plan.PlannedRun]:
    """Leave finished runs of the study behind, without running them, and return them."""
    finished = [plan.as_it_stands(run, {}, device) for run in plan.plan(StudyConfig.load(place.study))]
    for run in finished:
        run.folder.mkdir(parents=True, exist_ok=True)
        for name in worker.RESULTS:
            (run.folder / name).write_text("{}")
        facts = {"key": run.key, "alias": run.alias, "inputs": run.inputs, "versions": run.libraries}
        worker.write_record(run.folder, facts, "done", 1.0)
    return finished


def why(place: Place) -> dict[str, tuple[str, ...]]:
    """Return, for each run that would run, why."""
    return {run.alias: run.reasons for run in plan.plan(StudyConfig.load(place.study)) if run.state != "done"}
