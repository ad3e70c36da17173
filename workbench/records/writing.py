"""What is written into the records, each kind as a function of several pieces at once that `Database.write` calls.

A function raises for a piece that cannot be written; then each is written by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, and_, delete, exists, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from workbench.errors import WorkbenchError
from workbench.records.blobs import Blobs
from workbench.records.entries import Entry, Event
from workbench.records.tables import (
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
from workbench.schema import MODALITIES

REMEMBERED = timedelta(days=1)  # how long a deletion is remembered for posts that were under way then
_FREE = {"reason"}  # what people write in their own words
_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_DECIDE, _USE = insert(decisions), insert(uses)
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class Deleted(WorkbenchError):
    """A post was deleted while it was under way; nothing of it is kept."""

    def __init__(self) -> None:
        super().__init__("the post was deleted while it was scored; nothing of it is kept")


class NewEntry(NamedTuple):
    """An entry to be kept with its contents: media by id, and the text as UTF-8.

    elsewhere: ids of contents that lie in another place. after: the number of the last deletion when the post came.
    unless: an identity whose entry makes this one come too late.
    """

    entry: Entry
    media: Mapping[str, bytes]
    text: bytes | None
    elsewhere: frozenset[str]
    after: int | None
    unless: str | None


class NewDecision(NamedTuple):
    """A decision on what is recorded, and what is known of the post by now, if that is to be kept."""

    identity: str
    decision: dict[str, Any]
    policy_id: str
    assessment: str | None


def each(one: Callable[[Connection, Any], Any]) -> Callable[[Connection, Sequence[Any]], list[Any]]:
    """Return a function that writes several pieces one after the other."""

    def several(connection: Connection, pieces: Sequence[Any]) -> list[Any]:
        return [one(connection, piece) for piece in pieces]

    return several


class Writing:
    """The writing of entries whose media lie in a folder of blobs."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.redecide, self.delete, self.answer = each(_redecide), each(_delete), each(_answer)
        self.condemn = each(_condemn_all)

    def keep(self, connection: Connection, kept: Sequence[NewEntry]) -> list[bool]:
        """Keep entries, and say of each whether its identity is new; each is its post's newest answer afterwards."""
        _refuse_deleted(connection, kept)
        late = _too_late(connection, kept)
        rows = [_row(one.entry) for one in kept if one.unless not in late]
        new = dict(_insert_new(connection, entries, rows, entries.c.identity, entries.c.seq)) if rows else {}
        mine = [
            None if one.unless in late else new.pop(one.entry.identity, None) for one in kept
        ]  # of equal ones the first
        fresh = [(one, number) for one, number in zip(kept, mine, strict=True) if number is not None]
        for one, number in zip(kept, mine, strict=True):
            if number is None and one.unless not in late:
                _answer(connection, one.entry.identity)
        if fresh:
            told = [(number, one.entry) for one, number in fresh]
            rows = [_decision(number, as_time(new.at), new.policy_id, new.decision) for number, new in told]
            connection.execute(_DECIDE, rows)
            self._keep_contents(connection, fresh)
        return [number is not None for number in mine]

    def _keep_contents(self, connection: Connection, fresh: Sequence[tuple[NewEntry, int]]) -> None:
        """Keep the texts of new entries, and note which contents they use; those must be there."""
        now = as_time(datetime.now(UTC))
        told = {Blobs.id_of(one.text): one.text for one, _ in fresh if one.text is not None}
        if told:
            values = [{"content": content, "data": data, "at": now} for content, data in sorted(told.items())]
            connection.execute(_keeping_text(connection.dialect.name), values)
        used = [(content, number, one) for one, number in fresh for content in dict.fromkeys(named(one.entry.features))]
        asked = {content for content, _, one in used if content not in one.elsewhere} - set(told)
        if asked:
            asked -= set(connection.execute(select(texts.c.content).where(texts.c.content.in_(asked))).scalars())
        for content, _, one in used:
            if content in asked:
                self._must_be_there(content, one.media.get(content))
        if used:
            rows = [{"content": content, "entry": number} for content, number, _ in used]
            connection.execute(_USE, rows)

    def _must_be_there(self, blob: str, data: bytes | None) -> None:
        """Hold an entry's blob to being kept; a deletion or `sweep` may have taken it away since it was put."""
        if self._blobs.has(blob):
            return
        if data is None:
            raise WorkbenchError(f"blob {blob} is not kept (or was just deleted); record the post with it")
        self._blobs.put(data)

    def finish_removals(self, connection: Connection, _: Sequence[Any]) -> list[WorkbenchError | None]:
        """Remove the files of deleted blobs that nothing uses, and return why one could not be removed.

        The lock on writing keeps others from taking them up.
        """
        failed = None
        for blob in connection.execute(select(removals.c.content)).scalars().all():
            try:
                if not connection.execute(select(exists().where(uses.c.content == blob))).scalar():
                    self._blobs.remove(blob)
            except WorkbenchError as error:  # the others go all the same, and this one is tried again
                failed = error
            else:
                connection.execute(delete(removals).where(removals.c.content == blob))
        return [failed]

    @staticmethod
    def happen(connection: Connection, happened: Sequence[Event]) -> list[bool]:
        """Keep events, and say of each whether it is new (see `Event.once`)."""
        columns = (events.c.post_id, events.c.kind, events.c.by, events.c.value)
        told = [(one.post_id, one.kind, one.by or "", one.told) for one in happened]
        counted = {id(one) for one in happened if not (one.timed or one.key or one.verdict)}
        untimed = {values for one, values in zip(happened, told, strict=True) if id(one) in counted}
        known = set()
        if untimed:  # one without a time equals any earlier one
            known = set(map(tuple, connection.execute(select(*columns).where(tuple_(*columns).in_(untimed)))))
        rows: dict[str, dict[str, Any]] = {}  # the first of each
        onces = []
        for one, values in zip(happened, told, strict=True):
            alone = one.verdict and not one.timed and not one.key
            once = _once_of_verdict(connection, values) if alone else one.once
            fresh = once not in rows and not (id(one) in counted and values in known)
            onces.append(once if fresh else None)
            if fresh:
                named = dict(zip((column.name for column in columns), values, strict=True))
                rows[once] = named | {"at": as_time(one.at), "once": once}
        new = _insert_new(connection, events, list(rows.values()), events.c.once) if rows else ()
        kept = {once for (once,) in new}
        return [once in kept for once in onces]


