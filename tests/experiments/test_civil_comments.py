"""The study of Civil Comments on a set with its features, saved here; the real one needs a network and a commit."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner
from written_study import texts

from workbench import cli, corpora
from workbench.metrics.table import METRICS
from workbench.models.fit.targets import target_matrix
from workbench.schema import ROOT, inputs, label_matrix
from workbench.studies.config import StudyConfig
from workbench.studies.steps import training

STUDY = ROOT / "experiments" / "civil-comments.yaml"
SHARES = ["toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack", "sexual_explicit"]
FEATURES = datasets.Features({"text": datasets.Value("string")} | dict.fromkeys(SHARES, datasets.Value("float32")))
READ = {"abuse": "toxicity", "nudity": "sexual_explicit", "violence": "threat"}
MARKED = {"toxicity": "fool", "threat": "burn", "sexual_explicit": "naked"}
SIZES = {"train": 1200, "validation": 600, "test": 600}  # of which the study takes a tenth


def rows(split: str) -> dict[str, list]:
    """Comments whose words tell by how many of ten annotators they are called what."""
    places = np.cumsum([0, *SIZES.values()])
    start, count = places[[*SIZES].index(split)], SIZES[split]
    rng = np.random.default_rng(start)
    found: dict[str, list] = {"text": texts(sum(SIZES.values()))[start : start + count]}
    for name in SHARES:
        high = rng.random(count) < 0.3
        found[name] = np.where(high, rng.choice([0.5, 0.6, 0.9], count), rng.choice([0.0, 0.1, 0.4], count)).tolist()
        if name in MARKED:
            marks = np.where(high, f" {MARKED[name]}", "")
            found["text"] = [f"{text}{mark}" for text, mark in zip(found["text"], marks, strict=True)]
    return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder as the hub has the set, and the study of it."""
    folder = tmp_path_factory.mktemp("set")
    for name in SIZES:
        part = datasets.Dataset.from_dict(rows(name), features=FEATURES)
        (folder / "data").mkdir(exist_ok=True)
        part.to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
    study = yaml.safe_load(STUDY.read_text("utf-8"))
    study["corpus"]["name"] = str(folder)
    study["leaks"] = {"allow": {"near_text": "all of it is made up"}}
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_commit_is_asked_for_in_one_sentence(tmp_path, revision):
    study = yaml.safe_load(STUDY.read_text("utf-8"))
    assert "revision" not in study["corpus"]
    if revision:
        study["corpus"]["revision"] = revision
    path = tmp_path / "civil.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    for more in ([], ["--dry-run"]):
        done = CliRunner().invoke(cli.app, ["run", str(path), *more])
        assert done.exit_code == 2
        assert "'google/civil_comments' needs `revision`, the 40 hex digits of a commit" in done.stderr
        assert done.stderr.count("\n") == 1


def test_shares_are_learnt_and_what_more_than_half_say_is_true(saved, tmp_path):
    study = StudyConfig.load(saved)
    table = corpora.load(study.corpus, study.taxonomy, cache=tmp_path).table
    assert table["split"].to_pylist() == [name for name, count in SIZES.items() for _ in range(count // 10)]
    learnt, some = target_matrix(table, study.taxonomy)
    y, known = label_matrix(table, study.taxonomy)
    for label, column in READ.items():
        k = study.taxonomy.names.index(label)
        share = np.concatenate([np.float32(rows(name)[column][: SIZES[name] // 10]) for name in SIZES])
        np.testing.assert_allclose(learnt[:, k], share, rtol=1e-6)
        assert some[:, k].all()
        np.testing.assert_array_equal(known[:, k], share != 0.5)  # half of the annotators say neither yes nor no
        np.testing.assert_array_equal(y[known[:, k], k] > 0.5, share[known[:, k]] > 0.5)
    assert not known[:, study.taxonomy.names.index("misinformation")].any()
    assert set(table["meta"][0].as_py()) == {"severe_toxicity", "obscene", "insult", "identity_attack"}


def test_words_of_the_study_rank_what_most_annotators_say(saved):
    study = StudyConfig.load(saved)
    material = training.prepare(study.corpus, study.split, study.tests, study.taxonomy, study.leaks)
    y, known = label_matrix(material.sets["test"], study.taxonomy)
    (entry,) = (entry for entry in study.models if entry.alias == "words")
    (fitted,) = training.fit(entry.name, entry.options | {"bits": 12}, material, [0], store=None)
    logits = fitted.model.logits(inputs(material.sets["test"]))
    for label in READ:
        k = study.taxonomy.names.index(label)
        assert METRICS["roc_auc"](y[:, k] > 0.5, logits[:, k], known=known[:, k]) > 0.9
