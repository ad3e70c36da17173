"""What Alembic runs: the migrations over the connection that `Database` hands it, inside its transaction."""

from __future__ import annotations

from alembic import context


def run() -> None:
    context.configure(connection=context.config.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()


if hasattr(context, "config"):  # Alembic has begun; otherwise the module is only looked at
    run()
