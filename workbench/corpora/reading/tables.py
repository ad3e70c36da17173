"""Parquet files and the sheets of workbooks, whose cells have kinds of their own."""

from __future__ import annotations

import datetime as dt
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.corpora.reading.columns import cells_of, number_text, read_for, simple
from workbench.corpora.reading.delimited import headers_again
from workbench.corpora.reading.sources import Batch, OpenFile, Reading, Told
from workbench.corpora.reading.text import raw
from workbench.errors import WorkbenchError, unknown


def parquet(path: Path, wanted: list[str], how: Reading, rows: int) -> OpenFile:
    """Return a Parquet file as batches; a name with dots takes the nested column before its first dot."""
    try:
        file = pq.ParquetFile(io.BytesIO(_bytes(path)) if path.suffix.lower() == ".gz" else path)
        names = file.schema_arrow.names
    except pa.ArrowException as error:
        raise WorkbenchError(_unread(path, "Parquet", error)) from None
    forms = {form.strip() for name in wanted for form in read_for(name)}
    chosen = [name for name in names if name in forms]
    if twice := next((name for name in chosen if names.count(name) > 1), None):
        raise WorkbenchError(f"{path} has more than one column {twice!r}; rename one of them")
    told = Told()

    def batches() -> Iterator[Batch]:
        try:
            if not chosen:
                told.rows += file.metadata.num_rows
                yield Batch({}, file.metadata.num_rows, {})
                return
            for part in file.iter_batches(batch_size=rows, columns=chosen):
                told.rows += part.num_rows
                table = pa.Table.from_batches([part])
                yield Batch({name: simple(table[name]).combine_chunks() for name in chosen}, part.num_rows, {})
        except (pa.ArrowException, OSError) as error:
            raise WorkbenchError(_unread(path, "Parquet", error)) from None

    return OpenFile(path, names, batches(), told)


def workbook(path: Path, wanted: list[str], how: Reading, rows: int) -> OpenFile:
    """Return a sheet of an .xlsx file as batches; its first row with a wanted name, or with any, names the columns."""
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_object(io.BytesIO(_bytes(path)))
        if how.sheet is not None and how.sheet not in book.sheet_names:
            raise WorkbenchError(f"{path}: {unknown('sheet', how.sheet, book.sheet_names)}")
        sheet = book.get_sheet_by_name(how.sheet or book.sheet_names[0])
        cells = sheet.to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, OSError, ValueError, IndexError) as error:
        raise WorkbenchError(_unread(path, "a workbook", error)) from None
    told = Told()
    if how.sheet is None and len(book.sheet_names) > 1:
        told.notes.append(f"{path.name}: of its {len(book.sheet_names)} sheets {sheet.name!r} was read; set `sheet`")
    numbered = [(n, [_cell(cell) for cell in row]) for n, row in enumerate(cells, 1)]
    numbered = [(n, row) for n, row in numbered if any(cell is not None for cell in row)]
    texts = [{str(cell).strip() for cell in row if cell is not None} for _, row in numbered[:20]]
    head = next((n for n, row in enumerate(texts) if row & set(wanted)), 0)
    if head:
        told.notes.append(f"{path.name}: {head} rows above the header were left out")
    names = ["" if cell is None else str(cell).strip() for cell in numbered[head][1]] if numbered else []
    twice = sorted(name for name, times in Counter(names).items() if times > 1 and name in wanted)
    if twice:
        raise WorkbenchError(f"{path} has more than one column {twice[0]!r}; rename one of them")
    at = {name: place for place, name in enumerate(names) if name in wanted}
    again = headers_again([["" if cell is None else str(cell) for cell in row] for _, row in numbered], names)
    told.left_out.update({"the header once more": len(again) - 1} if len(again) > 1 else {})
    numbered = [row for n, row in enumerate(numbered) if n not in again or n == head]
    return OpenFile(path, names, _sheet_batches(numbered[head + 1 :], at, rows, told), told)


def _sheet_batches(numbered: list[tuple[int, list[Any]]], at: dict[str, int], rows: int, told: Told) -> Iterator[Batch]:
    for start in range(0, max(len(numbered), 1), rows):
        some = numbered[start : start + rows]
        told.rows += len(some)
        columns = {name: cells_of([row[place] for _, row in some]) for name, place in at.items()}
        yield Batch(columns, len(some), {})


def _bytes(path: Path) -> bytes:
    with raw(path) as file:
        return file.read()


def _cell(cell: Any) -> Any:
    """Return a cell as it is meant: all numbers of a sheet are floats there, an empty cell is an empty text."""
    if isinstance(cell, str):
        return cell or None
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, float | int):
        return int(cell) if number_text(float(cell)).lstrip("-").isdecimal() else float(cell)
    return cell.isoformat() if isinstance(cell, dt.date | dt.time) else str(cell)


def _unread(path: Path, what: str, error: Exception) -> str:
    return f"{path} cannot be read as {what}: {' '.join(str(error).split())[:200]}; write the file again"
