"""Reading a run's predictions: what comes back as arrays, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from made_runs import World

from workbench.comparison.predictions import check_same_items, load_run, load_runs
from workbench.comparison.run_files import Metrics, Overlap, RunRecord
from workbench.errors import TaxonomyMismatch, WorkbenchError
from workbench.schema import OLD_NAMES

GOLDEN = Path(__file__).parent / "golden" / "first"  # a run of experiments/sample.yaml, when predictions held the facts


@pytest.fixture
def world():
    return World(60)


def test_rows_come_back_sorted_whatever_their_order(world, tmp_path):
    logit = world.noise(2)
    logit[:, 3, 1] = np.nan
    world.known[7, 0] = False
    run = world.write(tmp_path, "one", logit, modalities=("text", "image"), thresholds=0.25)
    test = world.split == "test"
    scores = run.sets["test"]
    assert scores.post_id.tolist() == world.post_id[test].tolist()
    np.testing.assert_array_equal(scores.logit, logit[:, test].astype(np.float32))  # NaN where nothing was seen
    np.testing.assert_array_equal(scores.known, world.known[test])
    np.testing.assert_array_equal(scores.y, world.y[test] & world.known[test])
    np.testing.assert_array_equal(scores.paired, world.has_image[test])
    np.testing.assert_array_equal(scores.exact["text+image"], world.exact["text+image"][test])
    assert sorted(scores.exact) == ["image", "late-fusion", "text", "text+image"]
    assert (run.information, run.seeds, run.labels) == ("text+image", (0, 1), ("abuse", "violence"))
    assert scores.logit.dtype == scores.prob.dtype == np.float64
    assert (run.thresholds == 0.25).all()
    assert (run.prevalence == 0.1).all()


@pytest.mark.parametrize(
    ("modalities", "columns", "information"),
    [
        ((), ("author",), "author"),
        (("text",), ("text", "author", "engagement"), "text+author+engagement"),
        (("text",), ("text", "language"), "text"),  # the language of a text is seen in it
        (("text",), ("text", "community", "created_at"), "text"),
        (("image",), ("image", "language", "region"), "image+language+region"),
        (("text", "video"), None, "text+video"),  # as runs before columns were recorded
        ((), (), "none"),
        (("text",), ("text",), "text"),
        (("text",), ("text", "post_id"), "text"),
    ],
)
def test_the_information_of_a_run_is_what_its_scores_depend_on(world, tmp_path, modalities, columns, information):
    more = {} if columns is None else {"columns": columns}
    run = world.write(tmp_path, "one", world.noise(), modalities=modalities, **more)
    assert run.information == information
    assert run.unimodal == (len(modalities) == 1 and set(columns or modalities) <= set(modalities))


def test_an_empty_column_of_labels_is_unknown_and_a_post_without_a_group_is_its_own(world, tmp_path):
    folder = world.write(tmp_path, "one", world.noise()).folder
    table = pq.read_table(folder / "posts.parquet")
    for name in ("group", "y_violence"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.nulls(len(table)))
    pq.write_table(table, folder / "posts.parquet")
    scores = load_run(folder).sets["test"]
    assert scores.group.tolist() == scores.post_id.tolist()
    assert not scores.known[:, 1].any()
    assert scores.known[:, 0].all()


def test_an_unfinished_or_torn_run_is_refused(world, tmp_path):
    run = world.write(tmp_path, "one", world.noise())
    record = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps(record | {"state": "timeout"}))
    with pytest.raises(WorkbenchError, match="is timeout"):
        load_run(run.folder)
    (run.folder / "run.json").unlink()
    with pytest.raises(WorkbenchError, match="unfinished"):
        load_run(run.folder)
    (run.folder / "run.json").write_text(json.dumps(record))
    (run.folder / "predictions.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(WorkbenchError, match="cannot read"):
        load_run(run.folder)


def rewritten(run, change) -> None:
    """Change a run's predictions on the disk."""
    path = run.folder / "predictions.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def test_a_post_twice_and_a_missing_column_are_refused(world, tmp_path):
    with pytest.raises(WorkbenchError, match="post 'p00001' more than once"):
        world.write(tmp_path, "twice", world.noise(), keep=np.array([0, 1, 1, 2]))
    run = world.write(tmp_path, "one", world.noise())
    rewritten(run, lambda table: table.drop_columns(["prob_abuse"]))
    with pytest.raises(WorkbenchError, match="prob_abuse"):
        load_run(run.folder)


