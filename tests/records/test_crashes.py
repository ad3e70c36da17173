"""What was acknowledged survives: kills of the writing process, and crashes of the database under it."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from oracles import history
from postgres import Server, binaries
from stand_in import configured, until

from workbench.records import URL, Records
from workbench.schema import ROOT
from workbench.serving.engine import Engine

# Forks one child a round (so that Python starts only once) and kills it at a random moment. A child's threads write,
# and name on a pipe what was acknowledged.
KILLED = """
import os, random, signal, sys, threading, time
from datetime import UTC, datetime
from workbench.records import Entry, Records, by_value
from workbench.schema import Post

folder, rounds, longest = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

def work(records, name, pipe):
    for number in range(10**9):
        key = f"{name}-{number}"
        post = Post(post_id=key, text="words of " + key, image={"bytes": b"picture of " + key.encode()})
        features, contents = by_value(post)
        entry = Entry(identity=key, service="post", post_id=key, at=datetime.now(UTC), features=features,
                      assessment={}, decision={"first": key}, model_id="m", policy_id="one")
        if records.record(entry, contents):
            os.write(pipe, f"recorded {key}\\n".encode())
        if number % 3 == 1 and records.redecide(key, {"second": key}, "two"):
            os.write(pipe, f"redecided {key}\\n".encode())
        if number % 3 == 2 and records.delete("post", key):
            os.write(pipe, f"deleted {key}\\n".encode())
        if records.event(key, "report", by="somebody"):
            os.write(pipe, f"reported {key}\\n".encode())

random.seed(5)
for turn in range(rounds):
    out, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        records = Records(folder)
        for thread in range(4):
            threading.Thread(target=work, args=(records, f"{turn}-{thread}", pipe)).start()
        signal.pause()
    os.close(pipe)
    seen, wanted = b"", b"deleted" if turn % 5 == 1 else b"\\n"
    while turn % 5 and wanted not in seen:  # else it is killed while it opens
        seen += os.read(out, 65536)
    sys.stdout.write(seen.decode())
    time.sleep(random.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while block := os.read(out, 65536):
        sys.stdout.write(block.decode())
"""


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [15, pytest.param(150, marks=pytest.mark.campaign)])
def test_every_acknowledged_entry_survives_kills(tmp_path, database, rounds):
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(rounds), "0.2" if database == "sqlite" else "0.8"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    # A line may be torn by the kill; whole ones end in a key.
    told = [line.split(" ") for line in said]
    with Records(tmp_path, create=False) as records:
        kept = {one.post_id: one for one in records.entries()}
        deleted = {key for what, key in told if what == "deleted"}
        for what, key in told:
            if what == "recorded":
                assert key in kept
            if what == "recorded" and not kept[key].deleted_at:
                assert records.blob(kept[key].features["image"]["id"]) == b"picture of " + key.encode()
                assert records.blob(kept[key].features["text"]["id"]) == b"words of " + key.encode()
            if what == "redecided":
                assert kept[key].decision == {"second": key}
                assert len(history(records, "post", key)) == 2
            if what == "deleted":
                assert kept[key].deleted_at
                assert kept[key].features == {}
            if what == "reported":
                assert len(records.events(key)) == 1
        assert len(told) > 3 * rounds  # there was something to lose
        assert deleted
        records.sweep()
        used = {cell["id"] for one in kept.values() for cell in one.features.values()}
        files = {path.name for path in (tmp_path / "contents").rglob("*") if path.is_file()}
        assert files <= used
    if database == "sqlite":
        check = sqlite3.connect(tmp_path / "records.sqlite")
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        check.close()


WRITING = """
import os, sys, threading
from datetime import UTC, datetime
from workbench.errors import WorkbenchError
from workbench.records import Entry, Records, by_value
from workbench.schema import Post

records = Records(sys.argv[1])

def work(name):
    for number in range(10**9):
        key = f"{name}-{number}"
        features, contents = by_value(Post(post_id=key, text="words of " + key))
        entry = Entry(identity=key, service="post", post_id=key, at=datetime.now(UTC), features=features,
                      assessment={}, decision={"first": key}, model_id="m", policy_id="one")
        try:
            if records.record(entry, contents):
                os.write(1, f"recorded {key}\\n".encode())
            if records.event(key, "report", by="somebody"):
                os.write(1, f"reported {key}\\n".encode())
        except WorkbenchError as error:
            os.write(1, f"failed {str(error)!r}\\n".encode())
            threading.Event().wait(0.02)

for number in range(8):
    threading.Thread(target=work, args=(f"{number}",)).start()
"""


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=pytest.mark.campaign)])
def test_a_server_that_crashes_under_load_loses_nothing_and_is_used_again(tmp_path, monkeypatch, rounds):
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed here (Debian: apt-get install postgresql)")
    server = Server()
    with contextlib.ExitStack() as running:
        running.callback(server.close)
        monkeypatch.setenv(URL, server.database())
        command = [sys.executable, "-c", WRITING, str(tmp_path)]
        writer = running.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE))
        running.callback(writer.kill)
        said = []
        reader = threading.Thread(target=lambda: said.extend(line.decode().strip() for line in writer.stdout))
        reader.start()
        for _ in range(rounds):
            before = len([line for line in said if line.startswith("recorded")])
            until(lambda before=before: len([line for line in said if line.startswith("recorded")]) > before + 50)
            server.stop("immediate")
            server.start()
        before = len(said)
        until(lambda: len(said) > before + 50)
        writer.kill()
        reader.join()
        told = [line.split(" ")[1] for line in said if line.startswith("recorded")]
        with Records(tmp_path) as records:
            kept = [one.identity for one in records.entries()]
            assert len(kept) == len(set(kept))
            assert set(told) <= set(kept)
            reported = {event.post_id for event in records.events()}
            assert {line.split(" ")[1] for line in said if line.startswith("reported")} <= reported
        failures = [line for line in said if line.startswith("failed")]
        assert failures  # it was felt
        assert all("check that the server runs" in line for line in failures), failures[:3]


KILLED_BETWEEN = """
import os, signal, sys
from workbench.records import blobs
from workbench.records.blobs import Blobs
from workbench.records import Records
from pathlib import Path

records = Records(sys.argv[1])
records._blobs.put(b"a picture that is never recorded")
put = blobs.write_bytes
def deadly(path, data):
    path.with_name(f".{path.name}.1-1.tmp").write_bytes(data[:5])
    os.kill(os.getpid(), signal.SIGKILL)
blobs.write_bytes = deadly
records._blobs.put(b"half a picture")
"""


def kept_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "contents").rglob("*") if path.is_file()]


def test_a_picture_put_before_a_kill_and_never_recorded_goes_at_the_next_start(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED_BETWEEN, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    with Records(tmp_path) as records:
        assert len(kept_files(tmp_path)) == 2
        Engine(configured(tmp_path), records, device="cpu").close()  # which waits for what the start began
        assert kept_files(tmp_path) == []
