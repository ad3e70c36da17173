"""The study of full-size encoders is sound, pinned, and says in a sentence what this machine lacks."""

import re

import pytest
from huggingface_hub import constants

from workbench import models
from workbench.errors import WorkbenchError
from workbench.schema import ROOT
from workbench.studies.config import StudyConfig


def test_every_model_has_options_and_every_repository_a_commit():
    study = StudyConfig.load(ROOT / "experiments" / "gpu.yaml")
    for entry in study.models:
        encoder = str(models.parse(entry.name, entry.options).model_dump().get("encoder", ""))
        if "/" in encoder and not encoder.startswith("ViT"):
            assert re.fullmatch(r"(hf-hub:)?[\w.-]+/[\w.-]+@[0-9a-f]{40}", encoder)
    assert len(study.compare.pairs) >= 4


def test_what_is_not_here_is_one_sentence_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    entry = next(e for e in StudyConfig.load(ROOT / "experiments" / "gpu.yaml").models if e.alias == "minilm-frozen")
    with pytest.raises(WorkbenchError, match=r"all-MiniLM-L6-v2@.* is not in the local cache") as caught:
        models.check(entry.name, entry.options)
    assert "\n" not in str(caught.value)
