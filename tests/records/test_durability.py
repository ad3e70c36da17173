"""What was acknowledged survives kills, full disks, locks and damage; what cannot be kept is never acknowledged."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from oracles import counts
from sqlalchemy import event, insert

from workbench.errors import WorkbenchError
from workbench.records import Entry, Records, by_value
from workbench.records.tables import removals
from workbench.schema import ROOT, Post

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@contextlib.contextmanager
def writing_held(records: Records) -> Iterator[None]:
    """Let nothing be committed for a while, so that what comes meanwhile comes together."""
    begun, gate = threading.Event(), threading.Event()

    def wait(connection, pieces):
        begun.set()
        assert gate.wait(30)
        return [None]

    thread = threading.Thread(target=records._database.write, args=(wait,))
    thread.start()
    assert begun.wait(30)
    yield
    gate.set()
    thread.join()


def entry(number: int, text: str | None = None, image: bytes | None = None) -> tuple[Entry, dict[str, bytes]]:
    post = Post(post_id=f"p{number}", text=text or f"words {number}", image={"bytes": image} if image else None)
    features, contents = by_value(post)
    made = Entry(
        identity=f"i{number}", service="post", post_id=post.post_id, at=NOON, features=features,
        assessment={}, decision={"n": number}, model_id="m", policy_id="p",
    )  # fmt: skip
    return made, contents


def run(script: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, **options)


def test_records_are_their_owner_s_alone(tmp_path, database):
    (tmp_path / "old").mkdir(mode=0o755)
    (tmp_path / "old" / "contents").mkdir(mode=0o755)
    if database == "sqlite":
        (tmp_path / "old" / "records.sqlite").touch(0o644)
    for name in ("new", "old"):
        with Records(tmp_path / name) as records:
            records.record(*entry(1, image=b"a picture") if name == "new" or database == "sqlite" else entry(2))
            open_to_others = [
                path.name
                for path in (tmp_path / name).iterdir()
                if path.stat().st_mode & 0o077 and path.name != "contents.of"
            ]
            assert open_to_others == []
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o755  # somebody's, who may share it


def test_contents_beside_other_records_are_never_swept(tmp_path, database, request, monkeypatch):
    with Records(tmp_path / "mine") as records:
        records.record(*entry(1, image=b"a picture"))
        picture = records.blob_path(entry(1, image=b"a picture")[0].features["image"]["id"])
    if database == "sqlite":
        (tmp_path / "mine" / "records.sqlite").rename(tmp_path / "kept.sqlite")
    else:
        monkeypatch.setenv("WORKBENCH_DATABASE_URL", request.getfixturevalue("postgres").database())
    said = r"contents has (the|pictures).*put back the database that they belong to"
    for mark in (True, False):  # also where an earlier version left none
        if not mark:
            (tmp_path / "mine" / "contents.of").unlink()
        with pytest.raises(WorkbenchError, match=said):
            Records(tmp_path / "mine")
        assert picture.read_bytes() == b"a picture"


def test_one_file_that_cannot_be_removed_holds_up_no_other(tmp_path, database, monkeypatch):
    with Records(tmp_path) as records:
        for number in (1, 2):
            records.record(*entry(number, image=b"picture %d" % number))
        paths = [records.blob_path(one.features["image"]["id"]) for one in records.entries()]
        remove = records._blobs.remove

        def fails(blob):
            if blob == paths[0].name:
                raise WorkbenchError("cannot remove it")
            remove(blob)

        monkeypatch.setattr(records._blobs, "remove", fails)
        for number in (1, 2, 1):  # sent again it has not become well
            with pytest.raises(WorkbenchError, match="cannot remove it"):
                records.delete("post", f"p{number}")
        assert [path.exists() for path in paths] == [True, False]
        monkeypatch.undo()
        assert not records.delete("post", "p1")  # but it goes now
        assert not paths[0].exists()


def test_a_commit_is_synced_before_it_is_acknowledged(tmp_path):
    with Records(tmp_path) as records, records._database._writes.connect() as connection:
        pragma = lambda name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()  # noqa: E731
        assert pragma("journal_mode") == "wal"
        assert pragma("synchronous") == 2  # FULL: the log is synced at every commit
        assert pragma("secure_delete") == 1


def test_threads_that_wait_share_a_commit(tmp_path):
    with Records(tmp_path) as records:
        commits = []
        event.listen(records._database._writes, "commit", lambda _: commits.append(time.sleep(0.02)))
        threads = [threading.Thread(target=records.record, args=entry(number)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts(records)["entries"] == 40
        assert len(commits) < 20  # a slow disk is waited for once for many


def test_a_thread_that_is_interrupted_holds_up_nobody(tmp_path, monkeypatch):
    with Records(tmp_path) as records:

        def interrupted() -> None:
            monkeypatch.undo()
            raise KeyboardInterrupt

        monkeypatch.setattr(records._database, "_lead", interrupted)
        with pytest.raises(KeyboardInterrupt):
            records.record(*entry(1))
        assert records.record(*entry(2))
        assert [one.identity for one in records.entries()] == ["i2"]


def test_one_failing_job_does_not_take_the_others_along(tmp_path):
    with Records(tmp_path) as records:
        good, bad = entry(1), entry(2)[0]
        outcome = {}

        def keep(name, *arguments):
            try:
                outcome[name] = records.record(*arguments)
            except WorkbenchError as error:
                outcome[name] = str(error)

        with writing_held(records):  # both wait, so that they come into one commit
            threads = [
                threading.Thread(target=keep, args=("good", *good)),
                threading.Thread(target=keep, args=("bad", bad)),
            ]
            for thread in threads:
                thread.start()
            while len(records._database._jobs) < 2:
                time.sleep(0.001)
        for thread in threads:
            thread.join()
        assert outcome["good"] is True
        assert "is not kept" in outcome["bad"]
        assert [one.identity for one in records.entries()] == ["i1"]


def test_a_picture_goes_only_once_its_deletion_is_committed(tmp_path):
    with Records(tmp_path) as records:
        records.record(*entry(1, image=b"a picture"))
        picture = records.blob_path(records.by_identity("i1").features["image"]["id"])
        records._database.write(lambda database, _: [database.execute(insert(removals), {"content": "left over"})])
        lost = []

        def look(_: object) -> None:
            if records.by_identity("i1") and not picture.exists():
                lost.append(picture)

        event.listen(records._database._writes, "commit", look)
        with writing_held(records):  # both wait, so that they could come into one commit
            deletion = threading.Thread(target=records.delete, args=("post", "p1"))
            removal = threading.Thread(target=records._finish_removals)
            deletion.start()
            while not records._database._jobs:
                time.sleep(0.001)
            removal.start()
            time.sleep(0.1)
        deletion.join()
        removal.join()
        assert not lost
        assert not picture.exists()


# ----------------------------------------------------------------------------------------------------------- faults


def test_a_log_left_over_is_read(tmp_path):
    """A killed process leaves its write-ahead log; a copy of both files is the database."""
    records = Records(tmp_path / "a")
    records.record(*entry(1))
    (tmp_path / "b").mkdir()
    for name in ("records.sqlite", "records.sqlite-wal"):
        (tmp_path / "b" / name).write_bytes((tmp_path / "a" / name).read_bytes())
    records.close()
    assert (tmp_path / "b" / "records.sqlite-wal").stat().st_size > 1000
    with Records(tmp_path / "b") as again:
        assert again.by_identity("i1") == entry(1)[0]


def test_a_torn_log_loses_at_most_what_was_torn(tmp_path):
    records = Records(tmp_path / "a")
    for number in range(20):
        records.record(*entry(number))
    wal = (tmp_path / "a" / "records.sqlite-wal").read_bytes()
    database = (tmp_path / "a" / "records.sqlite").read_bytes()
    records.close()
    for case, torn in enumerate((wal[:-1000], wal[:-1000] + b"x" * 1000, wal[: len(wal) // 2], b"")):
        folder = tmp_path / f"torn {case}"
        folder.mkdir()
        (folder / "records.sqlite").write_bytes(database)
        (folder / "records.sqlite-wal").write_bytes(torn)
        with Records(folder) as again:
            kept = [one.identity for one in again.entries()]
            assert kept == [f"i{number}" for number in range(len(kept))]
            assert again.record(*entry(99))


def test_a_locked_database_is_waited_for_and_then_told(tmp_path):
    with Records(tmp_path, patience=0.2) as records:
        other = sqlite3.connect(tmp_path / "records.sqlite", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WorkbenchError, match=r"records.sqlite is locked by another process; wait until"):
            records.record(*entry(1))
        assert records.by_identity("i1") is None  # reading goes on
        with Records(tmp_path, patience=10) as patient:
            timer = threading.Timer(0.3, other.execute, ("ROLLBACK",))
            timer.start()
            assert patient.record(*entry(2))
            timer.join()
        other.close()
        assert records.record(*entry(1))  # and it can be tried again


def test_opening_together_is_no_race(tmp_path):
    found, gate = [], threading.Barrier(8)

    def run() -> None:
        gate.wait()
        found.append(Records(tmp_path))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for number, records in enumerate(found):
        assert records.record(*entry(number))
        records.close()


FULL = """
import json, resource, signal, sys
from datetime import UTC, datetime
from workbench.records import Entry, Records, by_value
from workbench.errors import WorkbenchError
from workbench.schema import Post

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that may not grow: what a full disk looks like
records = Records(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
kept, said = [], []
for number in range(300):
    post = Post(post_id=f"p{number}", text="words " * 100 + str(number),
                image={"bytes": bytes(500_000)} if number == 5 else None)
    features, contents = by_value(post)
    entry = Entry(identity=f"i{number}", service="post", post_id=post.post_id, at=datetime.now(UTC), features=features,
                  assessment={}, decision={}, model_id="m", policy_id="p")
    try:
        records.record(entry, contents)
        kept.append(f"i{number}")
    except WorkbenchError as error:
        said.append(str(error))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
again = records.record(entry, contents)
print(json.dumps([kept, said, again]))
"""


def test_a_full_disk_acknowledges_nothing_and_loses_nothing(tmp_path):
    kept, said, again = json.loads(run(FULL, str(tmp_path)).stdout)
    assert "i0" in kept
    assert "i5" not in kept  # its picture did not fit
    assert "contents: File too large; make room" in said[0]
    assert "i299" not in kept
    assert "make room on the disk and try again" in said[-1]
    assert all("\n" not in one for one in said)
    assert again  # once there is room it goes on
    with Records(tmp_path) as records:
        assert [one.identity for one in records.entries()] == [*kept, "i299"]
        assert not list((tmp_path / "contents").rglob("*.tmp"))


def test_a_read_only_database_can_be_read_and_says_that_it_cannot_be_written(tmp_path):
    with Records(tmp_path) as records:
        records.record(*entry(1))
        event.listen(records._database._writes, "begin", lambda one: one.exec_driver_sql("PRAGMA query_only = ON"))
        with pytest.raises(WorkbenchError, match=r"cannot be written \(read-only\); check its permissions"):
            records.record(*entry(2))
        assert [one.identity for one in records.entries()] == ["i1"]


def test_a_folder_that_cannot_be_made_or_is_not_there(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError, match="cannot make the folder"):
        Records(tmp_path / "file" / "records")
    with pytest.raises(WorkbenchError, match=f"there are no records in {tmp_path}/none; check the folder"):
        Records(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_another_version_another_program_and_a_damaged_file_are_refused(tmp_path):
    Records(tmp_path / "newer").close()
    Records(tmp_path / "torn").close()
    (tmp_path / "other").mkdir()
    for name, statement in {
        "newer": "UPDATE alembic_version SET version_num = '0007'",
        "other": "CREATE TABLE mine (x)",
    }.items():
        database = sqlite3.connect(tmp_path / name / "records.sqlite")
        database.execute(statement)
        database.commit()
        database.close()
    path = tmp_path / "torn" / "records.sqlite"
    path.write_bytes(b"no database" * 1000)
    said = {}
    for name in ("newer", "other", "torn"):
        with pytest.raises(WorkbenchError) as caught:
            Records(tmp_path / name)
        said[name] = str(caught.value)
    assert "has records of form 0007, and this workbench writes 0002; use the newer version" in said["newer"]
    assert "is the database of another program; choose another" in said["other"]
    assert "is damaged (file is not a database); put back a copy, or move it away" in said["torn"]
    assert all("\n" not in one for one in said.values())


def test_a_damaged_blob_is_not_handed_out_and_can_be_put_again(tmp_path):
    with Records(tmp_path) as records:
        given, blobs = entry(1, image=b"a picture")
        blob = given.features["image"]["id"]
        path = Path(tmp_path) / "contents" / blob[:2] / blob
        records.record(given, blobs)
        for damage in (b"a picturf", b"a pic", b""):
            path.write_bytes(damage)
            assert records.blob(blob) is None
        records.record(given, blobs)
        assert records.blob(blob) == b"a picture"
