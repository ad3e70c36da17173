"""A real study on real files: what a change concerns would run again, with the reason named, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from workbench.schema import ROOT

ALL = {"prior", "text-tfidf", "image-clip"}


class House:
    """A copy of the library, the notebooks and the sample posts that a test may edit, with one finished study."""

    def __init__(self, folder) -> None:
        self.folder = folder
        for name in ("workbench", "notebooks", "data/sample", "data/weights"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "data" / "taxonomy.yaml", folder / "data")
        study = yaml.safe_load((ROOT / "experiments" / "sample.yaml").read_text())
        study["models"] = [{"name": name} for name in sorted(ALL)]
        study["compare"]["pairs"] = [["text-tfidf", "prior"]]
        self.study = folder / "experiments" / "mini.yaml"
        self.study.parent.mkdir()
        self.study.write_text(yaml.safe_dump(study))

    def call(self, *arguments: str) -> str:
        command = [sys.executable, "-c", "from workbench.cli import app; app()", "run", str(self.study), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stale(self) -> dict[str, str]:
        """Return, for each model that would run again, why."""
        lines = dict(line.split(": ", 1) for line in self.call("--dry-run").splitlines() if ": " in line)
        assert set(lines) == ALL
        return {name: said for name, said in lines.items() if said != "up to date"}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("house"))
    made.call("--jobs", "2")
    return made


@pytest.fixture
def edit(house):
    """Change a file for one test; afterwards it is as it was."""
    kept = {}

    def change(name: str, change) -> None:
        path = house.folder / name
        kept[path] = path.read_bytes()
        path.write_bytes(change(kept[path]))

    yield change
    for path, content in kept.items():
        path.write_bytes(content)


def test_a_second_run_does_nothing(house):
    assert house.stale() == {}
    assert "0 of 3 runs to do" in house.call()


def test_touched_files_and_edited_comments_run_nothing_again(house, edit):
    for path in house.folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1.9e9, 1.9e9))
    edit("workbench/models/text.py", lambda source: b"# a remark\n" + source)
    assert house.stale() == {}


def test_an_edited_line_concerns_the_models_that_reach_it(house, edit):
    edit("workbench/models/text.py", lambda source: source + b"\nEDITED = 1\n")
    assert house.stale() == {"text-tfidf": "would run (module workbench/models/text.py changed)"}


def test_a_changed_parameter_concerns_its_model(house, edit):
    def strengthen(content: bytes) -> bytes:
        study = yaml.safe_load(content)
        next(m for m in study["models"] if m["name"] == "text-tfidf")["options"] = {"min_df": 1}
        return yaml.safe_dump(study).encode()

    edit("experiments/mini.yaml", strengthen)
    (name, reason), *others = house.stale().items()
    assert (name, others) == ("text-tfidf", [])
    assert "parameter options.min_df" in reason


def test_a_changed_picture_concerns_all_that_were_trained_on_its_corpus(house, edit):
    picture = sorted((house.folder / "data" / "sample" / "images").iterdir())[0]

    def repaint(_: bytes) -> bytes:
        Image.new("RGB", (64, 64), "teal").save(house.folder / "teal.jpg")
        return (house.folder / "teal.jpg").read_bytes()

    edit(str(picture.relative_to(house.folder)), repaint)
    stale = house.stale()
    assert set(stale) == ALL
    assert all(reason == "would run (data corpus changed)" for reason in stale.values())
