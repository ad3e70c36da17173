"""What one run leaves behind: predictions, metrics and bundles that a comparison can read, its cost, its quality."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.comparison import facts
from workbench.comparison.compare import CompareOptions, compare
from workbench.comparison.predictions import load_run
from workbench.comparison.run_files import Metrics
from workbench.decisions.moderator import Moderator
from workbench.decisions.thresholds import objectives
from workbench.errors import WorkbenchError
from workbench.studies.steps import training

pytestmark = pytest.mark.usefixtures("_readers")
YES, NO = True, False


@pytest.fixture
def predictions(small, store) -> pa.Table:
    return training.score(small.ready("reader", small.material(), [0, 1], store), small.material())


# ------------------------------------------------------------------------------------------------------------- on disk


@pytest.fixture
def saved(small, tmp_path, store) -> tuple[Path, dict, list]:
    ready = small.ready("reader", small.material(), [0, 1], store)
    metrics = training.save(tmp_path / "run", ready, training.score(ready, small.material()), small.material(), store)
    return tmp_path / "run", metrics, ready


def test_a_run_leaves_predictions_metrics_and_a_bundle_for_each_seed(saved):
    folder, metrics, _ = saved
    assert sorted(path.name for path in folder.iterdir()) == ["bundle", "metrics.json", "predictions.parquet"]
    assert sorted(path.name for path in (folder / "bundle").iterdir()) == ["0", "1"]
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert set(metrics) <= set(Metrics.model_fields)  # whoever reads it finds each under its name


def test_metrics_say_what_is_removed_and_what_that_did_on_test(small, tmp_path, store):
    wanted = objectives({"abuse": {"remove": {"fixed": 0.6}}}, ("abuse", "violence"))
    given = small.material()
    ready = training.moderate(training.fit("reader", {}, given, [0], store), given, wanted)
    metrics = training.save(tmp_path / "run", ready, training.score(ready, given), given, store)
    entry = metrics["removal"]["abuse"]["0"]
    assert entry["chosen"]["at"] == 0.6
    # from a logit of .41 on: 1.5 rightly, 1 and .5 wrongly
    assert (entry["test"]["flagged"], entry["test"]["caught"]) == (3, 1)
    none = metrics["removal"]["violence"]["0"]
    assert none["chosen"]["at"] is None  # .9 is not proven on four posts
    assert none["test"] is None
    read = Metrics.read(tmp_path / "run").removal
    assert read["abuse"]["0"].test == entry["test"]
    assert read["violence"]["0"].test is None


def test_metrics_say_what_the_run_was(small, saved):
    _, metrics, ready = saved
    assert metrics["labels"] == ["abuse", "violence"]
    assert (metrics["model"], metrics["modalities"]) == ("reader", ["text"])
    assert metrics["taxonomy"] == small.TAXONOMY.fingerprint
    # 1 of 4 known posts, 1 of 3 known posts
    assert metrics["train_prevalence"] == {"abuse": 0.25, "violence": pytest.approx(1 / 3)}
    assert metrics["n_train"] == 4
    assert metrics["thresholds"]["abuse"] == {
        "0": pytest.approx(small.sigmoid(0)),
        "1": pytest.approx(small.sigmoid(1)),
    }
    assert metrics["seconds"]["fit"] == sum(one.seconds for one in ready)
    assert metrics["fit_seconds"] == pytest.approx(np.mean([one.seconds for one in ready if one.seconds] or [0]))
    assert metrics["parameters"] == ready[0].moderator.classifier.parameters
    assert metrics["ms_per_post"] > 0
    assert (metrics["device"], metrics["dtype"]) == ("cpu", "float32")
    assert metrics["peak_mb"]["host"] > 10
    assert metrics["digests"] == {"corpus": "digest"}
    assert metrics["overlap"] == {"group": {"overlap": 0}}


def test_metrics_say_how_scores_became_probabilities_and_what_that_was_worth(saved):
    _, metrics, _ = saved
    found = metrics["calibration"]["abuse"]["0"]
    assert (found["slope"], found["offset"], found["method"], found["prevalence"]) == (1.0, 0.0, "none", 0.5)
    assert found["chosen"]["why"] == found["note"]
    assert "2 harmful and 2 other posts" in found["note"]
    assert list(found["worth"]) == ["validation", "test"]
    test = found["worth"]["test"]
    assert (test["n"], test["positives"], test["after"]["bins"]) == (4, 1, [1, 1, 1, 1])
    for name in ("calibration_error", "brier", "log_loss"):
        assert test["before"][name] == pytest.approx(test["after"][name])  # nothing was moved


def test_predictions_carry_what_they_are_of(saved):
    folder, metrics, _ = saved
    about = json.loads(pq.read_schema(folder / "predictions.parquet").metadata[b"workbench"])
    names = ("labels", "model", "modalities", "columns", "taxonomy", "train_prevalence")
    assert about == {name: metrics[name] for name in names}


def test_a_label_that_nobody_knows_in_training_has_no_prevalence(small, tmp_path, store):
    given = small.material(train=small.table([("0 0", YES, None), ("0 0", NO, None)], "a"))
    ready = small.ready("reader", given, [0], store)
    predictions = training.score(ready, given)
    metrics = training.save(tmp_path / "run", ready, predictions, given, store)
    assert metrics["train_prevalence"] == {"abuse": 0.5, "violence": None}
    assert np.isnan(predictions["logit_violence"].to_numpy()).all()  # so it has no scores either, and no threshold
    assert metrics["thresholds"]["violence"] == {"0": None}
    assert "NaN" not in (tmp_path / "run" / "metrics.json").read_text()


def test_a_bundle_scores_as_the_model_did(small, saved, store):
    folder, _, ready = saved
    for one in ready:
        again = Moderator.load(folder / "bundle" / str(one.seed), taxonomy=small.TAXONOMY, store=store)
        test = small.material().sets["test"]
        np.testing.assert_array_equal(again.probabilities(test), one.moderator.probabilities(test))


def test_a_comparison_reads_what_a_run_writes(small, saved):
    folder, metrics, _ = saved
    facts.write(folder.parent / facts.NAME, small.material().sets, small.TAXONOMY)
    (folder / "run.json").write_text(json.dumps({"key": "k", "alias": "mine", "state": "done"}))
    run = load_run(folder)
    assert (run.alias, run.labels, run.seeds, run.modalities) == ("mine", small.LABELS, (0, 1), ("text",))
    assert run.prevalence == pytest.approx([0.25, 1 / 3])
    result = compare("s", "?", [run], CompareOptions(view="all", resamples=100))
    assert result.items == metrics["items"]  # so a report can tell how many runs have scored these posts
    (recall,) = [row for row in result.models if (row.label, row.metric, row.view) == ("abuse", "recall", "all")]
    # of two harmful posts one is unseen, thus not flagged, the other is over the threshold with both seeds
    assert recall.value == 0.5
    assert recall.coverage == pytest.approx(4 / 5)


def test_an_earlier_run_leaves_nothing_in_the_folder(small, saved, store):
    folder, _, _ = saved
    (folder / "notes.txt").write_text("mine")
    (folder / "bundle" / "mine").mkdir()
    ready = small.ready("reader", small.material(), [7], store)
    training.save(folder, ready, training.score(ready, small.material()), small.material(), store)
    # what this module has not written stays
    assert sorted(path.name for path in (folder / "bundle").iterdir()) == ["7", "mine"]
    assert (folder / "notes.txt").read_text() == "mine"
    assert set(json.loads((folder / "metrics.json").read_text())["thresholds"]["abuse"]) == {"7"}


def test_a_run_that_breaks_off_leaves_no_metrics_to_trust(small, saved, store, monkeypatch):
    folder, _, ready = saved
    monkeypatch.setattr(training, "time_per_post", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training.save(folder, ready, training.score(ready, small.material()), small.material(), store)
    assert not (folder / "metrics.json").exists()


def test_a_relative_folder_starts_at_the_repository(small, tmp_path, monkeypatch, store):
    monkeypatch.setattr(training, "ROOT", tmp_path)
    ready = small.ready("reader", small.material(), [0], store)
    training.save("out/run", ready, training.score(ready, small.material()), small.material(), store)
    assert (tmp_path / "out" / "run" / "metrics.json").is_file()


# ------------------------------------------------------------------------------------------------------- time per post


def test_time_per_post_is_that_of_a_loaded_bundle_without_stored_features(small, saved, store, monkeypatch):
    folder, _, _ = saved
    ticks = iter([10.0, 10.5])
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(ticks))
    small.SEEN.clear()
    # half a second for five posts
    assert training.time_per_post(folder / "bundle" / "0", small.material(), store) == pytest.approx(100)
    assert [one.scored for one in small.SEEN] == [[f"c{n}" for n in range(5)]] * 2  # the first look is not timed
    assert all(one.store is not store and one.store.folder is None for one in small.SEEN)
    assert small.SEEN[0].store is not small.SEEN[1].store  # nothing is known from the first look


def test_time_per_post_looks_at_a_bounded_number_of_posts(small, saved, store, monkeypatch):
    folder, _, _ = saved
    monkeypatch.setattr(training, "TIMED_POSTS", 3)
    small.SEEN.clear()
    training.time_per_post(folder / "bundle" / "0", small.material(), store)
    assert [len(one.scored) for one in small.SEEN] == [3, 3]


def test_time_per_post_proves_that_the_bundle_loads(small, saved, store):
    folder, _, _ = saved
    path = next((folder / "bundle" / "0").rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WorkbenchError):
        training.time_per_post(folder / "bundle" / "0", small.material(), store)


# ------------------------------------------------------------------------------------------------------------- quality


def test_quality_is_counted_by_hand(small, saved, predictions):
    found = training.quality(predictions, saved[2], small.material())
    assert list(found.columns) == ["n", "positives", "average precision", "precision", "recall"]
    assert list(found.index) == [(split, label) for split in ("validation", "test") for label in small.LABELS]
    # abuse on validation, ranked hit, miss, hit, miss: AP (1/1 + 2/3) / 2; at the threshold 2 of 3 flagged are hits
    assert found.loc["validation", "abuse"].tolist() == pytest.approx([4, 2, (1 + 2 / 3) / 2, 2 / 3, 1])
    # abuse on test: the unseen post is left out; the one positive is first; all four scored posts are flagged from 0 on
    assert found.loc["test", "abuse"].tolist() == pytest.approx([4, 1, 1, 1 / 4, 1])
    # violence on test: one label unknown, one post unseen; nothing reaches the threshold of logit 3
    n, positives, ap, precision, recall = found.loc["test", "violence"]
    assert (n, positives, ap, recall) == (3, 1, 1, 0)
    assert np.isnan(precision)  # nothing is flagged: undefined, not zero


def test_quality_is_the_mean_over_seeds(small, saved, predictions, monkeypatch):
    # the first seed flags c0 (1.5) alone, the second flags from 0 + 1 on, which is all four
    cuts = {"abuse": {"0": small.sigmoid(1.5), "1": small.sigmoid(1)}, "violence": {"0": None, "1": None}}
    monkeypatch.setattr(training, "thresholds", lambda ready: cuts)
    found = training.quality(predictions, saved[2], small.material())
    assert found.loc["test", "abuse"]["precision"] == pytest.approx((1 + 1 / 4) / 2)
    assert found.loc["test", "violence"][["precision", "recall"]].isna().all()
    assert found.loc["test", "violence"]["average precision"] == 1


def test_quality_of_a_label_without_known_posts_is_undefined(small, store):
    given = small.material(test=small.table([("1 1", YES, None), ("2 2", NO, None)]))
    ready = small.ready("reader", given, [0], store)
    predictions = training.score(ready, given)
    found = training.quality(predictions, ready, given)
    assert found.loc["test", "violence"][["n", "positives"]].tolist() == [0, 0]
    assert found.loc["test", "violence"][["average precision", "precision", "recall"]].isna().all()


def test_the_shipped_prior_goes_all_the_way(small, tmp_path, store):
    ready = small.ready("prior", small.material(), [0, 1], store)
    predictions = training.score(ready, small.material())
    metrics = training.save(tmp_path / "run", ready, predictions, small.material(), store)
    # smoothed prevalence of abuse: (1 + 1/2) / (4 + 1)
    assert small.rows_of(predictions, "test", 1)[4]["prob_abuse"] == pytest.approx(0.3)
    assert metrics["modalities"] == []
    assert metrics["thresholds"]["abuse"]["0"] == pytest.approx(0.3)
