"""A bucket of tokens per author, by hand."""

from __future__ import annotations

import pytest

from workbench.serving import rate_limit
from workbench.serving.rate_limit import RateLimit

FREE = (0, False)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_burst_then_the_steady_rate():
    clock = Clock()
    bucket = RateLimit(per_minute=30, burst=2, clock=clock)  # a token every 2 s
    assert [bucket.admit("a") for _ in range(2)] == [FREE, FREE]
    assert bucket.admit("a") == (pytest.approx(2.0), True)
    assert bucket.admit("a") == (pytest.approx(2.0), False)  # the rate limit was told already
    assert bucket.admit("b") == FREE  # nobody else pays for it
    clock.now += 1.5
    assert bucket.admit("a") == (pytest.approx(0.5), False)
    clock.now += 0.5
    assert bucket.admit("a") == FREE
    clock.now += 3600
    assert [bucket.admit("a") for _ in range(2)] == [FREE, FREE]  # and never more than the burst
    assert bucket.admit("a") == (pytest.approx(2.0), True)  # another rate limit


def test_posts_without_an_author_are_not_limited():
    bucket = RateLimit(per_minute=1, burst=1, clock=Clock())
    assert [bucket.admit(None) for _ in range(5)] == [FREE] * 5


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(rate_limit, "KEYS", 10)
    bucket = RateLimit(per_minute=1, burst=1, clock=Clock())
    for number in range(100):
        bucket.admit(str(number))
    assert len(bucket._buckets) == 10
    assert bucket.admit("99")[0] > 0  # the latest are remembered
