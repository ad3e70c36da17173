"""Files to Arrow tables: CSV, TSV, JSON lines and Parquet, only the columns asked for, with the place of what is wrong.

CSV and TSV come as text in every column, so that an id such as `007` stays as it is; the mapping makes numbers.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from workbench.errors import WorkbenchError, unknown

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
CHUNK = 20_000  # rows of JSON that are Python objects at one time


def read(path: Path, wanted: Iterable[str], encoding: str = "utf-8", quotes: bool = True) -> tuple[pa.Table, list[str]]:
    """Return the wanted columns that a file has, and the names of all its columns.

    A wanted name with dots also matches the nested column before its first dot. Raises WorkbenchError for an
    unknown ending or encoding, bytes that are not in the encoding (with line and byte) and a row that cannot be parsed.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise WorkbenchError(f"{path}: {unknown('file ending', path.suffix, FORMATS)}")
    try:
        codecs.lookup(encoding)
    except LookupError:
        choices = "use a name such as utf-8, utf-16, latin-1 or cp1252"
        raise WorkbenchError(f"unknown encoding {encoding!r}; {choices}") from None
    wanted = {form for name in wanted for form in (name, name.split(".")[0])}
    try:
        if kind == "parquet":
            return _parquet(path, wanted)
        return _jsonl(path, wanted, encoding) if kind == "jsonl" else _csv(path, wanted, encoding, kind, quotes)
    except UnicodeError:
        raise WorkbenchError(_undecodable(path, encoding)) from None
    except OSError as error:
        raise WorkbenchError(f"cannot read {path}: {error.strerror or error}; check the file") from None


def _parquet(path: Path, wanted: set[str]) -> tuple[pa.Table, list[str]]:
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        return file.read(columns=[name for name in names if name in wanted]), names
    except pa.ArrowException as error:
        raise WorkbenchError(f"{path} cannot be read as Parquet: {_brief(error)}; write the file again") from None


