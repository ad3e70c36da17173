"""serving.yaml: what is checked, and which bundle a model of a study means."""

from __future__ import annotations

import json
import shutil

import pytest
import small_nsfw

from workbench.errors import WorkbenchError
from workbench.schema import ROOT
from workbench.serving import config
from workbench.serving.config import ServingConfig, bundle_of
from workbench.starter import pictures
from workbench.starter.pictures import PictureRecipe


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    """The function that leaves a run of a study behind: run(study, alias, ended, seeds)."""
    monkeypatch.setattr(config, "ROOT", tmp_path)

    def run(study, alias, ended="2026-01-01", seeds=(0,), state="done", key=None):
        folder = tmp_path / "experiments" / study / (key or f"{alias}-{ended}")
        for seed in seeds:
            (folder / "bundle" / str(seed)).mkdir(parents=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(json.dumps({"alias": alias, "state": state, "ended": ended}))
        return folder

    return run


def test_the_page_on_the_api_says_what_the_file_says():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name, service in ServingConfig.load().services.items():
        (row,) = (line.split(" | ") for line in page.splitlines() if line.startswith(f"| `{name}` | "))
        limits = service.limits
        said = [f"{limits.body_mb:g} MiB", f"{limits.seconds:g} s", f"{service.expected_per_second:g} a second |"]
        assert row[-3:] == said
        assert row[3] == (", ".join(service.labels) or "all")


def parse(services, **top):
    return ServingConfig.parse({"services": services, **top}, "serving file x")


def test_the_shipped_file_is_valid_and_has_all_services():
    shipped = ServingConfig.load(ROOT / "serving.yaml")
    assert tuple(shipped.services) == config.SERVICES
    assert shipped.services["misinformation"].labels == ("misinformation",)


@pytest.fixture
def preferred(experiments, tmp_path, monkeypatch):
    """A bundle that needs the extra, and a configuration in which the image service prefers it to a study's model."""
    small_nsfw.install(monkeypatch, tmp_path / "package")
    recipe = {**PictureRecipe.load().model_dump(mode="json"), "sets": {}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    pictures.make(tmp_path / "recipe.yaml", tmp_path / "open")
    run = experiments("s", "words")
    return parse({"image": {"model": "words", "prefer": "open"}}, studies=["s"]), run / "bundle" / "0"


def test_a_preferred_bundle_answers_where_its_extra_is_installed(preferred, tmp_path, monkeypatch):
    settings, _ = preferred
    assert settings.bundles() == {"image": tmp_path / "open"}
    assert settings.lacking() == {}
    shutil.rmtree(tmp_path / "experiments")
    assert settings.bundles() == {"image": tmp_path / "open"}  # and no study is needed
    small_nsfw.remove(monkeypatch)
    with pytest.raises(WorkbenchError, match="s lacks words"):
        settings.bundles()


def test_without_the_extra_the_usual_model_answers_and_what_is_missing_is_said(preferred, tmp_path, monkeypatch):
    settings, usual = preferred
    small_nsfw.remove(monkeypatch)
    assert settings.bundles() == {"image": usual}
    assert list(settings.lacking()) == ["image"]
    assert "pip install 'moderation-workbench[nudity]'" in settings.lacking()["image"]
    (tmp_path / "open" / "model" / "model.json").write_text("{}")  # damage is no missing extra
    for call in (settings.lacking, settings.bundles):
        with pytest.raises(WorkbenchError, match="sha256"):
            call()
    with pytest.raises(WorkbenchError, match="there is no bundle in nowhere"):
        parse({"image": {"model": "words", "prefer": "nowhere"}}, studies=["s"]).bundles()


def test_the_newest_finished_run_of_a_model_is_taken(experiments):
    experiments("s", "words", "2026-01-01")
    newest = experiments("s", "words", "2026-02-01", seeds=(2, 10))
    experiments("s", "words", "2026-03-01", state="failed")
    experiments("s", "other", "2026-04-01")
    assert bundle_of("s", "words") == newest / "bundle" / "2"  # by number, not by name
    assert bundle_of("s", "words", 10) == newest / "bundle" / "10"
    assert bundle_of("s", "words", 0).parent.parent.name == "words-2026-01-01"
    assert bundle_of(str(newest.parent.parent / "s.yaml"), "words") == newest / "bundle" / "2"


def test_without_a_seed_the_training_that_validation_would_deploy_is_taken(experiments):
    newest = experiments("s", "words", "2026-02-01", seeds=(2, 10))
    written = {"made_from": {"runs": {"words": newest.name}}, "seeds": {"words": 10, "gone": 3}}
    (newest.parent / "comparison.json").write_text(json.dumps(written))
    assert bundle_of("s", "words") == newest / "bundle" / "10"
    assert bundle_of("s", "words", 2) == newest / "bundle" / "2"
    later = experiments("s", "words", "2026-03-01", seeds=(2, 10))  # which no comparison has seen yet
    assert bundle_of("s", "words") == later / "bundle" / "2"
    (newest.parent / "comparison.json").write_text('{"torn": ')
    assert bundle_of("s", "words") == later / "bundle" / "2"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("s", "wrods"), "did you mean 'words'"),
        (("s", "words", 7), "unknown seed of 'words' in study 's' '7'; the choices are: 0, 1"),
        (("nothing", "words"), "study 'nothing' has no finished run; `workbench run nothing` makes them"),
    ],
)
def test_what_is_not_there_is_said_with_the_choices(experiments, call, said):
    experiments("s", "words", seeds=(0, 1))
    with pytest.raises(WorkbenchError) as error:
        bundle_of(*call)
    assert said in str(error.value)


