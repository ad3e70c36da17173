"""What one run does with the posts: who sees which, scores and thresholds by hand."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path

import pyarrow as pa
import pytest

from workbench import corpora
from workbench.comparison import facts
from workbench.comparison.predictions import load_run
from workbench.corpora import splits
from workbench.decisions.policy import NOTHING
from workbench.decisions.thresholds import objectives
from workbench.errors import WorkbenchError
from workbench.schema import INPUTS
from workbench.studies.steps import training

pytestmark = pytest.mark.usefixtures("_readers")
YES, NO = True, False


# ----------------------------------------------------------------------------------------------------------- the posts


def written(path: Path, rows: list[dict]) -> dict:
    """Write posts as JSONL and return the corpus that they are."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {name: name for name in ("post_id", "text", "group", "split", "author")}
    return {"source": "files", "path": str(path), **columns, "labels": {"abuse": "abuse", "violence": "violence"}}


def post(post_id: str, split: str | None, **more) -> dict:
    return (
        {"post_id": post_id, "text": f"words of {post_id}", "group": post_id, "split": split, "author": "x"}
        | more
        | {"abuse": 1, "violence": 0}
    )


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Keep cached tables of this test out of the repository."""
    monkeypatch.setattr(splits.corpora, "load", functools.partial(corpora.load, cache=tmp_path / "cache"))


SPLITS = ("train", "validation", "test")


@pytest.fixture
def corpus(tmp_path, own_cache) -> dict:
    return written(tmp_path / "own.jsonl", [post(f"{split}{n}", split) for split in SPLITS for n in range(2)])


def test_posts_go_where_their_split_says(small, corpus):
    found = training.prepare(corpus, {"by": "column"}, {}, small.TAXONOMY)
    assert {name: one["post_id"].to_pylist() for name, one in found.sets.items()} == {
        split: [f"{split}0", f"{split}1"] for split in SPLITS
    }
    assert found.digests == {"corpus": corpora.digest(corpus, small.TAXONOMY)}
    # all six posts are by one author, who is on every side; the groups are not
    assert (found.overlap["author"]["overlap"], found.overlap["author"]["posts"]) == (1, 6)
    assert found.overlap["group"]["overlap"] == 0


def test_of_a_further_test_set_only_its_test_posts_count(small, corpus, tmp_path):
    rows = [post("t0", "train"), post("t1", "test"), post("t2", None), post("t3", "validation")]
    tests = {"other": written(tmp_path / "other.jsonl", rows)}
    found = training.prepare(corpus, {"by": "column"}, tests, small.TAXONOMY)
    assert found.sets["other"]["post_id"].to_pylist() == ["t1", "t2"]
    assert found.sets["train"]["post_id"].to_pylist() == ["train0", "train1"]
    assert found.digests["other"] == corpora.digest(tests["other"], small.TAXONOMY)
    assert list(found.sets) == [*SPLITS, "other"]


def test_a_further_test_set_without_a_test_post_is_refused(small, corpus, tmp_path):
    tests = {"other": written(tmp_path / "other.jsonl", [post("t0", "train")])}
    with pytest.raises(WorkbenchError, match="test set 'other' has no post whose split is test"):
        training.prepare(corpus, {"by": "column"}, tests, small.TAXONOMY)


@pytest.mark.parametrize("name", [*SPLITS, "corpus"])
def test_a_reserved_name_is_refused_before_anything_is_loaded(small, name, monkeypatch):
    monkeypatch.setattr(splits.corpora, "load", lambda *_: pytest.fail("something was loaded"))
    with pytest.raises(WorkbenchError, match=f"cannot be called '{name}'"):
        training.prepare({"source": "synthetic"}, {}, {"fine": {}, name: {}}, small.TAXONOMY)


def test_a_wrong_split_option_is_one_sentence(small, corpus):
    with pytest.raises(WorkbenchError, match="split: unknown key 'validaton'; did you mean 'validation'"):
        training.prepare(corpus, {"validaton": 0.1}, {}, small.TAXONOMY)


def test_the_summary_counts_posts_groups_pairs_and_known_positives(small):
    picture = {"bytes": b"x", "path": None}
    test = small.table([("a", YES, None), ("b", YES, NO), (None, None, YES)], image=[picture, None, picture])
    line = small.material(test=test).summary().loc["test"]
    # two posts share a group; one has both halves; the unknown labels are no positives
    assert line.to_dict() == {"posts": 3, "groups": 2, "paired": 1, "abuse": 2, "violence": 1}


# ------------------------------------------------------------------------------------------------------------- fitting


def test_test_posts_never_reach_training(small, store):
    given = small.material(extra=small.table(small.TEST, "d"))
    training.fit("reader", {}, given, [0, 1], store)
    assert [one.seed for one in small.SEEN] == [0, 1]
    for one in small.SEEN:
        assert one.train == ["a0", "a1", "a2", "a3"]
        assert one.validation == ["b0", "b1", "b2", "b3"]
        assert one.labels[2] == {"abuse": False, "violence": None}


def test_each_seed_has_a_model_of_its_own(small, store):
    fitted = training.fit("reader", {}, small.material(), [4, 2], store)
    assert [(one.seed, one.model.shift) for one in fitted] == [(4, 4.0), (2, 2.0)]
    assert fitted[0].model is not fitted[1].model
    assert all(one.seconds > 0 for one in fitted)


def test_a_model_that_no_seed_changes_is_trained_once(small, store):
    fitted = training.fit("fixed", {}, small.material(), [0, 1, 2], store)
    assert len(small.SEEN) == 1
    assert [one.seed for one in fitted] == [0, 1, 2]
    assert fitted[0].model is fitted[1].model is fitted[2].model
    assert [one.seconds for one in fitted[1:]] == [0, 0]  # its cost counts once


@pytest.mark.parametrize("seeds", [[], [0, 0], [1, 2, 1], "[0, 1]"])
def test_seeds_that_repeat_or_are_missing_are_refused(small, seeds, store):
    with pytest.raises(WorkbenchError, match="seeds must be a list of different numbers"):
        training.fit("reader", {}, small.material(), seeds, store)


def test_an_unknown_model_or_option_is_one_sentence(small, store):
    with pytest.raises(WorkbenchError, match="unknown model 'reade'; did you mean 'reader'"):
        training.fit("reade", {}, small.material(), [0], store)
    with pytest.raises(WorkbenchError, match="unknown key 'hidden'"):
        training.fit("reader", {"hidden": 3}, small.material(), [0], store)


# ------------------------------------------------------------------------------------------------------------- scoring


@pytest.fixture
def predictions(small, store) -> pa.Table:
    return training.score(small.ready("reader", small.material(), [0, 1], store), small.material())


def test_predictions_have_the_documented_columns(small, predictions):
    kinds = {"post_id": pa.string(), "split": pa.string(), "seed": pa.int64()}
    for label in small.LABELS:
        kinds |= {f"logit_{label}": pa.float32(), f"prob_{label}": pa.float64()}
    assert {field.name: field.type for field in predictions.schema} == kinds


def test_validation_and_test_are_scored_for_each_seed_and_train_is_not(predictions):
    rows = predictions.to_pylist()
    assert {(row["split"], row["seed"]) for row in rows} == {(s, k) for s in ("validation", "test") for k in (0, 1)}
    assert len(rows) == 2 * (4 + 5)
    assert not [row for row in rows if row["post_id"].startswith("a")]


def test_scores_are_the_models_own(small, predictions):
    first = small.rows_of(predictions, "test", seed=1)[0]
    assert first["post_id"] == "c0"
    assert (first["logit_abuse"], first["logit_violence"]) == (2.5, 1.0)  # 1.5 and 0, and the seed
    assert first["prob_abuse"] == small.sigmoid(2.5)
    assert first["prob_violence"] == small.sigmoid(1.0)


def test_what_was_not_seen_is_nan(small, predictions):
    unseen = small.rows_of(predictions, "test")[4]
    assert predictions["logit_abuse"].null_count == predictions["prob_abuse"].null_count == 0
    assert math.isnan(unseen["logit_abuse"])
    assert math.isnan(unseen["prob_abuse"])


def test_models_see_inputs_only(small, predictions):
    scored = [one for one in small.SEEN if hasattr(one, "scored")]
    assert scored
    assert all(set(one.columns) == set(INPUTS.names) for one in scored)


def test_extreme_logits_are_certain_and_raise_no_warning(small, store):
    given = small.material(test=small.table([("-1000 1000", YES, NO), ("-90 0", NO, YES)]))
    first, second = small.rows_of(training.score(small.ready("reader", given, [0], store), given), "test")
    assert (first["prob_abuse"], first["prob_violence"]) == (0.0, 1.0)
    assert 0 < second["prob_abuse"] < 1e-38


# ---------------------------------------------------------------------------------------------------------- thresholds


def test_thresholds_maximise_f1_on_validation(small, store):
    found = training.thresholds(small.ready("reader", small.material(), [0, 1], store))
    # abuse: flagging from logit 0 on has F1 4/5, the best of the four; the second seed adds 1 to every logit
    assert found["abuse"] == {
        "0": pytest.approx(small.sigmoid(0)),
        "1": pytest.approx(small.sigmoid(1)),
    }
    # violence: the one positive has the highest score, 3
    assert found["violence"] == {
        "0": pytest.approx(small.sigmoid(3)),
        "1": pytest.approx(small.sigmoid(4)),
    }


def test_test_posts_do_not_move_a_threshold(small, store):
    far = small.material(test=small.table([("9 9", NO, NO), ("-9 -9", YES, YES)]))
    told = [training.thresholds(small.ready("reader", one, [0], store)) for one in (far, small.material())]
    assert told[0] == told[1]


def test_unknown_labels_and_unseen_posts_do_not_move_a_threshold(small, store):
    # taken for negatives, the three unknown at 0.5 would leave abuse 2/3 from 2 on and 4/8 from 0 on
    more = [*small.VALIDATION, *[("0.5 9", None, None)] * 3, (None, YES, YES), ("1 9", None, NO)]
    given = small.material(validation=small.table(more, "b"))
    found = training.thresholds(small.ready("reader", given, [0], store))
    assert found["abuse"]["0"] == pytest.approx(small.sigmoid(0))
    # violence has a known false alarm at 9 now: from 3 on the one positive is flagged beside it, F1 2/3, else never
    assert found["violence"]["0"] == pytest.approx(small.sigmoid(3))


def test_without_a_positive_on_validation_there_is_no_threshold(small, store):
    given = small.material(validation=small.table([("1 1", NO, None), ("2 2", NO, None)], "b"))
    found = training.thresholds(small.ready("reader", given, [0], store))
    assert found == {"abuse": {"0": None}, "violence": {"0": None}}


def test_where_flagging_nothing_is_best_a_comparison_counts_nothing_as_flagged(small, store):
    wanted = objectives({"default": {"review": {"cost": {"miss": 1, "alarm": 100}}}}, ("abuse", "violence"))
    given = small.material(validation=small.table([("1 1", NO, None), ("0 2", YES, None)], "b"))
    fitted = training.fit("reader", {}, given, [0], store)
    found = training.thresholds(training.moderate(fitted, given, wanted))
    # abuse: the harmless post scores higher, so that the one miss is cheapest; nobody knows violence
    assert found == {"abuse": {"0": NOTHING}, "violence": {"0": None}}


def test_a_score_at_its_threshold_is_flagged_after_storage(small, tmp_path, store):
    # a third has no exact float: what is stored must still be at or above what was chosen
    given = small.material(validation=small.table([("0.3333333 0", YES, NO), ("0.1 0", NO, NO)], "b"))
    ready = small.ready("reader", given, [0], store)
    metrics = training.save(tmp_path / "run", ready, training.score(ready, given), given, store)
    facts.write(tmp_path / "run" / facts.NAME, given.sets, given.taxonomy)
    (tmp_path / "run" / "run.json").write_text(json.dumps({"key": "k", "alias": "reader", "state": "done"}))
    run = load_run(tmp_path / "run")
    assert metrics["thresholds"]["abuse"]["0"] == run.thresholds[0, 0]
    assert (run.sets["validation"].prob[0, :, 0] >= run.thresholds[0, 0]).tolist() == [True, False]
