"""The durable record of what was scored and decided: features by value, decisions with their versions, events.

A folder with `records.sqlite` (entries, texts, events), or a PostgreSQL database that `WORKBENCH_DATABASE_URL` names,
and `contents/` (blobs: pictures and clips by the sha256 of their bytes). What was acknowledged, by `record` and the
others returning, survives a kill and a power cut. Several threads and processes may use one folder.

A post's *newest answer* is the decision that was appended last of all on it, whichever of its versions it was on:
what is answered again after another version is appended again.

Open doubt: a copy of the folder on a network file system is not safe to write to, since SQLite's WAL needs shared
memory; servers on several machines share PostgreSQL and a folder of contents.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from sqlalchemy import Select, exists, func, or_, select

from workbench.errors import WorkbenchError, unknown
from workbench.records.blobs import Blobs
from workbench.records.database import Database
from workbench.records.entries import KINDS, Entry, Event, by_value
from workbench.records.tables import (
    about,
    decisions,
    deletions,
    entries,
    events,
    newest_of_entry,
    removals,
    superseded,
    texts,
    uses,
)
from workbench.records.writing import (
    Deleted,
    NewDecision,
    NewEntry,
    Writing,
    as_json,
    as_time,
    forget_deletions,
)
from workbench.schema import MODALITIES

__all__ = ["KINDS", "URL", "Answered", "Deleted", "Entry", "Event", "Recorded", "Records", "by_value"]

URL = "WORKBENCH_DATABASE_URL"
PAGE = 500  # entries that are Python objects at one time
_FIELDS = tuple(Entry.model_fields)
_DECIDED = ("policy_id", "decision")
_ENTRY = select(entries.c.seq, *((decisions if name in _DECIDED else entries).c[name] for name in _FIELDS)).join(
    decisions, decisions.c.entry == entries.c.seq
)


class Recorded(NamedTuple):
    """An entry, and whether its decision is the newest answer on the post."""

    entry: Entry
    newest: bool


class Answered(NamedTuple):
    """That an entry became, or was once more, the newest answer of its post."""

    identity: str
    at: datetime


class Records:
    """The records in a folder.

    `create=False` refuses a folder that has none. `patience` is how many seconds a locked database is waited for.
    `url` names a PostgreSQL database for all but the blobs; by default `WORKBENCH_DATABASE_URL` does, if it is set.
    Every method raises WorkbenchError, in one sentence, where the records cannot be read or written; then nothing of
    that call was recorded.
    """

    def __init__(
        self, folder: Path | str, *, create: bool = True, patience: float = 10.0, url: str | None = None
    ) -> None:
        self.folder = Path(folder)
        file, url = self.folder / "records.sqlite", url or os.environ.get(URL)
        if url and file.is_file():
            raise WorkbenchError(
                f"{file} holds records, and {URL} names another database; leave the variable out, or choose another "
                "folder"
            )
        self._database = Database(file, url, create=create, patience=patience)
        self._blobs = Blobs(self.folder / "contents")
        self._writing = Writing(self._blobs)
        try:
            ((named,),) = self._database.read(select(about.c.id))
            self._blobs.belong(named, used=bool(self._database.read(select(uses.c.entry).limit(1))))
        except BaseException:
            self.close()
            raise
        with contextlib.suppress(WorkbenchError):  # who cannot write now finishes it another time
            self._finish_removals()

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------------------------------------- blobs

    def blob(self, blob_id: str) -> bytes | None:
        """Return the bytes of a blob, None where it was deleted or never was, or where its file is damaged."""
        rows = self._database.read(select(texts.c.data).where(texts.c.content == blob_id))
        return bytes(rows[0].data) if rows else self._blobs.get(blob_id)

    def blob_kinds(self, blob_id: str) -> tuple[str, ...]:
        """Return as what a blob is used by some entry, of text, image and video; nothing where none uses it."""
        used = select(entries.c.features).join(uses, uses.c.entry == entries.c.seq).where(uses.c.content == blob_id)
        cells = [json.loads(row.features) for row in self._database.read(used.limit(1))]
        return tuple(name for name in MODALITIES for cell in cells if (cell.get(name) or {}).get("id") == blob_id)

    def blob_path(self, blob_id: str) -> Path:
        """Return where a picture or clip lies, whether or not it is there."""
        return self._blobs.path(blob_id)

    # -------------------------------------------------------------------------------------------------------- entries

    def record(
        self,
        entry: Entry,
        blobs: Mapping[str, bytes] | None = None,
        elsewhere: Collection[str] = (),
        after: int | None = None,
        unless: str | None = None,
    ) -> bool:
        """Keep an entry for good and say whether its identity is new; the first one recorded stands.

        Either way it is the newest answer of its post afterwards. `blobs` {modality: bytes} are kept with it, in one
        go; those that the features name by id and that are not given must be kept already, but for those whose content
        lies `elsewhere`. `after` is what `deletions` said when the post came: raises Deleted, and keeps nothing, where
        it was deleted since. `unless` is an identity; where there is an entry of it, this one comes too late and is not
        kept.
        """
        media = {Blobs.id_of(data): data for kind, data in (blobs or {}).items() if kind != "text"}
        for data in media.values():
            self._blobs.put(data)
        kept = NewEntry(entry, media, (blobs or {}).get("text"), frozenset(elsewhere), after, unless)
        try:
            return self._database.write(self._writing.keep, kept)
        except Deleted:
            self._database.write(self._writing.condemn, list(media))
            self._finish_removals()
            raise

    def by_identity(self, identity: str) -> Entry | None:
        """Return the entry of an identity; one whose content was deleted has given its identity up."""
        found = self.find([identity])
        return found[identity].entry if found else None

    def find(self, identities: Collection[str]) -> dict[str, Recorded]:
        """Return what is recorded of identities, and of each whether it is what its post was answered last."""
        query = _NEWEST.where(entries.c.identity.in_(list(identities))).add_columns(superseded())
        return {
            entry.identity: Recorded(entry, not row[-1])
            for row in self._database.read(query)
            for entry in [_entry(row)]
        }

    def latest(self, service: str, post_id: str) -> Entry | None:
        """Return the entry that a post was answered with last, deleted or not."""
        query = _ENTRY.where(entries.c.service == service, entries.c.post_id == post_id)
        rows = self._database.read(query.order_by(decisions.c.seq.desc()).limit(1))
        return _entry(rows[0]) if rows else None

    def entries(
        self, since: datetime | None = None, until: datetime | None = None, service: str | None = None
    ) -> Iterator[Entry]:
        """Yield the entries scored at `since` or later and before `until`, deleted ones too, as they were recorded."""
        for row in self._pages(_NEWEST, entries, since, until, service):
            yield _entry(row)

    def answers(self, until: datetime | None = None, service: str | None = None) -> Iterator[Answered]:
        """Yield what became the newest answer of its post before `until`, in that order; of deleted posts nothing."""
        query = (
            select(decisions.c.seq, entries.c.identity, decisions.c.at)
            .join(entries, decisions.c.entry == entries.c.seq)
            .where(entries.c.deleted_at.is_(None))
        )
        for _, identity, at in self._pages(query, decisions, None, until, service):
            yield Answered(identity, datetime.fromisoformat(at))

    def _pages(
        self, query: Select, table: Any, since: datetime | None, until: datetime | None, service: str | None
    ) -> Iterator[Any]:
        """Yield the rows of a query, whose first column is the table's number, a page at a time."""
        if since is not None:
            query = query.where(table.c.at >= as_time(since))
        if until is not None:
            query = query.where(table.c.at < as_time(until))
        if service is not None:
            query = query.where(entries.c.service == service)
        query, last = query.order_by(table.c.seq).limit(PAGE), 0
        while rows := self._database.read(query.where(table.c.seq > last)):
            yield from rows
            last = rows[-1][0]

    def redecide(
        self, identity: str, decision: dict[str, Any], policy_id: str, assessment: dict[str, Any] | None = None
    ) -> bool:
        """Append a decision that is another one, or under another policy; say whether it is. Earlier ones are kept.

        One on what is not the newest answer of its post any more is not appended.

        assessment: what is known of the post by now, kept in place of what was, whether or not it decides otherwise.
        """
        known = None if assessment is None else as_json(assessment)
        return self._database.write(self._writing.redecide, NewDecision(identity, decision, policy_id, known))

    def answer(self, identity: str) -> bool:
        """Make an entry the newest answer of its post again, after another version was; say whether it was not."""
        return self._database.write(self._writing.answer, identity)

    def deletions(self) -> int:
        """Return the number of the last deletion that was asked for; numbers rise."""
        return self._database.read(select(func.coalesce(func.max(deletions.c.seq), 0)))[0][0]

    def delete(self, service: str, post_id: str) -> bool:
        """Remove what a post's entries hold of a person, and say whether there was anything to remove.

        The features go, with all that was derived from them, and the content unless another entry has the same; so do
        the words of people in its events. What was done, when, and by which versions stays. A post that is under way
        meanwhile, in whichever process, is not recorded (see `record`).
        """
        deleted = self._database.write(self._writing.delete, (service, post_id))
        self._finish_removals()  # also those of an earlier time that failed
        if deleted:
            self._database.scrub()
        return deleted

    def expired(self, before: datetime) -> list[tuple[str, str]]:
        """Return (service, post id) of every post whose content is kept and whose newest answer is from before."""
        post = (entries.c.service, entries.c.post_id)
        query = (
            select(*post)
            .join(decisions, decisions.c.entry == entries.c.seq)
            .where(entries.c.deleted_at.is_(None))
            .group_by(*post)
            .having(func.max(decisions.c.at) < as_time(before))
        )
        return [(row.service, row.post_id) for row in self._database.read(query)]

    def knows(self, post_id: str) -> bool:
        """Return whether some service has answered a post."""
        return bool(self._database.read(select(entries.c.seq).where(entries.c.post_id == post_id).limit(1)))

    def only_of(self, service: str, post_id: str) -> list[str]:
        """Return the ids of the blobs that a post's entries name and no other post's do."""
        used, other = uses.alias(), entries.alias()
        another = (
            exists()
            .where(used.c.content == uses.c.content, used.c.entry == other.c.seq)
            .where(or_(other.c.service != service, other.c.post_id != post_id))
        )
        query = (
            select(uses.c.content)
            .join(entries, entries.c.seq == uses.c.entry)
            .where(entries.c.service == service, entries.c.post_id == post_id, ~another)
            .distinct()
        )
        return [row.content for row in self._database.read(query)]

    def sweep(self) -> int:
        """Remove the blobs that no entry uses, as a kill between putting and recording leaves them; return how many.

        Others may write meanwhile: `record` puts again what is taken from it.
        """
        unused: list[str] = []
        for digits, names in self._blobs.swept():
            query = select(uses.c.content).where(uses.c.content >= digits, uses.c.content < digits + "g").distinct()
            unused += sorted(names - {row.content for row in self._database.read(query)})
        self._database.write(forget_deletions)
        count = self._database.write(self._writing.condemn, unused)
        self._finish_removals()
        self._database.vacuum()
        return count

    def _finish_removals(self) -> None:
        """Remove the files of deleted blobs; after a kill, whoever opens the records next does it.

        The lock on writing keeps other processes from taking a blob up in between. A deletion that shared this
        commit could still be undone, with its files gone.
        """
        if self._database.read(select(removals.c.content).limit(1)):
            failed = self._database.write(self._writing.finish_removals, alone=True)
            if failed is not None:
                raise failed

    # --------------------------------------------------------------------------------------------------------- events

    def event(
        self,
        post_id: str,
        kind: str,
        at: datetime | None = None,
        value: dict[str, Any] | None = None,
        by: str | None = None,
        key: str | None = None,
    ) -> bool:
        """Keep what happened to a post and say whether it is new; the same event twice is kept once.

        It is the same where its `key` is; without a key, where post, kind, value and who are, and the time where it is
        given. A report that names neither who nor a key is refused: two people could not be told from one.
        """
        if kind not in KINDS:
            raise WorkbenchError(unknown("kind of event", kind, KINDS))
        if kind == "report" and not by and not key:
            raise WorkbenchError("a report needs `by` (who) or an idempotency key, so that it is counted once")
        when = {"at": at or datetime.now(UTC), "timed": at is not None}
        values = {"post_id": post_id, "kind": kind, "value": value or {}, "by": by, "key": key} | when
        event = Event.parse(values, f"event {kind!r}")
        return self._database.write(self._writing.happen, event)

    def reports(self, post_id: str) -> int:
        """Return how many reports of a post were kept."""
        query = select(func.count()).where(events.c.post_id == post_id, events.c.kind == "report")
        return self._database.read(query)[0][0]

    def overdue(self, now: datetime) -> dict[str, int]:
        """Return service -> how many posts wait for a person past their due time: no label, no removal came since.

        Only the newest answer on a post counts, and none of one whose content was deleted.
        """
        query = (
            select(entries.c.service, func.count())
            .join(decisions, decisions.c.entry == entries.c.seq)
            .where(decisions.c.action == "review", decisions.c.due_at < as_time(now), entries.c.deleted_at.is_(None))
            .where(~superseded())
            .where(
                ~exists()
                .where(events.c.post_id == entries.c.post_id, events.c.kind.in_(("label", "removal")))
                .where(events.c.at >= entries.c.at)
            )
            .group_by(entries.c.service)
        )
        return dict(map(tuple, self._database.read(query)))

    def events(
        self, post_id: str | None = None, until: datetime | None = None, kinds: tuple[str, ...] = KINDS
    ) -> list[Event]:
        """Return what happened to a post, or to all, before `until`, in order of time."""
        query = select(events.c["post_id", "kind", "at", "value", "by"]).where(events.c.kind.in_(kinds))
        if post_id is not None:
            query = query.where(events.c.post_id == post_id)
        if until is not None:
            query = query.where(events.c.at < as_time(until))
        rows = self._database.read(query.order_by(events.c.at, events.c.seq))
        return [
            Event(post_id=post, kind=kind, at=at, value=json.loads(value), by=by or None)
            for post, kind, at, value, by in rows
        ]


_NEWEST = _ENTRY.where(decisions.c.seq == newest_of_entry())


def _entry(row: Any) -> Entry:
    values = dict(zip(_FIELDS, row[1 : 1 + len(_FIELDS)], strict=True))
    return Entry(**values | {name: json.loads(values[name]) for name in ("features", "assessment", "decision")})
