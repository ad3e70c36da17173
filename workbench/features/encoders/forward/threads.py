"""Threads that prepare and compute several things at once and give them back in order.

On a CPU one pool does everything, decoding and the model alike, with as many threads as torch has and one core for
each: a batch per core needs none of the waiting at every layer that splitting one batch over all cores does, and
decoding never fights with the model for a core. On a GPU the pool decodes ahead, and the model has its own turn.

Source: `at::set_num_threads` (ParallelOpenMP.cpp, torch 2.15): the number of threads belongs to the calling thread, and
beside it there is one number that every later thread starts with, which `cores` puts back.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

A, B = TypeVar("A"), TypeVar("B")
_GUARD = threading.RLock()
_POOLS: dict[int, ThreadPoolExecutor] = {}


def cores() -> ThreadPoolExecutor:
    """Return the pool of this process with as many threads as torch uses here, each of them computing on one core."""
    n = torch.get_num_threads()
    with _GUARD:
        if n not in _POOLS:
            started = threading.Barrier(n + 1)

            def begin() -> None:
                torch.set_num_threads(1)
                started.wait()

            pool = ThreadPoolExecutor(n, thread_name_prefix="features", initializer=begin)
            for _ in range(n):
                pool.submit(int)  # a thread starts with its first task
            started.wait()
            torch.set_num_threads(n)
            _POOLS[n] = pool
        return _POOLS[n]


os.register_at_fork(after_in_child=_POOLS.clear)  # a forked process has none of these threads


def in_order(pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A], ahead: int) -> Iterator[B]:
    """Yield `work(item)` for each item, in order, with at most `ahead` of them in work or waiting.

    A single item is worked on by the caller, with all cores that torch has there.
    """
    items = iter(items)
    start = list(islice(items, 2))
    if len(start) < 2:
        yield from map(work, start)
        return
    waiting: deque[Future[B]] = deque(pool.submit(work, item) for item in start)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        with contextlib.suppress(Exception):  # what has begun holds its batch; nobody wants its result any more
            for future in waiting:
                future.cancelled() or future.exception()
