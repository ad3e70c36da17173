"""A study by folds: all posts are tested once, by models of others, and every part of the way knows it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import line_model
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from typer.testing import CliRunner

from workbench import cli, models
from workbench.artifacts import read_json
from workbench.comparison import facts
from workbench.comparison.predictions import load_run, load_runs
from workbench.comparison.rows import Comparison
from workbench.corpora import splits
from workbench.decisions.thresholds import objectives
from workbench.errors import WorkbenchError
from workbench.evidence.audit import looking
from workbench.features import FeatureStore
from workbench.serving.config import bundle_of
from workbench.studies import DONE, worker
from workbench.studies.compare import compare_study, recompare
from workbench.studies.config import StudyConfig
from workbench.studies.plan import plan
from workbench.studies.steps import prepare, training

N, FOLDS = 240, 3
WORDS = ["away", "bear", "cab", "dust", "ebb", "fold", "gate", "hill", "inch", "jump", "kite", "lamp", "mist", "nest"]


def posts(n: int = N, seed: int = 0) -> list[dict]:
    """Return posts whose label the letter a tells in part."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, 9)) + f" {seed} {row} {rng.integers(1e12)}" for row in range(n)]
    harm = [bool(rng.random() < 1 / (1 + np.exp(3 - text.count("a")))) for text in texts]
    return [{"id": f"p{row}", "text": text, "abuse": harm[row]} for row, text in enumerate(texts)]


def corpus(path: Path, rows: list[dict]) -> dict:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return {"source": "files", "path": str(path), "post_id": "id", "text": "text", "labels": {"abuse": "abuse"}}


def written(folder: Path, **changes: object) -> StudyConfig:
    study = {
        "question": "Which?",
        "corpus": changes.get("corpus") or corpus(folder / "posts.jsonl", posts()),
        "taxonomy": ["abuse"],
        "split": {"folds": FOLDS, "validation": 0.3},
        "seeds": [0, 1],
        "models": [{"name": "prior"}, {"name": line_model.NAME}, {"name": "text-hashing"}],
        "compare": {"view": "all", "metric": "roc_auc", "label": "abuse", "pairs": [["text-hashing", "line"]]},
    }
    study["compare"] |= {"resamples": 200, "slice_resamples": 100}
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(study | changes))
    return StudyConfig.load(path)


def execute(study: StudyConfig, only: str = "") -> None:
    """Do what the notebook of each run that is due does."""
    runs = [run for run in plan(study) if run.reasons and run.name.startswith(only)]
    study.folder.mkdir(exist_ok=True)
    prepare.gate(study, runs)
    for run in runs:
        given, store = run.parameters, FeatureStore(None)
        parts = (given[name] for name in ("corpus", "split", "tests"))
        material = training.prepare(*parts, study.taxonomy, given["leaks"])
        fitted = training.fit(given["model"], given["options"], material, given["seeds"], store)
        ready = training.moderate(fitted, material, objectives({}, study.taxonomy.names))
        training.save(run.folder, ready, training.score(ready, material), material, store)
        about = {"key": run.key, "alias": run.alias, "model": given["model"], "inputs": run.inputs, "commit": "c"}
        worker.write_record(run.folder, {**about, "corpus_digest": run.inputs["data corpus"]}, DONE, 1.0)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, line_model.NAME, line_model.ENTRY)
        folder = tmp_path_factory.mktemp("folds")
        elsewhere = corpus(folder / "elsewhere.jsonl", posts(60, seed=9))
        made = written(folder, tests={"elsewhere": elsewhere})
        execute(made)
        compare_study(made, plan(made), plan(made)[0].inputs)
        yield made


def runs_of(study: StudyConfig) -> dict:
    return {run.alias: run for run in load_runs({run.name: run.folder for run in plan(study)})}


def test_each_post_is_tested_once_and_scored_by_a_model_that_did_not_see_it(study):
    table = pq.read_table(study.folder / facts.NAME).to_pandas()
    test = table[table["split"] == "test"]
    assert sorted(test["post_id"]) == sorted(f"p{n}" for n in range(N))
    assert set(test["fold"]) == {0, 1, 2}
    assert table[table["split"] == "elsewhere"]["fold"].isna().all()
    run = runs_of(study)["line"]
    assert run.sets["test"].prob.shape == (2, N, 1)
    for fold, part in enumerate(run.parts):
        mine = np.isin(run.sets["test"].post_id, part.sets["test"].post_id)
        assert (run.sets["test"].fold[mine] == fold).all()
        assert (run.sets["test"].prob[:, mine] == part.sets["test"].prob).all()
        assert (run.cuts("test")[:, mine] == part.thresholds[:, None]).all()
        assert (run.base("test")[:, mine] == part.prevalence).all()


