"""What somebody's file holds: its columns, nested ones by their dots, with the values that occur and how often."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora import reading
from workbench.corpora.files.values import MISSING, counted, lowered, plain
from workbench.corpora.reading.columns import MIXED, column, reach, stack
from workbench.errors import WorkbenchError

_DEEPEST = 5  # steps into objects
_STARTS = {"train": "train", "dev": "validation", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class FileColumn:
    """One column: its name, all its cells, and what they hold."""

    name: str
    cells: pa.ChunkedArray

    @cached_property
    def kind(self) -> str:
        """Say what it holds: `values`, `lists` of values, `media` (bytes), `objects` or `nothing`."""
        held = self.cells.type
        if pa.types.is_null(held) or self.cells.null_count == len(self.cells):
            return "nothing"
        if pa.types.is_binary(held) or (
            pa.types.is_struct(held) and {item.name for item in held} <= {"bytes", "path"} and len(held)
        ):
            return "media"
        if pa.types.is_list(held):
            inner = held.value_type
            return "objects" if pa.types.is_nested(inner) or pa.types.is_binary(inner) else "lists"
        return "objects" if pa.types.is_nested(held) else "values"

    @cached_property
    def values(self) -> pa.ChunkedArray:
        """Its single values as text, empty ones as null."""
        return plain(self.cells, self.name, "the file")

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each value occurs, words for missing among them; the elements, of lists."""
        if self.kind == "lists":
            flat = pc.list_flatten(self.cells.combine_chunks())
            return counted(plain(pa.chunked_array([flat]), self.name, "the file"))
        return counted(self.values) if self.kind == "values" else {}

    @cached_property
    def said(self) -> dict[str, int]:
        """How often each value occurs that is no word for missing."""
        absent = lowered(MISSING)
        return {value: count for value, count in self.counts.items() if value.lower() not in absent}

    @cached_property
    def length(self) -> float:
        """Characters of a value on average."""
        total = sum(self.said.values())
        return sum(len(value) * count for value, count in self.said.items()) / total if total else 0.0

    @property
    def gaps(self) -> int:
        """Rows without a value."""
        return len(self.cells) - sum(self.said.values()) if self.kind == "values" else self.cells.null_count

    @cached_property
    def numbers(self) -> list[float] | None:
        """Its distinct values as numbers, None where one is none."""
        try:
            numbers = [float(value) for value in self.said]
        except ValueError:
            return None
        return numbers if numbers and all(abs(number) < 1e300 for number in numbers) else None

    @property
    def words(self) -> list[str]:
        """The words of its name, in lower case.

        >>> FileColumn("isToxic_Label2", pa.chunked_array([pa.array([1])])).words
        ['is', 'toxic', 'label', '2']
        """
        return words_of(self.name)


def words_of(name: str) -> list[str]:
    """Return the words of a name, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])|\d+", name)]


def word_set(words: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(words.split())


@dataclass
class Contents:
    """All columns of one or several files, by name, in their order; where the files lie, what was noticed."""

    given: Path
    files: list[tuple[Path, str | None]]
    columns: dict[str, FileColumn]
    rows: list[int]  # of each file
    told: list[str] = field(default_factory=list)
    how: reading.Reading = field(default_factory=reading.Reading)  # what the reader must be told of them

    @property
    def folder(self) -> Path:
        """Where paths of media start."""
        return self.files[0][0].parent

    def add(self, name: str) -> str:
        """Take up a column that is part of another, such as `answers[status=done]`; return its name."""
        if name not in self.columns:
            given = {
                outer: self.columns[outer].cells for outer in reading.columns.read_for(name) if outer in self.columns
            }
            self.columns[name] = FileColumn(name, column(pa.table(given), name, [*given], "the file"))
        return name

    def slices(self, name: str) -> Iterator[pa.ChunkedArray]:
        """Yield a column's cells file by file."""
        start = 0
        for rows in self.rows:
            yield self.columns[name].cells.slice(start, rows)
            start += rows

    def without(self, files: list[Path]) -> Contents:
        """Return it without some of its files."""
        keep = [path not in files for path, _ in self.files]
        columns = {}
        for name in self.columns:
            parts = [part for part, kept in zip(self.slices(name), keep, strict=True) if kept]
            columns[name] = FileColumn(name, stack(parts))
        kept = [at for at, stays in enumerate(keep) if stays]
        files, rows = ([given[at] for at in kept] for given in (self.files, self.rows))
        return Contents(self.given, files, columns, rows, self.told, self.how)


