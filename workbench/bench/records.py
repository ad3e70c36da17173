"""`workbench bench records`: 64 threads that record posts, against raw sqlite3 with a group commit, in one run.

The raw way knows nothing of what can go wrong: it writes the same rows with the same guarantee (write-ahead log,
synchronous FULL), all that wait in one transaction, one `executemany` per table. Both take turns, each in a new folder
on the same disk; what counts is the processor time of the process for one post, since the disk waits for both alike.
With `WORKBENCH_DATABASE_URL` the records are those of that PostgreSQL database, whose own processes are not counted.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.bench import machine, write
from workbench.records import URL, Entry, Records, by_value
from workbench.records.blobs import Blobs
from workbench.records.database import Database
from workbench.schema import Author, Post

THREADS = 64
Filed = tuple[Entry, dict[str, bytes]]


def records(posts: int = 5000, repeats: int = 3, out: Path | None = None) -> dict[str, Any]:
    """Measure, print a line, write all to `out` as JSON, and return it."""
    found: dict[str, list[dict[str, float]]] = {"raw": [], "records": []}
    for turn in range(repeats):
        for name in ("raw", "records") if turn % 2 == 0 else ("records", "raw"):
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
                found[name].append(_raw(Path(folder), posts) if name == "raw" else _records(Path(folder), posts, turn))
    medians = {
        name: {unit: statistics.median(turn[unit] for turn in turns) for unit in turns[0]}
        for name, turns in found.items()
    }
    ratio = medians["records"]["cpu_us"] / medians["raw"]["cpu_us"]
    which = "PostgreSQL" if os.environ.get(URL) else "SQLite"
    for name, said in (("raw", "raw sqlite3"), ("records", f"records in {which}")):
        values = medians[name]
        print(f"{said}: {values['cpu_us']:.0f} us of processor a post, {values['per_second']:,.0f} posts a second")
    print(f"processor time, ratio of medians of {repeats} turns: {ratio:.2f}")
    about = machine() | {"threads": THREADS, "posts": posts, "database": which}
    return write({"machine": about, "turns": found, "median": medians, "ratio": ratio}, out)


def _records(folder: Path, posts: int, turn: int) -> dict[str, float]:
    with Records(folder) as opened:
        return _measured(opened.record, _made(posts, f"{time.time_ns()} {turn}"))


def _raw(folder: Path, posts: int) -> dict[str, float]:
    path = folder / "records.sqlite"
    Database(path, create=True, patience=10.0).close()  # the same tables
    database = Raw(path)
    try:
        return _measured(database.record, _made(posts, "raw"))
    finally:
        database.close()


def _made(posts: int, name: str) -> list[Filed]:
    """Return entries of short texts as a service records them."""
    made = []
    for number in range(posts):
        text = f"words of the post number {number} of {name}, as somebody may write them"
        post = Post(post_id=f"{name} {number}", text=text, author=Author(id=f"author {number % 97}"), language="en")
        features, blobs = by_value(post)
        about = {"identity": f"{name} {number}", "service": "text", "post_id": post.post_id, "at": datetime.now(UTC)}
        scores = {"scores": {"abuse": 0.1, "nudity": 0.2, "violence": 0.3, "misinformation": 0.4}}
        decision = {"action": "allow", "reasons": [], "due_at": None}
        told = {"features": features, "assessment": scores, "decision": decision}
        made.append((Entry(**about, **told, model_id="text-tfidf-0123456789ab", policy_id="default@1"), blobs))
    return made


def _measured(record: Callable[..., Any], made: Iterable[Filed]) -> dict[str, float]:
    """Return processor microseconds of a post and posts a second of threads that record what is made."""
    made = list(made)
    left, door = iter(made), threading.Lock()

    def work() -> None:
        while True:
            with door:
                one = next(left, None)
            if one is None:
                return
            record(*one)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    began, before = time.perf_counter(), _processor()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, cpu = time.perf_counter() - began, _processor() - before
    return {"cpu_us": cpu / len(made) * 1e6, "per_second": len(made) / seconds}


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Raw:
    """A SQLite file written with a group commit and nothing else."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._waiting: list[tuple[Filed, threading.Event]] = []
        self._door, self._busy, self._number = threading.Lock(), False, 0

    def close(self) -> None:
        self._connection.close()

    def record(self, entry: Entry, blobs: dict[str, bytes]) -> None:
        told = threading.Event()
        with self._door:
            self._waiting.append(((entry, blobs), told))
            first, self._busy = not self._busy, True
        if not first:
            told.wait()
        with self._door:
            waiting, self._waiting = self._waiting, []
            mine = any(event is told for _, event in waiting)
            if not mine:  # another has committed it
                self._waiting = waiting
        if mine:
            self._commit([filed for filed, _ in waiting])
            with self._door:
                if self._waiting:
                    self._waiting[0][1].set()
                else:
                    self._busy = False
            for _, event in waiting:
                event.set()

    def _commit(self, filed: list[Filed]) -> None:
        entries, decisions, texts, uses = [], [], [], []
        dump = json.JSONEncoder(separators=(",", ":")).encode
        for entry, blobs in filed:
            self._number += 1
            at = entry.at.isoformat(timespec="microseconds")
            about = (entry.identity, entry.service, entry.post_id, at, dump(entry.features), dump(entry.assessment))
            entries.append((self._number, *about, entry.model_id))
            decided = (self._number, at, entry.policy_id, dump(entry.decision), entry.decision["action"], None)
            decisions.append(decided)
            content = Blobs.id_of(blobs["text"])
            texts.append((content, blobs["text"], at))
            uses.append((content, self._number))
        execute = self._connection.executemany
        self._connection.execute("BEGIN IMMEDIATE")
        named = "seq, identity, service, post_id, at, features, assessment, model_id"
        execute(f"INSERT INTO entries ({named}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", entries)
        named = "entry, at, policy_id, decision, action, due_at"
        execute(f"INSERT INTO decisions ({named}) VALUES (?, ?, ?, ?, ?, ?)", decisions)
        execute("INSERT OR IGNORE INTO texts (content, data, at) VALUES (?, ?, ?)", texts)
        execute("INSERT INTO uses (content, entry) VALUES (?, ?)", uses)
        self._connection.execute("COMMIT")
