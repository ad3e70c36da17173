"""One database that keeps what it acknowledged, a SQLite file or a PostgreSQL server; errors in one sentence.

Threads that write at the same time share a commit: whoever gets the turn commits for all that wait, so the price of a
sync is paid once for them, and what they write of one kind goes in as one statement per table. Commits of several
processes come one after the other, in SQLite by its lock on writing, in PostgreSQL by an advisory lock, so that numbers
rise in the order in which rows are seen. See https://www.sqlite.org/wal.html,
https://www.sqlite.org/pragma.html#pragma_synchronous and
https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-SYNCHRONOUS-COMMIT.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Executable, Row, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from workbench.errors import WorkbenchError
from workbench.records.blobs import keep_private
from workbench.records.tables import HEAD, metadata

_APPLICATION = 0x4D6F6457  # "ModW" in a SQLite file's header, and the name of the advisory lock: whose it is
DELAY = 0.002  # seconds that are waited for more to write, where several write; PostgreSQL's `commit_delay` is the same
_MISUSE = (ProgrammingError, IntegrityError)  # mistakes of the code, not of the disk
_OWN = (*_MISUSE, DataError)  # what is the fault of one piece of writing, and not of the database
Together = Callable[[Connection, Sequence[Any]], Sequence[Any]]


class _Write:
    """A piece of writing, and what came of it; `told` once it is done, or its thread is to commit for those waiting."""

    def __init__(self, together: Together | None, what: Any, alone: bool) -> None:
        self.together, self.what, self.alone = together, what, alone
        self.value, self.error, self.done = None, None, False
        self.told = threading.Event()


class Database:
    """A database with one connection to write and some to read, for any number of threads.

    path: the SQLite file. url: a PostgreSQL database instead, as SQLAlchemy writes it. patience: how many seconds are
    waited for a lock or a connection.
    """

    def __init__(self, path: Path, url: str | None = None, *, create: bool, patience: float) -> None:
        self.url = _server(url) if url else URL.create("sqlite", database=str(path))
        self.name = self.url.render_as_string(hide_password=True) if url else str(path)
        self.sqlite, self._path, self._patience = not url, path, patience
        self._jobs: list[_Write] = []
        self._leader: _Write | None = None  # whose thread commits
        self._door, self._shared = threading.Lock(), False
        if self.sqlite:
            _folder_of(path, create)
        self._reads, self._writes = self._engine(pool_size=4, isolation_level="AUTOCOMMIT"), self._engine(pool_size=1)
        event.listen(self._writes, "begin", self._begin)
        try:
            with self._plain():
                self._in_wal_mode()
                self._migrate(create)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------------------------------------------ opening

    def _engine(self, **options: Any) -> Engine:
        wait = max(1, round(self._patience))
        arguments = {"timeout": self._patience, "check_same_thread": False} if self.sqlite else _reached(wait)
        if not self.sqlite:  # a statement sees what was committed while it waited for the lock
            options = {"isolation_level": "READ COMMITTED", **options}
        engine = create_engine(
            self.url,
            hide_parameters=True,
            connect_args=arguments,
            pool_timeout=wait,
            pool_pre_ping=not self.sqlite,
            max_overflow=0,
            **options,
        )
        event.listen(engine, "connect", self._connected)
        return engine

    def _connected(self, connection: Any, _: Any) -> None:
        """Have a commit on disk when it returns, and in SQLite deleted rows overwritten."""
        if self.sqlite:
            connection.isolation_level = None  # transactions begin where they are begun
            settings = ["PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON", "PRAGMA foreign_keys = ON"]
        else:
            settings = ["SET synchronous_commit = on", f"SET lock_timeout = {round(self._patience * 1000)}"]
        cursor = connection.cursor()
        for setting in settings:
            cursor.execute(setting)
        cursor.close()
        if not self.sqlite:
            connection.commit()

    def _begin(self, connection: Connection) -> None:
        locked = "BEGIN IMMEDIATE" if self.sqlite else f"SELECT pg_advisory_xact_lock({_APPLICATION})"
        connection.exec_driver_sql(locked)

    def _in_wal_mode(self) -> None:
        """Switch a file to the write-ahead log; SQLite does not wait for a lock here, so this does."""
        end = time.monotonic() + self._patience
        while self.sqlite:
            try:
                self._run("PRAGMA journal_mode = WAL")
                return
            except DBAPIError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _migrate(self, create: bool) -> None:
        """Bring the tables to the newest form, where they are not; refuse what another program or a later one made."""
        if self._form() == HEAD:
            return
        with self._writes.begin() as connection:  # nobody else does it meanwhile
            tables = set(inspect(connection).get_table_names())
            if not tables and not create:
                raise WorkbenchError(f"there are no records in {self.name}; check the address")
            found = self._found(connection, tables)
            if found == HEAD:
                return
            _upgrade(connection, found)
            if self.sqlite:
                connection.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION}")
                connection.exec_driver_sql(f"PRAGMA user_version = {int(HEAD)}")

    def _form(self) -> str | None:
        """Return which form the tables have, without a lock; None where that is to be looked into."""
        with self._reads.connect() as connection:
            if inspect(connection).has_table("alembic_version"):
                return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return None

    def _found(self, connection: Connection, tables: set[str]) -> str | None:
        """Return the form that is there, None in an empty database."""
        if not tables:
            return None
        form = None
        if "alembic_version" in tables:
            form = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        elif self.sqlite and connection.exec_driver_sql("PRAGMA application_id").scalar() == _APPLICATION:
            form = f"{connection.exec_driver_sql('PRAGMA user_version').scalar():04}"
        if form is None or "entries" not in tables:
            raise WorkbenchError(f"{self.name} is the database of another program; choose another")
        if form > HEAD:
            raise WorkbenchError(
                f"{self.name} has records of form {form}, and this workbench writes {HEAD}; use the newer version of "
                "the workbench that made them"
            )
        return form

    def close(self) -> None:
        self._reads.dispose()
        self._writes.dispose()

    # ----------------------------------------------------------------------------------------------- reading, writing

    def read(self, query: Executable, values: dict[str, Any] | None = None) -> Sequence[Row]:
        with self._plain(), self._reads.connect() as connection:
            return connection.execute(query, values or {}).all()

    def _run(self, statement: str) -> None:
        with self._reads.connect() as connection:
            connection.exec_driver_sql(statement).close()

    def write(self, together: Together | None, what: Any = None, *, alone: bool = False) -> Any:
        """Write something, whole or not at all, and return what came of it once it is on disk.

        together: writes several of one kind at once and returns a value for each; where that fails each is written by
        itself, so that one that cannot be written takes no other along; None stands for SQLite's checkpoint. Work that
        does to the disk what cannot be undone is done `alone`: all that it reads was committed before.
        """
        job = _Write(together, what, alone)
        with self._door:
            self._jobs.append(job)
            if self._leader is None:
                self._lead_next()
        try:
            job.told.wait()
            if not job.done:
                self._lead()
        finally:  # also where the thread is interrupted: others must not wait for it
            with self._door:
                if job in self._jobs:
                    self._jobs.remove(job)
                if self._leader is job:
                    self._lead_next()
        if job.error is not None:
            raise job.error
        return job.value

    def _lead_next(self) -> None:
        self._leader = next(iter(self._jobs), None)
        if self._leader is not None:
            self._leader.told.set()

    def _lead(self) -> None:
        """Commit for all that wait by now.

        Those of the commit before are just being told, and may bring more at once; they are waited for.
        """
        if self._shared:
            time.sleep(DELAY)
        with self._door:
            together = list(itertools.takewhile(lambda job: not job.alone, self._jobs))
            jobs = together or self._jobs[:1]
            self._jobs, self._shared = self._jobs[len(jobs) :], len(jobs) > 1
        try:
            self._commit(jobs)
        finally:
            for job in jobs:
                job.told.set()

    def _commit(self, jobs: list[_Write]) -> None:
        """Do all jobs in one transaction; one that fails is undone alone, and a failed commit fails them all."""
        kinds: dict[Together, list[_Write]] = {}
        for job in jobs:
            kinds.setdefault(job.together, []).append(job)
        try:
            if jobs[0].together is None:
                with self._plain():
                    return self._run("PRAGMA wal_checkpoint(TRUNCATE)")
            with self._plain(), self._writes.begin() as connection:
                for alike in kinds.values():
                    if not self._done(connection, alike, last=len(alike) == 1):
                        for job in alike:
                            self._done(connection, [job], last=True)
        except BaseException as error:
            for job in jobs:
                message = str(error) if isinstance(error, WorkbenchError) else f"{self.name}: writing was interrupted"
                job.error = job.error or WorkbenchError(message)
            if not isinstance(error, WorkbenchError):
                raise
        finally:
            for job in jobs:
                job.done = True

    def _done(self, connection: Connection, jobs: list[_Write], *, last: bool) -> bool:
        """Do jobs of one kind together, and say whether it went well; the last time it fails they keep the error."""
        try:
            with connection.begin_nested():
                values = jobs[0].together(connection, [job.what for job in jobs])
        except Exception as error:
            if isinstance(error, DBAPIError) and not isinstance(error, _OWN):
                raise  # a full or damaged disk is everybody's; all else is the job's own fault
            if last:
                jobs[0].error = self._told(error)
            return False
        for job, value in zip(jobs, values, strict=True):
            job.value = value
        return True

    def scrub(self) -> None:
        """Take what was overwritten out of SQLite's write-ahead log too, as far as readers let it."""
        if self.sqlite:
            with contextlib.suppress(WorkbenchError):
                self.write(None, alone=True)

    def vacuum(self) -> None:
        """Have PostgreSQL free the room of rows that were changed or deleted; SQLite overwrites them at once."""
        if not self.sqlite:
            with self._plain():
                self._run(f"VACUUM {', '.join(metadata.tables)}")

    # -------------------------------------------------------------------------------------------------------- errors

    @contextlib.contextmanager
    def _plain(self) -> Iterator[None]:
        """Turn the database's errors into sentences."""
        try:
            yield
        except (DBAPIError, PoolTimeout, UnicodeEncodeError) as error:
            raise self._told(error) from None

    def _told(self, error: Exception) -> Exception:
        """Return an error as a user reads it; the code's own mistakes as they are."""
        if isinstance(error, UnicodeEncodeError):
            return WorkbenchError(f"{error.object!r:.80} holds half of a surrogate pair; send valid Unicode")
        if isinstance(error, PoolTimeout):
            return WorkbenchError(f"{self.name} does not answer: all connections are waiting; try again in a moment")
        if isinstance(error, DataError):
            return WorkbenchError(f"{self.name} cannot hold that: {_first_line(error)}")
        if not isinstance(error, DBAPIError) or isinstance(error, _MISUSE):
            return error
        said = _first_line(error)
        return WorkbenchError(_of_a_file(said, self._path) if self.sqlite else _of_a_server(said, self.name))


