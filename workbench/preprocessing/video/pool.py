"""The processes that decode clips: at most one per core, kept, lent to one thread at a time, killed when they hang.

A worker (`video_worker`) has a session of its own, so that Ctrl-C does not reach it, an almost empty environment and
no output but the socket to this process. It ends when that is closed, so also when this process is killed: at once if
it waits, and after its clip's time if it decodes. A forked child takes no part in its parent's workers.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.preprocessing.video import worker as video_worker
from workbench.schema import ROOT

START_SECONDS = 60.0
CLIPS = 2000
"""A worker is replaced after so many clips, so that what a library leaks does not grow for ever."""
MAX_THREADS = 4
_START = "import sys; sys.path += sys.argv[1:]; from workbench.preprocessing.video.worker import main; main()"
_KILLED = (-signal.SIGKILL, -signal.SIGALRM, -signal.SIGXCPU)  # by the system for memory, or by its own clocks


class TimeIsUp(Exception):
    """The worker did not answer in time, or the system ended it."""


class Crash(Exception):
    """The worker ended by itself, or said what no worker says."""


class NotStarted(Exception):
    """No worker could be started: the machine has too little of something."""


class DecodingWorker:
    """One process that decodes."""

    def __init__(self, link: socket.socket, process: subprocess.Popen) -> None:
        self._link, self._process = link, process
        self.pid, self.clips, self._ready = process.pid, 0, False

    @classmethod
    def start(cls) -> DecodingWorker:
        """Start a process; it is not waited for. Raises WorkbenchError where PyAV is not installed, and OSError."""
        spec = importlib.util.find_spec("av")
        if spec is None or spec.origin is None:
            raise WorkbenchError("clips are decoded with PyAV, which is not installed here; install the package `av`")
        folders = [str(ROOT), str(Path(spec.origin).parent.parent)]
        link, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", _START, *folders],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={"MALLOC_ARENA_MAX": "2", "LC_ALL": "C.UTF-8"},
            )
        except BaseException:
            link.close()
            raise
        finally:
            theirs.close()
        return cls(link, process)

    def wait(self) -> None:
        """Wait until the process is ready; raise NotStarted where it does not become so."""
        with suppress(OSError, ValueError):
            self._ready = self._ready or video_worker.take(self._link, 0, time.monotonic() + START_SECONDS) is not None
        if not self._ready:
            raise NotStarted

    def ask(self, limits: dict[str, Any], data: bytes, most: int) -> tuple[dict[str, Any], bytearray]:
        """Return the worker's answer to a clip: what it says, and pixels of at most so many bytes.

        Raises TimeIsUp, Crash or whatever interrupts the wait; after any of them the worker must be killed.
        """
        self.clips += 1
        deadline = time.monotonic() + limits["seconds"]
        try:
            self._link.settimeout(limits["seconds"])
            video_worker.give(self._link, limits, [data])
            answer = video_worker.take(self._link, most, deadline)
        except TimeoutError:
            raise TimeIsUp from None
        except (OSError, ValueError):
            answer = None
        if answer is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            raise TimeIsUp if self._process.returncode in _KILLED else Crash
        return answer

    def lives(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._link.close()
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Let go of a process that is the parent's, in a forked child."""
        self._link.close()
        self._process.returncode = 0  # so that nothing warns that it still runs


class WorkerPool:
    def __init__(self, size: int) -> None:
        self.size = size
        self.workers: set[DecodingWorker] = set()
        self._idle: list[DecodingWorker] = []
        self._free = threading.BoundedSemaphore(size)

    @contextmanager
    def borrowed(self) -> Iterator[tuple[DecodingWorker, int]]:
        """Lend a worker and say how many threads it may use; it is killed if anything is raised."""
        with self._free:
            with _lock:
                worker = self._waiting() or self._started()
                busy = len(self.workers) - len(self._idle)
            try:
                worker.wait()
                yield worker, min(MAX_THREADS, max(1, self.size // busy))
            except BaseException:
                self._end(worker)
                raise
            if worker.clips < CLIPS:
                with _lock:
                    self._idle.append(worker)
            else:
                self._end(worker)

    def _waiting(self) -> DecodingWorker | None:
        """Take a worker that waits and lives; call it with the lock."""
        while self._idle:
            worker = self._idle.pop()
            if worker.lives():
                return worker
            self.workers.discard(worker)
            worker.kill()
        return None

    def _started(self) -> DecodingWorker:
        """Start a worker; call it with the lock."""
        try:
            worker = DecodingWorker.start()
        except OSError as error:
            raise NotStarted from error
        self.workers.add(worker)
        return worker

    def _end(self, worker: DecodingWorker) -> None:
        with _lock:
            self.workers.discard(worker)
        worker.kill()

    def close(self) -> None:
        with _lock:
            workers, self.workers, self._idle = self.workers, set(), []
        for worker in workers:
            worker.kill()


# Held while a worker starts, and by a fork: no child inherits the ends of a worker unknown to it.
_lock = threading.Lock()
_pool: WorkerPool | None = None
_owner = os.getpid()


def pool() -> WorkerPool:
    global _pool, _owner
    if _owner != os.getpid():  # forked by something else than Python
        _forked()
    with _lock:
        if _pool is None:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            _pool = WorkerPool(cores)
        return _pool


def _forked() -> None:
    global _pool, _owner, _lock
    _lock = threading.Lock()
    for worker in _pool.workers if _pool else ():
        worker.forget()
    _pool, _owner = None, os.getpid()


def _close() -> None:
    if _pool is not None and _owner == os.getpid():
        _pool.close()


os.register_at_fork(before=lambda: _lock.acquire(), after_in_parent=lambda: _lock.release(), after_in_child=_forked)
atexit.register(_close)
