"""Keys of content, made column by column, are those that one text at a time has; white space never tells two apart."""

from __future__ import annotations

import hashlib
import sys
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from workbench.corpora.files.cells import content_keys

SCALARS = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
SPACES = [c for c in SCALARS if unicodedata.category(c) == "Zs" or unicodedata.bidirectional(c) in ("B", "S", "WS")]


def keys(texts, *media):
    return content_keys(pa.chunked_array([texts], pa.string()), *media).to_pylist()


def by_hand(parts: str) -> str:
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


@pytest.mark.parametrize("form", ["a{}b", "{}b", "a{}", "a {}b", "a{}{}b"])
def test_any_white_space_of_unicode_is_one_space(form):
    texts = pa.chunked_array([[form.format(mark, mark) for mark in SCALARS]])
    some = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    plain = pc.binary_join(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(some)), " ")
    assert content_keys(texts).to_pylist() == [by_hand(f"{text}\0") for text in plain.to_pylist()]
    assert len(SPACES) > 20
    spaced = keys([f"so{mark}{mark}it is" for mark in SPACES])
    assert {*spaced} == {by_hand("so it is\0")}


def test_media_count_and_rows_of_nothing_have_no_key():
    texts, pictures, clips = (
        [None, "", " ", "Hi", None, "hi"],
        [None, None, "", "p", "p", ""],
        [None, "", None, "", "c", "c"],
    )
    assert keys(texts) == [None, None, None, by_hand("hi\0"), None, by_hand("hi\0")]
    assert keys(texts, pictures) == [None, None, None, by_hand("hi\0p"), by_hand("\0p"), by_hand("hi\0")]
    assert keys(texts, pictures, clips) == [
        None,
        None,
        None,
        by_hand("hi\0p"),
        by_hand("\0p\0c"),
        by_hand("hi\0\0c"),
    ]


def test_more_rows_than_are_taken_at_a_time():
    texts = [f"{n % 30_000} post" for n in range(50_000)]
    found = keys(texts, None, ["clip"] * 50_000)
    assert found[:2] == [by_hand("0 post\0\0clip"), by_hand("1 post\0\0clip")]
    assert found[30_000:] == found[:20_000]
    assert len(set(found)) == 30_000