def _reached(seconds: int) -> dict[str, Any]:
    """Return how long a PostgreSQL server may say nothing before it is given up."""
    patient = {"connect_timeout": seconds, "keepalives_idle": seconds, "keepalives_interval": 2, "keepalives_count": 3}
    return patient | {"tcp_user_timeout": seconds * 1000}


def _server(url: str) -> URL:
    """Return the address of a PostgreSQL database with the driver that is used."""
    try:
        address = make_url(url)
    except ArgumentError:
        address = None
    if address is None or address.get_backend_name() not in ("postgresql", "postgres"):
        raise WorkbenchError(
            "WORKBENCH_DATABASE_URL names no PostgreSQL database; write postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise WorkbenchError("PostgreSQL needs the extra `postgres`: pip install '.[postgres]'") from None
    return address.set(drivername="postgresql+psycopg")


def _folder_of(path: Path, create: bool) -> None:
    """Make the folder and the file, both for their owner alone; refuse where there is none and none is to be made."""
    if not create and not path.is_file():
        raise WorkbenchError(f"there are no records in {path.parent}; check the folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(0o600)  # what SQLite lays beside it has the same permissions
        if create:
            for name in ("", "-wal", "-shm"):  # those of earlier versions could be read by others
                keep_private(path.with_name(path.name + name))
    except OSError as error:
        raise WorkbenchError(f"cannot make the folder {path.parent}: {error.strerror}; choose another") from None


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    if found is not None and not inspect(connection).has_table("alembic_version"):
        command.stamp(config, found)  # of before there were migrations
    command.upgrade(config, "head")


def _first_line(error: DBAPIError) -> str:
    return (str(error.orig).splitlines() or [type(error.orig).__name__])[0]


def _of_a_server(error: str, name: str) -> str:
    """Return what a user can do about one of PostgreSQL's errors."""
    if "lock timeout" in error:
        return f"{name} is locked by another process; wait until that is done, or end it, and try again"
    if "read-only" in error:
        return f"{name} cannot be written (read-only); use the primary server"
    if "No space" in error or "disk full" in error:
        return f"{name} cannot be written ({error}); make room on its disk and try again"
    return f"cannot use {name}: {error}; check that the server runs and the address is right"


def _of_a_file(error: str, path: Path) -> str:
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
