"""CSV and TSV: cells as text, as they are written; quotation marks by the letter of RFC 4180, so that none eats rows.

Where quotes are not said, the whole file says: a quoted cell that runs over several lines, each end of which would be a
row by itself, or that does not end where it may, is no quoted cell. Then the file is read without quotes if each of its
lines is a row so, and refused otherwise.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora.reading.lines import cells_of_lines, each_is_a_row
from workbench.corpora.reading.sources import Batch, Fault, OpenFile, Reading, Told, many_small
from workbench.corpora.reading.text import NOT_UTF8, Coding, characters, coding, raw, undecodable
from workbench.errors import WorkbenchError

DELIMITERS = (",", ";", "\t", "|")
_HEAD = 300  # lines that tell the delimiter and the header
_ROWS = 2000  # that are looked at together for quotes
_ABOVE = 20  # lines that may stand above the header
_LONGEST_CELL = 64 * 2**20  # characters


class _Layout(NamedTuple):
    """How a file is laid out: its encoding, delimiter and quotes, rows above the header, the header's names.

    whole: no quoted cell takes in the end of a line or ends where it may not.
    """

    coding: Coding
    delimiter: str
    quotes: bool
    above: int
    names: list[str]
    whole: bool


def delimited(path: Path, wanted: list[str], how: Reading, rows: int) -> OpenFile:
    """Return a CSV or TSV as batches of `rows` rows; raise WorkbenchError where it cannot be told what its rows are."""
    told = Told()
    with _long_cells():
        layout = _layout(path, wanted, how, told)
    twice = sorted(name for name, times in Counter(layout.names).items() if times > 1 and name in wanted)
    if twice:
        raise WorkbenchError(f"{path} has more than one column {twice[0]!r}; rename one of them")
    return OpenFile(path, layout.names, _batches(path, layout, set(wanted), rows, told), told)


class _long_cells:  # noqa: N801 (reads as a statement)
    """Let a cell be long while it is read; the limit is one for all of Python."""

    def __enter__(self) -> None:
        self.before = csv.field_size_limit(_LONGEST_CELL)

    def __exit__(self, *_: object) -> None:
        csv.field_size_limit(self.before)


# -------------------------------------------------------------------------------------------------------------- layout


def _layout(path: Path, wanted: list[str], how: Reading, told: Told) -> _Layout:
    code = coding(path, how.encoding)
    told.notes += [code.note] if code.note else []
    try:
        with characters(path, code) as file:
            head = list(itertools.islice(file, _HEAD))
    except UnicodeError:
        raise WorkbenchError(undecodable(path, code.name)) from None
    first = next((line for line in head if line.strip()), "")
    said = first.strip()[4:] if first.lower().startswith("sep=") and len(first.strip()) == 5 else None
    delimiter = how.delimiter or said or _delimiter(head, wanted, path, how.quotes is not False)
    if len(delimiter) != 1:
        raise WorkbenchError(f"a delimiter is one character, such as ';' or a tab, not {delimiter!r}; set another")
    listed = [row for row in csv.reader(head, delimiter=delimiter, quoting=_quoting(how.quotes is not False)) if row]
    above = _above(listed, wanted)
    names = [name.strip() for name in listed[above]] if listed else []
    if above and said is None:
        told.notes.append(f"{path.name}: {above} lines above the header were left out")
    quotes = code.quotes if how.quotes is None else how.quotes
    whole = quotes in (True, code.quotes) and each_is_a_row(path, code, delimiter)
    if how.quotes is None and quotes and not whole:
        quotes = _has_quotes(path, code, delimiter, len(names), told)
    return _Layout(code, delimiter, quotes, above, names, whole)


def _quoting(quotes: bool) -> int:
    return csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE


def _delimiter(head: list[str], wanted: list[str], path: Path, quotes: bool) -> str:
    """Return what parts the cells: the wanted names stand apart then, and rows have as many cells as the header."""
    usual = "\t" if ".tsv" in path.suffixes else ","

    def worth(delimiter: str) -> tuple[int, float, int, bool, int]:
        listed = [row for row in csv.reader(head, delimiter=delimiter, quoting=_quoting(quotes)) if row]
        if not listed:
            return 0, 0.0, 0, delimiter == usual, 0
        header = listed[above := _above(listed, wanted)]
        found = len({name.strip() for name in header} & set(wanted))
        even = sum(len(row) == len(header) for row in listed) / len(listed) if len(header) > 1 else 0.0
        return found, round(even, 1), -above, delimiter == usual, len(header)

    return max(DELIMITERS, key=worth)


def _above(listed: list[list[str]], wanted: list[str]) -> int:
    """Return how many rows stand above the header: the first with a wanted name, else the first as wide as most."""
    for number, row in enumerate(listed[:_ABOVE]):
        if {cell.strip() for cell in row} & set(wanted):
            return number
    widths = Counter(len(row) for row in listed)
    usual = widths.most_common(1)[0][0] if widths else 0
    return next((number for number, row in enumerate(listed[:_ABOVE]) if len(row) == usual > 1), 0)


def _has_quotes(path: Path, code: Coding, delimiter: str, width: int, told: Told) -> bool:
    """Say whether cells are quoted, by all of a file; raise WorkbenchError where it cannot be told."""
    try:
        doubtful, broken = _spans(path, code, delimiter, width)
        if not (doubtful or broken):
            return True
        if _fits_without(path, code, delimiter, width):
            told.notes.append(f'{path.name} was read without quotes: a `"` in it is part of the text, and ends no cell')
            return False
    except UnicodeError:
        raise WorkbenchError(undecodable(path, code.name)) from None
    if not doubtful and all(count == 1 for _, count in broken):
        return True  # faulty rows, which eat no other
    line, count = doubtful or next(span for span in broken if span[1] > 1)
    raise WorkbenchError(
        f'{path}, line {line}: the `"` there opens a cell that takes in {count} lines; set `quotes: false` if '
        "quotation marks are parts of the posts, `quotes: true` if that cell has several lines, or mend the line"
    )


def _spans(
    path: Path, code: Coding, delimiter: str, width: int
) -> tuple[tuple[int, int] | None, list[tuple[int, int]]]:
    """Return the line and number of lines of the first doubtful quoted cell, and of all that do not end as they may.

    Doubtful: the first and the last of its lines would be rows by themselves, with cells as other rows have them.
    """
    doubtful, broken = None, []
    with characters(path, code) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        for start, block, error in _blocks(reader, _ROWS):
            if reader.line_num - start > len(block) and width > 1 and doubtful is None:
                spans = ((line, _height(row), row) for line, row in zip(_places(start, block), block, strict=False))
                looks = _Looks(block, width)
                doubtful = next((span[:2] for span in spans if _doubtful(span[2], looks, delimiter, width)), None)
            if error:
                begins = start + 1 + sum(map(_height, block))
                broken.append((begins, reader.line_num - begins + 1))
    return doubtful, broken


def _blocks(reader: Any, rows: int) -> Iterator[tuple[int, list[list[str]], str | None]]:
    """Yield the line before some rows, the rows, blank ones too, and what is wrong with the one after them, if any."""
    while True:
        start, block = reader.line_num, []
        try:
            with many_small():
                block.extend(itertools.islice(reader, rows))
        except csv.Error as error:
            yield start, block, str(error)
            continue
        if not block:
            return
        yield start, block, None


def _height(row: list[str]) -> int:
    """Return how many lines a row takes."""
    return 1 + sum(len(_breaks(cell)) - 1 for cell in row if "\n" in cell or "\r" in cell)


def _breaks(cell: str) -> list[str]:
    return cell.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _doubtful(row: list[str], looks: _Looks, delimiter: str, width: int) -> bool:
    """Say whether the first and the last line of a row that takes several would each be a row like others of a block.

    That is: without quotes they have all cells, and nothing that then stands beside the text looks as it never does.
    """
    tall = [place for place, cell in enumerate(row) if "\n" in cell or "\r" in cell]
    if not tall:
        return False
    first = delimiter.join([*row[: tall[0]], _breaks(row[tall[0]])[0]]).split(delimiter)
    last = delimiter.join([_breaks(row[tall[-1]])[-1], *row[tall[-1] + 1 :]]).split(delimiter)
    if len(first) != width or len(last) != width:
        return False
    beside = [*enumerate(first[tall[0] + 1 :], tall[0] + 1), *enumerate(last[: tall[-1]])]
    return not any(looks.odd(place, cell) for place, cell in beside)


class _Looks:
    """How cells of a block look, column by column: ids and labels have few looks, and free text tells nothing."""

    def __init__(self, block: list[list[str]], width: int) -> None:
        # the first row of a file is its header
        self.rows = [row for row in block if len(row) == width and _height(row) == 1][1:]
        self._known: dict[int, set[str]] = {}

    def odd(self, place: int, cell: str) -> bool:
        """Say whether no cell of a column looks like this one, though a tenth as many looks as rows are all it has."""
        if place not in self._known:
            self._known[place] = {_look(row[place]) for row in self.rows}
        known = self._known[place]
        return 0 < 10 * len(known) <= len(self.rows) and _look(cell) not in known


def _look(cell: str) -> str:
    """Return a cell with each run of digits, and each of letters, as one."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", cell.strip()))


