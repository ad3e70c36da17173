"""Records of earlier forms open and lose nothing; a form that this version does not know is refused."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from oracles import history
from sqlalchemy import inspect

from workbench.errors import WorkbenchError
from workbench.records import Records, database
from workbench.records.tables import HEAD, metadata

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    """Records as version 1 wrote them: an edited post, a deleted one, one decided twice, and events."""
    connection = sqlite3.connect(tmp_path / "records.sqlite")
    connection.executescript((Path(__file__).parent / "form_1.sql").read_text())
    connection.close()
    return tmp_path


def test_records_of_the_first_form_open_and_lose_nothing(folder):
    with Records(folder, create=False) as records:
        assert [one.identity for one in records.entries()] == ["identity 1", "identity 2", "deleted 3", "identity 4"]
        assert records.latest("text", "edited").identity == "identity 2"
        assert records.latest("text", "deleted").deleted_at is not None
        assert [line["decision"]["action"] for line in history(records, "text", "kept")] == ["allow", "review"]
        first = records.by_identity("identity 1")
        assert records.blob(first.features["text"]["id"]) == "first words \x00 é".encode()
        assert (first.at, first.assessment) == (NOON + timedelta(hours=1), {"scores": {"abuse": 0.1}})
        assert [event.kind for event in records.events("edited")] == ["report", "label", "report"]
        assert records.overdue(NOON + timedelta(hours=5, minutes=59)) == {}
        assert records.overdue(NOON + timedelta(hours=6, minutes=1)) == {
            "text": 1
        }  # the review of another version is over
        assert records.answer("identity 1")  # and they go on
        assert records.latest("text", "edited").identity == "identity 1"


def test_what_the_first_form_left_of_deleted_posts_goes(folder):
    assert b"words of somebody" in (folder / "records.sqlite").read_bytes()
    with Records(folder) as records:
        assert records.latest("text", "deleted").assessment == {}
        assert history(records, "text", "deleted")[0]["decision"] == {"action": "remove"}
        assert [event.value for event in records.events("deleted")] == [{}, {}]
    held = (folder / "records.sqlite").read_bytes()
    assert b"words of" not in held
    assert b"19:19:19" not in held
    assert b"kept words" in held


def test_events_of_the_first_form_are_told_apart_as_before(folder):
    with Records(folder) as records:
        assert not records.event("edited", "label", NOON, {"nudity": None, "abuse": True}, "ann")
        assert records.event("edited", "label", NOON, {"nudity": None, "abuse": True}, "bob")


def test_several_processes_may_open_an_old_folder_at_once(folder):
    found, gate = [], threading.Barrier(6)

    def run() -> None:
        gate.wait()
        with Records(folder) as records:
            found.append(len(list(records.entries())))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [4] * 6


def test_a_migration_that_is_interrupted_changes_nothing(folder, monkeypatch):
    before = list(sqlite3.connect(folder / "records.sqlite").iterdump())
    upgrade = database._upgrade

    def interrupted(connection, found):
        upgrade(connection, found)
        raise WorkbenchError("the power went")

    monkeypatch.setattr(database, "_upgrade", interrupted)
    with pytest.raises(WorkbenchError, match="the power went"):
        Records(folder)
    assert list(sqlite3.connect(folder / "records.sqlite").iterdump()) == before
    monkeypatch.undo()
    with Records(folder) as records:
        assert len(list(records.entries())) == 4


def test_the_migrations_lead_to_the_tables_that_are_used(tmp_path, database):
    with Records(tmp_path / "records") as records, records._database._reads.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == HEAD
        found = inspect(connection)
        for name, table in metadata.tables.items():
            columns = {column["name"]: column["nullable"] for column in found.get_columns(name)}
            assert columns == {column.name: column.nullable for column in table.columns}, name
            indexes = {index["name"]: index["column_names"] for index in found.get_indexes(name)}
            expected = {index.name: [column.name for column in index.columns] for index in table.indexes}
            assert expected.items() <= indexes.items(), name


def test_the_newest_migration_is_the_one_that_is_looked_for():
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_newer_form_is_refused_on_both_databases(tmp_path, database):
    folder = tmp_path / "records"
    with Records(folder) as records, records._database._writes.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0007'")
    with pytest.raises(WorkbenchError, match="has records of form 0007, and this workbench writes 0002; use the newer"):
        Records(folder)
