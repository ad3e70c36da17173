"""The one reader of people's files: studies, `score`, `scores`, `shift` and `audit` see the same rows of a file.

CSV and TSV, JSON, Parquet and .xlsx, each also as `.gz`. Cells of text formats stay text, as they are written, so that
an id such as `007` stays as it is; what they mean is for the mapping to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from workbench.corpora.reading.columns import beside, column, stack
from workbench.corpora.reading.delimited import delimited
from workbench.corpora.reading.documents import documents
from workbench.corpora.reading.sources import Batch, Fault, OpenFile, Reading
from workbench.corpora.reading.tables import parquet, workbook
from workbench.corpora.reading.text import NOT_UTF8, readable, undecodable
from workbench.errors import WorkbenchError, unknown

__all__ = [
    "FORMATS",
    "Batch",
    "Fault",
    "OpenFile",
    "Read",
    "Reading",
    "column",
    "header",
    "is_posts",
    "opened",
    "read",
    "stack",
]

FORMATS = {
    ".csv": delimited,
    ".tsv": delimited,
    ".txt": delimited,
    ".jsonl": documents,
    ".ndjson": documents,
    ".json": documents,
    ".parquet": parquet,
    ".xlsx": workbook,
}
_BEGINS = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a workbook or ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old workbook",
}
_ENDING = {b"PAR1": ".parquet", b"PK\x03\x04": ".xlsx"}
CHUNK = 5_000  # rows that are Python objects at one time


class Read(NamedTuple):
    """The wanted columns that a file has, the names of all its columns, its rows, and what was noticed."""

    table: pa.Table
    names: list[str]
    rows: int
    told: dict[str, Any]


def ending(path: Path) -> str:
    """Return the ending that says a file's format, without `.gz`."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def is_posts(path: Path) -> bool:
    """Say whether a file's ending is one of the formats that are read."""
    return ending(path) in FORMATS


def opened(path: Path, wanted: Iterable[str], how: Reading | None = None, rows: int = CHUNK) -> OpenFile:
    """Return a file that is read batch by batch, faulty rows marked in their place.

    Raises WorkbenchError where nothing of it can be used: an unknown ending, encoding or sheet, one wanted name for two
    columns, quotes that eat rows.
    """
    if not is_posts(path):
        raise WorkbenchError(f"{path}: {unknown('file ending', path.suffix, [*FORMATS, '.gz'])}")
    names = (name.strip() for name in wanted if name)
    wanted = list(dict.fromkeys(form for name in names for form in (name, *beside(name))))
    with readable(path):
        _is_what_it_says(path)
        source = FORMATS[ending(path)](path, wanted, how or Reading(), rows)
    return source._replace(batches=_readable(source))


def header(path: Path, wanted: Iterable[str], how: Reading | None = None) -> list[str] | None:
    """Return the names of a file's columns before it is read; None of JSON, whose later rows may bring others.

    Raises WorkbenchError as `opened` does.
    """
    return None if FORMATS.get(ending(path)) is documents else opened(path, wanted, how, 1).names


def _is_what_it_says(path: Path) -> None:
    """Raise WorkbenchError for a file whose first bytes are those of another format than its ending says."""
    with open(path, "rb") as file:
        head = file.read(4)
    if head.startswith(b"\x1f\x8b") and path.suffix.lower() != ".gz":
        raise WorkbenchError(f"{path} is packed by gzip; end its name in .gz")
    if head in _BEGINS and ending(path) != _ENDING.get(head):
        hint = f"end its name in {_ENDING[head]}" if head in _ENDING else "save it as .xlsx or CSV"
        raise WorkbenchError(f"{path} is {_BEGINS[head]} by its first bytes; {hint}")


def _readable(source: OpenFile) -> Iterable[Batch]:
    with readable(source.path):
        yield from source.batches


def read(path: Path, wanted: Iterable[str], how: Reading | None = None) -> Read:
    """Return the wanted columns that a file has; one that only some of its rows have is empty in the others.

    A name with dots is reached in objects. Raises WorkbenchError as `opened` does, and for the first row that cannot be
    read, with its line.
    """
    source = opened(path, wanted, how)
    batches = []
    for batch in source.batches:
        for fault in (batch.faults[n] for n in sorted(batch.faults)):
            if NOT_UTF8 in fault.why:
                raise WorkbenchError(undecodable(path, "utf-8"))
            raise WorkbenchError(f"{path}, line {fault.line} {fault.why.removeprefix('it ')}; mend or remove that line")
        batches.append(batch)
    names = dict.fromkeys(name for batch in batches for name in batch.columns)
    columns = {name: stack([batch.columns.get(name, pa.nulls(batch.size)) for batch in batches]) for name in names}
    return Read(pa.table(columns), list(source.names), source.told.rows, source.told.record())
