"""JSON: one object a line, or one document, that is an array of objects or an object of them by key.

Numbers of any length are kept digit for digit. A name with dots is reached in each row, so that one odd row does not
make a column of another kind.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from json.decoder import scanstring
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from workbench.corpora.reading.columns import cells_of, has, reach, wanted_names
from workbench.corpora.reading.sources import Batch, Fault, OpenFile, Reading, Told, many_small
from workbench.corpora.reading.text import NOT_UTF8, UTF8, Coding, characters, coding, raw, undecodable
from workbench.errors import WorkbenchError

KEY = "key"  # the column with the keys of an object of objects
_PEEK = 100  # rows of a batch whose objects are looked into for names
_BLANK = " \t\r\n"
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG = b"0" * len(str(2**63))
_ROUNDED = 2.0**63  # whole numbers from here on are floats in the fast parser
_DECODER = json.JSONDecoder()
Numbered = tuple[int, Any, str | None]  # line, the row as an object or as it stands, why it is no row


class _Block(NamedTuple):
    """Some rows as objects (a faulty one as it stands), what is wrong with those, and the lines they come from."""

    objects: list[Any]
    faults: dict[int, Fault]
    start: int = 0
    lines: list[bytes] | None = None  # where they were parsed fast


def documents(path: Path, wanted: list[str], how: Reading, rows: int) -> OpenFile:
    """Return JSON lines, or the elements of one JSON document, as batches of `rows` rows."""
    told, names = Told(), []
    code = coding(path, how.encoding)
    told.notes += [code.note] if code.note else []
    if _is_document(path, code, wanted):
        blocks = _elements_in_blocks(_elements(path, code, wanted, told), rows)
    else:
        blocks = _lines(path, code.name, rows)
    batches = _batches(blocks, wanted_names(wanted), names, told)
    first = next(batches, None)
    return OpenFile(path, names, itertools.chain([first] if first else [], batches), told)


def _batches(blocks: Iterator[_Block], wanted: dict[str, list[str]], names: list[str], told: Told) -> Iterator[Batch]:
    shapes: set[tuple[str, ...]] = set()
    while True:
        with many_small():
            block = next(blocks, None)
            if block is None:
                return
            if block.faults:
                objects = [row if isinstance(row, dict) else _salvaged(row, wanted) for row in block.objects]
                block = block._replace(objects=objects)
            if block.lines and _has_long_number(block.lines) and _has_rounded(block.objects, wanted):
                block = _one_by_one(block.lines, block.start)
            columns = _columns(block.objects, wanted)
            for shape in {*map(tuple, block.objects)} - shapes:
                shapes.add(shape)
            listed = {name: None for row in block.objects[:_PEEK] for name in _names(row)}
            listed |= {name: None for shape in shapes for name in shape}
            names += [name for name in listed if name not in names]
        if block.objects:
            told.rows += len(block.objects)
            yield Batch(columns, len(block.objects), block.faults)


def _has_long_number(lines: list[bytes]) -> bool:
    """Say whether any line holds as many digits together as a number has that the fast parser rounds."""
    return _LONG in b"".join(lines).translate(_DIGITS)


def _has_rounded(objects: list[dict[str, Any]], wanted: dict[str, list[str]]) -> bool:
    """Say whether any wanted column has to be read digit by digit."""
    for name in {*wanted, *(steps[0] for steps in wanted.values())}:
        values = [row.get(name) for row in objects]
        if {*map(type, values)} & {float, dict, list} and any(map(_is_rounded, values)):
            return True
    return False


def _is_rounded(value: Any) -> bool:
    """Say whether a value may hold a whole number that the fast parser has made a float of."""
    if isinstance(value, dict | list):
        return any(map(_is_rounded, value.values() if isinstance(value, dict) else value))
    return type(value) is float and abs(value) >= _ROUNDED


def _names(row: dict[str, Any]) -> Iterator[str]:
    """Yield the names of an object's fields, and of those inside them with a dot."""
    yield from row
    for name, value in row.items():
        value = value[0] if isinstance(value, list) and value else value
        yield from (f"{name}.{inner}" for inner in value) if isinstance(value, dict) else ()


