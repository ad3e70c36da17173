"""What stands before a study's first run, and what its finished runs give: facts made anew, a family that stays."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
from workbench.report import cards, page, sections, trace, wording
from workbench.schema import Taxonomy
from workbench.studies import compare, worker
from workbench.studies.config import StudyConfig
from workbench.studies.diff import diff
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


def finish(study: StudyConfig, aliases: str, modalities: tuple[str, ...] = ("text",)) -> dict[str, Path]:
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
        about = {"labels": labels, "model": alias, "modalities": modalities, "taxonomy": Taxonomy.load().fingerprint}
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


def relabelled(folder: Path, **changed) -> StudyConfig:
    """Write the study again on the same posts, of which every other one is harmful now."""
    study = written(folder, **changed)
    lines = "".join(f'{{"id": "p{n}", "text": "{WORDS[n % 4]} {n}", "abuse": {n % 2:d}}}\n' for n in range(120))
    (folder / "posts.jsonl").write_text(lines)
    return study


def test_a_run_is_read_with_the_labels_it_was_scored_with_after_the_data_changed(study, tmp_path):
    first = finish(study, "ab")["a"]
    before = load_runs({"a": first})[0]
    second = finish(relabelled(tmp_path), "a")["a"]
    again, other = (load_runs({"a": folder})[0] for folder in (first, second))
    assert again.facts == before.facts != other.facts
    labels = [run.sets["test"].y[:, 0].tolist() for run in (before, again, other)]
    assert labels[0] == labels[1] != labels[2]
    difference = diff(first, second)
    assert difference.sources["data"] == ["data corpus changed"]
    assert len(difference.moved)  # the same scores, held against other labels


def test_facts_of_other_posts_are_refused(study, tmp_path):
    folder = finish(study, "a")["a"]
    scored = (study.folder / facts.NAME).read_bytes()
    finish(relabelled(tmp_path), "")  # the facts are those of other posts, and those of before are gone
    (kept,) = study.folder.glob("posts-*.parquet")
    assert kept.read_bytes() == scored
    kept.unlink()
    with pytest.raises(WorkbenchError, match=r"tells of other posts than the run in .* scored; `workbench run STUDY`"):
        load_runs({"a": folder})


def test_a_half_finished_study_on_changed_data_compares_what_scored_the_same_posts(study, tmp_path):
    finish(study, "abc")
    later = relabelled(tmp_path)
    runs = finish(later, "ab")
    comparison = compare.recompare(later.path)
    assert comparison.made_from.runs == {alias: folder.name for alias, folder in runs.items()}
    assert comparison.made_from.missing == {"c": "scored other posts"}
    assert "Not compared, because their runs scored other posts: c." in wording.doubts(comparison)
    assert comparison.stale == ()


def test_a_trace_names_the_file_that_the_runs_were_compared_on(study, tmp_path):
    finish(study, "abc")
    later = relabelled(tmp_path)
    finish(later, "")  # its facts stand in place of those that were scored
    comparison = compare.recompare(later.path)
    address = comparison.models[0].id
    (link,) = (one for one in trace.chain(later.folder, later.corpus, address) if one.what == "facts of the posts")
    (kept,) = later.folder.glob("posts-*.parquet")
    assert (link.found, link.check) == (f"{kept.name}, sha256 {comparison.made_from.posts}", "agrees")


def test_runs_on_other_items_are_refused_before_one_of_them_is_picked(study, tmp_path):
    study = written(tmp_path, pairs=[["a", "best-unimodal"]], models="ab")
    folder, keep = finish(study, "ab")["b"], lambda table: table.filter(pc.not_equal(table["post_id"], fewer))
    fewer = pq.read_table(folder / "predictions.parquet").filter(pc.field("split") == "validation")["post_id"][0]
    for source, name in ((study.folder, facts.NAME), (folder, "predictions.parquet")):
        pq.write_table(keep(pq.read_table(source / name)), folder / name)
    with pytest.raises(WorkbenchError, match="were scored on different items"):
        compare.recompare(study.path)


def test_facts_are_made_again_where_the_code_that_reads_the_posts_changed(study, monkeypatch):
    finish(study, "ab")
    before = facts.made_from(study.folder / facts.NAME)
    monkeypatch.setattr(corpora, "code", lambda config: "another reader", raising=False)
    (reasons,) = {run.reasons for run in plan(study)[:2]}
    assert reasons == ("the code that reads corpus changed",)
    compare.recompare(study.path)  # what ran before keeps the facts it was scored with
    assert facts.made_from(study.folder / facts.NAME) == before
    finish(study, "a")
    assert facts.made_from(study.folder / facts.NAME)["data"]["source corpus"] == "another reader"
    found = compare.recompare(study.path)  # both read the same posts with the same labels, so both are compared
    assert (found.names, [one.model for one in found.stale]) == (["a", "b"], ["b"])
    assert found.made_from.missing == {"c": "planned"}  # it has never run
    loaded = load_runs({alias: study.folder / key for alias, key in found.made_from.runs.items()})
    assert {run.facts for run in loaded} == {found.made_from.posts}


@pytest.mark.parametrize("change", ["digest", "reader"])
def test_a_plan_stays_where_the_same_posts_come_of_other_code(study, tmp_path, monkeypatch, change):
    finish(study, "abc")
    first = read_json(study.folder / "plan.json")
    if change == "digest":  # as of a generated corpus, whose digest tells of its code
        digest = corpora.digest
        monkeypatch.setattr(corpora, "digest", lambda *given: f"{digest(*given)[:8]} by other code")
    else:
        monkeypatch.setattr(corpora, "code", lambda config: "another reader")
    later = written(tmp_path, pairs=[["b", "c"]], metric="roc_auc")  # chosen after the results were seen
    finish(later, "ab")
    assert read_json(study.folder / "plan.json") == first
    found = compare.recompare(later.path)
    assert (found.names, found.made_from.planned) == (["a", "b", "c"], ())
    assert not [row for row in found.differences if row.primary]
    prose = sections.differences(found).prose
    assert prose.startswith("What the study asks was not in the plan made before anything was scored")
    assert "asked for no comparison" not in prose


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


def test_without_a_plan_nothing_is_said_to_have_been_planned(study, tmp_path):
    study = written(tmp_path, pairs=[["a", "b"], ["a", "c"], ["a", "d"]], models="abcd")
    finish(study, "abc")
    before = compare.recompare(study.path)
    assert before.made_from.planned == study.compare.pairs
    assert "was chosen before anything was scored" in sections.differences(before).prose
    (study.folder / "plan.json").unlink()
    found = compare.recompare(study.path)
    assert found.made_from.planned is None
    low = min((row for row in found.differences if row.primary), key=lambda row: row.p)
    assert low.p_holm == pytest.approx(min(1, 3 * low.p))  # of three that the study's file asks
    assert "no plan says that it stood there before anything was scored" in sections.differences(found).prose


def test_what_is_added_after_the_first_scoring_is_exploratory(study, tmp_path, capsys):
    finish(study, "abc")
    first = read_json(study.folder / "plan.json")
    assert first["pairs"] == PAIRS
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
    sets, _, _ = splits.divide(other.corpus, other.split, other.tests, Taxonomy.load())
    prepare.prepare_study(other, plan(other)[0].inputs, sets)
    assert read_json(study.folder / "plan.json")["pairs"] == PAIRS  # nothing has scored these posts


def test_a_plan_stays_where_a_study_comes_back_to_posts_that_were_scored(study, tmp_path):
    folders = finish(study, "abc")
    first = read_json(study.folder / "plan.json")
    other = written(tmp_path, pairs=[["a", "b"]], validation=0.2)
    finish(other, "abc")
    assert read_json(study.folder / "plan.json")["pairs"] == [["a", "b"]]
    back = written(tmp_path, pairs=[["b", "c"]])  # chosen after the results of the first posts were seen
    sets, _, _ = splits.divide(back.corpus, back.split, back.tests, Taxonomy.load())
    prepare.prepare_study(back, plan(back)[0].inputs, sets)
    now = read_json(study.folder / "plan.json")
    assert {name: now[name] for name in ("written", "pairs", "posts")} == {
        name: first[name] for name in ("written", "pairs", "posts")
    }
    assert set(differences(back)) == {("a", "b"), ("a", "c")}
    assert all(folder.is_dir() for folder in folders.values())


def test_a_plan_that_was_deleted_is_not_written_again_once_something_was_scored(study):
    finish(study, "abc")
    (study.folder / "plan.json").unlink()
    prepare.prepare_study(study, plan(study)[0].inputs, {})
    assert not (study.folder / "plan.json").exists()
    assert compare.recompare(study.path).made_from.planned is None


def test_without_a_plan_a_missing_model_counts_in_the_family_too(study):
    finish(study, "ab")
    (study.folder / "plan.json").unlink()
    (row,) = (row for row in compare.recompare(study.path).differences if row.pair == ("a", "b"))
    assert row.p_holm == pytest.approx(min(1, 2 * row.p))  # of the two that the study asks for


def test_a_half_finished_study_is_read_without_its_unimodal_models(study, tmp_path):
    study = written(tmp_path, pairs=[["a", "best-unimodal"], ["a", "b"]], models="abc")
    finish(study, "ab", modalities=())
    assert set(differences(study)) == {("a", "b")}
    finish(study, "c", modalities=())
    with pytest.raises(WorkbenchError, match="no model with one modality"):  # it is whole, and the pair cannot be
        compare.recompare(study.path)
    assert set(differences(written(tmp_path, pairs=[["a", "b"]]))) == {("a", "b")}  # planned, and asked no more


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
    older = SimpleNamespace(record=RunRecord(corpus_digest="as older code told of the same posts"))
    assert compare.posts_of(study, [older, run])["text"].to_pylist() == ["hello"]
    (tmp_path / "posts.csv").write_text("text\nother\n")
    assert compare.posts_of(study, [run]) is None  # what the runs scored is no longer there
    (tmp_path / "posts.csv").unlink()
    assert compare.posts_of(study, [run]) is None
    monkeypatch.delenv("WORKBENCH_DATA")
    assert compare.posts_of(study, [run]) is None
