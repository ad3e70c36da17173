"""Labels are the study's: how a study names them, that every part takes them, and that studies stand side by side."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import yaml
from small_forum import forum
from typer.testing import CliRunner

from workbench import cli
from workbench.comparison.rows import Comparison
from workbench.decisions.moderator import Moderator
from workbench.errors import TaxonomyMismatch, WorkbenchError, unknown_label
from workbench.records import Records
from workbench.schema import ROOT, Taxonomy
from workbench.serving.api.app import Api
from workbench.serving.config import ServingConfig, bundle_of
from workbench.serving.engine import Engine
from workbench.studies import find, parameters, plan
from workbench.studies.config import StudyConfig

WHOLE = {"labels": [{"name": "spam", "title": "Junk", "urgency": 2}, "scam"], "exclusive": [["spam", "scam"]]}


def study(folder: Path, **changes: object) -> Path:
    values = {"question": "Which?", "corpus": {"source": "synthetic"}, "models": [{"name": "prior"}], **changes}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------ how they are named


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["spam", "scam"], ("spam", "scam")),
        (WHOLE, ("spam", "scam")),
        ("own.yaml", ("spam", "scam")),  # beside the study
        ("data/taxonomy.yaml", Taxonomy.load().names),  # from the repository
        ("${OWN_LABELS}/own.yaml", ("spam", "scam")),
    ],
)
def test_a_study_names_its_labels_or_a_file_of_them(tmp_path, monkeypatch, given, names):
    monkeypatch.setenv("OWN_LABELS", str(tmp_path))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(WHOLE), encoding="utf-8")
    config = StudyConfig.load(study(tmp_path, taxonomy=given))
    assert config.taxonomy.names == names
    assert StudyConfig.load(study(tmp_path)).taxonomy == Taxonomy.load()


def test_a_name_alone_is_a_label_with_the_name_in_plain_words_for_people():
    spam, scam = Taxonomy.load({**WHOLE, "labels": [WHOLE["labels"][0], "money_scam"], "exclusive": []}).labels
    assert (spam.title, spam.urgency, spam.definition) == ("Junk", 2, "")
    assert (scam.title, scam.mode) == ("Money scam", "proactive")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"taxonomy": []}, "taxonomy names no label"),
        ({"taxonomy": ""}, "taxonomy names no label"),
        ({"taxonomy": 7}, "taxonomy names no label"),
        ({"taxonomy": ["Hate Speech"]}, "as in hate_speech (got 'Hate Speech')"),
        ({"taxonomy": ["spam", "spam"]}, "label names repeat: spam, spam"),
        ({"taxonomy": {"labels": ["spam"], "exclusve": []}}, "did you mean 'exclusive'"),
        ({"taxonomy": "none.yaml"}, "none.yaml: No such file"),
        ({"taxonomy": ["spam"], "policy": {"abuse": {}}}, "policy: unknown label 'abuse'"),
        ({"taxonomy": ["spam"], "compare": {"label": "abuse"}}, "compare.label: unknown label 'abuse'"),
        ({"compare": {"label": "race"}}, "for other labels write `taxonomy: [race, ...]` beside `corpus`"),
    ],
)
def test_labels_that_make_no_sense_are_one_sentence_before_anything_is_read(tmp_path, changes, said):
    with pytest.raises(WorkbenchError) as caught:
        StudyConfig.load(study(tmp_path, **changes))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_that_is_not_there_says_how_to_have_it():
    assert unknown_label("Toxic?", ["abuse"]).endswith(
        "for other labels write `taxonomy: [toxic, ...]` beside `corpus`"
    )


def test_runs_take_the_studys_labels_and_are_known_by_their_names_not_by_their_wording(tmp_path):
    corpus = {"source": "files", "path": str(forum(tmp_path / "f.csv")), "text": "body", "labels": {"spam": "flag"}}
    keys = {}
    for name, given in (("plain", ["spam"]), ("worded", [{"name": "spam", "title": "Junk"}]), ("more", ["spam", "x"])):
        (run,) = plan.plan(StudyConfig.load(study(tmp_path, corpus=corpus, taxonomy=given)))
        assert run.parameters["taxonomy"]["labels"][0]["name"] == "spam"
        keys[name] = run.key
    assert keys["plain"] == keys["worded"] != keys["more"]
    (run,) = plan.plan(StudyConfig.load(study(tmp_path)))  # one that names none
    declared = parameters.resolve(ROOT / "notebooks" / "03-train-a-model.ipynb", {})
    assert run.parameters["taxonomy"] == declared["taxonomy"] == ""


# --------------------------------------------------------------------------------------------- studies side by side


def workbench(folder: Path, *arguments: object) -> str:
    """Call a command in a folder and return what it says; it must end well."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder outside the repository with two finished studies of one file, each with labels of its own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    posts = forum(folder / "forum.csv")
    asked = {"source": "files", "path": str(posts), "post_id": "nr", "text": "body"}
    for name, labels in (("spam", ["spam", "scam"]), ("tone", [{"name": "rude", "title": "Rudeness"}])):
        values = {
            "question": f"Which finds {name}?",
            "taxonomy": labels,
            "corpus": {**asked, "labels": {"spam" if name == "spam" else "rude": "flag"}},
            "leaks": {"allow": {"near_text": "all of it is made up"}},
            "models": [{"name": "text-tfidf"}],
            "compare": {"view": "all", "resamples": 100, "slice_resamples": 100},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        workbench(folder, "run", name)
    return folder


def test_each_has_its_labels_and_neither_runs_again_because_of_the_other(finished):
    for name, labels in (("spam", ("spam", "scam")), ("tone", ("rude",))):
        assert Comparison.load(finished / name).labels == labels
        assert "up to date" in workbench(finished, "run", name, "--dry-run")
        assert "done" in workbench(finished, "status", f"{name}.yaml")
    assert "rude" in workbench(finished, "compare", "tone", "--by-label")


def test_every_command_finds_a_study_elsewhere_and_takes_its_labels(finished):
    assert "labels of spam look wrong" in workbench(finished, "noise", "spam")
    assert "labels of rude look wrong" in workbench(finished, "noise", finished / "tone.yaml")
    assert "agrees" in workbench(finished, "trace", "tone", "test/all/rude/text-tfidf/recall")
    assert "text-tfidf" in workbench(finished, "diff", "spam:text-tfidf", "tone:text-tfidf")
    assert "Rudeness" not in workbench(finished, "bundle", "show", "spam:text-tfidf")
    assert "texts" in workbench(finished, "audit", "tone", "--only", "time")
    page = (finished / "tone" / "report.html").read_text(encoding="utf-8")
    assert f"workbench compare {(finished / 'tone.yaml').resolve()}" in page
    assert f"workbench trace {(finished / 'tone.yaml').resolve()} ADDRESS" in page


def test_a_bundle_brings_its_labels_and_score_says_which_of_them_it_lacks(finished):
    given = ("forum.csv", "-o", "out.csv", "--columns", "text=body,post_id=nr")
    said = workbench(finished, "score", "spam:text-tfidf", *given)
    assert "nothing is said of scam: the bundle was not trained for it" in said
    assert "p_spam" in (finished / "out.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "nothing is said of" not in workbench(finished, "score", "tone:text-tfidf", *given)
    folder = bundle_of(str(finished / "spam.yaml"), "text-tfidf")
    assert Moderator.load(folder).taxonomy.names == ("spam", "scam")
    with pytest.raises(TaxonomyMismatch, match=r"\(spam, scam\), but rude is taxonomy"):
        Moderator.load(folder, taxonomy=Taxonomy.load(["rude"]))


def test_a_study_is_found_by_its_file_with_and_without_ending_and_beside_its_results(finished, monkeypatch):
    monkeypatch.chdir(finished)
    for given in ("spam", "spam/", "spam.yaml", str(finished / "spam")):
        assert find(given).resolve() == (finished / "spam.yaml").resolve()
    assert find("experiments/smoke.yaml").resolve() == ROOT / "experiments" / "smoke.yaml"
    assert find("smoke") == ROOT / "experiments" / "smoke.yaml"
    with pytest.raises(WorkbenchError, match="or the path of a study's file"):
        find("spma")


def test_posts_of_a_file_are_audited_for_the_labels_that_are_named(finished):
    said = workbench(
        finished, "audit", "forum.csv", "--columns", "text=body,post_id=nr,label.rude=flag", "--only", "shortcut",
        "-o", "found.json",
    )  # fmt: skip
    assert said
    found = json.loads((finished / "found.json").read_text(encoding="utf-8"))
    assert {row["label"] for row in found["shortcut"]["scores"]} == {"rude"}


def served(place: Path, **bundles: Path) -> Engine:
    config = {"services": {name: {"bundle": str(bundle)} for name, bundle in bundles.items()}}
    return Engine(ServingConfig.parse(config, "serving"), Records(place), device="cpu")


def test_a_server_speaks_of_the_labels_of_its_bundles_which_must_be_the_same(finished, tmp_path):
    spam, tone = (bundle_of(str(finished / f"{name}.yaml"), "text-tfidf") for name in ("spam", "tone"))
    engine = served(tmp_path / "one", text=spam, post=spam)
    try:
        assert engine.services()["text"].labels == ("spam",)
        assert engine.taxonomy.names == ("spam", "scam")
        assert "spam" in json.dumps(Api(engine).document())
        assert "nudity" not in json.dumps(Api(engine).document())
    finally:
        engine.close()
        engine.records.close()
    mixed = served(tmp_path / "two", text=spam, post=tone)
    try:
        with pytest.raises(TaxonomyMismatch, match=r"\(rude\), but spam, scam is taxonomy"):
            mixed.load()
    finally:
        mixed.close()
        mixed.records.close()
