"""Columns of a user's file to columns of a corpus, whole columns at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora.files.labels import plain_text
from workbench.corpora.files.mapping import SplitColumn
from workbench.errors import WorkbenchError, unknown
from workbench.schema import INPUTS

SPLITS = ("train", "validation", "test")
_TIME = INPUTS.field("created_at").type


def struct(columns: Mapping[str, pa.ChunkedArray]) -> pa.ChunkedArray:
    """Return columns as one column of structs."""
    return pa.table(dict(columns)).to_struct_array()


def words(cells: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Return the text column, character for character."""
    if pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type):
        raise WorkbenchError(f"{where}: the text column holds {cells.type}; name a column of text")
    return pc.cast(cells, pa.string())


def content_keys(
    text: pa.ChunkedArray, pictures: list[str | None], clips: list[str | None] | None = None
) -> list[str | None]:
    """Return, per row, 16 hex digits over its normalised text, its picture and its clip, None for a row without any.

    Normalised: NFKC, lower-cased, white space collapsed. Equal keys are exact repeats.
    """
    plain = pc.utf8_lower(pc.utf8_normalize(text, form="NFKC"))
    plain = pc.binary_join(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(plain)), " ")
    keys = []
    for words, picture, clip in zip(plain.to_pylist(), pictures, clips or [None] * len(pictures), strict=True):
        parts = [words or "", picture or "", *([clip] if clip else [])]
        keys.append(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16] if any(parts) else None)
    return keys


def ids(cells: pa.ChunkedArray | None, keys: list[str | None], where: str) -> pa.ChunkedArray:
    """Return the ids; a row without one gets `row-NUMBER-CONTENT`. Raises WorkbenchError for ids that repeat."""
    own = [f"row-{row}-{(key or 'empty')[:8]}" for row, key in enumerate(keys)]
    values = filled(cells, own)
    counts = pc.value_counts(values)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        some = ", ".join(repr(post_id) for post_id in sorted(repeated.slice(0, 1000).to_pylist())[:3])
        contents: dict[str, set[str | None]] = {post_id: set() for post_id in repeated.to_pylist()}
        for post_id, key in zip(values.to_pylist(), keys, strict=True):
            if post_id in contents:
                contents[post_id].add(key)
        unlike = sum(len(values) > 1 for values in contents.values())
        raise WorkbenchError(
            f"{where}: {len(repeated)} post ids occur more than once, {unlike} of them with different content, such as "
            f"{some}; remove the repeats, or leave out `post_id` to number the rows"
        )
    return values


def filled(cells: pa.ChunkedArray | None, own: list[str]) -> pa.ChunkedArray:
    """Return a column as text, with `own` where it has nothing."""
    fallback = pa.chunked_array([pa.array(own, pa.string())])
    return fallback if cells is None else pc.coalesce(plain_text(cells), fallback)


def author(cells: pa.ChunkedArray | None) -> pa.ChunkedArray | None:
    """Return the authors, from a column of ids or from structs that share fields with the corpus."""
    if cells is None:
        return None
    kind = INPUTS.field("author").type
    if pa.types.is_struct(cells.type):
        given = {field.name: pc.struct_field(cells, field.name) for field in cells.type}
    else:
        given = {"id": plain_text(cells)}
    parts = [
        given[field.name].cast(field.type).combine_chunks() if field.name in given else pa.nulls(len(cells), field.type)
        for field in kind
    ]
    nobody = np.logical_and.reduce([part.is_null().to_numpy(zero_copy_only=False) for part in parts])
    return pa.chunked_array([pa.StructArray.from_arrays(parts, fields=list(kind), mask=pa.array(nobody))])


def times(cells: pa.ChunkedArray | None, where: str, form: str | None = None) -> pa.ChunkedArray | None:
    """Return UTC times from times, text in ISO 8601 or in a form of strptime (without a zone: UTC), or seconds."""
    if cells is None:
        return None
    if pa.types.is_temporal(cells.type):
        return cells.cast(_TIME)
    values = plain_text(cells)
    if form:
        return _parsed(values, form, where)
    for read in (_seconds, lambda texts: texts.cast(_TIME), lambda texts: texts.cast(pa.timestamp("us")).cast(_TIME)):
        try:
            return read(values)
        except pa.ArrowException as error:
            last = " ".join(str(error).split())
    raise WorkbenchError(
        f"{where}: `created_at` must hold ISO 8601 times or seconds since 1970, or `time_format` must say how they are "
        f"written: {last:.150}"
    )


def _parsed(texts: pa.ChunkedArray, form: str, where: str) -> pa.ChunkedArray:
    try:
        parsed = pd.to_datetime(pd.Series(texts.to_pylist(), dtype=object), format=form, utc=True)
    except ValueError as error:
        cause = " ".join(str(error).partition("You might want")[0].split())
        raise WorkbenchError(f"{where}: `created_at` is not written as {form!r}: {cause:.150}") from None
    return pa.chunked_array([pa.Array.from_pandas(parsed.dt.as_unit("us"), type=_TIME)])


def _seconds(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    micros = pc.multiply(texts.cast(pa.float64()), 1e6)
    return pc.cast(pc.round(micros), pa.int64()).cast(pa.timestamp("us")).cast(_TIME)


def weights(cells: pa.ChunkedArray | None, rows: int, where: str) -> pa.ChunkedArray:
    """Return how many posts each row stands for, 1 where nothing is said."""
    if cells is None:
        return pa.chunked_array([pa.array([1.0] * rows)])
    try:
        numbers = pc.fill_null(pc.cast(plain_text(cells), pa.float64()), 1.0)
    except pa.ArrowException as error:
        raise WorkbenchError(f"{where}: `weight` must hold numbers: {error}") from None
    if not pc.all(pc.and_(pc.is_finite(numbers), pc.greater(numbers, 0))).as_py():
        raise WorkbenchError(
            f"{where}: `weight` must be above zero in every row; remove the rows that stand for nothing"
        )
    return numbers


def splits(cells: pa.ChunkedArray, rule: SplitColumn, where: str) -> pa.ChunkedArray:
    """Return train, validation, test or null; raise WorkbenchError for a value that means none of them."""
    values = plain_text(cells)
    meaning = {**{split: split for split in SPLITS}, **rule.values}
    for value in pc.unique(values).to_pylist():
        if value is not None and value not in meaning:
            sentence = unknown("split", value, meaning)
            raise WorkbenchError(f"{where}: column {rule.column!r}: {sentence}; say what it means in `split.values`")
    places = pc.index_in(values, value_set=pa.array(list(meaning), pa.string()), skip_nulls=True)
    return pc.take(pa.array(list(meaning.values()), pa.string()), places)
