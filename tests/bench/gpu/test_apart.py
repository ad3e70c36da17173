"""A worker process: what it returns, and what happens where it takes too long, dies or breaks."""

from __future__ import annotations

import operator
import os
import time

import pytest

from workbench.bench.gpu.apart import Worker
from workbench.errors import WorkbenchError


@pytest.fixture
def worker():
    made = []

    def make(work):
        made.append(Worker(work))
        return made[-1]

    yield make
    for each in made:
        each.end()


def test_one_process_answers_time_after_time(worker):
    calls = worker(os.getpid)
    first = calls.call(seconds=60)
    assert first == calls.call(seconds=60) != os.getpid()


def test_too_long_is_ended_and_the_next_call_starts_anew(worker):
    calls = worker(time.sleep)
    assert calls.call(0, seconds=60) is None
    began = time.monotonic()
    with pytest.raises(WorkbenchError, match="the time was over"):
        calls.call(600, seconds=0.2)
    assert time.monotonic() - began < 30
    assert calls.call(0, seconds=60) is None


def test_a_death_is_told_with_its_code(worker):
    with pytest.raises(WorkbenchError, match="ended by itself, with exit code 7"):
        worker(os._exit).call(7, seconds=60)


def test_an_error_is_told_and_the_process_not_used_again(worker):
    calls = worker(operator.truediv)
    calls.call(1, 2, seconds=60)
    used = calls._process
    with pytest.raises(WorkbenchError, match="ZeroDivisionError: division by zero"):
        calls.call(1, 0, seconds=60)
    assert not used.is_alive()
    assert calls.call(1, 2, seconds=60) == 0.5
