"""The texts, pictures or clips of a table as the store sees them: a key per row, and the content only when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import WorkbenchError
from workbench.features.blocks import TransientError
from workbench.preprocessing import media

MAX_FILE = 256 * 2**20  # bytes; far above what preprocessing decodes, so that a wrong path cannot fill the memory


def key(modality: str, raw: bytes) -> bytes:
    """Return the 32 bytes that name a content: sha256 over its modality and its raw bytes."""
    return hashlib.sha256(modality.encode() + b"\0" + raw).digest()


class Items(Protocol):
    """What the store asks of a column.

    Attributes:
        modality: text, image or video.
        keys: per row its key, None where it is absent or unreadable.
        unread: the reason of each row that is there but could not even be fetched.
        chunk: contents per call of the encoder.
    """

    modality: str
    keys: list[bytes | None]
    unread: dict[int, str]
    chunk: int

    def fetch(self, row: int) -> str | bytes | TransientError:
        """Return the content of a row, or the reason why it can no longer be had."""


class TextItems:
    """The text column of a table; a text is present when it has a visible character."""

    modality = "text"
    chunk = 4096

    def __init__(self, table: pa.Table) -> None:
        self._column = _column(table, "text")
        self.unread: dict[int, str] = {}
        self.keys: list[bytes | None] = []
        for part in self._column.chunks:
            visible = pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(part), ""), False).to_pylist()
            raw = part.cast(pa.large_binary()).to_pylist()
            self.keys.extend(key("text", data) if there else None for data, there in zip(raw, visible, strict=True))

    def fetch(self, row: int) -> str:
        return self._column[row].as_py()


class MediaItems:
    """A column of files: their bytes, or the file at a path."""

    modality: str
    chunk: int

    def __init__(self, table: pa.Table) -> None:
        column = _column(table, self.modality)
        self._bytes, self._paths = (pc.struct_field(column, part) for part in ("bytes", "path"))
        self.unread: dict[int, str] = {}
        self.keys: list[bytes | None] = []
        for start in range(0, len(column), 16):  # a slice at a time: all files may not fit into memory
            data, paths = (part.slice(start, 16).to_pylist() for part in (self._bytes, self._paths))
            self.keys.extend(self._key(start + i, *both) for i, both in enumerate(zip(data, paths, strict=True)))

    def fetch(self, row: int) -> bytes | TransientError:
        """Return the file of a row; a file that is no longer what its key says is not to be stored under that key."""
        data = self._bytes[row].as_py()
        if data is None:
            data = read_file(self._paths[row].as_py())
            if not isinstance(data, TransientError) and key(self.modality, data) != self.keys[row]:
                return TransientError("the file changed while it was being read")
        return data

    def _key(self, row: int, data: bytes | None, path: str | None) -> bytes | None:
        if data is None and path is not None:
            data = read_file(path)
            if isinstance(data, TransientError):
                self.unread[row] = data
                return None
        return None if data is None else key(self.modality, data)


class Pictures(MediaItems):
    modality = "image"
    chunk = 512


class Clips(MediaItems):
    modality = "video"
    chunk = 64


ITEMS = {kind.modality: kind for kind in (TextItems, Pictures, Clips)}


def read_file(path: str) -> bytes | TransientError:
    """Return a file's bytes, or why it cannot be read: a missing file may be there tomorrow, so the reason passes."""
    try:
        return media.read(path, MAX_FILE)
    except OSError as error:
        return TransientError(f"cannot read {path}: {error.strerror or error}")


def unique(keys: list[bytes | None]) -> tuple[list[int], np.ndarray]:
    """Return the first row of each different key, and for every row (n,) which of those it is; -1 without a key."""
    which = pd.factorize(np.array(keys, dtype=object))[0]
    rows = np.flatnonzero(which >= 0)
    return rows[np.unique(which[rows], return_index=True)[1]].tolist(), which


def chunks(contents: Items, rows: list[int], max_bytes: int = 64 * 2**20) -> Iterator[tuple[list[int], list]]:
    """Yield rows with their contents, a bounded number and at most about `max_bytes` of them at a time."""
    some, items, size = [], [], 0
    for row in rows:
        item = contents.fetch(row)
        if some and (len(some) == contents.chunk or size + len(item) > max_bytes):
            yield some, items
            some, items, size = [], [], 0
        some.append(row)
        items.append(item)
        size += len(item)
    if some:
        yield some, items


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise WorkbenchError(f"the table has no column {name!r}; its columns are: {', '.join(table.column_names)}")
    column = table[name]
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