# ------------------------------------------------------------------------------------------------------- one at a time


def _once_of_verdict(connection: Connection, told: tuple[str, str, str, str]) -> str:
    """Return what a person's verdict without a time is told by: also what it was said of, and after what.

    The same said again is one; said of another version, or after the contrary, it is another.
    """
    post_id, kind, by, value = told
    answer = select(func.max(decisions.c.seq)).join(entries, entries.c.seq == decisions.c.entry)
    said = (events.c.post_id == post_id, events.c.kind == kind, events.c.by == by, events.c.value != value)
    about = [
        connection.execute(query).scalar()
        for query in (answer.where(entries.c.post_id == post_id), select(func.max(events.c.seq)).where(*said))
    ]
    return hashlib.sha256(json.dumps([*told, *about]).encode()).hexdigest()


def _answer(connection: Connection, identity: str) -> bool:
    """Make an entry the newest answer of its post, by its newest decision told once more; say whether it was not."""
    found = connection.execute(
        select(decisions)
        .join(entries, decisions.c.entry == entries.c.seq)
        .where(entries.c.identity == identity, decisions.c.seq == newest_of_entry())
        .where(superseded())
    ).first()
    if found is None:
        return False
    again = dict(found._mapping) | {"at": as_time(datetime.now(UTC))}
    connection.execute(insert(decisions), {name: value for name, value in again.items() if name != "seq"})
    return True


def _redecide(connection: Connection, new: NewDecision) -> bool:
    row = connection.execute(
        select(entries.c.seq, decisions.c.policy_id, decisions.c.decision, superseded().label("superseded"))
        .select_from(entries)
        .join(decisions, decisions.c.seq == newest_of_entry())
        .where(entries.c.identity == new.identity)
    ).first()
    if row is None:
        return False
    if new.assessment is not None:
        connection.execute(update(entries).where(entries.c.seq == row.seq).values(assessment=new.assessment))
    if row.superseded or (row.policy_id, row.decision) == (new.policy_id, as_json(new.decision)):
        return False
    connection.execute(insert(decisions), _decision(row.seq, as_time(datetime.now(UTC)), new.policy_id, new.decision))
    return True


def _delete(connection: Connection, which: tuple[str, str]) -> bool:
    """Remove what a post's entries hold of a person, and say whether there was anything; remember it for a while."""
    service, post_id = which
    now = as_time(datetime.now(UTC))
    connection.execute(insert(deletions), {"service": service, "post_id": post_id, "at": now})
    live = and_(entries.c.post_id == post_id, entries.c.deleted_at.is_(None))
    numbers = connection.execute(select(entries.c.seq).where(live, entries.c.service == service)).scalars().all()
    if not numbers:
        return False
    blobs = connection.execute(select(uses.c.content).where(uses.c.entry.in_(numbers)).distinct()).scalars().all()
    connection.execute(delete(uses).where(uses.c.entry.in_(numbers)))
    for blob in blobs:
        _condemn(connection, blob)
    for number in numbers:
        gone = {"identity": f"deleted {number}", "features": "{}", "assessment": "{}", "deleted_at": now}
        connection.execute(update(entries).where(entries.c.seq == number).values(gone))
    _strip(
        connection, decisions, decisions.c.decision, decisions.c.entry.in_(numbers), lambda told: _only(told, "action")
    )
    connection.execute(update(decisions).where(decisions.c.entry.in_(numbers)).values(due_at=None))
    if not connection.execute(select(exists().where(live))).scalar():  # nor by another service
        words = lambda told: {name: value for name, value in told.items() if name not in _FREE}  # noqa: E731
        _strip(connection, events, events.c.value, events.c.post_id == post_id, words)
    return True


