"""The worked example of docs/other-systems.md: a package with its model inside, run apart, read by `scores`."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from workbench.models.combine.scores import ScoresOptions, read
from workbench.schema import ROOT
from workbench.studies.config import StudyConfig

SCRIPT, PAGE = ROOT / "docs" / "other-systems" / "score.py", ROOT / "docs" / "other-systems.md"
PACKAGE = "alt-profanity-check==1.9.1"
POSTS = 'id,words\n1,"you are a stupid, disgusting idiot"\n2,\n3,the bus leaves at nine\n'


def score(
    python: str | Path, folder: Path, *more: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    (folder / "posts.csv").write_text(POSTS)
    command = [python, SCRIPT, folder / "posts.csv", "--id", "id", "-o", folder / "out" / "scores.csv", *more]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=env, check=False)


def scores(folder: Path) -> dict[str, float]:
    ids, logits = read(ScoresOptions(path=str(folder / "out" / "scores.csv")), ("abuse", "violence"))
    return dict(zip(ids, logits[:, 0].tolist(), strict=True))


@pytest.fixture
def stand_in(tmp_path) -> dict[str, str]:
    """An environment in which the package is one that finds long texts profane."""
    module = "def predict_prob(texts):\n    return [min(len(text) / 100, 1) for text in texts]\n"
    (tmp_path / "profanity_check.py").write_text(module)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_what_the_script_writes_is_what_scores_reads(tmp_path, stand_in):
    done = score(sys.executable, tmp_path, "--text", "words", env=stand_in)
    assert done.returncode == 0, done.stderr
    found = scores(tmp_path)
    assert list(found) == ["1", "2", "3"]
    assert found["1"] == pytest.approx(np.log(0.34 / 0.66), abs=1e-6)
    assert np.isnan(found["2"])  # without a text there is no score, and that is not a low one


def test_a_column_that_lacks_is_one_sentence(tmp_path, stand_in):
    done = score(sys.executable, tmp_path, "--text", "body", env=stand_in)
    assert done.returncode == 1
    assert done.stderr.endswith("has no rows with a column 'body'; name another with --id or --text\n")


def test_the_page_names_what_is_there():
    page = PAGE.read_text()
    assert PACKAGE in page
    study = StudyConfig.load(ROOT / "experiments" / "other-system.yaml")
    options = {entry.alias: entry.options for entry in study.models}
    assert options["profanity"]["path"] in page
    assert str(SCRIPT.relative_to(ROOT)) in page


@pytest.mark.slow
def test_the_package_in_an_environment_of_its_own(tmp_path):
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python", str(python)]
    probe = subprocess.run(
        [*pip, "download", "--no-deps", "-d", str(tmp_path), PACKAGE], capture_output=True, text=True
    )
    if probe.returncode:
        pytest.skip(f"no package registry has {PACKAGE} for this Python: {probe.stderr.strip().splitlines()[-1]}")
    subprocess.run([*pip, "install", "--no-compile", PACKAGE], check=True)
    done = score(python, tmp_path, "--text", "words")
    assert done.returncode == 0, done.stderr
    found = scores(tmp_path)
    assert found["1"] > 0 > found["3"]
    assert np.isnan(found["2"])