def _csv(path: Path, wanted: set[str], encoding: str, kind: str, quotes: bool) -> tuple[pa.Table, list[str]]:
    delimiter = "," if kind == "csv" else "\t"
    is_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    with open(path, encoding="utf-8-sig" if is_utf8 else encoding, newline="") as file:
        quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
        try:
            names = next(csv.reader(file, delimiter=delimiter, quoting=quoting), [])
        except csv.Error as error:
            raise WorkbenchError(
                f"{path}: the header cannot be read: {error}; the first line must name columns"
            ) from None
    twice = sorted({name for name in names if names.count(name) > 1 and name in wanted})
    if twice:
        raise WorkbenchError(f"{path} has more than one column {twice[0]!r}; rename one of them")
    chosen = [name for name in names if name in wanted]
    if not chosen:
        return pa.table({}), names
    try:
        table = pacsv.read_csv(
            path,
            pacsv.ReadOptions(encoding="utf8" if is_utf8 else encoding, block_size=2**25, use_threads=False),
            pacsv.ParseOptions(delimiter=delimiter, quote_char='"' if quotes else False, newlines_in_values=quotes),
            pacsv.ConvertOptions(
                include_columns=chosen,
                column_types=dict.fromkeys(chosen, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowException as error:
        if "UTF8" in str(error):
            raise UnicodeError from None
        raise WorkbenchError(f"{path} cannot be read as {kind.upper()}: {_brief(error)}; mend that row") from None
    return table, names


def _jsonl(path: Path, wanted: set[str], encoding: str) -> tuple[pa.Table, list[str]]:
    names: dict[str, None] = {}
    parts: list[dict[str, pa.Array]] = []
    rows: list[dict[str, Any]] = []
    with open(path, encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            row = _json_row(line, path, number)
            names.update(dict.fromkeys(row))
            rows.append({name: row[name] for name in wanted if name in row})
            if len(rows) == CHUNK:
                parts.append(_columns(rows))
                rows = []
    parts.append(_columns(rows))
    chosen = [name for name in names if name in wanted]
    sizes = [max((len(array) for array in part.values()), default=0) for part in parts]
    if not chosen:
        return pa.table({}), list(names)
    columns = {
        name: stack([part.get(name, pa.nulls(size)) for part, size in zip(parts, sizes, strict=True)])
        for name in chosen
    }
    return pa.table(columns), list(names)


def _json_row(line: str, path: Path, number: int) -> dict[str, Any]:
    """Return one line's object; raise WorkbenchError with the line's number."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        message = getattr(error, "msg", None) or "too deep or too long"
        raise WorkbenchError(f"{path}, line {number} is not valid JSON ({message}); mend or remove the line") from None
    if not isinstance(row, dict):
        kind = type(row).__name__
        raise WorkbenchError(f"{path}, line {number} holds a {kind}, not an object; write one {{...}} a line") from None
    return row


def _columns(rows: list[dict[str, Any]]) -> dict[str, pa.Array]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _cells([row.get(name) for row in rows]) for name in names}


def _cells(values: list[Any]) -> pa.Array:
    """Return values as an array; a column of mixed kinds becomes text."""
    try:
        return pa.array(values)
    except UnicodeEncodeError:  # lone halves of surrogate pairs, which UTF-8 cannot hold
        return _cells([json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace")) for value in values])
    except (pa.ArrowException, OverflowError):
        return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


def stack(parts: list[pa.Array | pa.ChunkedArray]) -> pa.ChunkedArray:
    """Return one column from its parts; parts of different kinds are promoted where Arrow can, else become text."""
    tables = [pa.table({"column": part}) for part in parts]
    try:
        return pa.concat_tables(tables, promote_options="permissive")["column"]
    except pa.ArrowException:
        try:
            return pa.chunked_array([chunk for part in tables for chunk in pc.cast(part["column"], pa.string()).chunks])
        except pa.ArrowException:
            as_text = [
                [None if cell is None else json.dumps(cell) for cell in part["column"].to_pylist()] for part in tables
            ]
            return pa.chunked_array([pa.array(cells, pa.string()) for cells in as_text])


def column(table: pa.Table, name: str, names: list[str], where: str) -> pa.ChunkedArray:
    """Return a column by its name, or through nested ones by its dots; raise WorkbenchError listing what there is."""
    if name in table.column_names:
        return _simple(table[name])
    first, *steps = name.split(".")
    if first not in table.column_names or not steps:
        raise WorkbenchError(f"{where}: {unknown('column', name, _shown(name, names))}")
    cells = table[first]
    for step in steps:
        fields = [field.name for field in cells.type] if pa.types.is_struct(cells.type) else []
        if step not in fields:
            nested = [f"{first}.{field}" for field in fields]
            raise WorkbenchError(f"{where}: {unknown('column', name, _shown(name, [*names, *nested]))}")
        cells, first = pc.struct_field(cells, step), f"{first}.{step}"
    return _simple(cells)


def _shown(name: str, names: list[str], most: int = 40) -> list[str]:
    """Return the column names as a message shows them: printable, short, and not too many."""
    near = difflib.get_close_matches(name, names, n=1)
    chosen = names if len(names) <= most else [*near, *(header for header in names[:most] if header not in near), "..."]
    return [header[:60] if header.isprintable() else ascii(header[:20])[1:-1] for header in chosen]


def _simple(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return dictionary-encoded and large or view types as the plain ones."""
    if pa.types.is_dictionary(cells.type):
        return cells.cast(cells.type.value_type)
    if pa.types.is_large_string(cells.type) or str(cells.type) == "string_view":
        return cells.cast(pa.string())
    if pa.types.is_large_binary(cells.type) or pa.types.is_fixed_size_binary(cells.type):
        return cells.cast(pa.binary())
    return cells


def _undecodable(path: Path, encoding: str) -> str:
    """Return the sentence on the first bytes of a file that are not in its encoding."""
    with open(path, "rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return f"{path} is not {encoding}: it starts like UTF-16; set `encoding: utf-16`"
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeError as found:
                at = getattr(found, "start", 0)
                return (
                    f"{path}, line {number}, byte {at + 1} of the line (0x{line[at]:02x}) is not {encoding}; "
                    "set `encoding` (often latin-1 or cp1252), or mend the line if the file mixes encodings"
                )
    return f"{path} cannot be decoded as {encoding}; set another `encoding`"


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
