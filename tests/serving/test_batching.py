"""What gathers goes together, nothing is lost, and closing ends it."""

from __future__ import annotations

import threading
import time

from workbench.serving.batching import BatchingQueue


def test_what_gathers_during_a_call_goes_in_the_next_one():
    calls, gate, begun = [], threading.Event(), threading.Event()

    def work(jobs):
        begun.set()
        gate.wait(10)
        calls.append(jobs)

    queue = BatchingQueue("test", work, most=4, wait=0, limit=100)
    queue.put(0)
    assert begun.wait(10)
    for job in range(1, 7):
        queue.put(job)
    gate.set()
    assert queue.close(10) == []
    assert calls == [[0], [1, 2, 3, 4], [5, 6]]


def test_a_call_waits_for_company_and_no_longer_than_that():
    calls, done = [], threading.Event()

    def work(jobs):
        calls.append((time.monotonic(), jobs))
        done.set()

    queue = BatchingQueue("test", work, most=3, wait=0.2, limit=100)
    began = time.monotonic()
    queue.put("a")
    queue.put("b")
    assert done.wait(10)
    assert calls[0][1] == ["a", "b"]
    assert calls[0][0] - began >= 0.19
    queue.close(10)


def test_a_full_call_waits_for_nobody():
    calls, done = [], threading.Event()
    queue = BatchingQueue("test", lambda jobs: calls.append(jobs) or done.set(), most=3, wait=60, limit=100)
    for job in "abc":
        queue.put(job)
        time.sleep(0.05)  # so that it is waiting already
    assert done.wait(10)
    assert calls == [["a", "b", "c"]]
    queue.put("d")
    assert queue.close(10) == []  # nor does the last one, when the queue is closed
    assert calls[1:] == [["d"]]


def test_a_full_lane_and_a_closed_one_take_nothing():
    gate = threading.Event()
    queue = BatchingQueue("test", lambda jobs: gate.wait(10), most=1, wait=0, limit=2)
    queue.put("working")
    while len(queue):
        time.sleep(0.001)
    assert queue.put("first")
    assert queue.put("second")
    assert not queue.put("one too many")
    assert queue.close(0.05) == ["first", "second"]  # not reached in time
    gate.set()
    assert not queue.put("late")