def look(given: Path, encoding: str | None = None) -> Contents:
    """Return what a file, or the files of a folder that are called after splits, hold.

    encoding: of text files, told from their bytes by default.

    Raises WorkbenchError where there is no file of posts, or one cannot be read.
    """
    told: list[str] = []
    files = _files(given, told)
    tables, how = [], reading.Reading(encoding=encoding)
    for path, _ in files:
        try:
            found = _read(path, how)
        except WorkbenchError as error:
            how, found = _quoted(path, how, error, told)
        told += found.told["notes"]
        tables.append((found.table, found.rows))
    nested = [dict(_nested(table)) for table, _ in tables]
    names = dict.fromkeys(name for columns in nested for name in columns)
    columns = {}
    for name in names:
        parts = [
            columns_of.get(name, pa.chunked_array([pa.nulls(rows)]))
            for columns_of, (_, rows) in zip(nested, tables, strict=True)
        ]
        columns[name] = FileColumn(name, stack(parts))
    return Contents(given, files, columns, [rows for _, rows in tables], told, how)


def _read(path: Path, how: reading.Reading) -> reading.Read:
    """Return all columns of a file."""
    names = reading.read(path, (), how).names
    inner = {name for name in names for outer in names if outer and name.startswith(f"{outer}.")}
    found = reading.read(path, [name for name in names if name and name not in inner], how)
    if flat := inner - dict(_nested(found.table)).keys():  # dots in the name of a column, and no steps into objects
        found = reading.read(path, [name for name in names if name in flat or (name and name not in inner)], how)
    if not found.rows:
        raise WorkbenchError(f"{path} holds no rows; check that it is the right file")
    return found


def _quoted(
    path: Path, how: reading.Reading, error: WorkbenchError, told: list[str]
) -> tuple[reading.Reading, reading.Read]:
    """Return a file, all of whose rows have all cells if quoted cells may have several lines; else raise the error."""
    if "quotes: true" not in str(error):
        raise error
    how = how.model_copy(update={"quotes": True})
    try:
        found = _read(path, how)
    except WorkbenchError:
        raise error from None
    told.append(f"{str(error).partition(';')[0]}; it was read so, as every row then has all its cells: look at it")
    return how, found


def _files(given: Path, told: list[str]) -> list[tuple[Path, str | None]]:
    if not given.exists():
        raise WorkbenchError(f"there is no file {given}; check the path")
    if not given.is_dir():
        return [(given, None)]
    inside = sorted(path for path in given.iterdir() if path.is_file() and reading.is_posts(path))
    named = [
        (path, split) for start, split in _STARTS.items() for path in inside if path.name.lower().startswith(start)
    ]
    if not named and len(inside) != 1:
        some = ", ".join(path.name for path in inside[:8]) or "no file of posts at all"
        raise WorkbenchError(
            f"folder {given} holds {some}, and none is called train, dev, val or test; name the file of posts itself"
        )
    left = [path.name for path in inside if path not in [path for path, _ in named]]
    if named and left:
        told.append(f"not read, as their names say no split: {', '.join(left)}")
    return named or [(inside[0], None)]


def _nested(table: pa.Table, deepest: int = _DEEPEST) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield every column by its name, those inside objects and lists of objects by their dots."""
    for name in table.column_names:
        yield from _inside(name, column(table, name, table.column_names, "the file"), deepest)


def _inside(name: str, cells: pa.ChunkedArray, deepest: int) -> Iterator[tuple[str, pa.ChunkedArray]]:
    yield name, cells
    held = cells.type
    if pa.types.is_list(held) and pa.types.is_struct(held.value_type):
        rows = cells.to_pylist()
        for item in held.value_type if deepest else ():
            reached = [reach(row, [item.name]) for row in rows]
            yield from _inside(f"{name}.{item.name}", _array(reached), deepest - 1)
    elif pa.types.is_struct(held) and held != MIXED and deepest:
        for item in held:
            inner = pc.struct_field(cells, item.name)
            yield from _inside(f"{name}.{item.name}", inner, deepest - 1)


def _array(values: list[Any]) -> pa.ChunkedArray:
    return stack([reading.columns.cells_of(values)])


def plainly(counts: Mapping[str, int], most: int = 6) -> str:
    """Return the most frequent values with their counts, as comments show them."""
    frequent = sorted(counts, key=lambda value: (-counts[value], value))
    listed = ", ".join(f"{value[:30]} ({counts[value]:,})" for value in frequent[:most])
    return listed + (f" and {len(frequent) - most:,} more" if len(frequent) > most else "")
