"""What stands before a study's first run, and what its finished runs give: facts made anew, a family that stays."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench import corpora
from workbench.artifacts import read_json, write_json
from workbench.comparison import facts
from workbench.comparison.predictions import load_runs
from workbench.comparison.rows import Comparison, Difference
from workbench.comparison.run_files import RunRecord
from workbench.corpora import splits
from workbench.errors import WorkbenchError
from workbench.preprocessing.text import identities
from workbench.report import cards, page
from workbench.schema import Taxonomy
from workbench.studies import compare, worker
from workbench.studies.config import StudyConfig
from workbench.studies.plan import plan
from workbench.studies.steps import prepare

WORDS = ("a woman", "a man", "the weather", "a muslim")
PAIRS = [["a", "b"], ["a", "c"]]


def written(folder: Path, pairs=PAIRS, models="abc", metric="average_precision", validation=0.3) -> StudyConfig:
    """Write a study of models that look at nothing, each with another constant, so that each is a run of its own."""
    lines = "".join(f'{{"id": "p{n}", "text": "{WORDS[n % 4]} {n}", "abuse": {n % 3 == 0:d}}}\n' for n in range(120))
    (folder / "posts.jsonl").write_text(lines)
    corpus = {"source": "files", "path": str(folder / "posts.jsonl"), "post_id": "id", "text": "text"}
    names = {"a": "prior", "b": "text-tfidf", "c": "text-hashing", "d": "text-tokens"}
    study = {
        "question": "Which?",
        "corpus": corpus | {"labels": {"abuse": "abuse"}},
        "split": {"validation": validation, "test": 0.4},
        "models": [{"name": names[alias], "as": alias} for alias in models],
        "compare": {"view": "all", "pairs": pairs, "resamples": 100, "slice_resamples": 100, "metric": metric},
    }
    (folder / "s.yaml").write_text(json.dumps(study))
    return StudyConfig.load(folder / "s.yaml")


def finish(study: StudyConfig, aliases: str) -> dict[str, Path]:
    """Prepare a study and leave finished runs of some models behind, as if they had run; return their folders."""
    runs = {run.alias: run for run in plan(study)}
    sets, _, _ = splits.divide(study.corpus, study.split, study.tests, Taxonomy.load())
    study.folder.mkdir(exist_ok=True)
    prepare.prepare_study(study, next(iter(runs.values())).inputs, sets)
    labels = Taxonomy.load().names
    for number, alias in enumerate(aliases):
        run, rng, parts = runs[alias], np.random.default_rng(number), []
        run.folder.mkdir(parents=True)
        for name in ("validation", "test"):
            columns = {"post_id": sets[name]["post_id"], "split": [name] * len(sets[name])}
            columns["seed"] = np.zeros(len(sets[name]), int)
            for label in labels:
                logit = rng.normal(size=len(sets[name]))
                columns |= {f"logit_{label}": logit, f"prob_{label}": 1 / (1 + np.exp(-logit))}
            parts.append(pa.table(columns))
        about = {"labels": labels, "model": alias, "modalities": ["text"], "taxonomy": Taxonomy.load().fingerprint}
        table = pa.concat_tables(parts).replace_schema_metadata({"workbench": json.dumps(about)})
        pq.write_table(table, run.folder / "predictions.parquet")
        write_json(run.folder / "metrics.json", {"thresholds": {label: {"0": 0.5} for label in labels}})
        known = {"key": run.key, "alias": alias, "inputs": run.inputs, "corpus_digest": run.inputs["data corpus"]}
        worker.write_record(run.folder, known, "done", 1.0)
    return {alias: runs[alias].folder for alias in aliases}


@pytest.fixture
def study(tmp_path, monkeypatch) -> StudyConfig:
    for module, name in ((page, "report.html"), (cards, "cards.md")):  # what is drawn of it is of no matter here
        monkeypatch.setattr(module, "write", lambda folder, *given, name=name: (folder / name).write_text(""))
    monkeypatch.setattr(corpora, "load", functools.partial(corpora.load, cache=tmp_path / "cache"))
    return written(tmp_path)


def mentioned(comparison: Comparison) -> dict[str, dict[str, int]]:
    """Model -> identity -> on how many posts it stands."""
    found: dict[str, dict[str, int]] = {}
    for row in comparison.bias.identities:
        found.setdefault(row.model, {})[row.identity] = row.n
    return found


def test_a_changed_word_list_gives_every_run_the_same_new_facts_and_runs_nothing(study, tmp_path, monkeypatch):
    folders = finish(study, "abc")
    first = mentioned(compare.recompare(study.path))
    assert set(first) == {"a", "b", "c"}
    assert set(first["a"]) == {"female", "male", "muslim"}
    before = {path: path.read_bytes() for folder in folders.values() for path in folder.iterdir()}

    (tmp_path / "own.yaml").write_text('version: "2"\nidentities: {weather: {en: [weather]}, female: {en: [woman]}}\n')
    monkeypatch.setattr(identities, "FILE", tmp_path / "own.yaml")
    again = mentioned(compare.recompare(study.path))
    assert set(again["a"]) == {"female", "weather"}
    assert again["a"] == again["b"] == again["c"]  # whenever they ran, they stand on one list
    assert again["a"]["female"] == first["a"]["female"]
    assert [run.state for run in plan(study)] == ["done"] * 3
    assert {path: path.read_bytes() for path in before} == before

    stamp, runs = (study.folder / facts.NAME).stat().st_mtime_ns, plan(study)
    prepare.refresh_posts(study, runs[0].inputs, runs)  # nothing changed, so nothing is written
    assert (study.folder / facts.NAME).stat().st_mtime_ns == stamp


def test_facts_of_other_posts_do_not_replace_those_that_were_scored(study, tmp_path):
    finish(study, "ab")
    scored = (study.folder / facts.NAME).read_bytes()
    compare.recompare(written(tmp_path, pairs=[], models="ab", validation=0.2).path)  # divided otherwise: all is stale
    assert (study.folder / facts.NAME).read_bytes() == scored


def test_facts_are_kept_where_the_corpus_is_gone_and_made_where_they_are_gone(study, tmp_path, capsys):
    finish(study, "ab")
    (study.folder / facts.NAME).unlink()
    assert compare.recompare(study.path).items["test"]
    assert (study.folder / facts.NAME).is_file()
    (tmp_path / "posts.jsonl").unlink()
    assert compare.recompare(study.path).stale[0].reasons[0].startswith("not checked")
    (study.folder / facts.NAME).unlink()
    with pytest.raises(WorkbenchError, match="cannot read the facts of posts"):
        compare.recompare(study.path)


def differences(study: StudyConfig) -> dict[tuple[str, str], Difference]:
    return {row.pair: row for row in compare.recompare(study.path).differences if row.primary}


def test_the_family_is_the_planned_one_while_a_model_is_missing(study, tmp_path):
    study = written(tmp_path, pairs=[["a", "b"], ["a", "c"], ["a", "d"]], models="abcd")
    finish(study, "abc")
    found = differences(study)
    assert set(found) == {("a", "b"), ("a", "c")}
    low, high = sorted(found.values(), key=lambda row: row.p)
    assert low.p_holm == pytest.approx(min(1, 3 * low.p))  # of three that were planned, not of two that ran
    assert high.p_holm == pytest.approx(min(1, max(3 * low.p, 2 * high.p)))


def test_what_is_added_after_the_first_scoring_is_exploratory(study, tmp_path, capsys):
    finish(study, "abc")
    first = read_json(study.folder / "plan.json")
    assert (first["pairs"], first["models"]) == (PAIRS, ["a", "b", "c"])
    assert set(differences(study)) == {("a", "b"), ("a", "c")}
    later = written(tmp_path, pairs=[["b", "c"]])
    prepare.prepare_study(later, plan(later)[0].inputs, {})
    assert read_json(study.folder / "plan.json") == first
    rows = {row.pair: row for row in compare.recompare(later.path).differences}
    assert rows["b", "c"].primary is False
    assert rows["b", "c"].p_holm is None
    assert rows["a", "b"].primary  # it was planned, and stays
    assert "did not plan it: b and c" in capsys.readouterr().out
    assert differences(written(tmp_path, metric="roc_auc")) == {}  # nobody had planned to look at this


def test_a_plan_may_change_until_something_is_scored_and_for_other_posts(study, tmp_path):
    sets, _, _ = splits.divide(study.corpus, study.split, study.tests, Taxonomy.load())
    study.folder.mkdir()
    prepare.prepare_study(study, plan(study)[0].inputs, sets)
    changed = written(tmp_path, pairs=[["b", "c"]])
    finish(changed, "abc")
    assert read_json(study.folder / "plan.json")["pairs"] == [["b", "c"]]
    other = written(tmp_path, validation=0.2)
    prepare.prepare_study(other, plan(other)[0].inputs, sets)
    assert read_json(study.folder / "plan.json")["pairs"] == PAIRS  # nothing has scored these posts


def test_what_was_run_can_be_read_back_under_the_studys_names(study):
    runs = load_runs(finish(study, "ab"))
    assert [run.alias for run in runs] == ["a", "b"]
    assert runs[0].facts == runs[1].facts


def test_posts_come_from_the_corpus_where_it_is_at_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "load", functools.partial(corpora.load, cache=tmp_path / "cache"))
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    (tmp_path / "posts.csv").write_text("text\nhello\n")
    config = {"source": "files", "path": "${WORKBENCH_DATA}/posts.csv", "text": "text"}
    scored = corpora.digest({**config, "path": str(tmp_path / "posts.csv")}, Taxonomy.load())
    run, study = SimpleNamespace(record=RunRecord(corpus_digest=scored)), SimpleNamespace(corpus=config)
    assert compare.posts_of(study, [run])["text"].to_pylist() == ["hello"]
    (tmp_path / "posts.csv").write_text("text\nother\n")
    assert compare.posts_of(study, [run]) is None  # what the runs scored is no longer there
    (tmp_path / "posts.csv").unlink()
    assert compare.posts_of(study, [run]) is None
    monkeypatch.delenv("WORKBENCH_DATA")
    assert compare.posts_of(study, [run]) is None
