"""Columns of a user's file to columns of a corpus, whole columns at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora.files.mapping import SplitColumn
from workbench.corpora.files.values import MISSING, lowered, plain, present
from workbench.corpora.reading.columns import EXACT
from workbench.corpora.reading.written import NoNumbers, numbers
from workbench.errors import WorkbenchError, unknown
from workbench.schema import INPUTS

SPLITS = ("train", "validation", "test")
_ROUNDED = r"^\d\.\d+[eE]\+\d\d$"  # how spreadsheets write long numbers
_ROWS = 20_000  # that are Python objects at one time
_ODD_SPACE = r"  |\p{Cc}|[^ \P{Z}]"  # within a text: what white space is collapsed from


def struct(columns: Mapping[str, pa.ChunkedArray]) -> pa.ChunkedArray:
    """Return columns as one column of structs."""
    return pa.table(dict(columns)).to_struct_array()


def words(cells: pa.ChunkedArray, where: str, name: str = "text") -> pa.ChunkedArray:
    """Return the text column, character for character; numbers as they are written elsewhere."""
    if pa.types.is_string(cells.type):
        return cells
    if pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type):
        raise WorkbenchError(f"{where}: the text column holds {cells.type}; name a column of text")
    return plain(cells, name, where)


def in_lines(texts: Sequence[pa.ChunkedArray], missing: Sequence[str] = MISSING) -> pa.ChunkedArray:
    """Return one text a row from those of several columns, each from a line of its own.

    An empty part, and one that is a word for missing beside another that is none, is left out; a text of one column
    stays as it is.
    """
    if len(texts) == 1:
        return texts[0]
    absent = pa.array(sorted({*lowered(missing), ""}), pa.string())
    said = [pc.if_else(pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text)), absent), "", text) for text in texts]
    whole, kept = (_lines([pc.fill_null(text, "") for text in parts]) for parts in (texts, said))
    kept = pc.if_else(pc.equal(kept, ""), whole, kept)
    return pc.if_else(pc.equal(kept, ""), None, kept)


def _lines(texts: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    first, *rest = texts
    for text in rest:
        both = pc.binary_join_element_wise(first, text, "\n")
        first = pc.if_else(pc.equal(first, ""), text, pc.if_else(pc.equal(text, ""), first, both))
    return first


def content_keys(
    text: pa.ChunkedArray, pictures: Sequence[str | None] | None = None, clips: Sequence[str | None] | None = None
) -> pa.ChunkedArray:
    """Return, per row, 16 hex digits over its normalised text, its picture and its clip, null for a row without any.

    Normalised: NFKC, lower-cased, white space collapsed. Equal keys are exact repeats. Some rows at a time are Python
    objects.
    """
    chunks = []
    for start in range(0, len(text), _ROWS):
        content = pc.fill_null(_normalised(text.slice(start, _ROWS)), "")
        picture, clip = (_media(kind, start, len(content)) for kind in (pictures, clips))
        content = pc.binary_join_element_wise(content, picture, "\0")
        if clips:  # posts without one have the key that they had before there were clips
            content = pc.if_else(pc.equal(clip, ""), content, pc.binary_join_element_wise(content, clip, "\0"))
        chunks += pc.if_else(pc.equal(content, "\0"), None, _hashed(content)).chunks
    return pa.chunked_array(chunks, pa.string())


def _normalised(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    some = pc.utf8_trim_whitespace(pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC")))
    odd = pc.fill_null(pc.match_substring_regex(some, _ODD_SPACE), False).combine_chunks()
    if not pc.any(odd).as_py():
        return some  # taking texts apart and joining them takes longer than all the rest
    parts = pc.utf8_split_whitespace(some.filter(odd))
    return pc.replace_with_mask(some, odd, pc.binary_join(parts, " ").combine_chunks())


def _media(identities: Sequence[str | None] | None, start: int, rows: int) -> pa.Scalar | pa.Array:
    if not identities:
        return pa.scalar("")
    return pc.fill_null(pa.array(identities[start : start + rows], pa.string()), "")


def _hashed(contents: pa.ChunkedArray) -> pa.Array:
    """Return the first 16 hex digits of the sha256 of each text."""
    heads = b"".join([hashlib.sha256(content).digest()[:8] for content in contents.cast(pa.binary()).to_pylist()])
    ends = np.arange(0, 16 * len(contents) + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(contents), pa.py_buffer(ends), pa.py_buffer(heads.hex().encode()))


def ids(
    cells: pa.ChunkedArray | None, keys: pa.ChunkedArray | None, where: str, name: str = "post_id", start: int = 0
) -> pa.ChunkedArray:
    """Return the ids; a row without one gets `row-NUMBER-CONTENT`, counted from `start`.

    Raises WorkbenchError for ids that were rounded when they were saved as floats, or by a spreadsheet.
    """
    values = None if cells is None else plain(cells, name, where)
    if values is not None and (rounded := values.filter(pc.match_substring_regex(values, _ROUNDED)).drop_null()):
        raise WorkbenchError(
            f"{where}: the ids in column {name!r} are numbers such as {rounded[0]}, whose last digits are lost; save "
            "them as text (a spreadsheet keeps 15 digits)"
        )
    if cells is not None and pa.types.is_floating(cells.type):
        largest = pc.max(pc.abs(pc.if_else(pc.is_nan(cells), None, cells))).as_py()
        if largest is not None and largest >= EXACT:
            raise WorkbenchError(
                f"{where}: the ids in column {name!r} are floats such as {largest:.17g}, whose last digits are lost; "
                "save them as text"
            )
    numbered = cells is None or values.null_count > 0
    own = [f"row-{row}-{(key or 'empty')[:8]}" for row, key in enumerate(keys.to_pylist(), start)] if numbered else None
    return filled(cells, own, name, where)


def filled(
    cells: pa.ChunkedArray | None,
    own: list[str] | pa.ChunkedArray | None,
    name: str,
    where: str,
    missing: Sequence[str] = (),
) -> pa.ChunkedArray:
    """Return a column as text, with `own` where it has nothing, or a word for missing."""
    values = None if cells is None else present(cells, name, where, missing)
    if own is None:
        return values
    fallback = own if isinstance(own, pa.ChunkedArray) else pa.chunked_array([pa.array(own, pa.string())])
    return fallback if values is None else pc.coalesce(values, fallback)


def place_of_post(cells: pa.ChunkedArray, name: str, where: str, missing: Sequence[str]) -> pa.ChunkedArray:
    """Return a community, language or region as text; NA is Namibia there, and na is Nauruan."""
    return present(cells, name, where, [word for word in missing if word.lower() != "na"])


def author(
    cells: pa.ChunkedArray | None, name: str, where: str, missing: Sequence[str] = MISSING
) -> pa.ChunkedArray | None:
    """Return the authors, from a column of ids or from structs that share fields with the corpus."""
    if cells is None:
        return None
    kind = INPUTS.field("author").type
    rows = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    given = {"id": cells}
    if pa.types.is_struct(cells.type):
        given = {field.name: pc.struct_field(cells, field.name) for field in cells.type}
        if not {field.name for field in kind} & set(given):
            plain(cells, name, where)  # raises, with what to name instead
    parts = []
    for field in kind:
        inner = f"{name}.{field.name}" if pa.types.is_struct(cells.type) else name
        if field.name not in given:
            parts.append(pa.nulls(len(rows), field.type))
            continue
        values = present(given[field.name], inner, where, missing)
        try:
            parts.append(_number(values, field.type).combine_chunks())
        except pa.ArrowException:
            odd = next(text for text in values.to_pylist() if text is not None and not _reads(text, field.type))
            raise WorkbenchError(
                f"{where}: column {inner!r} must hold numbers, not {odd!r:.40}; name another"
            ) from None
    nobody = np.logical_and.reduce([part.is_null().to_numpy(zero_copy_only=False) for part in parts])
    return pa.chunked_array([pa.StructArray.from_arrays(parts, fields=list(kind), mask=pa.array(nobody))])


def _number(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return text as numbers; a count beyond any count, as some databases write an unknown one, is none."""
    if not pa.types.is_integer(kind):
        return values.cast(kind)
    numbers = values.cast(pa.float64())
    return pc.if_else(pc.less(pc.abs(numbers), EXACT), numbers, None).cast(kind, safe=False)


