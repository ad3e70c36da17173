"""Reading a run's predictions: what comes back as arrays, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_runs import World

from workbench.comparison.predictions import check_same_items, load_run
from workbench.errors import TaxonomyMismatch, WorkbenchError


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
    ],
)
def test_the_information_of_a_run_is_what_its_scores_depend_on(world, tmp_path, modalities, columns, information):
    more = {} if columns is None else {"columns": columns}
    run = world.write(tmp_path, "one", world.noise(), modalities=modalities, **more)
    assert run.information == information
    assert run.unimodal == (len(modalities) == 1 and set(columns or modalities) <= set(modalities))


def test_an_empty_column_of_labels_is_unknown_and_a_post_without_a_group_is_its_own(world, tmp_path):
    folder = world.write(tmp_path, "one", world.noise()).folder
    table = pq.read_table(folder / "predictions.parquet")
    for name in ("group", "y_violence"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.nulls(len(table)))
    pq.write_table(table, folder / "predictions.parquet")
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


def test_a_post_twice_and_a_missing_column_are_refused(world, tmp_path):
    with pytest.raises(WorkbenchError, match="post 'p00001' more than once"):
        world.write(tmp_path, "twice", world.noise(), keep=np.array([0, 1, 1, 2]))
    run = world.write(tmp_path, "one", world.noise())
    table = pq.read_table(run.folder / "predictions.parquet").drop_columns(["prob_abuse"])
    pq.write_table(table, run.folder / "predictions.parquet")
    with pytest.raises(WorkbenchError, match="prob_abuse"):
        load_run(run.folder)


def test_another_taxonomy_is_refused(world, tmp_path):
    runs = [world.write(tmp_path, "one", world.noise()), world.write(tmp_path, "two", world.noise(), taxonomy="t2")]
    with pytest.raises(TaxonomyMismatch, match=r"t1.*t2"):
        check_same_items(runs)


def test_models_on_different_items_are_refused_with_names_and_number(world, tmp_path):
    one = world.write(tmp_path, "one", world.noise())
    other = world.write(tmp_path, "other", world.noise(), keep=np.flatnonzero(np.arange(world.n) > 8))
    # posts 0 to 8 are missing: 0, 4, 8 of validation (the sets go by name: test first) and six of test
    with pytest.raises(WorkbenchError, match=r"'one' and 'other' .* different items: 6 posts of 'test'"):
        check_same_items([one, other])
    world.y[1, 0] ^= True
    changed = world.write(tmp_path, "changed", world.noise())
    with pytest.raises(WorkbenchError, match=r"'one' and 'changed' .* 1 posts of 'test' differ in label"):
        check_same_items([one, changed])
