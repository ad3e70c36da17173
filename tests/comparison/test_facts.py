"""Slice columns: what predictions keep of a post is read back as it was, and numbers fall into stated bands."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from workbench.comparison import facts
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


def kept(meta=META) -> pa.Table:
    table = pa.Table.from_pylist(POSTS, schema=corpus_schema(TAXONOMY))
    if meta:
        table = table.append_column("meta", pa.array(meta))
    return pa.table(facts.slice_columns(table))


HAS = {"text": np.array([True, False]), "image": np.array([False, True]), "video": np.array([False, False])}


def test_what_is_kept_is_read_back():
    found = facts.read_slices(kept(), HAS)
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


def test_identities_and_votes_are_read_back():
    table = kept()
    assert {name: rows.tolist() for name, rows in facts.read_identities(table).items()} == {"female": [True, False]}
    votes = facts.read_votes(table, ("abuse", "nudity"))
    assert votes[:, 0].tolist() == [[2, 1], [0, 3]]
    assert np.isnan(votes[:, 1]).all()
    assert np.isnan(facts.read_votes(kept(None), ("abuse",))).all()
    assert facts.read_identities(pa.table({"post_id": ["a"]})) == {}  # runs from before they were kept


def test_a_column_of_many_texts_is_no_slice():
    table = pa.Table.from_pylist(POSTS * 150, schema=corpus_schema(TAXONOMY))
    many = table.append_column("meta", pa.array([{"comment": f"text {i}"} for i in range(300)]))
    assert "slice_comment" not in facts.slice_columns(many)


def test_an_edge_belongs_to_the_band_below_and_gaps_stay_gaps():
    names, edges = facts.banded("author_age", np.array([0.0, 7.0, 7.5, 365.0, 366.0, np.nan]))
    assert edges == (7, 30, 365)
    assert names.tolist() == ["7 or less", "7 or less", "over 7 to 30", "over 30 to 365", "over 365", ""]


def test_other_numbers_are_themselves_or_their_quartiles():
    assert facts.banded("score", np.array([1.0, 2.0, np.nan]))[0].tolist() == ["1", "2", ""]
    names, edges = facts.banded("score", np.arange(101.0))
    assert edges == (25, 50, 75)
    assert [names[25], names[26], names[100]] == ["25 or less", "over 25 to 50", "over 75"]
