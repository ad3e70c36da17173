"""A study with a toy notebook and stand-ins for models, corpora and report, for tests of runner and command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import yaml

from workbench.artifacts import read_json
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
    time.sleep(60)
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


def write(folder, comparison, loaded, corpus):
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
    "workbench.comparison.compare": dict(
        CompareOptions=CompareOptions,
        load_run=lambda folder: Loaded(folder.name),
        compare=compare,
    ),
    "workbench.report.terminal": dict(
        tables=lambda comparison, **_: [{"model": name} for name in comparison["models"]],
    ),
    "workbench.report.page": dict(write=write),
    "workbench.studies.companions": dict(completed=lambda found, *given: found, write=lambda *given: None),
    "workbench.studies.steps.training": dict(prepare=lambda *given: None),
    "workbench.studies.leaks": dict(record=lambda *given: None),
    "workbench.evidence.audit": dict(LeakOptions=SimpleNamespace(parse=lambda values, where: None)),
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
        for _ in range(900):
            for path in self.results.glob("*/running.json"):
                said = read_json(path) or {}
                if all(said.get(name) == value for name, value in wanted.items()):
                    return {**said, "folder": path.parent}
            time.sleep(0.1)
        raise AssertionError(f"no worker said {wanted} within 90 s")


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


def finish(place: Place, device: str = "cpu") -> list[plan.Run]:
    """Leave finished runs of the study behind, without running them, and return them."""
    finished = [plan._again(run, device) for run in plan.plan(StudyConfig.load(place.study))]
    for run in finished:
        run.folder.mkdir(parents=True)
        for name in worker.RESULTS:
            (run.folder / name).write_text("{}")
        facts = {"key": run.key, "alias": run.alias, "inputs": run.inputs}
        worker.write_record(run.folder, facts, "done", 1.0)
    return finished


def why(place: Place) -> dict[str, tuple[str, ...]]:
    """Return, for each run that would run, why."""
    return {run.alias: run.reasons for run in plan.plan(StudyConfig.load(place.study)) if run.state != "done"}