def test_scores_must_be_of_the_very_posts_of_the_study(world, tmp_path):
    run = world.write(tmp_path, "one", world.noise(2))
    post, seed, of = (lambda name, is_: pc.equal(pc.field(name), is_)), 1, world.post_id
    rewritten(run, lambda table: table.filter(~(post("post_id", of[1]) & post("seed", seed))))
    with pytest.raises(WorkbenchError, match=r"'test' set .* holds post 'p00001' with no score of some seed"):
        load_run(run.folder)
    run = world.write(tmp_path, "two", world.noise(2))
    rewritten(run, lambda table: pa.concat_tables([table, table.filter(post("post_id", of[2])).slice(0, 1)]))
    with pytest.raises(WorkbenchError, match="holds post 'p00002' more than once"):
        load_run(run.folder)
    run = world.write(tmp_path, "three", world.noise(2))
    path = run.folder / "posts.parquet"
    pq.write_table(pq.read_table(path).filter(~post("post_id", of[5])), path)
    with pytest.raises(WorkbenchError, match=r"2 scores of posts that are not in posts\.parquet \(such as 'p00005'\)"):
        load_run(run.folder)
    pq.write_table(pq.read_table(path).filter(~post("split", "test")), path)
    with pytest.raises(WorkbenchError, match=r"'test' set .* is none of the study's \(validation\)"):
        load_run(run.folder)
    path.unlink()
    with pytest.raises(WorkbenchError, match="cannot read the facts of posts"):
        load_run(run.folder)


def test_the_last_post_of_the_last_seed_is_missed_too(world, tmp_path):
    run = world.write(tmp_path, "one", world.noise(2))
    last = run.sets["test"].post_id[-1]
    rewritten(run, lambda table: table.filter(~((pc.field("post_id") == last) & (pc.field("seed") == 1))))
    with pytest.raises(WorkbenchError, match=f"holds post '{last}' with no score of some seed"):
        load_run(run.folder)


def test_one_seed_alone_takes_its_scores_and_thresholds_along(world, tmp_path):
    run = world.write(tmp_path, "one", world.noise(3))
    cuts = np.arange(6.0).reshape(3, 2)
    one = replace(run, seeds=(4, 7, 9), thresholds=cuts).only(7)
    assert (one.seeds, one.thresholds.tolist(), one.alias) == ((7,), [[2, 3]], "one")
    for name, scores in run.sets.items():
        np.testing.assert_array_equal(one.sets[name].logit, scores.logit[1:2])
        np.testing.assert_array_equal(one.sets[name].prob, scores.prob[1:2])


def test_another_taxonomy_is_refused(world, tmp_path):
    runs = [world.write(tmp_path, "one", world.noise()), world.write(tmp_path, "two", world.noise(), taxonomy="t2")]
    with pytest.raises(TaxonomyMismatch, match=r"t1.*t2"):
        check_same_items(runs)
    shutil.copy(tmp_path / "one" / "posts.parquet", tmp_path / "two" / "posts.parquet")
    with pytest.raises(TaxonomyMismatch, match=r"another taxonomy .*t2.*t1"):
        load_run(tmp_path / "two")


def test_models_on_different_items_are_refused(world, tmp_path):
    one = world.write(tmp_path, "one", world.noise())
    check_same_items([one, world.write(tmp_path, "same", world.noise(seed=5))])
    other = world.write(tmp_path, "other", world.noise(), keep=np.flatnonzero(np.arange(world.n) > 8))
    with pytest.raises(WorkbenchError, match=r"'one' and 'other' .* different items: their posts\.parquet differ"):
        check_same_items([one, other])
    world.y[1, 0] ^= True
    with pytest.raises(WorkbenchError, match=r"'one' and 'changed' .* different items: their posts\.parquet differ"):
        check_same_items([one, world.write(tmp_path, "changed", world.noise())])
    fewer = world.write(tmp_path, "fewer", world.noise())
    rewritten(fewer, lambda table: table.filter(pc.equal(pc.field("split"), "test")))
    runs = load_runs({"whole": tmp_path / "changed", "fewer": fewer.folder})
    with pytest.raises(WorkbenchError, match="only one of them scored validation"):
        check_same_items(runs)


