"""The records' forms, each a step forward from the one before, run by Alembic when a database is opened."""
