"""How much of one author, or of one content, is scored: a bucket of tokens each that fills at a steady rate."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

KEYS = 100_000  # remembered at a time; who was seen longest ago is forgotten, and so starts with a full bucket


class RateLimit:
    """Buckets by key, of an author or a content, each of at most `burst` tokens, and `per_minute` new ones a minute."""

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = per_minute / 60, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float, bool]] = OrderedDict()  # key -> tokens, at, limited
        self._guard = threading.Lock()

    def admit(self, key: str | None) -> tuple[float, bool]:
        """Take a token of a key and return (0, False), or return (seconds until there is one, whether it is news).

        It is news when a limit is reached; it is over once the bucket is full again. Without a key all is admitted:
        nobody could be told apart.
        """
        if key is None:
            return 0.0, False
        with self._guard:
            now = self._clock()
            tokens, at, limited = self._buckets.pop(key, (float(self.burst), now, False))
            tokens = min(float(self.burst), tokens + (now - at) * self.rate)
            admitted, limited = tokens >= 1, limited and tokens < self.burst
            self._buckets[key] = (tokens - admitted, now, limited or not admitted)
            if len(self._buckets) > KEYS:
                self._buckets.popitem(last=False)
            return (0.0, False) if admitted else ((1 - tokens) / self.rate, not limited)
