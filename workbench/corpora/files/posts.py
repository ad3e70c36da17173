"""Batches of a file as rows of inputs, one by one, for those who decide about posts: by the same cells as a corpus.

A corpus is refused as a whole where a cell is wrong; here that row alone is, and it keeps its id.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from workbench.corpora.files import cells
from workbench.corpora.files.media import KINDS, MEDIA, as_media, identities
from workbench.corpora.files.times import times
from workbench.corpora.files.values import MISSING, plain
from workbench.corpora.reading import Batch
from workbench.corpora.reading.columns import MIXED, cells_of
from workbench.errors import WorkbenchError
from workbench.schema import INPUTS

_ROW = "this row"


class InputRow(NamedTuple):
    """One row: its id, the values of the other fields, why it cannot be read, and what it was read without."""

    post_id: str
    cells: dict[str, Any]
    error: str | None = None
    note: str | None = None


def parts_of(column: str, names: Collection[str]) -> list[str]:
    """Return the columns that `title+body` names, where no column is called so.

    >>> parts_of("title+body", ["title", "body"]), parts_of("a+b", ["a+b"])
    (['title', 'body'], ['a+b'])
    """
    return [column] if column in names else [part.strip() for part in column.split("+")]


class PostFormat(NamedTuple):
    """Which column is which field of INPUTS, where paths start, and how times are written."""

    columns: Mapping[str, str]
    folder: Path
    time_format: str | None = None
    missing: Sequence[str] = MISSING


def rows_of(batch: Batch, form: PostFormat, start: int) -> Iterator[InputRow]:
    """Yield the rows of a batch, whose first is number `start` of its file."""
    given = {field: batch.columns[name] for field, name in form.columns.items() if name in batch.columns}
    if "text" not in given:
        parts = parts_of(form.columns.get("text", ""), batch.columns)
        given |= {f"text {n}": batch.columns[name] for n, name in enumerate(parts) if name in batch.columns}
    whole = None
    if not batch.faults:
        try:
            whole = _read(given, form, start, batch.size)
        except WorkbenchError:
            whole = None  # one of the rows is to blame: they are read one by one
    if whole is not None:
        yield from whole
        return
    for row in range(batch.size):
        yield _alone(
            {field: _cell(column, row) for field, column in given.items()}, form, start + row, batch.faults.get(row)
        )


def _cell(column: pa.Array, row: int) -> pa.Array:
    """Return one cell as a column of the kind that it would have alone."""
    if not column[row].is_valid:
        return pa.nulls(1)
    if column.type != MIXED:
        return column.slice(row, 1)
    return cells_of([json.loads(column[row][0].as_py())])


def _alone(given: dict[str, pa.Array], form: PostFormat, number: int, fault: Any) -> InputRow:
    """Return one row, with what is wrong with it; a wrong cell does not cost it its id."""
    named = None
    try:
        if "post_id" in given:
            named = plain(pa.chunked_array([given["post_id"]]), "post_id", _ROW)[0].as_py()
        if fault is None:
            return _read(given, form, number, 1)[0]
        why = fault.why
    except WorkbenchError as error:
        why = fault.why if fault else str(error)
    return InputRow(named or f"row-{number}", {}, why)


def _read(given: dict[str, pa.Array], form: PostFormat, start: int, rows: int) -> list[InputRow]:
    """Return rows whose cells can all be read; raise WorkbenchError where one cannot, unless it is a time."""
    columns = {field: pa.chunked_array([column]) for field, column in given.items()}
    missing, note = form.missing, None
    texts = [cells.words(columns.pop(field), _ROW) for field in [*columns] if field.startswith("text")]
    if texts:
        columns["text"] = cells.in_lines(texts, missing)
    media = {}
    for kind in KINDS:
        if kind.column in columns:
            hint = "its media must lie below that folder"
            columns[kind.column] = as_media(columns[kind.column], kind, (form.folder,), _ROW, missing, hint)
        media[kind] = columns.get(kind.column, pa.chunked_array([pa.nulls(rows, MEDIA)]))
    if "author" in columns:
        columns["author"] = cells.author(columns["author"], "author", _ROW, missing)
    for field in ("community", "language", "region"):
        if field in columns:
            columns[field] = cells.place_of_post(columns[field], field, _ROW, missing)
    if "created_at" in columns:
        try:
            columns["created_at"] = times(columns["created_at"], _ROW, form.time_format, "created_at", missing)
        except WorkbenchError as error:
            if rows > 1:
                raise
            note = f"scored without its time: {error}"
            del columns["created_at"]
    named = columns.pop("post_id", None)
    text = columns.get("text", pa.chunked_array([pa.nulls(rows, pa.string())]))
    keys = None
    if named is None or plain(named, "post_id", _ROW).null_count:
        keys = cells.content_keys(text, *(identities(column, kind, None) for kind, column in media.items()))
    ids = cells.ids(named, keys, _ROW, start=start).to_pylist()
    values = {field: column.to_pylist() for field, column in columns.items() if field in INPUTS.names}
    return [
        InputRow(
            post_id,
            {field: value for field, column in values.items() if (value := column[row]) not in (None, "")},
            None,
            note,
        )
        for row, post_id in enumerate(ids)
    ]