def _strip(connection: Connection, table: Table, column: Any, where: Any, left: Callable[[dict], dict]) -> None:
    """Leave of a JSON column what may stay."""
    for number, told in connection.execute(select(table.c.seq, column).where(where)).all():
        kept = left(json.loads(told))
        text = as_json(kept) if table is decisions else json.dumps(kept, sort_keys=True)
        connection.execute(update(table).where(table.c.seq == number).values({column.name: text}))


def _only(told: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: told[name] for name in names if name in told}


def _condemn_all(connection: Connection, blobs: Iterable[str]) -> int:
    return sum(_condemn(connection, blob) for blob in blobs)


def _condemn(connection: Connection, blob: str) -> bool:
    """Remove a blob that no entry uses, a file's only by name as yet, and say whether it is one."""
    if connection.execute(select(exists().where(uses.c.content == blob))).scalar():
        return False
    connection.execute(delete(texts).where(texts.c.content == blob))
    connection.execute(_ignoring(connection.dialect.name, removals), {"content": blob})
    return True


def forget_deletions(connection: Connection, pieces: Sequence[Any]) -> list[None]:
    """Let go of deletions of long ago: no post is under way for so long."""
    before = as_time(datetime.now(UTC) - REMEMBERED)
    connection.execute(delete(deletions).where(deletions.c.at < before))
    return [None] * len(pieces)


def _too_late(connection: Connection, kept: Sequence[NewEntry]) -> set[str]:
    """Return the identities that are there, or come now, of those that entries name as `unless`."""
    asked = {one.unless for one in kept if one.unless is not None}
    if not asked:
        return set()
    there = connection.execute(select(entries.c.identity).where(entries.c.identity.in_(asked))).scalars()
    return {*there, *(asked & {one.entry.identity for one in kept})}


def _refuse_deleted(connection: Connection, kept: Sequence[NewEntry]) -> None:
    """Raise Deleted for a post that was deleted after it came."""
    came: dict[tuple[str, str], int] = {}
    for one in kept:
        if one.after is not None:
            which = (one.entry.service, one.entry.post_id)
            came[which] = min(one.after, came.get(which, one.after))
    if not came:
        return
    post = (deletions.c.service, deletions.c.post_id)
    later = select(*post, func.max(deletions.c.seq)).where(deletions.c.seq > min(came.values())).group_by(*post)
    for service, post_id, number in connection.execute(later).all():
        if number > came.get((service, post_id), number):
            raise Deleted


# ----------------------------------------------------------------------------------------------------------------- rows


def named(features: Mapping[str, Any]) -> list[str]:
    """Return the ids of the blobs that features name."""
    cells = (features.get(modality) for modality in MODALITIES)
    return [cell["id"] for cell in cells if isinstance(cell, dict) and "id" in cell]


def as_json(value: dict[str, Any]) -> str:
    return _ENCODER.encode(value)


def as_time(at: datetime) -> str:
    """Return a time as text that sorts by time."""
    if at.tzinfo is None:
        raise WorkbenchError(f"the time {at} has no time zone; give one, such as UTC")
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "identity": entry.identity,
        "service": entry.service,
        "post_id": entry.post_id,
        "model_id": entry.model_id,
        "features": as_json(entry.features),
        "assessment": as_json(entry.assessment),
        "at": as_time(entry.at),
    }


def _decision(entry: int, at: str, policy_id: str, decision: dict[str, Any]) -> dict[str, Any]:
    due = decision.get("due_at")
    return {
        "entry": entry,
        "at": at,
        "policy_id": policy_id,
        "decision": as_json(decision),
        "action": decision.get("action"),
        "due_at": due and as_time(datetime.fromisoformat(due)),
    }


@cache
def _ignoring(dialect: str, table: Table, *columns: Any) -> Any:
    """Return an INSERT that leaves out a row that is there already, and gives columns of the others."""
    made = _INSERT[dialect](table).on_conflict_do_nothing()
    return made.returning(*columns) if columns else made


@cache
def _keeping_text(dialect: str) -> Any:
    """Return an INSERT of a text that, where it is there already, says that it came again."""
    made = _INSERT[dialect](texts)
    return made.on_conflict_do_update(index_elements=[texts.c.content], set_={"at": made.excluded.at})


def _insert_new(connection: Connection, table: Table, rows: list[dict], *columns: Any) -> Iterable[Any]:
    """Insert the rows that are not there yet, and return columns of those."""
    return connection.execute(_ignoring(connection.dialect.name, table, *columns), rows).all()