def _columns(objects: list[dict[str, Any]], wanted: dict[str, list[str]]) -> dict[str, pa.Array]:
    """Return the wanted columns that any of the objects has, be it as null."""
    columns = {}
    for name, steps in wanted.items():
        values = [row.get(name) for row in objects]
        if any(value is not None for value in values) or any(name in row for row in objects):
            columns[name] = cells_of(values)
        elif len(steps) > 1 and any(has(row, steps) for row in objects):
            columns[name] = cells_of([reach(row, steps) for row in objects])
    return columns


def _salvaged(text: Any, wanted: dict[str, list[str]]) -> dict[str, Any]:
    """Return the single values that a broken line of JSON still tells, so that the row keeps its id."""
    found = {}
    for name in wanted if isinstance(text, str) else ():
        match = re.search(rf'"{re.escape(name)}"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)', text)
        if match:
            found[name] = json.loads(match[1], strict=False)
    return found


# --------------------------------------------------------------------------------------------------------------- lines


def _lines(path: Path, encoding: str, rows: int) -> Iterator[_Block]:
    """Yield the objects of so many lines at a time, blank ones left out."""
    number = 0
    if encoding in UTF8:
        with raw(path) as file:
            while lines := list(itertools.islice(file, rows)):
                lines[0] = lines[0].removeprefix(codecs.BOM_UTF8) if number == 0 else lines[0]
                yield _fast(lines, number)
                number += len(lines)
        return
    try:
        with characters(path, Coding(encoding)) as file:
            while lines := list(itertools.islice(file, rows)):
                yield _one_by_one(lines, number)
                number += len(lines)
    except UnicodeError:
        raise WorkbenchError(undecodable(path, encoding)) from None


def _fast(lines: list[bytes], start: int) -> _Block:
    with suppress(orjson.JSONDecodeError):
        objects = list(map(orjson.loads, lines))
        if {*map(type, objects)} == {dict}:
            return _Block(objects, {}, start, lines)
    return _one_by_one(lines, start)


def _one_by_one(lines: Sequence[bytes | str], start: int) -> _Block:
    """Return what lines hold, numbers of any length and faulty lines as they stand."""
    objects, faults = [], {}
    for number, line in enumerate(lines, start + 1):
        if line.strip(_BLANK if isinstance(line, str) else _BLANK.encode()):
            row, why = _row(line)
            if why:
                faults[len(objects)] = Fault(number, why)
            objects.append(row)
    return _Block(objects, faults, start)


def _row(line: bytes | str) -> tuple[Any, str | None]:
    if isinstance(line, str):
        return _parsed(line)
    try:
        return _parsed(line.decode())
    except UnicodeDecodeError:
        row, why = _parsed(line.decode(errors="replace"))
        return row, why or NOT_UTF8


def _parsed(text: str) -> tuple[Any, str | None]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return text, f"it is not valid JSON ({getattr(error, 'msg', None) or 'too deep or too long'})"
    return (row, None) if isinstance(row, dict) else ("", f"it holds a {type(row).__name__}, not an object")


# ---------------------------------------------------------------------------------------------------------- a document


def _is_document(path: Path, code: Coding, wanted: list[str]) -> bool:
    """Say whether a file is one JSON document: an array, an object of several lines, or one that holds rows."""
    try:
        with characters(path, code) as file:
            first = next((line for line in file if line.strip()), "").strip()
            more = next((line for line in file if line.strip()), "").strip()
    except UnicodeError:
        raise WorkbenchError(undecodable(path, code.name)) from None
    if first.startswith("["):
        return True
    ending = next((part for part in reversed(path.suffixes) if part.lower() != ".gz"), "")
    row, why = _parsed(first)
    if more or why is not None or ending.lower() != ".json":
        return why is not None and ending.lower() == ".json"
    if _by_column(row, wanted):
        return True
    steps = {name.split(".")[0] for name in wanted}
    return not steps & set(row) and (bool(_lists(row)) or all(isinstance(value, dict) for value in row.values()))


def _by_column(whole: dict[str, Any], wanted: list[str]) -> bool:
    """Say whether an object holds wanted columns, each a list or by the same keys, as `DataFrame.to_json` writes."""
    columns = [*whole.values()]
    if {name.split(".")[0] for name in wanted}.isdisjoint(whole) or len(columns) < 2:
        return False
    if all(isinstance(column, list) for column in columns):
        return len({*map(len, columns)}) == 1
    return all(isinstance(column, dict) and [*column] == [*columns[0]] for column in columns)