def test_runs_of_a_study_have_the_very_same_facts(world, tmp_path):
    for name in ("one", "two"):
        (world.write(tmp_path, name, world.noise()).folder / "posts.parquet").rename(tmp_path / "posts.parquet")
    one, two = load_runs({"a": tmp_path / "one", "b": tmp_path / "two"})
    assert (one.alias, two.alias) == ("a", "b")
    assert one.sets["test"].y is two.sets["test"].y  # read once, so neither can have facts of its own
    assert one.sets["test"].identities is two.sets["test"].identities


# ------------------------------------------------------------------------------- runs whose predictions hold the facts


def test_a_run_from_before_the_facts_stood_apart_is_read(tmp_path):
    run = load_run(GOLDEN)
    rows = pq.read_table(GOLDEN / "predictions.parquet", filters=pc.field("split") == "test").sort_by("post_id")
    test = run.sets["test"]
    assert (run.alias, run.labels[0], run.seeds, run.record.state) == ("text-tfidf", "abuse", (0,), "done")
    assert test.post_id.tolist() == rows["post_id"].to_pylist()
    assert test.y[:, 0].tolist() == [bool(one) for one in rows["y_abuse"].to_pylist()]
    assert test.prob[0, :, 0].tolist() == rows["prob_abuse"].to_pylist()
    assert test.slices["language"].tolist() == [one or "" for one in rows["language"].to_pylist()]
    assert run.metrics.thresholds["abuse"] == {"0": 0.19148437293104412}
    assert run.metrics.overlap["text"].of == 56
    assert (run.record.n_train, run.record.source) == (30, "files")
    # where the study has facts of the posts, these count
    shutil.copytree(GOLDEN, tmp_path / "run")
    table = rows.slice(0, 3)
    about = {"labels": run.labels, "taxonomy": run.taxonomy}
    pq.write_table(table.replace_schema_metadata({"workbench": json.dumps(about)}), tmp_path / "posts.parquet")
    with pytest.raises(WorkbenchError, match="not in posts"):
        load_run(tmp_path / "run")


def test_old_runs_with_other_identities_are_not_compared(tmp_path):
    table = pq.read_table(GOLDEN / "predictions.parquet")
    nobody = pa.array([[] for _ in range(len(table))], pa.list_(pa.string()))
    for name, one in (
        ("a", table),
        ("b", table),
        ("c", table.set_column(table.column_names.index("identities"), "identities", nobody)),
    ):
        shutil.copytree(GOLDEN, tmp_path / name)
        pq.write_table(one, tmp_path / name / "predictions.parquet")
    a, b, c = load_runs({name: tmp_path / name for name in "abc"})
    check_same_items([a, b])
    with pytest.raises(WorkbenchError, match="'a' and 'c' were scored on different items"):
        check_same_items([a, c])


def test_records_take_what_other_versions_wrote(tmp_path):
    record = {"key": "k", "state": "done", "dirty": None, "options": None, "a_later_key": [1]}
    (tmp_path / "run.json").write_text(json.dumps(record))
    found = RunRecord.read(tmp_path)
    assert (found.key, found.dirty, found.options, found.model_dump()["a_later_key"]) == ("k", None, {}, [1])
    (tmp_path / "run.json").write_text(json.dumps(record | {"options": "none"}))
    assert RunRecord.read(tmp_path) is None  # that is no record
    (tmp_path / "metrics.json").write_text('{"thresholds": {"abuse": {"0": null}}, "overlap": null, "dropped": NaN}')
    found = Metrics.read(tmp_path)
    assert (found.thresholds, found.overlap, found.dropped) == ({"abuse": {"0": None}}, {}, 0)
    assert Metrics.read(tmp_path / "absent") is None


@pytest.mark.parametrize(("kind", "name"), [(RunRecord, "run.json"), (Metrics, "metrics.json")])
def test_every_key_of_a_record_is_named(kind, name):
    written, known = json.loads((GOLDEN / name).read_text()), set(kind.model_fields)
    assert {OLD_NAMES.get(name, name) for name in written} <= known


def test_what_crosses_the_split_is_read_as_rows():
    example = {"content": "'often'", "posts": [["train", "a"], ["test", "c"]], "later": 1}
    score = {"fields": "author", "label": "abuse", "average_precision": 0.5, "prevalence": None, "shortcut": True}
    found = Overlap.model_validate({"overlap": 1, "of": 9, "posts": 2, "examples": [example], "scores": [score]})
    assert [(row.content, row.posts) for row in found.examples] == [("'often'", (("train", "a"), ("test", "c")))]
    assert [(row.fields, row.shortcut, row.prevalence) for row in found.scores] == [("author", True, None)]