def test_the_first_study_with_every_model_serves(experiments):
    experiments("first", "words")
    second = [experiments("second", name) for name in ("words", "pictures")]
    both = {"text": {"model": "words"}, "image": {"model": "pictures"}}
    found = parse(both, studies=["first", "second"]).bundles()
    assert found == {"text": second[0] / "bundle/0", "image": second[1] / "bundle/0"}  # not a mixture
    alone = parse({"text": {"model": "words"}}, studies=["first", "second"]).bundles()
    assert alone["text"].parent.parent.parent.name == "first"


def test_a_service_may_name_its_own_study_or_folder(experiments, tmp_path):
    experiments("first", "words")
    own = experiments("second", "words")
    (tmp_path / "given").mkdir()
    services = {"text": {"model": "words", "study": "second"}, "post": {"bundle": "given"}}
    assert parse(services, studies=["first"]).bundles() == {"text": own / "bundle/0", "post": tmp_path / "given"}


def test_without_a_study_it_says_what_to_run(experiments):
    experiments("first", "words")
    with pytest.raises(WorkbenchError) as error:
        parse({"text": {"model": "pictures"}}, studies=["first", "second"]).bundles()
    assert "first lacks pictures; second lacks pictures" in str(error.value)
    assert "`workbench run second` makes them" in str(error.value)


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ({"texts": {"model": "m"}}, "texts"),
        ({"text": {}}, "name either `model`"),
        ({"text": {"model": "m", "bundle": "b"}}, "name either `model`"),
        ({"text": {"bundle": "b", "seed": 1}}, "go with `model`"),
        ({"text": {"model": "m", "limits": {"body_md": 1}}}, "unknown key 'body_md'"),
        ({"text": {"model": "m", "limits": {"seconds": 0}}}, "greater than 0"),
        ({}, "at least 1"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(services, said):
    with pytest.raises(WorkbenchError) as error:
        parse(services)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bundle_that_is_not_there(tmp_path):
    with pytest.raises(WorkbenchError, match="service 'text': there is no bundle"):
        parse({"text": {"bundle": str(tmp_path / "none")}}).bundles()
