"""A study's file is checked whole: what is wrong is one sentence with the value, the choices and the next step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from workbench.decisions.objective import Objective
from workbench.decisions.thresholds import objectives
from workbench.errors import WorkbenchError
from workbench.requirements import Requirements
from workbench.schema import ROOT, expand
from workbench.studies import config
from workbench.studies.config import StudyConfig

GOOD = {
    "question": "Does it work?",
    "corpus": {"source": "files", "path": "${WORKBENCH_DATA}/posts.csv"},
    "tests": {"hatecheck": {"source": "files", "path": "h.csv"}},
    "split": {"by": "group", "validation": 0.15, "test": 0.25},
    "seeds": [0, 1, 2],
    "models": [{"name": "prior"}, {"name": "text", "as": "words", "options": {"ngrams": [1, 2]}}],
    "compare": {"pairs": [["words", "best-unimodal"]]},
}


@pytest.fixture(autouse=True)
def _tables(monkeypatch):
    """Stand in for the tables of models and sources, so that these tests are about the file alone."""
    monkeypatch.setattr(config, "MODELS", {"prior": "", "text": "", "clip-cross": ""})
    monkeypatch.setattr(config, "SOURCES", {"files": "", "synthetic": ""})


def load(folder: Path, **changes: object) -> StudyConfig:
    """Load the good study with some keys changed; None deletes a key."""
    values = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(values))
    return StudyConfig.load(path)


def test_a_good_study_is_read_with_its_names_and_defaults(tmp_path):
    study = load(tmp_path, seeds=None)
    assert (study.name, study.folder) == ("toy", tmp_path / "toy")
    assert study.notebook_path == ROOT / "notebooks" / "03-train-a-model.ipynb"
    assert [(entry.name, entry.alias) for entry in study.models] == [("prior", "prior"), ("text", "words")]
    assert study.models[1].options == {"ngrams": [1, 2]}
    assert study.compare.metric == "average_precision"
    assert (study.seeds, study.timeout_minutes) == ((0,), 60)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sedes": [1]}, "unknown key 'sedes'; did you mean 'seeds'"),
        ({"question": None}, "key 'question' is missing"),
        ({"question": 7}, "question: Input should be a valid string (got 7)"),
        ({"seeds": []}, "seeds: "),
        ({"seeds": [1, 1]}, "seeds: each seed must be a different whole number"),
        ({"seeds": ["1"]}, "seeds.0: Input should be a valid integer (got '1')"),
        ({"seeds": [True]}, "seeds.0: Input should be a valid integer"),
        ({"seeds": 3}, "seeds: "),
        ({"models": []}, "models: "),
        ({"models": [{"as": "x"}]}, "'models.0.name' is missing"),
        ({"models": [{"name": "prior", "optoins": {}}]}, "models.0: unknown key 'optoins'; did you mean 'options'"),
        ({"models": [{"name": "prior", "options": []}]}, "models.0.options"),
        ({"models": [{"name": "prior", "as": "a/b"}]}, "models.0.as"),
        ({"models": [{"name": "prior", "as": "a\n"}]}, "models.0.as"),
        ({"models": [{"name": "prior"}, {"name": "text", "as": "prior"}]}, "the model name 'prior' is used twice"),
        ({"models": [{"name": "prior", "as": "best-unimodal"}]}, "'best-unimodal'"),
        ({"models": [{"name": "prior"}, {"name": "prior", "as": "again"}]}, "models 'prior' and 'again' are the same"),
        ({"models": [{"name": "clip-cros"}]}, "unknown model 'clip-cros'; did you mean 'clip-cross'?"),
        ({"corpus": {"path": "x"}}, "corpus needs a `source`; the choices are: files, synthetic"),
        ({"corpus": {"source": "fils"}}, "corpus: unknown source 'fils'; did you mean 'files'?"),
        ({"corpus": "files"}, "corpus: "),
        ({"tests": {"h": {"source": "web"}}}, "tests.h: unknown source 'web'"),
        ({"tests": {"validation": {"source": "files"}}}, "a test set cannot be called 'validation'"),
        ({"compare": {"metrik": "f1"}}, "unknown key 'metrik'; did you mean 'metric'"),
        ({"compare": {"pairs": [["words", "late-fusion"]]}}, "compare.pairs: unknown model 'late-fusion'"),
        ({"timeout_minutes": 0}, "timeout_minutes"),
        ({"search": {"trials": 0}}, "search: trials: Input should be greater than or equal to 1"),
        ({"search": {"seconds": -1}}, "search: seconds: Input should be greater than 0"),
        ({"search": {"trails": 3}}, "search: unknown key 'trails'; did you mean 'trials'?"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(WorkbenchError) as caught:
        load(tmp_path, **changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "- a", "a: [", "\x00"])
def test_a_file_that_is_no_study_is_one_sentence(tmp_path, content):
    path = tmp_path / "toy.yaml"
    path.write_text(content)
    with pytest.raises(WorkbenchError, match=r"toy\.yaml"):
        StudyConfig.load(path)
    with pytest.raises(WorkbenchError, match="cannot read"):
        StudyConfig.load(tmp_path / "absent.yaml")


def test_a_name_that_makes_no_folder_is_refused(tmp_path):
    with pytest.raises(WorkbenchError, match="must be named with letters"):
        StudyConfig.load(tmp_path / "a b\n.yaml")


def test_names_of_an_earlier_version_are_all_told_in_one_error(tmp_path):
    models = [{"name": "prior"}, {"name": "text", "as": "words", "options": {"readings": False}}]
    with pytest.raises(WorkbenchError) as told:
        load(tmp_path, models=models, policy={"unusual": {"encoder": "tiny"}})
    assert "policy.unusual is now policy.out_of_distribution" in str(told.value)
    assert "models.1.options.readings is now models.1.options.variants" in str(told.value)
    assert str(told.value).count("\n") == 0


def test_variables_are_replaced_at_any_depth_and_a_missing_one_is_named(monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", "/data")
    value = {"a": ["${WORKBENCH_DATA}/x", 1], "b": {"c": "${WORKBENCH_DATA}"}, "d": "$HOME", "e": None}
    assert expand(value, "here") == {"a": ["/data/x", 1], "b": {"c": "/data"}, "d": "$HOME", "e": None}
    monkeypatch.delenv("WORKBENCH_DATA")
    with pytest.raises(WorkbenchError, match=r"here uses .*WORKBENCH_DATA is not set.*README"):
        expand(value, "here")


def test_a_study_can_be_read_without_its_data(tmp_path, monkeypatch):
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    assert load(tmp_path).corpus["path"] == "${WORKBENCH_DATA}/posts.csv"


def test_reading_a_study_imports_nothing_heavy():
    ask = "import sys, workbench.studies.config\nprint({'torch', 'open_clip', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_synthetic_studies_ask_for_what_can_be_proven_of_their_world_and_others_for_the_default():
    for path in sorted((ROOT / "experiments").glob("*.yaml")):
        study = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = objectives(study.get("policy") or {}, ("abuse",))["abuse"].remove
        least = 0.8 if study["corpus"]["source"] == "synthetic" else 0.9
        assert found == Objective(precision=least, sure=0.9), path


def test_requirements_are_the_sites_own_another_files_or_none(tmp_path):
    def loaded(**changed):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(GOOD | changed))
        return StudyConfig.load(path).requirements

    assert loaded() == Requirements.load()
    assert loaded(requirements=None) is None
    own = {"problem": "Spam", "asked_by": "us"}
    (tmp_path / "needs.yaml").write_text(yaml.safe_dump(own))
    assert loaded(requirements="needs.yaml") == loaded(requirements=own) == Requirements.load(own)
    for wrong, said in (
        ("neds.yaml", "neds.yaml"),
        ([], "must be a path or a mapping"),
        ({"problem": "x"}, "asked_by"),
    ):
        with pytest.raises(WorkbenchError, match=said):
            loaded(requirements=wrong)
