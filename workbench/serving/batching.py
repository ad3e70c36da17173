"""A queue with one thread behind it that takes what has gathered, so that a model is called once for many posts."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")


class BatchingQueue(Generic[Job]):
    """Jobs in order of arrival, handed to `work` at most `most` at a time.

    A call waits until its oldest job is `wait` seconds old or `most` are there; what gathered during an earlier call
    goes at once. `work` must not raise.
    """

    def __init__(self, name: str, work: Callable[[list[Job]], None], *, most: int, wait: float, limit: int) -> None:
        self.name, self.most, self.wait, self.limit = name, most, wait, limit
        self._work, self._closed = work, False
        self._jobs: deque[tuple[float, Job]] = deque()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"queue {name}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> bool:
        """Queue a job; False when the queue is full or closed."""
        with self._news:
            if self._closed or len(self._jobs) >= self.limit:
                return False
            self._jobs.append((time.monotonic(), job))
            if len(self._jobs) in (1, self.most):
                self._news.notify()
            return True

    def close(self, timeout: float) -> list[Job]:
        """Take no more, let what waits be done for so many seconds, and return the jobs that were not reached."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(timeout)
        with self._news:
            left = [job for _, job in self._jobs]
            self._jobs.clear()
        return left

    def _run(self) -> None:
        while jobs := self._take():
            self._work(jobs)

    def _take(self) -> list[Job]:
        """Return the next jobs; none when the queue is closed and empty."""
        with self._news:
            self._news.wait_for(lambda: self._jobs or self._closed)
            if self._jobs:
                rest = self._jobs[0][0] + self.wait - time.monotonic()
                self._news.wait_for(lambda: len(self._jobs) >= self.most or self._closed, timeout=max(0.0, rest))
            return [self._jobs.popleft()[1] for _ in range(min(self.most, len(self._jobs)))]
