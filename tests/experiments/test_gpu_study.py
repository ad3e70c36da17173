"""The study of full-size encoders is sound, pinned, and says in a sentence what this machine lacks; so is its check."""

import re

import pytest
import yaml
from huggingface_hub import constants

from workbench import models
from workbench.errors import WorkbenchError
from workbench.features.encoders import random_models
from workbench.schema import ROOT
from workbench.studies import run
from workbench.studies.config import StudyConfig

COMMIT = re.compile(r"(hf-hub:)?[\w.-]+/[\w.-]+@[0-9a-f]{40}")
SHORTER = ("epochs", "tune_epochs")  # what the check may train less


def study(name):
    return StudyConfig.load(ROOT / "experiments" / f"{name}.yaml")


def encoders(value):
    """Return the names of encoders and models in options, at any depth."""
    if isinstance(value, dict):
        return [name for key, each in value.items() for name in (encoders(each) if key != "pooling" else [])]
    return [value] if isinstance(value, str) else []


def test_every_model_has_options_and_every_repository_a_commit():
    names = [name for entry in study("gpu").models for name in encoders(entry.options)]
    for entry in study("gpu").models:
        models.parse(entry.name, entry.options)
    repositories = [name for name in names if "/" in name]
    assert len(repositories) >= 6
    assert all(COMMIT.fullmatch(name) for name in repositories)
    assert len(study("gpu").compare.pairs) >= 4


def test_every_family_of_models_that_can_use_a_gpu_is_there():
    """Without those that read no pretrained part, or need what a study of their own or an extra gives."""
    left = {"text-tfidf", "text-vectors", "picture-words", "author-profile", "misinformation", "scores"}
    left |= {"ensemble", "per-group"}  # of other models, which are there
    left |= {name for name in models.MODELS if models.extra(name)}  # which need more than the installation
    assert {entry.name for entry in study("gpu").models} == set(models.MODELS) - left


def test_the_check_is_the_same_list_with_random_weights():
    full, check = study("gpu"), study("gpu-check")
    assert [(e.alias, e.name) for e in full.models] == [(e.alias, e.name) for e in check.models]
    for real, random in zip(full.models, check.models, strict=True):
        ours, theirs = (models.parse(e.name, e.options).model_dump() for e in (random, real))
        different = {key for key in ours if ours[key] != theirs[key]}
        assert different <= {"encoder", "text_encoder", "image_encoder", "model", *SHORTER}, real.alias
        for a, b in zip(encoders(random.options), encoders(real.options), strict=True):
            assert a == "tiny" == b or a.endswith("@random") or a.startswith("data/cache/full-random/")
            if a.endswith("@random"):
                assert a.partition("@")[0] == b.partition("@")[0]  # the same architecture


def test_what_is_not_here_is_one_sentence_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    entry = next(e for e in study("gpu").models if e.alias == "minilm-frozen")
    with pytest.raises(WorkbenchError, match=r"all-MiniLM-L6-v2@.* is not in the local cache") as caught:
        models.check(entry.name, entry.options)
    assert "\n" not in str(caught.value)


def test_the_plan_of_the_check_names_every_run(tmp_path, capsys):
    """With tiny models in the place of 6 GB, and few posts."""
    random_models.write_full(tmp_path / "models", tiny=True)
    text = (ROOT / "experiments" / "gpu-check.yaml").read_text(encoding="utf-8").replace("posts: 1600", "posts: 100")
    path = tmp_path / "gpu-check.yaml"
    path.write_text(text.replace("data/cache/full-random", str(tmp_path / "models")), encoding="utf-8")
    assert run.run_study(path, dry_run=True, device="cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    names = [entry["as"] if "as" in entry else entry["name"] for entry in yaml.safe_load(text)["models"]]
    assert [line.partition(":")[0] for line in lines] == names
    assert all("would run" in line for line in lines)


def test_without_the_written_models_the_plan_says_in_a_sentence_which_is_missing(tmp_path):
    text = (ROOT / "experiments" / "gpu-check.yaml").read_text(encoding="utf-8")
    path = tmp_path / "gpu-check.yaml"
    path.write_text(text.replace("data/cache/full-random", str(tmp_path / "nowhere")), encoding="utf-8")
    with pytest.raises(WorkbenchError, match=r"nowhere/minilm' is neither a folder that is there nor a repo") as caught:
        run.run_study(path, dry_run=True, device="cpu")
    assert "\n" not in str(caught.value)