def test_scores_are_those_of_a_plain_scikit_learn_loop(study):
    run, rows = runs_of(study)["line"], {row["id"]: row for row in posts()}
    test, validation = run.sets["test"], run.sets["validation"]
    x = line_model.counted([rows[post_id]["text"] for post_id in test.post_id])
    y = np.array([rows[post_id]["abuse"] for post_id in test.post_id])
    held = [test.post_id[test.fold == fold] for fold in range(FOLDS)]
    spared = [validation.post_id[validation.fold == fold] for fold in range(FOLDS)]
    places = [(~np.isin(test.post_id, [*a, *b]), np.isin(test.post_id, a)) for a, b in zip(held, spared, strict=True)]
    cv = [tuple(np.flatnonzero(side) for side in sides) for sides in places]
    logits = cross_val_predict(LogisticRegression(), x, y, cv=cv, method="decision_function")
    assert run.sets["test"].logit[0, :, 0] == pytest.approx(logits, abs=1e-5)
    # the value is that of all posts together, by their calibrated probabilities
    row = next(row for row in Comparison.load(study.folder).rows(model="line"))
    assert row.n == N
    assert row.value == pytest.approx(roc_auc_score(y, test.prob[0, :, 0] + 1e-9 * test.logit[0, :, 0]), abs=1e-6)
    assert row.value == pytest.approx(roc_auc_score(y, logits), abs=0.03)


def test_flags_are_those_of_each_folds_own_threshold(study):
    run = runs_of(study)["text-hashing"]
    row = next(row for row in Comparison.load(study.folder).rows(model="text-hashing", metric="recall"))
    counts = np.zeros(2)
    for part in run.parts:
        scores = part.sets["test"]
        flagged = scores.prob[..., 0] >= part.thresholds
        counts += [(flagged & scores.y[:, 0]).sum(), (flagged & ~scores.y[:, 0]).sum()]
    assert (row.confusion["tp"], row.confusion["fp"]) == pytest.approx(tuple(counts / 2))  # the mean of two seeds


def test_a_further_test_set_is_scored_by_every_fold_and_a_fold_counts_as_one_training(study):
    comparison, run = Comparison.load(study.folder), runs_of(study)["text-hashing"]
    row = next(
        row
        for row in comparison.models
        if (row.model, row.test) == ("text-hashing", "elsewhere")
        and (row.metric, row.label, row.view) == ("roc_auc", "abuse", "all")
    )
    y = run.sets["elsewhere"].y[:, 0]
    by_fold = [np.mean([roc_auc_score(y, logit[:, 0]) for logit in part.sets["elsewhere"].logit]) for part in run.parts]
    assert run.sets["elsewhere"].prob.shape == (2 * FOLDS, 60, 1)
    assert row.n == 60
    assert row.value == pytest.approx(np.mean(by_fold), abs=1e-6)
    assert row.seed_sd == pytest.approx(np.std(by_fold, ddof=1), abs=1e-6)


def test_the_report_says_that_trainings_overlap_and_what_is_deployed(study):
    comparison = Comparison.load(study.folder)
    assert (comparison.folds, comparison.bundle) == (FOLDS, ())
    page = (study.folder / "report.html").read_text()
    for words in (
        "tested once, in 3 folds",
        "share much of their posts with each other",
        "Bengio &amp; Grandvalet 2004",
        "the first fold",
    ):
        assert words in page
    first = {run.name: run.folder for run in plan(study)}["line/0"]
    assert bundle_of(str(study.path), "line").parent.parent == first
    card = read_json(bundle_of(str(study.path), "line") / "moderator.json")["card"]
    assert card["posts"]["test"] == len(load_run(first).sets["test"].post_id)
    assert sum(card["posts"][name] for name in ("train", "validation", "test")) == N


def test_a_number_is_followed_to_the_runs_of_all_folds_and_two_of_them_are_compared(study):
    said = CliRunner().invoke(cli.app, ["trace", str(study.path), "test/all/abuse/line/roc_auc"]).output
    assert "agrees: computed again" in " ".join(said.split())
    assert said.count("run: line/") == FOLDS
    said = CliRunner().invoke(cli.app, ["diff", f"{study.path}:line/0", f"{study.path}:line/1"]).output
    assert "options: parameter split.fold: 0 -> 1" in said
    assert "data: the same" in said


