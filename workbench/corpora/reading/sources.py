"""What every reader of a file hands on: batches of columns, the rows that cannot be read, what was noticed."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import Field

from workbench.schema import Options


class Reading(Options):
    """How a file is read, where it does not say so itself."""

    encoding: str | None = Field(None, description="How a text file is encoded; default: told from its bytes.")
    delimiter: str | None = Field(
        None, description="What parts the cells of a CSV or TSV; default: told from its head."
    )
    quotes: bool | None = Field(
        None, description='Whether CSV and TSV cells may be quoted by `"`; default: told from the whole file.'
    )
    sheet: str | None = Field(None, description="Which sheet of a workbook; default: its first.")


class Fault(NamedTuple):
    """What is wrong with one row: in which line it begins (None where a format has no lines), and why."""

    line: int | None
    why: str


class Batch(NamedTuple):
    """Some rows: the wanted columns that they have, how many they are, and the faulty ones by their place.

    A faulty row stands in the columns with what of it could be made out, so that it keeps its id.
    """

    columns: dict[str, pa.Array]
    size: int
    faults: dict[int, Fault]


@dataclass
class Told:
    """What was noticed while a file was read: its rows, rows that were left out by reason, sentences for people."""

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Return what people should know of how it was read."""
        return [*self.notes, *(f"{count:,} rows left out: {reason}" for reason, count in self.left_out.items())]

    def record(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"rows": self.rows, "left_out": dict(self.left_out), "notes": self.notes}


class OpenFile(NamedTuple):
    """A file that is being read: the names of its columns (of a JSON file those seen so far), batches, what is told."""

    path: Path
    names: list[str]
    batches: Iterator[Batch]
    told: Told


@contextmanager
def many_small() -> Iterator[None]:
    """Make a batch's thousands of small lists without Python's search for cycles, which would take half of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