def _fits_without(path: Path, code: Coding, delimiter: str, width: int) -> bool:
    """Say whether each line is a row if quotation marks are parts of the text, and no cell looks quoted."""
    with characters(path, code) as file:
        for row in csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE):
            if row and (len(row) != width or any(len(c) > 1 and c[0] == '"' == c[-1] for c in row)):
                return False
    return True


# ---------------------------------------------------------------------------------------------------------------- rows


class _LastLine:
    """Lines one by one, the last one kept as it stands."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines, self.last = iter(lines), ""

    def __iter__(self) -> _LastLine:
        return self

    def __next__(self) -> str:
        self.last = next(self.lines)
        return self.last


def _batches(path: Path, layout: _Layout, wanted: set[str], rows: int, told: Told) -> Iterator[Batch]:
    below = _BelowHeader(path, layout, wanted, rows, told)
    try:
        with _long_cells():
            if layout.whole:
                yield from below.fast()
            else:
                with characters(path, layout.coding) as file:
                    yield from below.one_by_one(file)
    except UnicodeError:
        raise WorkbenchError(undecodable(path, layout.coding.name)) from None


class _BelowHeader:
    """The rows below a file's header, so many at a time."""

    def __init__(self, path: Path, layout: _Layout, wanted: set[str], rows: int, told: Told) -> None:
        self.path, self.layout, self.rows, self.told = path, layout, rows, told
        self.at = {name: place for place, name in enumerate(layout.names) if name in wanted}
        self.above = layout.above + 1  # rows that are yet to come, the header among them

    def fast(self) -> Iterator[Batch]:
        """Yield lines that are rows each as Arrow parses them, and by Python where that finds anything odd."""
        number = 0
        with raw(self.path) as file:
            while lines := list(itertools.islice(file, self.rows)):
                columns = None
                if not self.above:
                    columns = cells_of_lines(lines, self.layout.delimiter, self.layout.names, self.at)
                if columns is None:
                    lines[0] = lines[0].removeprefix(codecs.BOM_UTF8) if number == 0 else lines[0]
                    texts = [line.decode("utf-8", "surrogateescape") for line in lines]
                    yield from self.one_by_one(texts, number)
                else:
                    size = len(next(iter(columns.values())))
                    self.told.rows += size
                    yield Batch(columns, size, {})
                number += len(lines)

    def one_by_one(self, lines: Iterable[str], before: int = 0) -> Iterator[Batch]:
        """Yield rows as Python parses them; `before`: lines of the file before these."""
        layout, kept = self.layout, _LastLine(lines)
        reader = csv.reader(kept, delimiter=layout.delimiter, quoting=_quoting(layout.quotes), strict=layout.quotes)
        for start, block, error in _blocks(reader, self.rows):
            flat = reader.line_num - start == len(block)
            first, end = before + start, before + reader.line_num
            lines_of = range(first + 1, end + 1) if flat else [*_places(first, block)]
            wrong = {}
            if error:
                wrong[len(block)] = f"it is not valid CSV ({error})"
                block.append(kept.last.rstrip("\r\n").split(layout.delimiter) if layout.quotes else [""])
            if not all(block):
                there = [n for n, row in enumerate(block) if row]
                wrong = {there.index(n): why for n, why in wrong.items()}
                block, lines_of = [block[n] for n in there], [lines_of[n] for n in there]
            skipped = min(self.above, len(block))
            self.above -= skipped
            wrong = {n - skipped: why for n, why in wrong.items()}
            if any(n < 0 for n in wrong):
                raise WorkbenchError(
                    f"{self.path}: the header cannot be read: {error}; the first line must name columns"
                )
            with many_small():
                batch = _batch(block[skipped:], lines_of[skipped:], wrong, layout, self.at, self.told)
            self.told.rows += batch.size
            yield batch