def test_runs_are_named_by_fold_finished_ones_stay_and_another_number_of_folds_redoes_all(study, tmp_path):
    lines = CliRunner().invoke(cli.app, ["run", str(study.path), "--dry-run"]).output.splitlines()
    assert [line.split(": ")[0] for line in lines] == study.run_names
    assert {line.split(": ")[1] for line in lines} == {"up to date"}
    assert len({run.key for run in plan(study)}) == 3 * FOLDS
    values = yaml.safe_load(study.path.read_text())
    values["split"]["folds"] = 4
    text = study.path.read_text()
    try:
        study.path.write_text(yaml.safe_dump(values | {"split": {"folds": 4, "validation": 0.2}}))
        runs = {run.name: run.reasons for run in plan(StudyConfig.load(study.path))}
    finally:
        study.path.write_text(text)
    assert "parameter split.folds: 3 -> 4" in runs["line/0"]
    assert runs["line/3"] == ("never ran",)


def test_without_the_corpus_the_comparison_is_made_from_what_is_stored(study):
    before, place = Comparison.load(study.folder), study.path.with_name("posts.jsonl")
    try:
        place.rename(place.with_suffix(".gone"))
        again = recompare(study.path)
    finally:
        place.with_suffix(".gone").rename(place)
    assert [row.value for row in again.models] == [row.value for row in before.models]
    compare_study(study, plan(study), plan(study)[0].inputs)


def test_a_model_without_all_its_folds_is_not_compared(study, capsys):
    runs = plan(study)
    lacking = [replace(run, state="failed") if run.name == "line/1" else run for run in runs]
    made = compare_study(study, lacking, runs[0].inputs)
    assert made.names == ["prior", "text-hashing"]
    assert [(row.model, row.state) for row in made.missing] == [("line", "failed")]
    with pytest.raises(WorkbenchError, match="tested in 3 folds, and has finished runs of these: 0, 2"):
        load_runs({run.name: run.folder for run in runs if run.name in ("line/0", "line/2")})
    compare_study(study, runs, runs[0].inputs)


def families(n: int, rng: np.random.Generator) -> list[dict]:
    """Return near-duplicates, three a family, whose label is their family's and chance; only families share words."""
    rows = []
    for family in range(n):
        words = ["".join(rng.choice(list("bcdfghklmnprst"), 6)) for _ in range(30)]
        harm = bool(rng.random() < 0.5)
        for copy in range(3):
            changed = [*words[:copy], f"w{family}x{copy}", *words[copy + 1 :]]
            rows.append({"id": f"f{family}-{copy}", "text": " ".join(changed), "abuse": harm})
    return rows


def test_what_only_a_leak_would_tell_is_worth_nothing(tmp_path):
    read = corpus(tmp_path / "posts.jsonl", families(80, np.random.default_rng(3)))
    study = written(
        tmp_path, corpus=read, models=[{"name": "text-hashing"}], compare={"view": "all", "resamples": 100}, seeds=[0]
    )
    execute(study)
    scores = runs_of(study)["text-hashing"].sets["test"]
    assert len({*scores.group}) == 80  # near-duplicates are one family, though the file names none
    assert 0.3 < roc_auc_score(scores.y[:, 0], scores.prob[0, :, 0]) < 0.7
    # dealt out one by one the same posts are found by the words that their copies share
    sets, *_ = splits.divide(study.corpus, {**study.split, "fold": 0}, {}, study.taxonomy)
    model = models.create("text-hashing", {}, taxonomy=study.taxonomy, store=FeatureStore(None))
    model.fit(sets["train"], sets["validation"], seed=0)
    y = np.array([row["abuse"] for row in sets["test"]["labels"].to_pylist()])
    assert roc_auc_score(y, model.predict(sets["test"]).logits[:, 0]) > 0.85


def test_families_are_linked_by_groups_words_and_pictures_in_a_chain(tmp_path):
    long = "seven brown foxes were looking for the old road behind our house last winter"
    rows = [
        {"id": "a", "text": long, "g": "1"},
        {"id": "b", "text": f"{long} indeed", "g": "2"},
        {"id": "c", "text": "something else that nobody else has ever written down before", "g": "2"},
        {"id": "d", "text": "a third thing, which stands alone among all of these few posts", "g": "9"},
    ]
    path = tmp_path / "posts.jsonl"
    read = corpus(path, [row | {"abuse": True} for row in rows]) | {"group": "g"}
    from workbench import corpora
    from workbench.schema import Taxonomy

    table = corpora.load(read, Taxonomy.load(["abuse"])).table
    assert looking.families(table) == ["1", "1", "1", "9"]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"folds": 3, "fold": 1}, "a study tests every fold; leave out `fold`"),
        ({"folds": 3, "test": 0.2}, "leave out `test`"),
        ({"folds": "many"}, "folds"),
    ],
)
def test_a_study_that_cannot_be_is_refused_before_anything_is_read(tmp_path, split, words):
    with pytest.raises(WorkbenchError, match=words):
        written(tmp_path, split=split, models=[{"name": "prior"}], compare={})
