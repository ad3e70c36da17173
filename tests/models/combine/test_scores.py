"""A file of scores is read as it was written, or refused with a sentence."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from workbench import models
from workbench.errors import WorkbenchError


@pytest.fixture
def posts(table, taxonomy):
    return table([{"post_id": name} for name in ("007", "b", "c")], taxonomy)


@pytest.fixture
def logits(posts, taxonomy, tmp_path):
    """The function that writes a file and returns the model's logits for posts 007, b and c."""

    def of(content, suffix=".csv", **options):
        path = tmp_path / f"scores{suffix}"
        if isinstance(content, pa.Table):
            parquet.write_table(content, path)
        else:
            path.write_text(content)
        model = models.create("scores", {"path": str(path), **options}, taxonomy=taxonomy, store=None)
        return model.fit(posts, posts, seed=0).logits(posts)

    return of


NAN = float("nan")
EXPECTED = [[np.log(3), NAN], [0.0, np.log(1 / 3)], [NAN, NAN]]  # 0.75, 0.5, 0.25 as log-odds; c is not in the file


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        ("post_id,abuse,nudity\nb,0.5,0.25\n007,0.75,\nz,1,1\n", ".csv"),
        ("post_id\tabuse\tnudity\nb\t0.5\t0.25\n007\t0.75\tNA\n", ".tsv"),
        ("post_id,abuse,nudity\nb, 0.5 ,0.25\n007,0.75 , \n", ".csv"),
        ('{"post_id": "b", "abuse": 0.5, "nudity": 0.25}\n{"post_id": "007", "abuse": 0.75}\n', ".jsonl"),
        (pa.table({"post_id": ["b", "007"], "abuse": [0.5, 0.75], "nudity": [0.25, None]}), ".parquet"),
    ],
)
def test_posts_are_found_by_id_in_every_format_and_absent_ones_are_nan(logits, content, suffix):
    np.testing.assert_allclose(logits(content, suffix), EXPECTED, rtol=1e-6)


def test_columns_and_ids_can_have_other_names(logits, taxonomy):
    found = logits("key,toxicity\nb,0.5\n007,0.75\n", id="key", columns={"abuse": "toxicity"})
    np.testing.assert_allclose(found[:, 0], [np.log(3), 0, NAN], rtol=1e-6)
    assert np.isnan(found[:, 1]).all()


def test_certain_probabilities_and_infinite_logits_become_finite(logits):
    found = logits("post_id,abuse\nb,0\n007,1\n")
    assert np.isfinite(found[:2, 0]).all()
    assert found[0, 0] > 25
    assert found[1, 0] < -25
    found = logits("post_id,abuse\nb,-inf\n007,3.5\n", scale="logit")
    assert found[:2, 0].tolist() == [3.5, -80.0]


def test_the_same_scores_may_stand_twice_and_others_may_not(logits):
    assert logits("post_id,abuse\nb,0.5\nb,0.5\n")[1, 0] == 0
    with pytest.raises(WorkbenchError, match="post 'b' two different scores"):
        logits("post_id,abuse\nb,0.5\nb,0.6\n")


def test_numbers_serve_as_ids(logits):
    lines = "\n".join(json.dumps({"post_id": number, "abuse": 0.5}) for number in (1, 2))
    assert np.isnan(logits(lines, ".jsonl")).all()


