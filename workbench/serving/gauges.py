"""What the engine and the API count, as Prometheus reads it; one registry per engine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
COUNTED_FOR = 60.0  # seconds for which a count of overdue reviews is shown
Counts = Callable[[], Mapping[str, int]]
POSTS = (1, 2, 4, 8, 16, 32, 64, 128)
disable_created_metrics()  # the time when a series was made is of no use here


class Requests:
    """What the API counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        named = {"namespace": "workbench", "registry": self.registry}
        labels = ["operation", "service"]
        self._count = Counter("requests", "Requests answered.", [*labels, "status"], **named)
        self._time = Histogram("request_seconds", "Time to answer a request.", labels, buckets=SECONDS, **named)

    def answered(self, operation: str, service: str, status: int, seconds: float) -> None:
        self._count.labels(operation, service, str(status)).inc()
        self._time.labels(operation, service).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class Gauges:
    """What the engine counts, and what is looked up when somebody asks: feature hits and queues.

    repeated, shared and rate_limited are counters by service, signals by service and signal.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        named = {"namespace": "workbench", "registry": self.registry}
        self._calls = Histogram("batch_posts", "Posts per call of a model.", ["model"], buckets=POSTS, **named)
        self._posts = Counter("scored_posts", "Posts that a model was run for.", ["model"], **named)
        self.repeated = Counter("stored_answers", "Answers from the records, without a model.", ["service"], **named)
        self.shared = Counter("shared_answers", "Requests that waited for an equal one.", ["service"], **named)
        asked = "New posts of services that act on a signal, by the signal; none: not asked."
        self.signals = Counter("signals", asked, ["service", "signal"], **named)
        limited = "New posts refused because of their author's rate limit."
        copied = "New posts refused because of the rate limit of a content that many posts share."
        self.rate_limited = {
            "author": Counter("floods", limited, ["service"], **named),
            "content": Counter("copy_floods", copied, ["service"], **named),
        }

    def watch(self, hits: Counts, queues: Counts, overdue: Counts) -> None:
        """Show contents by tier of the feature store, posts that wait in each queue, and overdue reviews by service."""
        self.registry.register(_Looked(hits, queues, overdue))

    def scored(self, model_id: str, posts: int) -> None:
        self._calls.labels(model_id).observe(posts)
        self._posts.labels(model_id).inc(posts)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Looked:
    def __init__(self, hits: Counts, queues: Counts, overdue: Counts) -> None:
        self._hits, self._queues, self._overdue = hits, queues, overdue
        self._counted: tuple[float, Mapping[str, int]] = (-math.inf, {})

    def _reviews(self) -> Mapping[str, int]:
        """Count overdue reviews, which goes through all records, once a minute at most."""
        now = time.monotonic()
        if now - self._counted[0] > COUNTED_FOR:
            self._counted = now, self._overdue()
        return self._counted[1]

    def collect(self) -> Iterator[Metric]:
        tiers = CounterMetricFamily("workbench_features", "Contents by where features came from.", labels=["tier"])
        for tier, count in self._hits().items():
            tiers.add_metric([tier], count)
        # label and name of a metric are what people's dashboards ask for: they stay as they were called first
        queues = GaugeMetricFamily("workbench_waiting_posts", "Posts that wait in a queue.", labels=["lane"])
        for queue, count in self._queues().items():
            queues.add_metric([queue], count)
        said = "Posts that wait for a person past their due time, without a label or a removal since."
        reviews = GaugeMetricFamily("workbench_overdue_reviews", said, labels=["service"])
        for service, count in self._reviews().items():
            reviews.add_metric([service], count)
        yield from (tiers, queues, reviews)
