"""A corpus from the service's own records: what was scored, as it was scored, with what people said about it since.

Point in time: a row holds the features that the model was given then, by value, and labels from what people had said
before `until`. A person's verdict counts (`label` events), a removal by a person, and how an appeal ended; an automatic
removal says nothing, for a model trained on it would learn from itself. What nobody judged is unknown. Deleted posts
are absent.

Open doubt: people judge what was reported or flagged, so the labelled rows are no fair sample of the site.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import AwareDatetime, Field, field_validator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workbench import fingerprint
from workbench.corpora.files import cells
from workbench.errors import WorkbenchError, unknown, unknown_label
from workbench.records import Entry, Event, Records
from workbench.records.references import Reference
from workbench.schema import INPUTS, MODALITIES, ROOT, Options, Taxonomy, corpus_schema

CHUNK = 2000  # rows that are Python objects at one time
_VERSIONS = ("service", "model_id", "policy_id")
_META = pa.struct({col: pa.string() for col in (*_VERSIONS, "action")} | {"scored_at": INPUTS.field("created_at").type})


class SourceOptions(Options):
    """Which records, and up to when."""

    folder: str = Field(min_length=1, description="The folder of the records, as the service has it.")
    service: str = Field("post", min_length=1, description="Which service's posts.")
    since: AwareDatetime | None = Field(None, description="Posts scored at this time or later; default: all.")
    until: AwareDatetime | None = Field(None, description="Posts scored, and verdicts given, before this time.")
    versions: Literal["last", "all"] = Field(
        "last",
        description="Of a post that was scored several times, the newest answer's version or every one, in one group.",
    )
    labels: dict[str, tuple[str, ...]] = Field(
        {}, description="Label -> what events call it; default: every label of the taxonomy by its name."
    )

    @field_validator("since", "until", mode="before")
    @classmethod
    def _in_utc(cls, value: Any) -> Any:
        """Take a date, or a time without a zone, as UTC."""
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                return value
        return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


class Version(NamedTuple):
    """A post as it was from one time on; `content` tells its text, picture and clip."""

    post_id: str
    at: datetime
    content: str


class LoggedPost(NamedTuple):
    """One version of a post, with what people said about it."""

    entry: Entry
    post_id: str
    labels: dict[str, bool | None]


def digest(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> str:
    """Return what the corpus depends on: every feature that was scored, contents by their ids, and every label."""
    hasher = hashlib.sha256(f"log {taxonomy.fingerprint}".encode())
    with Records(folder / options.folder, create=False) as records:
        for row in _rows(records, options, taxonomy):
            about = [row.post_id, row.entry.features, row.labels, *(getattr(row.entry, name) for name in _VERSIONS)]
            hasher.update(json.dumps([*about, row.entry.decision.get("action")], sort_keys=True).encode())
    return hasher.hexdigest()[:16]


def build(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> pa.Table:
    """Return what was scored as one table; pictures and clips stay in the records, by path, or are named by id alone.

    `meta` has the service, the versions and the action of the newest decision, and when it was scored. Raises
    WorkbenchError for a folder without records, a label that means none of the taxonomy's, and for no posts.
    """
    schema = pa.schema([*corpus_schema(taxonomy), pa.field("meta", _META)])
    posts, media, chunks = [], {kind: [] for kind in MODALITIES[1:]}, []
    with Records(folder / options.folder, create=False) as records:
        rows = _rows(records, options, taxonomy)
        while chunk := list(itertools.islice(rows, CHUNK)):
            posts += [row.entry.post_id for row in chunk]
            for kind, ids in media.items():
                ids += [_id(row.entry, kind) for row in chunk]
            chunks.append(pa.Table.from_pylist([_cells(row, records) for row in chunk], schema))
    if not chunks:
        raise WorkbenchError(
            f"log {options.folder!r} has no posts of service {options.service!r} in that time; check both"
        )
    table = pa.concat_tables(chunks)
    groups = families(posts, cells.content_keys(table["text"], *media.values()).to_pylist())
    return table.set_column(table.column_names.index("group"), schema.field("group"), pa.array(groups, pa.string()))


def families(posts: list[str], keys: list[str | None]) -> list[str]:
    """Return the group of each row: rows of one post, and rows of the same content, are together.

    >>> families(["p", "p", "q", "r"], ["a", "b", "b", None])
    ['a', 'a', 'a', 'post r']
    """
    post, key = (pd.factorize(np.array(names, dtype=object))[0] for names in (posts, keys))  # a key of None is -1
    there, size = key >= 0, len(posts)
    links = coo_array((np.ones(there.sum()), (post[there], size + key[there])), shape=(2 * size, 2 * size))
    family = connected_components(links, directed=False)[1][post].tolist()
    names: dict[int, str] = {}  # the first row of a family names it
    return [
        names.setdefault(number, key or f"post {post}") for number, post, key in zip(family, posts, keys, strict=True)
    ]


# ------------------------------------------------------------------------------------------------------ what was said


def _rows(records: Records, options: SourceOptions, taxonomy: Taxonomy) -> Iterator[LoggedPost]:
    """Yield the versions that are asked for, in the order of their recording."""
    meanings, until = _meanings(options, taxonomy), options.until or datetime.now(UTC)
    versions: dict[str, dict[str, Version]] = defaultdict(dict)  # post -> identity -> version, in order of recording
    for entry in records.entries(until=until, service=options.service):
        if entry.deleted_at is None:
            versions[entry.post_id][entry.identity] = Version(entry.post_id, entry.at, _content(entry))
    by_identity = {identity: version for known in versions.values() for identity, version in known.items()}
    shown: dict[str, list[Version]] = defaultdict(list)  # what stood there when: an edit back is there once more
    newest: dict[str, str] = {}
    for identity, at in records.answers(until, options.service):
        if (version := by_identity.get(identity)) is not None:
            shown[version.post_id].append(version._replace(at=at))
            newest[version.post_id] = identity
    events: dict[str, list[Event]] = defaultdict(list)
    for event in records.events(until=until, kinds=("label", "removal", "appeal")):
        if event.post_id in versions:
            events[event.post_id].append(event)
    for entry in records.entries(options.since, until, options.service):
        known, last = list(versions.get(entry.post_id, ())), newest.get(entry.post_id) == entry.identity
        if entry.identity not in known or (options.versions == "last" and not last):
            continue  # deleted, recorded only now, or another version than the newest answer's
        verdicts = _verdicts(shown[entry.post_id], events[entry.post_id], meanings)
        labels = {**dict.fromkeys(taxonomy.names), **verdicts[_content(entry)]}
        number = known.index(entry.identity) + 1
        yield LoggedPost(entry, entry.post_id if last else f"{entry.post_id} version {number}", labels)


def _meanings(options: SourceOptions, taxonomy: Taxonomy) -> dict[str, str]:
    """Return the label that each name in events stands for."""
    for label in options.labels:
        if label not in taxonomy.names:
            raise WorkbenchError(f"log {options.folder!r}: {unknown_label(label, taxonomy.names)}")
    named = {label: options.labels.get(label, (label,)) for label in taxonomy.names}
    return {name: label for label, names in named.items() for name in names}


def _verdicts(
    versions: list[Version], events: list[Event], meanings: dict[str, str]
) -> dict[str, dict[str, bool | None]]:
    """Return what people said last of each content that a post had: {content: {label: true|false|None}}.

    An event speaks of the version that was there when it happened, and so of every version with the same content.
    """
    versions = sorted(versions, key=lambda item: item.at)
    verdicts: dict[str, dict[str, bool | None]] = defaultdict(dict)
    times = [version.at for version in versions]
    removed: list[str] = []  # for what the post was removed last, by whomever
    for event in events:
        there = versions[max(bisect_right(times, event.at) - 1, 0)]
        names = event.value.get("labels", [])
        if event.kind == "label":
            labels = event.value
        elif event.kind == "removal":
            removed = names
            labels = dict.fromkeys(names, True) if event.by else {}
        else:
            outcome = {"upheld": True, "overturned": False}.get(event.value.get("decision"))
            labels = dict.fromkeys(names or removed, outcome) if outcome is not None else {}
        for name, value in labels.items():
            if name not in meanings:
                raise WorkbenchError(
                    f"an event on post {event.post_id!r}: {unknown('label', name, meanings)}; "
                    "say in `labels` what it stands for"
                )
            verdicts[there.content][meanings[name]] = value
    return verdicts


# --------------------------------------------------------------------------------------------------------------- a row


def _id(entry: Entry, kind: str) -> str | None:
    """Return what tells an entry's text, picture or clip: its content's id, or its path where it came by path."""
    cell = entry.features.get(kind) or {}
    return cell.get("id") or cell.get("path")


def _place(records: Records, cell: dict[str, Any]) -> str:
    """Return where a recorded picture or clip lies; of one that came by id alone a reference, which has its vectors."""
    path = records.blob_path(cell["id"])
    return str(path if path.is_file() else Reference(cell["id"], cell["bytes"]))


def _content(entry: Entry) -> str:
    return fingerprint.of_json([_id(entry, kind) for kind in MODALITIES])


def _cells(row: LoggedPost, records: Records) -> dict[str, Any]:
    """Return one row of the table, the features as they were scored."""
    entry = row.entry
    values = {name: value for name, value in entry.features.items() if name in INPUTS.names}
    if text := entry.features.get("text"):
        data = records.blob(text["id"])
        values["text"] = None if data is None else data.decode(errors="replace")
    for kind in MODALITIES[1:]:
        if cell := entry.features.get(kind):
            values[kind] = {"bytes": None, "path": cell["path"] if "path" in cell else _place(records, cell)}
    if "created_at" in values:
        values["created_at"] = datetime.fromisoformat(values["created_at"])
    meta = {name: getattr(entry, name) for name in _VERSIONS}
    meta |= {"action": entry.decision.get("action"), "scored_at": entry.at}
    return values | {"post_id": row.post_id, "weight": 1.0, "labels": row.labels, "meta": meta}
