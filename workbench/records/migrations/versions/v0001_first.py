"""The first form: entries with their decisions and contents, and events."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Text, UniqueConstraint

revision, down_revision = "0001", None
_word = Text().with_variant(Text(collation="C"), "postgresql")
_whole = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    number = {"sqlite_autoincrement": True}
    keyed = {"sqlite_with_rowid": False}
    op.create_table(
        "entries",
        Column("seq", _whole, primary_key=True),
        Column("identity", _word, nullable=False, unique=True),
        *(Column(name, _word, nullable=False) for name in ("service", "post_id", "at", "features", "assessment")),
        Column("model_id", _word, nullable=False),
        Column("deleted_at", _word),
        **number,
    )
    op.create_index("entries_of_a_post", "entries", ["post_id", "service", "seq"])
    op.create_table(
        "decisions",
        Column("seq", _whole, primary_key=True),
        Column("entry", _whole, ForeignKey("entries.seq"), nullable=False),
        *(Column(name, _word, nullable=False) for name in ("at", "policy_id", "decision")),
        **number,
    )
    op.create_index("decisions_of_an_entry", "decisions", ["entry", "seq"])
    op.create_table(
        "texts",
        Column("content", _word, primary_key=True),
        Column("data", LargeBinary, nullable=False),
        Column("at", _word, nullable=False),
        **keyed,
    )
    op.create_table(
        "uses",
        Column("content", _word, primary_key=True),
        Column("entry", _whole, ForeignKey("entries.seq"), primary_key=True),
        **keyed,
    )
    op.create_index("uses_of_an_entry", "uses", ["entry"])
    op.create_table("removals", Column("content", _word, primary_key=True), **keyed)
    columns = ("post_id", "kind", "at", "value", "by")
    op.create_table(
        "events",
        Column("seq", _whole, primary_key=True),
        *(Column(name, _word, nullable=False) for name in columns),
        UniqueConstraint("post_id", "kind", "at", "by", "value"),
        **number,
    )