@pytest.mark.parametrize(
    ("content", "suffix", "options", "said"),
    [
        ("post_id,abuse\nb,1.2\n", ".csv", {}, "holds 1.2, which is no probability"),
        ("post_id,abuse\nb,high\n", ".csv", {}, "scores must be numbers"),
        ("post_id,abuse\nb,true\n", ".csv", {}, "booleans are decisions, not scores; say what they mean"),
        ("post_id,abuse\nb,TRUE\n", ".csv", {}, "booleans are decisions, not scores"),
        ("postid,abuse\nb,0.5\n", ".csv", {}, "unknown column 'post_id'; did you mean 'postid'"),
        ("post_id,toxic\nb,0.5\n", ".csv", {}, "no column for any of the labels abuse, nudity"),
        ("post_id,abuse\nb,0.5\n", ".csv", {"columns": {"abuse": "toxic"}}, "unknown column 'toxic'"),
        ("post_id,abuse\nb,0.5\n", ".csv", {"columns": {"abus": "abuse"}}, "unknown label 'abus'"),
        ("post_id,abuse\nb,0.5,3\n", ".csv", {}, "line 2 has 3 cells"),
        ("post_id", ".doc", {}, "unknown file ending"),
        ("PAR1", ".parquet", {}, "cannot be read as Parquet"),
        ('{"post_id": null, "abuse": 1}', ".jsonl", {}, "1 rows have no 'post_id'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_sentence(logits, content, suffix, options, said):
    with pytest.raises(WorkbenchError, match=said) as caught:
        logits(content, suffix, **options)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(posts, taxonomy, tmp_path):
    model = models.create("scores", {"path": str(tmp_path / "no.csv")}, taxonomy=taxonomy, store=None)
    with pytest.raises(WorkbenchError, match=r"cannot read .*no\.csv"):
        model.fit(posts, posts, seed=0)


def test_modalities_are_what_the_user_says_in_the_order_of_all(taxonomy):
    def told(**options):
        return models.create("scores", {"path": "x.csv", **options}, taxonomy=taxonomy, store=None).modalities

    assert told() == ()
    assert told(modalities=["image", "text"]) == ("text", "image")


def test_decisions_are_as_sure_as_scores_get(logits):
    words = {"hateful": True, "fine": False}
    found = logits("post_id,abuse\nb,hateful\n007,fine\n", decisions=words)
    np.testing.assert_allclose(found[:2, 0], [-27.63, 27.63], atol=0.01)  # log((1 - 1e-12) / 1e-12)
    with pytest.raises(WorkbenchError, match="did you mean 'hatefull'"):
        logits("post_id,abuse\nb,hatefull\n", decisions=words)
    lines = '{"post_id": "b", "abuse": true}\n{"post_id": "007", "abuse": null}\n'
    found = logits(lines, ".jsonl", decisions={"true": True})
    assert found[1, 0] > 27
    assert np.isnan(found[0, 0])


def test_only_decisions_are_decided(taxonomy):
    def made(**options):
        return models.create("scores", {"path": "x.csv", **options}, taxonomy=taxonomy, store=None).decided

    assert (made(), made(decisions={"yes": True})) == (False, True)


def test_a_file_and_posts_without_an_id_in_common_are_refused(taxonomy, tmp_path):
    path = tmp_path / "vendor.csv"
    path.write_text("post_id,abuse\n1.0,0.5\n2.0,0.25\n3.0,0.75\n4.0,0.5\n")
    options = {"path": str(path)}
    sets = {"validation": pa.table({"post_id": ["p1", "p2"]}), "test": pa.table({"post_id": ["p3", "p4", "p5"]})}
    words = (
        r"vendor\.csv, column 'post_id': none of its 4 ids \(such as '1\.0', '2\.0', '3\.0'\) is the id of one of the "
        r"5 posts to score \(such as 'p1', 'p2', 'p3'\); name the column"
    )
    stacked = {"members": ["text-tfidf", {"name": "scores", "options": options}]}
    for name, given in (("scores", options), ("late-fusion", stacked)):
        with pytest.raises(WorkbenchError, match=words):
            models.meet(name, given, taxonomy, sets)
        models.meet(name, given, taxonomy, sets | {"far": pa.table({"post_id": ["3.0"]})})  # one set is enough


@pytest.mark.parametrize("cells", [["0.75", "n/a", "-"], ["75%", "", "None"], ["0,75", "null", "<NA>"]])
def test_numbers_and_words_for_missing_are_those_of_other_files(logits, cells):
    found = logits(
        "post_id;abuse\n" + "".join(f"{post};{cell}\n" for post, cell in zip(["b", "x", "c"], cells, strict=True))
    )
    np.testing.assert_allclose(found[:, 0], [NAN, np.log(3), NAN], rtol=1e-5)


def test_one_decision_in_several_spellings(logits):
    found = logits("post_id,abuse\n007,1\nb,0.0\nc,nan\n", decisions={"1": True, "0": False})
    assert [*np.sign(found[:2, 0])] == [1, -1]
    assert np.isnan(found[2, 0])
