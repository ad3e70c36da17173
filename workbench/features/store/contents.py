"""What the contents are whose vectors a folder has: from the id by which a request names one to the key of its vectors.

An id is the sha256 of a content's bytes, a key is the store's own (`items.key`), and neither tells the other. The job
that computes features ahead (`job`) notes both here, with the size and, of a text, the text: its links, its language
and what was undone in its variants are read from the words themselves, so an answer about a text by id lacks nothing.
Texts that the records keep are left to them. Pictures and clips are never kept here.

One SQLite file, opened for each look: any number of threads and processes may read, also where it cannot be written.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from workbench.errors import WorkbenchError
from workbench.schema import MODALITIES

FILE = "contents.sqlite"
PATIENCE = 10.0  # seconds that a locked file is waited for
_SCHEMA = """CREATE TABLE IF NOT EXISTS contents (
    id BLOB NOT NULL, modality TEXT NOT NULL, key BLOB NOT NULL, bytes INTEGER NOT NULL, text BLOB,
    PRIMARY KEY (id, modality)) WITHOUT ROWID"""


class NotStored(WorkbenchError):
    """A content that is named by its id alone, and of which there is not what is asked for."""


class StoredContent(NamedTuple):
    """One content: id (64 hex digits), what it is, the 32 bytes of its key, its size, and a text's UTF-8 if kept."""

    id: str
    modality: str
    key: bytes
    bytes: int
    text: bytes | None = None


class ContentCatalogue:
    """The contents noted in a store's folder; an absent file holds none. Raises WorkbenchError for a damaged one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def find(self, content: str, modality: str | None = None) -> list[StoredContent]:
        """Return what an id stands for, in the order of MODALITIES: mostly one thing, for bytes are of one kind."""
        try:
            name = bytes.fromhex(content)
        except ValueError:
            return []
        rows = self._read("SELECT modality, key, bytes, text FROM contents WHERE id = ?", name)
        found = [StoredContent(content, *row) for row in rows if modality in (None, row[0])]
        return sorted(found, key=lambda one: MODALITIES.index(one.modality))

    def known(self, modality: str, names: Iterable[str]) -> set[str]:
        """Return which of some ids are noted as contents of a modality."""
        return {name for name in names if self.find(name, modality)}

    def keep(self, contents: Iterable[StoredContent]) -> None:
        """Note contents; what is noted already stays, but for a text that it lacks."""
        into = (
            "INSERT INTO contents VALUES (?, ?, ?, ?, ?) ON CONFLICT (id, modality)"
            " DO UPDATE SET text = coalesce(text, excluded.text)"
        )
        rows = [(bytes.fromhex(one.id), *one[1:]) for one in contents]
        if rows:
            with self._plainly(), self._open("rwc") as database:
                database.execute(_SCHEMA)
                database.executemany(into, rows)

    def forget(self, names: Iterable[str]) -> None:
        """Take contents out; their texts are overwritten on the disk."""
        if self._there():
            with self._plainly(), self._open("rw") as database:
                database.executemany("DELETE FROM contents WHERE id = ?", [(bytes.fromhex(name),) for name in names])

    def _read(self, query: str, *values: object) -> list[tuple]:
        if not self._there():
            return []
        with self._plainly(), self._open("ro") as database:
            return database.execute(query, values).fetchall()

    def _there(self) -> bool:
        """Whether there is a file with something in it; a job that was killed first thing leaves an empty one."""
        with contextlib.suppress(OSError):
            return self.path.stat().st_size > 0
        return False

    @contextlib.contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        """Give a connection to the file; what is written is on the disk when this ends."""
        if mode == "rwc":
            self.path.parent.mkdir(parents=True, exist_ok=True)
        address = f"{self.path.resolve().as_uri()}?mode={mode}"
        with contextlib.closing(sqlite3.connect(address, timeout=PATIENCE, uri=True)) as database:
            if mode != "ro":
                for pragma in ("secure_delete = ON", "synchronous = FULL"):
                    database.execute(f"PRAGMA {pragma}")
            with database:
                yield database

    @contextlib.contextmanager
    def _plainly(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            raise WorkbenchError(
                f"{self.path} cannot be used: {error}; check its permissions, or move it away and run "
                "`workbench features build` again"
            ) from None