def _rows_of(columns: dict[str, Any]) -> Iterator[Numbered]:
    first = next(iter(columns.values()))
    for at in first if isinstance(first, dict) else range(len(first)):
        yield 1, {name: column[at] for name, column in columns.items()}, None


def _lists(whole: dict[str, Any]) -> list[str]:
    """Return the fields of an object that hold lists of objects."""
    return [name for name, value in whole.items() if isinstance(value, list) and value and isinstance(value[0], dict)]


def _elements(path: Path, code: Coding, wanted: list[str], told: Told) -> Iterator[Numbered]:
    """Yield the objects in a document's array, or those of an object of objects, with their line."""
    try:
        if code.mixed:
            raise UnicodeError
        with characters(path, code) as file:
            text = file.read()
    except UnicodeError:
        raise WorkbenchError(undecodable(path, code.name)) from None
    at = _next(text, 0)
    whole, whole_end = _object(text, at)
    if whole is not None and _by_column(whole, wanted):
        told.notes.append(f"{path.name} is one object of columns, and was read as the rows that they make")
        yield from _rows_of(whole)
        return
    at = at if whole is None else _into(text, at, whole, wanted, path, told)
    line, counted = 1, 0
    keyed = text[at : at + 1] == "{"
    at = _next(text, at + 1)
    while at < len(text) and text[at] not in "]}":
        line, counted = line + text.count("\n", counted, at), at
        try:
            if keyed:
                key, at = scanstring(text, at + 1)
                at = _next(text, _next(text, at) + 1)
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise WorkbenchError(
                f"{path} is not valid JSON near line {line} ({getattr(error, 'msg', None) or 'too deep'}); write it "
                "again, or one object a line as .jsonl"
            ) from None
        row = {KEY: key, **value} if keyed and isinstance(value, dict) else value
        yield (line, row, None) if isinstance(row, dict) else (line, "", f"it holds a {type(row).__name__}, no object")
        at = _next(text, at)
        at = _next(text, at + 1) if text[at : at + 1] == "," else at
    if text[at : at + 1] not in ("]", "}"):
        raise WorkbenchError(f"{path} ends within its JSON, after line {line}; fetch or write the file again")
    rest = _next(text, at + 1 if whole is None else whole_end)
    if rest < len(text):
        line = text.count("\n", 0, rest) + 1
        raise WorkbenchError(f"{path} goes on after its JSON, in line {line}; write all rows into one array")


def _elements_in_blocks(listed: Iterator[Numbered], rows: int) -> Iterator[_Block]:
    while some := list(itertools.islice(listed, rows)):
        yield _Block([row for _, row, _ in some], {n: Fault(at, why) for n, (at, _, why) in enumerate(some) if why})


def _next(text: str, at: int) -> int:
    """Return where the next character stands that is no white space."""
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _object(text: str, at: int) -> tuple[dict[str, Any] | None, int]:
    """Return the object that a document is, and where it ends; None for an array, and for what its rows will tell."""
    if text[at : at + 1] == "{":
        with suppress(ValueError, RecursionError):
            return _DECODER.raw_decode(text, at)
    return None, at


def _into(text: str, at: int, whole: dict[str, Any], wanted: list[str], path: Path, told: Told) -> int:
    """Return where the rows of an object begin: it holds them by key, or has one list of them among its fields."""
    lists = _lists(whole)
    if len(lists) == 1 and lists[0] not in wanted:
        told.notes.append(f"{path.name}: the rows are the list in its field {lists[0]!r}")
        return text.index("[", re.search(rf"{re.escape(json.dumps(lists[0]))}\s*:\s*\[", text).start())
    if not whole or not all(isinstance(value, dict) for value in whole.values()):
        have = ", ".join(list(whole)[:5])
        raise WorkbenchError(
            f"{path} is one object ({have}) that holds no rows; write one object a line as .jsonl, or an array of them"
        )
    told.notes.append(f"{path.name} is one object of rows; their keys are the column {KEY!r}")
    return at