def _reads(text: str, kind: pa.DataType) -> bool:
    try:
        _number(pa.chunked_array([[text]]), kind)
    except pa.ArrowException:
        return False
    return True


def weights(
    cells: pa.ChunkedArray | None, rows: int, where: str, name: str = "weight", missing: Sequence[str] = MISSING
) -> pa.ChunkedArray:
    """Return how many posts each row stands for, 1 where nothing is said."""
    if cells is None:
        return pa.chunked_array([pa.array(np.ones(rows))])
    try:
        weight = pc.fill_null(numbers(present(cells, name, where, missing)), 1.0)
    except NoNumbers as error:
        raise WorkbenchError(f"{where}: `weight` must hold numbers, not {error.odd[0]!r:.60}; mend that cell") from None
    if not pc.all(pc.and_(pc.is_finite(weight), pc.greater(weight, 0))).as_py():
        raise WorkbenchError(
            f"{where}: `weight` must be a number above zero in every row; remove the rows that stand for nothing"
        )
    return weight


def splits(cells: pa.ChunkedArray, rule: SplitColumn, where: str, missing: Sequence[str] = MISSING) -> pa.ChunkedArray:
    """Return train, validation, test or null; raise WorkbenchError for a value that means none of them."""
    named = {value.lower() for value in rule.values}
    values = present(cells, rule.column, where, [word for word in missing if word.lower() not in named])
    meaning = {**{split: split for split in SPLITS}, **rule.values}
    for value in pc.unique(values).to_pylist():
        if value is not None and value not in meaning:
            sentence = unknown("split", value, meaning)
            raise WorkbenchError(f"{where}: column {rule.column!r}: {sentence}; say what it means in `split.values`")
    places = pc.index_in(values, value_set=pa.array(list(meaning), pa.string()), skip_nulls=True)
    return pc.take(pa.array(list(meaning.values()), pa.string()), places)
