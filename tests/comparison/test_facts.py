"""Facts of posts: what is kept is read back as it was, once for all runs, and numbers fall into stated bands."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from workbench.comparison import cases, facts
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()
POSTS = [
    {
        "post_id": "a",
        "text": "a woman",
        "language": "en",
        "author": {"account_age_days": 3.0},
        "created_at": datetime(2026, 3, 31, 23, tzinfo=UTC),
    },
    {"post_id": "b", "text": None, "image": {"path": "x.png"}, "region": "NZ"},
]
META = [
    {"functionality": "negation", "score": 7, "flag": True, "votes_abuse_yes": 2, "votes_abuse_no": 1, "length": "own"},
    {"functionality": None, "score": None, "flag": None, "votes_abuse_yes": 0, "votes_abuse_no": 3, "length": "own"},
]


def corpus(meta=META) -> pa.Table:
    table = pa.Table.from_pylist(POSTS, schema=corpus_schema(TAXONOMY))
    return table.append_column("meta", pa.array(meta)) if meta else table


def kept(path, meta=META, **sets) -> facts.PostFacts:
    """Return the facts of the posts as they come back from the disk."""
    facts.write(path / "posts.parquet", {"test": corpus(meta), **sets}, TAXONOMY)
    return facts.read(path / "posts.parquet").sets["test"]


def test_what_is_kept_is_read_back(tmp_path):
    found = kept(tmp_path).slices
    texts = {name: values.tolist() for name, values in found.items() if values.dtype.kind != "f"}
    assert texts == {
        "modality": ["text", "image"],
        "community": ["", ""],
        "language": ["en", ""],
        "region": ["", "NZ"],
        "month": ["2026-03", ""],
        "functionality": ["negation", ""],
        "flag": ["true", ""],
        "meta_length": ["own", "own"],  # the name of a standard column is taken
    }
    assert found["length"].tolist() == pytest.approx([7, np.nan], nan_ok=True)
    assert found["author_age"].tolist() == pytest.approx([3, np.nan], nan_ok=True)
    assert found["score"].tolist() == pytest.approx([7, np.nan], nan_ok=True)


def test_identities_and_votes_are_read_back(tmp_path):
    posts = kept(tmp_path)
    assert {name: rows.tolist() for name, rows in posts.identities.items()} == {"female": [True, False]}
    votes = posts.votes[:, [0, 1]]  # abuse, nudity
    assert votes[:, 0].tolist() == [[2, 1], [0, 3]]
    assert np.isnan(votes[:, 1]).all()
    assert np.isnan(kept(tmp_path, None).votes).all()


def test_labels_groups_and_weights_are_read_back_and_the_training_posts_are_left_out(tmp_path):
    labels = dict.fromkeys(TAXONOMY.names)
    rows = [
        {"post_id": "z", "text": "b", "labels": labels | {"abuse": False}, "weight": 0.25, "group": "g"},
        {"post_id": "b", "text": "a", "image": {"path": "x.png"}, "labels": labels | {"abuse": True}},
    ]
    other = pa.Table.from_pylist(rows, schema=corpus_schema(TAXONOMY))
    kept(tmp_path, validation=other, train=other)
    found = facts.read(tmp_path / "posts.parquet")
    assert (list(found.sets), found.labels, found.taxonomy) == (
        ["test", "validation"],
        TAXONOMY.names,
        TAXONOMY.fingerprint,
    )
    posts = found.sets["validation"]
    assert posts.post_id.tolist() == ["b", "z"]  # sorted
    assert posts.group.tolist() == ["b", "g"]  # a post without a group is its own
    assert posts.weight.tolist() == [1.0, 0.25]  # a post without a weight stands for itself
    assert posts.paired.tolist() == [True, False]
    assert posts.y[:, 0].tolist() == [True, False]
    assert posts.known.sum(axis=1).tolist() == [1, 1]  # of all labels one is known


def test_the_worlds_own_probabilities_are_kept_where_there_are_any(tmp_path):
    truth = {"text+image": {"abuse": 0.25, "violence": 0.5}, "late-fusion": {"abuse": 0.125, "violence": None}}
    kind = pa.struct({name: pa.struct({label: pa.float64() for label in ("abuse", "violence")}) for name in truth})
    known = corpus().append_column("truth", pa.array([truth] * 2, kind))
    kept(tmp_path, other=known)
    sets = facts.read(tmp_path / "posts.parquet").sets
    abuse, violence = TAXONOMY.names.index("abuse"), TAXONOMY.names.index("violence")
    assert sets["other"].exact["text+image"][0, [abuse, violence]].tolist() == [0.25, 0.5]
    assert sets["other"].exact["late-fusion"][0, abuse] == 0.125
    assert np.isnan(sets["other"].exact["late-fusion"][0, violence])
    assert all(np.isnan(values).all() for values in sets["test"].exact.values())


def test_facts_say_what_they_were_made_from_and_a_torn_file_is_one_sentence(tmp_path):
    path = tmp_path / "posts.parquet"
    facts.write(path, {"test": corpus()}, TAXONOMY, {"code": "c1"})
    assert facts.made_from(path) == {"code": "c1"}
    first = facts.read(path).digest
    facts.write(path, {"test": corpus()}, TAXONOMY, {"code": "c1"})
    assert facts.read(path).digest == first  # the same facts are the same file
    path.write_bytes(path.read_bytes()[:-20])
    assert facts.made_from(path) is None
    with pytest.raises(WorkbenchError, match=r"cannot read the facts .*`workbench compare STUDY` makes it"):
        facts.read(path)


def test_a_column_of_many_texts_is_no_slice():
    table = pa.Table.from_pylist(POSTS * 150, schema=corpus_schema(TAXONOMY))
    many = table.append_column("meta", pa.array([{"comment": f"text {i}"} for i in range(300)]))
    assert "slice_comment" not in facts.slice_columns(many)


def test_a_column_that_is_a_number_here_and_a_text_there_is_a_text(tmp_path):
    words = [{"score": "high", "flag": 3}, {"score": None, "flag": 4}]
    kept(tmp_path, other=corpus(words))
    test, other = (facts.read(tmp_path / "posts.parquet").sets[name].slices for name in ("test", "other"))
    assert (test["score"].tolist(), other["score"].tolist()) == (["7", ""], ["high", ""])
    assert (test["flag"].tolist(), other["flag"].tolist()) == (["true", ""], ["3", "4"])
    posts = [{"post_id": f"m{n}", "text": "a"} for n in range(300)]
    numbers = pa.Table.from_pylist(posts, schema=corpus_schema(TAXONOMY))
    numbers = numbers.append_column("meta", pa.array([{"score": n / 7} for n in range(300)]))
    kept(tmp_path, other=corpus(words), numbers=numbers)
    found = facts.read(tmp_path / "posts.parquet").sets["numbers"].slices["score"]
    assert set(found) == {""}  # as texts they are too many different ones for a slice


def test_whole_numbers_here_and_fractions_there_are_numbers(tmp_path):
    posts = [{"post_id": f"m{n}", "text": "a", "author": {"account_age_days": n / 2}} for n in range(300)]
    fractions = pa.Table.from_pylist(posts, schema=corpus_schema(TAXONOMY))
    whole = pa.array([{"account_age_days": n} for n in range(300)])
    at = fractions.column_names.index("author")
    facts.write(tmp_path / "posts.parquet", {"a": fractions, "b": fractions.set_column(at, "author", whole)}, TAXONOMY)
    a, b = (facts.read(tmp_path / "posts.parquet").sets[name] for name in "ab")
    assert [dict(zip(one.post_id, one.slices["author_age"], strict=True))["m9"] for one in (a, b)] == [4.5, 9.0]
    assert facts.banded("author_age", b.slices["author_age"])[1] == facts.BANDS["author_age"]


def test_an_edge_belongs_to_the_band_below_and_gaps_stay_gaps():
    names, edges = facts.banded("author_age", np.array([0.0, 7.0, 7.5, 365.0, 366.0, np.nan]))
    assert edges == (7, 30, 365)
    assert names.tolist() == ["7 or less", "7 or less", "over 7 to 30", "over 30 to 365", "over 365", ""]


def test_other_numbers_are_themselves_or_their_quartiles():
    assert facts.banded("score", np.array([1.0, 2.0, np.nan]))[0].tolist() == ["1", "2", ""]
    names, edges = facts.banded("score", np.arange(101.0))
    assert edges == (25, 50, 75)
    assert [names[25], names[26], names[100]] == ["25 or less", "over 25 to 50", "over 75"]


def test_facts_are_alike_where_posts_sets_labels_and_taxonomy_are_the_same(tmp_path):
    def kept_as(name: str, table: pa.Table, **data: str) -> dict[str, str]:
        data = {"taxonomy": "t"} | data
        facts.write(tmp_path / "posts.parquet", {name: table}, TAXONOMY, {"data": data})
        return data

    plain = pa.Table.from_pylist(POSTS, schema=corpus_schema(TAXONOMY))
    labels = [dict.fromkeys(TAXONOMY.names, False)] * 2
    at = plain.column_names.index("labels")
    first = kept_as("test", plain, source="1")
    again = kept_as("test", plain.take([1, 0]), source="2")  # in another order
    kept_as("other", plain, source="3")
    kept_as("test", plain.set_column(at, "labels", pa.array(labels, plain.schema.field("labels").type)), source="4")
    kept_as("test", plain, source="5", taxonomy="u")
    assert facts.alike(tmp_path, first) == [first, again]
    assert facts.place(tmp_path, first).name.startswith("posts-")  # what stands there is of other posts
    last = kept_as("test", plain, source="6")
    assert facts.place(tmp_path, first).name == facts.place(tmp_path, last).name == "posts.parquet"
    assert facts.alike(tmp_path, {"taxonomy": "t"}) == [{"taxonomy": "t"}]  # of which no facts are there
    (tmp_path / "posts.parquet").write_bytes(b"torn")
    assert facts.alike(tmp_path, last) == [last]


def test_two_hundred_different_texts_are_a_slice_and_one_more_is_none(tmp_path):
    posts = [{"post_id": f"m{n}", "text": "a"} for n in range(201)]
    table = pa.Table.from_pylist(posts, schema=corpus_schema(TAXONOMY))
    for most in (200, 201):
        texts = table.append_column("meta", pa.array([{"comment": f"text {n % most}"} for n in range(201)]))
        assert ("slice_comment" in facts.slice_columns(texts)) == (most == 200)
        # a number here and a text there is a text, of which there may be as many
        numbers = table.append_column("meta", pa.array([{"score": float(n % most)} for n in range(201)]))
        facts.write(tmp_path / "posts.parquet", {"a": numbers, "b": corpus([{"score": "high"}] * 2)}, TAXONOMY)
        found = set(facts.read(tmp_path / "posts.parquet").sets["a"].slices["score"])
        assert len(found) == (200 if most == 200 else 1)


def test_the_bands_of_length_and_age_and_where_twelve_numbers_end():
    assert facts.BANDS == {"length": (40, 140, 280, 1000), "author_age": (7, 30, 365)}
    names, edges = facts.banded("length", np.array([1.0, 2.0]))
    assert (names.tolist(), edges) == (["40 or less"] * 2, (40, 140, 280, 1000))
    assert facts.banded("score", np.arange(12.0))[1] == ()
    assert facts.banded("score", np.r_[np.arange(13.0), np.nan])[1] == (3, 6, 9)
    assert facts.banded("score", np.r_[np.arange(13.0), np.nan])[0][-1] == ""


def test_text_with_a_clip_is_paired_and_what_nobody_says_is_empty(tmp_path):
    rows = [
        {"post_id": "a", "text": "a", "video": {"path": "x.mp4"}},
        {"post_id": "b", "text": "b"},
        {"post_id": "c", "image": {"path": "x.png"}},
        {"post_id": "d", "text": "d", "image": {"path": "x.png"}, "video": {"path": "x.mp4"}},
    ]
    meta = [{"functionality": "negation", "target": None, "note": "n"}] + [{"functionality": None, "note": "o"}] * 3
    table = pa.Table.from_pylist(rows, schema=corpus_schema(TAXONOMY))
    table = table.append_column("meta", pa.array(meta, pa.struct(dict.fromkeys(cases.CASES, pa.string()))))
    facts.write(tmp_path / "posts.parquet", {"test": table}, TAXONOMY)
    found = facts.read(tmp_path / "posts.parquet").sets["test"]
    assert found.paired.tolist() == [True, False, False, True]
    assert found.slices["modality"].tolist() == ["text+video", "text", "image", "text+image+video"]
    assert {name: cells.tolist() for name, cells in found.suite.items()} == {
        "functionality": ["negation", "", "", ""],
        "note": ["n", "o", "o", "o"],
    }
    bare = facts.PostFacts(**dict.fromkeys(("post_id", "group", "weight", "paired", "y", "known"), np.zeros(1)))
    assert (bare.exact, bare.slices, bare.identities, bare.votes, bare.suite) == ({}, {}, {}, None, {})


def test_the_facts_of_other_posts_stay_beside_those_of_now(tmp_path):
    path, table = tmp_path / "posts.parquet", corpus()
    for data in ({"v": 1}, {"v": 1}, {"v": 2}):
        facts.write(path, {"test": table.slice(0, data["v"])}, TAXONOMY, {"data": data})
    assert len(list(tmp_path.iterdir())) == 2
    assert len(facts.read(facts.place(tmp_path, {"v": 1})).sets["test"].post_id) == 1
    assert facts.read(path).data == {"v": 2}
    assert facts.place(tmp_path, {"v": 2}) == facts.place(tmp_path, {"v": 3}) == path
    facts.write(path, {"test": table}, TAXONOMY)  # which says not of which data it is
    assert (facts.read(path).data, len(list(tmp_path.iterdir()))) == (None, 3)
