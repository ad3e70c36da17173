"""Features computed ahead: every content of a corpus, or of what a service recorded, through some encoders.

What is stored stays: a job that was killed and is started again encodes what is missing, at most one block of it for
the second time. Beside the vectors the job notes by which id each content is asked for (`contents`). A text of a corpus
is noted whole; one of the records stays there alone, and what is deleted from them meanwhile is let go of here too.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from tqdm import tqdm

from workbench.errors import WorkbenchError
from workbench.features.blocks import TransientError
from workbench.features.encoders.identity import reads
from workbench.features.items import ITEMS, Items, unique
from workbench.features.store import FeatureStore
from workbench.features.store.contents import StoredContent
from workbench.records import Records
from workbench.schema import INPUTS, MODALITIES

CHUNK = 1024  # rows that go through the encoders together


class Tally(NamedTuple):
    """What a job did with the contents of one modality and one encoder.

    stored: of which there were vectors before, or that came twice; unreadable: that no start will read, kept with the
    reason; later: why others could not be had this time -> how many.
    """

    encoder: str
    modality: str
    computed: int
    stored: int
    unreadable: int
    later: Counter[str]

    def __str__(self) -> str:
        parts = [f"{self.computed:,} computed", f"{self.stored:,} stored before"]
        parts += [f"{self.unreadable:,} cannot be read, kept with the reason"] if self.unreadable else []
        if self.later:
            parts.append(
                f"{self.later.total():,} could not be had now ({next(iter(self.later))}); start again for them"
            )
        return f"{self.modality} by {self.encoder}: {', '.join(parts)}"


def build(
    store: FeatureStore,
    tables: Iterable[pa.Table],
    encoders: Sequence[str],
    *,
    texts: bool = True,
    there: Callable[[str], bool] | None = None,
) -> list[Tally]:
    """Have every content of tables encoded and noted, and return what was done, by encoder and modality.

    store: one with a folder. texts: whether texts are noted whole. there: whether a content is still kept where it came
    from; one that is not leaves no trace. Raises WorkbenchError for an unknown encoder, and where the encoders read
    nothing that is there.
    """
    made = {name: store.encoder(name) for name in dict.fromkeys(encoders)}
    if not made:
        raise WorkbenchError("no encoder is named; say which by --encoder, such as --encoder tiny")
    tallies: dict[tuple[str, str], Tally] = {}
    with tqdm(unit=" contents", disable=None) as bar:
        store.progress = lambda done, total, what: bar.set_postfix_str(f"{what} {done:,}/{total:,}")
        for table in tables:
            for start in range(0, len(table), CHUNK):
                for items in _columns(table.slice(start, CHUNK)):
                    by = {name: encoder for name, encoder in made.items() if reads(encoder, items.modality)}
                    noted = _noted(store, items, texts) if by else []
                    for name, encoder in by.items():
                        before = tallies.get((name, items.modality), Tally(name, items.modality, 0, 0, 0, Counter()))
                        tallies[name, items.modality] = _encode(store, encoder, items, before)
                        bar.update(sum(key is not None for key in items.keys))
                    if there is not None:  # a deletion that comes after this finds what is noted
                        store.forget([one[:3] for one in noted if not there(one.id)])
    if not tallies:
        raise WorkbenchError(f"there is nothing that {' and '.join(made)} could read; check the posts and the encoder")
    for name, modality in tallies:
        store.compact(made[name], modality)
    return list(tallies.values())


def tables_of(records: Records) -> Iterator[pa.Table]:
    """Yield the contents that records keep, each once."""
    seen: set[bytes] = set()
    rows: list[dict] = []
    for entry in records.entries():
        for modality in MODALITIES:
            name = (entry.features.get(modality) or {}).get("id")
            if name is None or bytes.fromhex(name) in seen:
                continue
            seen.add(bytes.fromhex(name))
            if modality != "text" and records.blob_path(name).is_file():
                rows.append({modality: {"bytes": None, "path": str(records.blob_path(name))}})
            elif modality == "text" and (data := records.blob(name)) is not None:
                rows.append({"text": data.decode(errors="replace")})
        if len(rows) >= CHUNK:
            yield pa.Table.from_pylist(rows, schema=_SCHEMA)
            rows = []
    if rows:
        yield pa.Table.from_pylist(rows, schema=_SCHEMA)


_SCHEMA = pa.schema([INPUTS.field(name) for name in MODALITIES])


def _columns(table: pa.Table) -> Iterator[Items]:
    """Yield the columns of a table that hold any content, as the store sees them."""
    for modality in MODALITIES:
        if modality in table.column_names and table[modality].null_count < len(table):
            yield ITEMS[modality](table)


def _encode(store: FeatureStore, encoder: object, items: Items, before: Tally) -> Tally:
    """Have a column encoded, and add to what was done before."""
    hits = store.hits
    blocks = store.vectors(encoder, items)
    new = {tier: count - hits[tier] for tier, count in store.hits.items()}
    first, _ = unique(items.keys)
    whys = [(blocks.reasons[row], blocks.notes[row]) for row in (*first, *items.unread)]
    passing = [next((why for why in pair if isinstance(why, TransientError)), None) for pair in whys]
    lost = sum(why is not None for why in passing[: len(first)])
    return before._replace(
        computed=before.computed + new["computed"] - lost,
        stored=before.stored + new["memory"] + new["disk"] + new["repeated"],
        unreadable=before.unreadable
        + sum(why is None and pair[0] is not None for why, pair in zip(passing, whys, strict=True)),
        later=before.later + Counter(why for why in passing if why is not None),
    )


def _noted(store: FeatureStore, items: Items, texts: bool) -> list[StoredContent]:
    """Note by which ids the contents of a column are asked for, and return them.

    That comes before their vectors: whoever deletes a content finds all that was made of it by what is noted here.
    """
    found = []
    for row in unique(items.keys)[0]:
        item = items.fetch(row)
        if isinstance(item, TransientError):
            continue
        data = item.encode() if isinstance(item, str) else item
        text = data if texts and items.modality == "text" else None
        found.append(StoredContent(hashlib.sha256(data).hexdigest(), items.modality, items.keys[row], len(data), text))
    store.contents.keep(found)
    return found


def folder_of_records(what: str) -> Path | None:
    """Return the folder of records that a name leads to, None where it is something else."""
    return Path(what) if (Path(what) / "records.sqlite").is_file() else None
