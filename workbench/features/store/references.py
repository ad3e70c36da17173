"""A column of pictures or clips of which some are named by content id alone."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from workbench.features.blocks import TransientError
from workbench.features.items import MediaItems
from workbench.features.store.contents import ContentCatalogue, NotStored
from workbench.records.references import PREFIX, Reference


class ReferencedItems:
    """Items with the keys of their references, which are looked up; the content of a reference cannot be had.

    Raises NotStored, here for a content that is not known at all, and by `fetch` for one whose vectors are not stored.
    """

    def __init__(
        self, items: MediaItems, references: dict[int, Reference], contents: ContentCatalogue | None, by: str
    ) -> None:
        self.modality, self.chunk = items.modality, items.chunk
        self.keys, self.unread = list(items.keys), dict(items.unread)
        self._items, self._references = items, references
        self._why = f"no vector of this {self.modality} by encoder {by!r} is stored"
        for row, reference in references.items():
            found = [] if contents is None else contents.find(reference.id, self.modality)
            if not found:
                raise NotStored(self._why)
            self.keys[row] = found[0].key
            del self.unread[row]  # no file lies at a reference

    def fetch(self, row: int) -> bytes | TransientError:
        if row in self._references:
            raise NotStored(self._why)
        return self._items.fetch(row)


def resolved(
    items: MediaItems, table: pa.Table, contents: ContentCatalogue | None, by: str
) -> MediaItems | ReferencedItems:
    """Return the items of a table's column with what its references stand for; `by` is the encoder's name."""
    paths = pc.struct_field(table[items.modality], "path").cast(pa.string())
    if not pc.any(pc.starts_with(paths, PREFIX)).as_py():
        return items
    cells = zip(table[items.modality].to_pylist(), range(len(table)), strict=True)
    named = {row: Reference.of(cell["path"]) for cell, row in cells if cell and cell["bytes"] is None}
    references = {row: reference for row, reference in named.items() if reference is not None}
    return ReferencedItems(items, references, contents, by) if references else items
