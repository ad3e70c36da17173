"""What stands before a study's first run, and what its finished runs give: facts made anew, never of other posts."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from finished_study import WORDS, finish, written

from workbench import corpora
from workbench.comparison import facts
from workbench.comparison.predictions import load_runs
from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import RunRecord
from workbench.errors import WorkbenchError
from workbench.preprocessing.text import identities
from workbench.report import trace, wording
from workbench.schema import Taxonomy
from workbench.studies import compare
from workbench.studies.config import StudyConfig
from workbench.studies.diff import diff
from workbench.studies.plan import plan
from workbench.studies.steps import prepare


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


def test_members_of_a_fusion_are_the_models_of_the_study_with_the_same_options():
    words = {"name": "text-tfidf", "options": {"min_df": 3}}
    kinds = {
        "words": ("text-tfidf", {"min_df": 3}),
        "others": ("text-tfidf", {"min_df": 4}),
        "plain": ("text-hashing", {}),
        "both": ("ensemble", {"members": [words, "text-hashing", "text-clip"]}),
        "apart": ("ensemble", {"members": ["text-clip"]}),
        "of before": ("text-hashing", {"buckets_of_before": 3}),
        "unknown": (None, {}),
    }
    records = {name: RunRecord(model=model, options=options) for name, (model, options) in kinds.items()}
    runs = [SimpleNamespace(alias=name, record=record) for name, record in records.items()]
    assert compare.members(runs) == {"both": ("words", "plain")}


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
    (link,) = (
        one
        for one in trace.chain(later.folder, later.corpus, later.taxonomy, address)
        if one.what == "facts of the posts"
    )
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
    run = SimpleNamespace(record=RunRecord(corpus_digest=scored))
    study = SimpleNamespace(corpus=config, taxonomy=Taxonomy.load())
    assert compare.posts_of(study, [run])["text"].to_pylist() == ["hello"]
    older = SimpleNamespace(record=RunRecord(corpus_digest="as older code told of the same posts"))
    assert compare.posts_of(study, [older, run])["text"].to_pylist() == ["hello"]
    (tmp_path / "posts.csv").write_text("text\nother\n")
    assert compare.posts_of(study, [run]) is None  # what the runs scored is no longer there
    (tmp_path / "posts.csv").unlink()
    assert compare.posts_of(study, [run]) is None
    monkeypatch.delenv("WORKBENCH_DATA")
    assert compare.posts_of(study, [run]) is None


def test_a_corpus_that_tells_no_label_is_refused_before_any_model_starts(tmp_path, monkeypatch):
    study = written(tmp_path)
    lines = (tmp_path / "posts.jsonl").read_text().replace('"abuse": 1', '"abuse": null').replace(": 0}", ": null}")
    (tmp_path / "posts.jsonl").write_text(lines)
    monkeypatch.setattr(corpora, "load", functools.partial(corpora.load, cache=tmp_path / "cache"))
    with pytest.raises(WorkbenchError, match="none of 36 train posts says yes or no to abuse"):
        prepare.gate(study, plan(study))
    assert not (study.folder / "plan.json").exists()
