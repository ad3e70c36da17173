"""A real PostgreSQL server of a test's own, in a temporary folder and reached through a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)


def binaries() -> Path | None:
    """Return where the server's programs are, None where there are none that this user can start."""
    found = shutil.which("initdb")
    places = [*PLACES, *([Path(found).parent] if found else [])]
    return None if not places or (os.geteuid() == 0 and _user() is None) else places[0]


def _user() -> str | None:
    """Return an unprivileged user to run the server as, which root may not do itself."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


class Server:
    """A server that is there from `start` to `stop`."""

    def __init__(self, *settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path has at most 107 characters
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(self.folder, _user())
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync")
        lines = ("listen_addresses = ''", f"unix_socket_directories = '{self.folder}'", *settings)
        (self.folder / "more.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "more.conf").chmod(0o644)
        with open(self.folder / "data" / "postgresql.conf", "a") as file:
            file.write("include '../more.conf'\n")
        self.start()

    def start(self) -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "-w", "start")

    def stop(self, how: str = "fast") -> None:
        """Stop the server; `immediate` is what a crash is to it."""
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", how, "-w", "stop")

    def close(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> str:
        """Make an empty database, and return its address."""
        name = f"db{uuid4().hex[:12]}"
        import psycopg

        with psycopg.connect(host=str(self.folder), user="test", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://test@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(binaries() / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={_user()}", f"--regid={_user()}", "--clear-groups", *command]
        done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}")