def _places(start: int, block: list[list[str]]) -> Iterator[int]:
    """Yield the line in which each row of a block begins, and that of the row after it."""
    return itertools.accumulate(map(_height, block), initial=start + 1)


def _batch(
    block: list[list[str]],
    lines: Sequence[int],
    wrong: dict[int, str],
    layout: _Layout,
    at: dict[str, int],
    told: Told,
) -> Batch:
    """Return rows, those that are not as wide as the header or `wrong` as faults; the header once more is left out."""
    width = len(layout.names)
    again = headers_again(block, layout.names)
    if again:
        there = [n for n in range(len(block)) if n not in again]
        told.left_out["the header once more"] += len(block) - len(there)
        block, lines = [block[n] for n in there], [lines[n] for n in there]
        wrong = {there.index(n): why for n, why in wrong.items()}
    faults = {n: Fault(lines[n], why) for n, why in wrong.items()}
    if faults or {*map(len, block)} - {width}:
        for n, row in enumerate(block):
            if n in faults or len(row) != width:
                why = f"it has {len(row)} cells, but the header names {width} columns"
                faults.setdefault(n, Fault(lines[n], why))
                block[n] = _ends(row, width)
    columns = {}
    for name, place in at.items():
        values = [row[place] for row in block]
        try:
            array = pa.array(values, pa.string())
        except UnicodeEncodeError:
            array, bad = _sound(values)
            for n in bad:
                faults.setdefault(n, Fault(lines[n], NOT_UTF8))
        columns[name] = pc.if_else(pc.equal(array, ""), None, array)
    return Batch(columns, len(block), faults)


def headers_again(block: Sequence[list[str]], names: list[str]) -> set[int]:
    """Return the places of rows that are the header once more, in whatever case and with whatever space."""
    if len(names) < 2:
        return set()
    first, *rest = header = [_plain(name) for name in names]
    near = [n for n, row in enumerate(block) if _plain(row[0]) == first]
    return {n for n in near if any(rest) and [_plain(cell) for cell in block[n]] == header}


def _plain(cell: str) -> str:
    return cell.strip("\ufeff \t\u00a0").lower()


def _ends(row: list[str], width: int) -> list[str]:
    """Return as many cells as the header has; of a row with others only those that are surely in their place."""
    if len(row) > width:
        return [row[0], *[""] * (width - 2), row[-1]][:width] if width > 1 else [""]
    return [*row[: max(len(row) - 1, 1)], *[""] * width][:width]


def _sound(values: list[str]) -> tuple[pa.Array, list[int]]:
    """Return texts with what could not be decoded replaced, and the places of those."""
    bad = [n for n, value in enumerate(values) if not _encodes(value)]
    sound = [value.encode(errors="surrogateescape").decode(errors="replace") for value in values]
    return pa.array(sound, pa.string()), bad


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
