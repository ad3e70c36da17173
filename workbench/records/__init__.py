"""The durable record of what was scored and decided: features by value, decisions with their versions, events.

A folder with `records.sqlite` (entries, texts, events) and `contents/` (blobs: pictures and clips by the sha256 of
their bytes). What was acknowledged, by `record` and the others returning, survives a kill and a power cut. Several
threads and processes may use one folder.

Open doubt: a copy of the folder on a network file system is not safe to write to, since SQLite's WAL needs shared
memory.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from workbench.errors import WorkbenchError, unknown
from workbench.records.blobs import Blobs
from workbench.records.database import Database
from workbench.records.entries import KINDS, Entry, Event, by_value
from workbench.schema import MODALITIES

__all__ = ["KINDS", "Entry", "Event", "Records", "by_value"]

VERSION = 1
PAGE = 500  # entries that are Python objects at one time
_SCHEMA = """
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL UNIQUE, service TEXT NOT NULL, post_id TEXT NOT NULL,
    at TEXT NOT NULL, features TEXT NOT NULL, assessment TEXT NOT NULL, model_id TEXT NOT NULL, deleted_at TEXT);
CREATE INDEX entries_of_a_post ON entries (post_id, service, seq);
CREATE TABLE decisions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, entry INTEGER NOT NULL REFERENCES entries, at TEXT NOT NULL,
    policy_id TEXT NOT NULL, decision TEXT NOT NULL);
