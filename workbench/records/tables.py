"""The tables of the records, the same in SQLite and PostgreSQL, as the newest migration leaves them.

Times are text in UTC that sorts by time, and what has a form of its own is JSON as text: both databases keep them
alike, and nobody searches inside. See `migrations/` for how earlier forms become this one.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Exists,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    ScalarSelect,
    Table,
    Text,
    UniqueConstraint,
    exists,
    func,
    select,
)

HEAD = "0002"  # the newest migration
metadata = MetaData()
_word = Text().with_variant(Text(collation="C"), "postgresql")  # sorts by its bytes, whatever the server's language


_whole = BigInteger().with_variant(Integer(), "sqlite")  # where every whole number has 64 bits, if it may


def _number() -> Column:
    return Column("seq", _whole, primary_key=True)


entries = Table(
    "entries",
    metadata,
    _number(),
    Column("identity", _word, nullable=False, unique=True),
    Column("service", _word, nullable=False),
    Column("post_id", _word, nullable=False),
    Column("at", _word, nullable=False),
    Column("features", _word, nullable=False),
    Column("assessment", _word, nullable=False),
    Column("model_id", _word, nullable=False),
    Column("deleted_at", _word),
    Index("entries_of_a_post", "post_id", "service", "seq"),
    sqlite_autoincrement=True,
)
# Every answer that made its entry the post's newest: the first, one under another policy, one after another version.
decisions = Table(
    "decisions",
    metadata,
    _number(),
    Column("entry", _whole, ForeignKey("entries.seq"), nullable=False),
    Column("at", _word, nullable=False),
    Column("policy_id", _word, nullable=False),
    Column("decision", _word, nullable=False),
    Column("action", _word),
    Column("due_at", _word),
    Index("decisions_of_an_entry", "entry", "seq"),
    Index("decisions_due", "action", "due_at"),
    sqlite_autoincrement=True,
)
texts = Table(
    "texts",
    metadata,
    Column("content", _word, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("at", _word, nullable=False),
    sqlite_with_rowid=False,
)
uses = Table(
    "uses",
    metadata,
    Column("content", _word, primary_key=True),
    Column("entry", _whole, ForeignKey("entries.seq"), primary_key=True),
    Index("uses_of_an_entry", "entry"),
    sqlite_with_rowid=False,
)
removals = Table("removals", metadata, Column("content", _word, primary_key=True), sqlite_with_rowid=False)
# What was asked to be deleted: a post that was under way then is not recorded after it.
deletions = Table(
    "deletions",
    metadata,
    _number(),
    Column("service", _word, nullable=False),
    Column("post_id", _word, nullable=False),
    Column("at", _word, nullable=False),
    Index("deletions_of_a_post", "post_id", "service", "seq"),
    sqlite_autoincrement=True,
)
events = Table(
    "events",
    metadata,
    _number(),
    Column("post_id", _word, nullable=False),
    Column("kind", _word, nullable=False),
    Column("at", _word, nullable=False),
    Column("value", _word, nullable=False),
    Column("by", _word, nullable=False),
    Column("once", _word, nullable=False),  # what tells it from every other (`entries.Event.once`)
    UniqueConstraint("once", name="events_once"),
    Index("events_of_a_post", "post_id", "kind"),
    sqlite_autoincrement=True,
)

# What the records are called: the folder of contents that belongs to them has the same id.
about = Table("about", metadata, Column("id", _word, primary_key=True))


def newest_of_entry() -> ScalarSelect[int]:
    """Return the number of the newest decision on the entry that a query looks at."""
    inner = decisions.alias()
    return select(func.max(inner.c.seq)).where(inner.c.entry == entries.c.seq).correlate(entries).scalar_subquery()


def superseded() -> Exists:
    """Return whether the post that a query looks at was answered once more after the decision that it looks at."""
    later, others = decisions.alias(), entries.alias()
    return (
        exists()
        .where(later.c.entry == others.c.seq, later.c.seq > decisions.c.seq)
        .where(others.c.service == entries.c.service, others.c.post_id == entries.c.post_id)
        .correlate(entries, decisions)
    )
