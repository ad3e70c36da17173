"""Decisions can be searched by action and due time, deletions are remembered, and an event is told by its key.

An event of before is told by what it was told by then, its time among it. What an earlier version left of deleted
posts in assessments, decisions and the words of events goes.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from uuid import uuid4

from alembic import op
from sqlalchemy import BigInteger, Column, Connection, Integer, Text, UniqueConstraint, column, select, table, update

revision, down_revision = "0002", "0001"
_word = Text().with_variant(Text(collation="C"), "postgresql")
_whole = BigInteger().with_variant(Integer(), "sqlite")
_MANY = 1000  # rows at a time


def upgrade() -> None:
    connection = op.get_bind()
    about = op.create_table("about", Column("id", _word, primary_key=True))
    connection.execute(about.insert().values(id=uuid4().hex))
    op.create_table(
        "deletions",
        Column("seq", _whole, primary_key=True),
        *(Column(name, _word, nullable=False) for name in ("service", "post_id", "at")),
        sqlite_autoincrement=True,
    )
    op.create_index("deletions_of_a_post", "deletions", ["post_id", "service", "seq"])
    for name in ("action", "due_at"):
        op.add_column("decisions", Column(name, _word))
    decisions = table("decisions", *map(column, ("seq", "decision", "action", "due_at")))
    last = 0
    while rows := connection.execute(
        select(decisions.c.seq, decisions.c.decision)
        .where(decisions.c.seq > last)
        .order_by(decisions.c.seq)
        .limit(_MANY)
    ).all():
        for number, decision in rows:
            told = json.loads(decision)
            values = {"action": told.get("action"), "due_at": _time(told.get("due_at"))}
            connection.execute(update(decisions).where(decisions.c.seq == number).values(values))
        last = rows[-1][0]
    op.create_index("decisions_due", "decisions", ["action", "due_at"])
    _deleted(connection)
    _events(connection)


def _deleted(connection: Connection) -> None:
    entries = table("entries", *map(column, ("seq", "post_id", "assessment", "deleted_at")))
    decisions = table("decisions", *map(column, ("entry", "decision", "action", "due_at")))
    gone = select(entries.c.seq).where(entries.c.deleted_at.is_not(None))
    connection.execute(update(entries).where(entries.c.deleted_at.is_not(None)).values(assessment="{}"))
    for (action,) in connection.execute(select(decisions.c.action).distinct()).all():
        left = {} if action is None else {"action": action}
        of_those = decisions.c.entry.in_(gone) & decisions.c.action.is_not_distinct_from(action)
        text = json.dumps(left, separators=(",", ":"))
        connection.execute(update(decisions).where(of_those).values(decision=text, due_at=None))


def _events(connection: Connection) -> None:
    names = ("post_id", "kind", "at", "value", "by")
    op.create_table(
        "events_now",
        Column("seq", _whole, primary_key=True),
        *(Column(name, _word, nullable=False) for name in (*names, "once")),
        UniqueConstraint("once", name="events_once"),
        sqlite_autoincrement=True,
    )
    before, now = (table(name, *map(column, ("seq", *names, "once"))) for name in ("events", "events_now"))
    entries = table("entries", *map(column, ("post_id", "deleted_at")))
    live = select(entries.c.post_id).where(entries.c.deleted_at.is_(None))
    deleted = select(entries.c.post_id).where(entries.c.deleted_at.is_not(None), entries.c.post_id.not_in(live))
    gone = set(connection.execute(deleted).scalars())
    columns, last = [before.c[name] for name in ("seq", *names)], 0
    while rows := connection.execute(
        select(*columns).where(before.c.seq > last).order_by(before.c.seq).limit(_MANY)
    ).all():
        for row in rows:
            given = dict(zip(names, row[1:], strict=True))
            told = [given["post_id"], given["kind"], given["by"], json.loads(given["value"]), given["at"]]
            once = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
            if given["post_id"] in gone:
                left = {name: cell for name, cell in told[3].items() if name != "reason"}
                given["value"] = json.dumps(left, sort_keys=True)
            connection.execute(now.insert().values(given | {"once": once}))
        last = rows[-1].seq
    op.drop_table("events")
    op.rename_table("events_now", "events")
    op.create_index("events_of_a_post", "events", ["post_id", "kind"])


def _time(value: str | None) -> str | None:
    """Return a time as text that sorts by time."""
    return value and datetime.fromisoformat(value).astimezone(UTC).isoformat(timespec="microseconds")