CREATE INDEX decisions_of_an_entry ON decisions (entry, seq);
CREATE TABLE texts (content TEXT PRIMARY KEY, data BLOB NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE uses (content TEXT NOT NULL, entry INTEGER NOT NULL REFERENCES entries, PRIMARY KEY (content, entry))
    WITHOUT ROWID;
CREATE INDEX uses_of_an_entry ON uses (entry);
CREATE TABLE removals (content TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, post_id TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL,
    value TEXT NOT NULL, by TEXT NOT NULL, UNIQUE (post_id, kind, at, by, value));
"""
_NEWEST = "(SELECT max(seq) FROM decisions WHERE entry = entries.seq)"
_OVERDUE = f"""
SELECT service, COUNT(*) FROM entries JOIN decisions ON decisions.seq = {_NEWEST}
WHERE deleted_at IS NULL AND json_extract(decision, '$.action') = 'review'
    AND julianday(json_extract(decision, '$.due_at')) < julianday(?)
    AND entries.seq = (SELECT max(seq) FROM entries AS others
        WHERE others.post_id = entries.post_id AND others.service = entries.service)
    AND NOT EXISTS (SELECT 1 FROM events WHERE events.post_id = entries.post_id
        AND events.kind IN ('label', 'removal') AND events.at >= entries.at)
GROUP BY service
"""
_FIELDS = tuple(Entry.model_fields)
_COLUMNS = ", ".join("entries.at" if name == "at" else name for name in ("entries.seq", *_FIELDS))
_ENTRY = f"SELECT {_COLUMNS} FROM entries JOIN decisions ON decisions.seq = {_NEWEST}"


class Records:
    """The records in a folder.

    `create=False` refuses a folder that has none. `patience` is how many seconds a locked database is waited for.
    Every method raises WorkbenchError, in one sentence, where the folder cannot be read or written; then nothing of
    that call was recorded.
    """

    def __init__(self, folder: Path | str, *, create: bool = True, patience: float = 10.0) -> None:
        self.folder = Path(folder)
        self._database = Database(self.folder / "records.sqlite", _SCHEMA, VERSION, create=create, patience=patience)
        self._blobs = Blobs(self.folder / "contents")
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
        rows = self._database.read("SELECT data FROM texts WHERE content = ?", blob_id)
        return rows[0][0] if rows else self._blobs.get(blob_id)

    def blob_kinds(self, blob_id: str) -> tuple[str, ...]:
        """Return as what a blob is used by some entry, of text, image and video; nothing where none uses it."""
        query = "SELECT features FROM uses JOIN entries ON entries.seq = entry WHERE content = ? LIMIT 1"
        cells = [json.loads(features) for (features,) in self._database.read(query, blob_id)]
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
        unless: str | None = None,
    ) -> bool:
        """Keep an entry for good and say whether its identity is new; the first one recorded stands.

        unless: an identity; where there is an entry of it, this one comes too late and is not kept.

        `blobs` {modality: bytes} are kept with it, in one go; those that the features name by id and that are not given
        must be kept already, but for those whose content lies `elsewhere`.
        """
        media = {Blobs.id_of(data): data for kind, data in (blobs or {}).items() if kind != "text"}
        text = (blobs or {}).get("text")
        for data in media.values():
            self._blobs.put(data)

        def write(database: sqlite3.Connection) -> bool:
            if database.execute("SELECT 1 FROM entries WHERE identity = ?", (unless,)).fetchone():
                return False
            row = (entry.identity, entry.service, entry.post_id, _time(entry.at), _json(entry.features))
            done = database.execute(
                "INSERT OR IGNORE INTO entries (identity, service, post_id, at, features, assessment, model_id)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*row, _json(entry.assessment), entry.model_id),
            )
            if not done.rowcount:
                return False
            number = done.lastrowid
            _keep_decision(database, number, entry.at, entry.policy_id, entry.decision)
            if text is not None:
                now = _time(datetime.now(UTC))
                into = "INSERT INTO texts VALUES (?, ?, ?) ON CONFLICT (content) DO UPDATE SET at = excluded.at"
                database.execute(into, (Blobs.id_of(text), text, now))
            for blob in _named(entry.features):
                if blob not in elsewhere:
                    self._must_be_there(database, blob, media.get(blob))
                database.execute("INSERT OR IGNORE INTO uses VALUES (?, ?)", (blob, number))
            return True

        return self._database.write(write)

    def _must_be_there(self, database: sqlite3.Connection, blob: str, data: bytes | None) -> None:
        """Hold an entry's blob to being kept; a deletion or `sweep` may have taken it away since it was put."""
        query = "SELECT 1 FROM texts WHERE content = ?"
        if self._blobs.has(blob) or database.execute(query, (blob,)).fetchone():
            return
        if data is None:
            raise WorkbenchError(f"blob {blob} is not kept (or was just deleted); record the post with it")
        self._blobs.put(data)

    def by_identity(self, identity: str) -> Entry | None:
        """Return the entry of an identity; one whose content was deleted has given its identity up."""
        return _first(self._database.read(f"{_ENTRY} WHERE identity = ?", identity))

    def latest(self, service: str, post_id: str) -> Entry | None:
        """Return the entry of a post that was recorded last, deleted or not."""
        order = "ORDER BY entries.seq DESC LIMIT 1"
        return _first(self._database.read(f"{_ENTRY} WHERE service = ? AND post_id = ? {order}", service, post_id))

    def entries(
        self, since: datetime | None = None, until: datetime | None = None, service: str | None = None
    ) -> Iterator[Entry]:
        """Yield the entries scored at `since` or later and before `until`, deleted ones too, as they were recorded."""
        where, values = "entries.seq > ?", []
        for condition, value in (
            ("entries.at >= ?", since and _time(since)),
            ("entries.at < ?", until and _time(until)),
            ("service = ?", service),
        ):
            if value is not None:
                where, values = f"{where} AND {condition}", [*values, value]
        last = 0
        while rows := self._database.read(f"{_ENTRY} WHERE {where} ORDER BY entries.seq LIMIT {PAGE}", last, *values):
            yield from map(_entry, rows)
            last = rows[-1][0]

    def redecide(
        self, identity: str, decision: dict[str, Any], policy_id: str, assessment: dict[str, Any] | None = None
    ) -> bool:
        """Append a decision that is another one, or under another policy; say whether it is. Earlier ones are kept.

        assessment: what is known of the post by now, kept in place of what was, whether or not it decides otherwise.
        """

        def write(database: sqlite3.Connection) -> bool:
            row = database.execute(
                f"SELECT entries.seq, policy_id, decision FROM entries JOIN decisions ON decisions.seq = {_NEWEST}"
                " WHERE identity = ?",
                (identity,),
            ).fetchone()
            if row is None:
                return False
            if assessment is not None:
                database.execute("UPDATE entries SET assessment = ? WHERE seq = ?", (_json(assessment), row[0]))
            if row[1:] == (policy_id, _json(decision)):
                return False
            _keep_decision(database, row[0], datetime.now(UTC), policy_id, decision)
            return True

        return self._database.write(write)

    def delete(self, service: str, post_id: str) -> bool:
        """Remove what a post's entries hold of a person, and say whether there was anything to remove.

        The features go, and the content unless another entry has the same; what was decided, when, and by which
        versions stays. Nothing derived from the content is left, so the identity goes too.
        """

        def write(database: sqlite3.Connection) -> bool:
            live = "service = ? AND post_id = ? AND deleted_at IS NULL"
            numbers = [row[0] for row in database.execute(f"SELECT seq FROM entries WHERE {live}", (service, post_id))]
            for number in numbers:
                used = [row[0] for row in database.execute("SELECT content FROM uses WHERE entry = ?", (number,))]
                database.execute("DELETE FROM uses WHERE entry = ?", (number,))
                for blob in used:
                    _condemn(database, blob)
                database.execute(
                    "UPDATE entries SET identity = 'deleted ' || seq, features = '{}', deleted_at = ? WHERE seq = ?",
                    (_time(datetime.now(UTC)), number),
                )
            return bool(numbers)

        deleted = self._database.write(write)
        if deleted:
            self._finish_removals()
            self._database.scrub()
        return deleted

    def only_of(self, service: str, post_id: str) -> list[str]:
        """Return the ids of the blobs that a post's entries name and no other post's do."""
        others = (
            "SELECT 1 FROM uses AS u JOIN entries AS e ON e.seq = u.entry"
            " WHERE u.content = uses.content AND NOT (e.service = ?1 AND e.post_id = ?2)"
        )
        query = (
            "SELECT DISTINCT content FROM uses JOIN entries ON entries.seq = entry"
            f" WHERE service = ?1 AND post_id = ?2 AND NOT EXISTS ({others})"
        )
        return [row[0] for row in self._database.read(query, service, post_id)]

    def sweep(self) -> int:
        """Remove the blobs that no entry uses, as a kill between putting and recording leaves them; return how many.

        For the start of whoever writes. Others may write meanwhile: `record` puts again what is taken from it.
        """
        unused: list[str] = []
        for digits, names in self._blobs.swept():
            query = "SELECT DISTINCT content FROM uses WHERE content >= ? AND content < ?"
            unused += sorted(names - {row[0] for row in self._database.read(query, digits, digits + "g")})
        if not unused:
            return 0
        count = self._database.write(lambda database: sum(_condemn(database, blob) for blob in unused))
        self._finish_removals()
        return count

    def _finish_removals(self) -> None:
        """Remove the files of deleted blobs; after a kill, whoever opens the records next does it.

        The lock on writing keeps other processes from taking a blob up in between. A deletion that shared this
        commit could still be undone, with its files gone.
        """

        def write(database: sqlite3.Connection) -> None:
            for (blob,) in database.execute("SELECT content FROM removals").fetchall():
                if not database.execute("SELECT 1 FROM uses WHERE content = ?", (blob,)).fetchone():
                    self._blobs.remove(blob)
            database.execute("DELETE FROM removals")

        if self._database.read("SELECT 1 FROM removals LIMIT 1"):
            self._database.write(write, alone=True)

    # --------------------------------------------------------------------------------------------------------- events

    def event(
        self, post_id: str, kind: str, at: datetime, value: dict[str, Any] | None = None, by: str | None = None
    ) -> bool:
        """Keep what happened to a post and say whether it is new; the same event twice is kept once."""
        if kind not in KINDS:
            raise WorkbenchError(unknown("kind of event", kind, KINDS))
        values = {"post_id": post_id, "kind": kind, "at": at, "value": value or {}, "by": by}
        event = Event.parse(values, f"event {kind!r}")
        row = (event.post_id, event.kind, _time(event.at), json.dumps(event.value, sort_keys=True), event.by or "")
        into = "INSERT OR IGNORE INTO events (post_id, kind, at, value, by) VALUES (?, ?, ?, ?, ?)"
        return self._database.write(lambda database: bool(database.execute(into, row).rowcount))

    def reports(self, post_id: str) -> int:
        """Return how many reports of a post were kept."""
        query = "SELECT COUNT(*) FROM events WHERE post_id = ? AND kind = 'report'"
        return self._database.read(query, post_id)[0][0]

    def overdue(self, now: datetime) -> dict[str, int]:
        """Return service -> how many posts wait for a person past their due time: no label, no removal came since.

        Only the newest answer on a post counts, and none of one whose content was deleted.
        """
        rows = self._database.read(_OVERDUE, _time(now))
        return dict(rows)

    def events(
        self, post_id: str | None = None, until: datetime | None = None, kinds: tuple[str, ...] = KINDS
    ) -> list[Event]:
        """Return what happened to a post, or to all, before `until`, in order of time."""
        where, values = [f"kind IN ({', '.join('?' * len(kinds))})"], [*kinds]
        for condition, value in (("post_id = ?", post_id), ("at < ?", until and _time(until))):
            if value is not None:
                where, values = [*where, condition], [*values, value]
        rows = self._database.read(
            f"SELECT post_id, kind, at, value, by FROM events WHERE {' AND '.join(where)} ORDER BY at, seq", *values
        )
        return [
            Event(post_id=post, kind=kind, at=at, value=json.loads(value), by=by or None)
            for post, kind, at, value, by in rows
        ]


# -------------------------------------------------------------------------------------------------------------- rows


def _condemn(database: sqlite3.Connection, blob: str) -> bool:
    """Remove a blob that no entry uses, a file's only by name as yet, and say whether it is one."""
    if database.execute("SELECT 1 FROM uses WHERE content = ?", (blob,)).fetchone():
        return False
    database.execute("DELETE FROM texts WHERE content = ?", (blob,))
    database.execute("INSERT OR IGNORE INTO removals VALUES (?)", (blob,))
    return True


def _keep_decision(
    database: sqlite3.Connection, entry: int, at: datetime, policy_id: str, decision: dict[str, Any]
) -> None:
    into = "INSERT INTO decisions (entry, at, policy_id, decision) VALUES (?, ?, ?, ?)"
    database.execute(into, (entry, _time(at), policy_id, _json(decision)))


def _named(features: Mapping[str, Any]) -> list[str]:
    """Return the ids of the blobs that features name."""
    cells = (features.get(modality) for modality in MODALITIES)
    return [cell["id"] for cell in cells if isinstance(cell, dict) and "id" in cell]


def _first(rows: list[tuple]) -> Entry | None:
    return _entry(rows[0]) if rows else None


def _entry(row: tuple) -> Entry:
    values = dict(zip(_FIELDS, row[1:], strict=True))
    return Entry(**values | {name: json.loads(values[name]) for name in ("features", "assessment", "decision")})


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _time(at: datetime) -> str:
    """Return a time as text that sorts by time."""
    if at.tzinfo is None:
        raise WorkbenchError(f"the time {at} has no time zone; give one, such as UTC")
    return at.astimezone(UTC).isoformat(timespec="microseconds")
