"""The studies of `make campaign-mission`, each in a small form on the whole way from its file to a report."""

from __future__ import annotations

import re

import pytest
import timm
from reduced_study import execute_here, reduced
from safetensors.torch import save_file

from workbench import models
from workbench.comparison.rows import Comparison
from workbench.schema import ROOT, expand
from workbench.studies import run
from workbench.studies.config import StudyConfig

STUDIES = re.search(r"^CAMPAIGN = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
POSTS = {"exclusive": 800, "augmentation-real": 70}  # of real posts; of generated ones 250


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """Random weights in the place of those that a study names by an environment variable."""
    file = tmp_path / "encoder.safetensors"
    save_file(timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict(), file)
    monkeypatch.setenv("WORKBENCH_PICTURE_ENCODER", str(file))


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_of_the_campaign_runs_from_its_file_to_a_report(name, tmp_path, request, monkeypatch):
    shipped = ROOT / "experiments" / f"{name}.yaml"
    text = shipped.read_text(encoding="utf-8")
    for variable, fixture in (("WORKBENCH_DATA", "workbench_data"), ("WORKBENCH_PICTURE_ENCODER", "encoder")):
        if f"${{{variable}}}" in text:
            request.getfixturevalue(fixture)
    whole = StudyConfig.load(shipped)
    for entry in whole.models:  # also those that the small form leaves out
        models.check(entry.name, expand(entry.options, name))

    path = reduced(shipped, tmp_path, POSTS.get(name, 250))
    monkeypatch.setattr(run, "execute", execute_here)
    assert run.run_study(path, device="cpu") == 0
    assert (path.with_suffix("") / "report.html").is_file()
    comparison = Comparison.load(path.with_suffix(""))
    (difference,) = [one for one in comparison.differences if one.primary and one.test == "test"]
    assert difference.pair == tuple(whole.compare.pairs[-1])
