"""One SQLite file that keeps what it acknowledged: write-ahead log, synced at every commit, errors in one sentence.

Threads that write at the same time share a commit: whoever gets the turn commits for all that wait, so the price of a
sync is paid once for them. See https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError

_APPLICATION = 0x4D6F6457  # "ModW" in the file's header: whose file it is
_MISUSE = (sqlite3.ProgrammingError, sqlite3.IntegrityError)  # mistakes of the code, not of the disk


class _Write:
    """A piece of writing, and what came of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work, self.value, self.error, self.done = work, None, None, False


class Database:
    """A database file with one connection to write and one to read, for any number of threads."""

    def __init__(self, path: Path, schema: str, version: int, *, create: bool, patience: float) -> None:
        self.path, self._patience = path, patience
        self._jobs: list[_Write] = []
        self._door, self._turn, self._desk = threading.Lock(), threading.Lock(), threading.Lock()
        if not create and not path.is_file():
            raise WorkbenchError(f"there are no records in {path.parent}; check the folder")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkbenchError(f"cannot make the folder {path.parent}: {error.strerror}; choose another") from None
        self._writer = self._opened(schema, version)
        self._reader = self._connected()

    def _connected(self) -> sqlite3.Connection:
        """Return a connection in which a commit is on disk when it returns and deleted rows are overwritten."""
        with self._plain():
            connection = sqlite3.connect(
                self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
            )
            try:
                for pragma in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
                    connection.execute(f"PRAGMA {pragma}")
            except sqlite3.Error:
                connection.close()
                raise
        return connection

    def _opened(self, schema: str, version: int) -> sqlite3.Connection:
        """Return the writing connection of a file that has the schema, made where the file is new."""
        connection = self._connected()
        try:
            with self._plain():
                self._in_wal_mode(connection)
                if not _about(connection)[2]:
                    connection.execute("BEGIN IMMEDIATE")
                    if not _about(connection)[2]:  # nobody else made it meanwhile
                        for statement in filter(str.strip, schema.split(";")):
                            connection.execute(statement)
                        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                        connection.execute(f"PRAGMA user_version = {version}")
                    connection.execute("COMMIT")
                application, stored, _ = _about(connection)
            if application != _APPLICATION:
                raise WorkbenchError(f"{self.path} is the database of another program; choose another folder")
            if stored != version:
                raise WorkbenchError(
                    f"{self.path} has records of version {stored}, and this workbench writes version {version}; "
                    "use the version of the workbench that made them, or start in a new folder"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    def _in_wal_mode(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log; SQLite does not wait for a lock here, so this does."""
        end = time.monotonic() + self._patience
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def close(self) -> None:
        with self._turn, self._desk:
            self._reader.close()
            self._writer.close()

    def read(self, query: str, *values: Any) -> list[tuple]:
        with self._desk, self._plain():
            return self._reader.execute(query, values).fetchall()

    def write(self, work: Callable[[sqlite3.Connection], Any], *, alone: bool = False) -> Any:
        """Do a piece of writing, whole or not at all, and return its value once it is on disk.

        Work that does to the disk what cannot be undone is done `alone`: all that it reads was committed before.
        """
        job = _Write(work)
        if not alone:
            with self._door:
                self._jobs.append(job)
        with self._turn:
            if alone:
                self._commit([job])
            elif not job.done:  # else whoever had the turn before did this one too
                with self._door:
                    jobs, self._jobs = self._jobs, []
                self._commit(jobs)
        if job.error is not None:
            raise job.error
        return job.value

    def _commit(self, jobs: list[_Write]) -> None:
        """Do all jobs in one transaction; one that fails is undone alone, and a failed commit fails them all."""
        try:
            with self._plain():
                self._writer.execute("BEGIN IMMEDIATE")
                for job in jobs:
                    self._do(job)
                self._writer.execute("COMMIT")
        except BaseException as error:
            for job in jobs:
                message = str(error) if isinstance(error, WorkbenchError) else f"{self.path}: writing was interrupted"
                job.error = job.error or WorkbenchError(message)
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            if not isinstance(error, WorkbenchError):
                raise
        finally:
            for job in jobs:
                job.done = True

    def _do(self, job: _Write) -> None:
        self._writer.execute("SAVEPOINT job")
        try:
            job.value = job.work(self._writer)
        except Exception as error:
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, _MISUSE):
                raise  # a full or damaged disk is everybody's; all else is the job's own fault
            job.error = error
            self._writer.execute("ROLLBACK TO job")
        self._writer.execute("RELEASE job")

    def scrub(self) -> None:
        """Take what was overwritten out of the write-ahead log too, as far as readers let it."""
        with self._turn, contextlib.suppress(sqlite3.OperationalError):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextlib.contextmanager
    def _plain(self) -> Iterator[None]:
        """Turn SQLite's errors into sentences."""
        try:
            yield
        except _MISUSE:
            raise
        except UnicodeEncodeError as error:
            raise WorkbenchError(f"{error.object!r:.80} holds half of a surrogate pair; send valid Unicode") from None
        except sqlite3.DatabaseError as error:
            raise WorkbenchError(_sentence(str(error), self.path)) from None


def _about(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return whose file it is, its version and how many tables it has."""
    queries = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    application, version, tables = (connection.execute(query).fetchone()[0] for query in queries)
    return application, version, tables


def _sentence(error: str, path: Path) -> str:
    """Return what a user can do about one of SQLite's errors."""
    if "locked" in error or "busy" in error:
        return f"{path} is locked by another process; wait until that is done, or end it, and try again"
    if "readonly" in error or "read-only" in error:
        return f"{path} cannot be written (read-only); check its permissions, or choose another folder"
    if "full" in error or "disk I/O" in error:
        return f"{path} cannot be written ({error}); make room on the disk and try again"
    if "not a database" in error or "malformed" in error:
        return f"{path} is damaged ({error}); put back a copy, or move it away to start anew"
    return f"cannot use {path}: {error}; check the folder and its permissions"
