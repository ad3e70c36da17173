"""The one way from a post to a recorded decision, for the API and the demo alike.

A post's identity is what its scores depend on: service, post id, the features that the bundle reads, the model. The
first post of an identity is scored and recorded; the same again, at the same time or later, gets the recorded scores
and runs no model. To those a policy that has changed since is applied, and what a policy looks at in the post as it was
told last. An answer is given only once its record is on disk.

A post goes through three stages, each with its own threads: `lookup` looks for a recorded answer and counts the
author's posts, a queue of its bundle scores it together with others, and a writer records it. Posts with media have
another queue than those without, so that a text never waits for a clip. Open doubt: two processes on one folder of
records may both run the model for one identity; the answer recorded first is what both give.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.decisions.policy import Assessment, Policy
from workbench.errors import WorkbenchError, unknown
from workbench.features.store import FeatureStore, NotStored
from workbench.preprocessing.links import extraction
from workbench.preprocessing.text.cleaning import joined_surrogates
from workbench.records import Deleted, Entry, Recorded, Records, by_value
from workbench.schema import ROOT, Media, Post, Taxonomy
from workbench.serving import signals
from workbench.serving.batching import BatchingQueue
from workbench.serving.config import ServingConfig
from workbench.serving.contents import KeptContents, clean
from workbench.serving.gauges import Gauges
from workbench.serving.jobs import Flights, Job
from workbench.serving.rate_limit import RateLimit
from workbench.serving.refused import CLOSING, OVER, Busy, RateLimited, Refused
from workbench.serving.served import Answer, Service, ServiceInfo, context
from workbench.serving.upkeep import Upkeep

__all__ = ["Answer", "Busy", "Engine", "RateLimited", "Refused", "ServiceInfo"]

if TYPE_CHECKING:
    from workbench.decisions.moderator import Moderator

log = logging.getLogger(__name__)
MEDIA = ("image", "video")
MEDIA_BATCH = 8  # posts with media of one call: decoding takes so long that more would only wait for each other
WRITERS = 8  # they share a commit


class Engine:
    """Every service of a configuration, from one process.

    Args:
        config: what is served; its bundles are looked for at once (WorkbenchError says what to run).
        records: where answers are kept; the caller closes it after the engine.
        device: where encoders compute.
        load: `(folder, store=, taxonomy=) -> Moderator`, for tests.
    """

    def __init__(
        self,
        config: ServingConfig,
        records: Records,
        *,
        device: str = "auto",
        load: Callable[..., Moderator] | None = None,
    ) -> None:
        self.config, self.records, self.gauges = config, records, Gauges()
        folder, device = config.features and ROOT / config.features, None if device == "auto" else device
        self.store = FeatureStore(folder, device, memory_mb=config.memory_mb, writes=False)
        self.contents = KeptContents(records, self.store)
        self.bundles = config.bundles()
        self._load, self._lists = load, extraction.LinkLists.load()
        self._signals = signals.Signals(records, self._lists)
        self._taxonomy: Taxonomy | None = None
        self._services: dict[str, Service] = {}
        self._moderators: dict[Path, Moderator] = {}
        self._batching: dict[tuple[Path, bool], BatchingQueue[Job]] = {}
        self._flights = Flights()
        self._loading, self._closed = threading.Lock(), False
        waiting = max(service.limits.waiting for service in config.services.values())
        self._lookup: BatchingQueue[Job] = BatchingQueue("front", self._look_up, most=256, wait=0, limit=waiting)
        self._writers = ThreadPoolExecutor(WRITERS, "writer")
        self._strangers = RateLimit(config.unknown_per_minute, config.unknown_per_minute)
        self._upkeep = Upkeep(records, config.keep_days, self._erase)
        queues = lambda: {queue.name: len(queue) for queue in self._all_queues()}  # noqa: E731
        self.gauges.watch(lambda: self.store.hits, queues, self._overdue)

    # ---------------------------------------------------------------------------------------------------- life

    @property
    def ready(self) -> bool:
        return not self._closed and len(self._services) == len(self.config.services)

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels of the first bundle, to which all others are held; until it is loaded those of the checkout."""
        return self._taxonomy or Taxonomy.load()

    def load(self) -> None:
        """Load what is not loaded yet; raises WorkbenchError for a bundle or a policy that cannot be used.

        That is also a bundle of other labels than the first one's.
        """
        with self._loading:
            for name, config in self.config.services.items():
                if name not in self._services:
                    self._services[name] = Service(
                        name, config, self._moderator(self.bundles[name]), self.bundles[name]
                    )

    def _moderator(self, folder: Path) -> Moderator:
        """Return the moderator of a bundle and open its queues, once for all services that it answers for."""
        if folder not in self._moderators:
            if self._load is None:
                from workbench.decisions.moderator import Moderator  # the first thing that imports torch

                self._load = Moderator.load
            moderator = self._load(folder, store=self.store, taxonomy=self._taxonomy)
            waiting = max(service.limits.waiting for service in self.config.services.values())
            for media, most in ((False, self.config.batch), (True, min(MEDIA_BATCH, self.config.batch))):
                name = f"{moderator.model_id}{' with media' if media else ''}"
                wait = self.config.wait_ms / 1000
                self._batching[folder, media] = BatchingQueue(name, self._score, most=most, wait=wait, limit=waiting)
            self._moderators[folder], self._taxonomy = moderator, moderator.taxonomy
        return self._moderators[folder]

    def close(self, timeout: float = 8.0) -> None:
        """Answer what waits, for at most so many seconds, then refuse the rest; what is answered is recorded."""
        self._closed = True
        end = time.monotonic() + timeout
        for queue in self._all_queues():
            for job in queue.close(max(0.0, end - time.monotonic())):
                self._fail(job, Busy(CLOSING, 1))
        self._writers.shutdown(wait=True)
        self._upkeep.close()

    # ------------------------------------------------------------------------------------------------- answers

    def services(self) -> dict[str, ServiceInfo]:
        """Return what is served, by name, loading it if need be."""
        self.load()
        return {name: service.info() for name, service in self._services.items()}

    def moderate(self, service: str, post: Post) -> Answer:
        """Return the answer for a post, recorded; raises Refused where it cannot be had now."""
        return self._wait(self.submit(service, post), service)

    def probe(self, service: str, post: Post) -> Answer:
        """Return the answer that `moderate` would give for a post seen for the first time, and record nothing."""
        job = Job(self._service(service), clean(post))
        self._send(self._queue_of(job), job)
        return self._wait(job.future, service)

    def policy(self, service: str) -> Policy:
        """Return the policy of a service that is in force."""
        return self._service(service).policy()[0]

    def submit(self, service: str, post: Post, *, counted: bool = False) -> Future[Answer]:
        """Return the answer to come; equal posts that are under way share it. Raises Refused.

        counted: whether the post came before, so that rate limits do not count it again.
        """
        served, post = self._service(service), clean(post)
        features, blobs = by_value(post)
        job = Job(served, post, served.identity(post, features), features, blobs, counted)
        if (flying := self._flights.share(job)) is not None:
            self.gauges.shared.labels(service).inc()
            return flying
        try:
            self._send(self._lookup, job)
        except Busy as error:
            self._fail(job, error)
            raise
        return job.future

    def lookup(self, service: str, post_id: str) -> Answer | None:
        """Return the answer that was recorded last for a post, as it was given; None where there is none."""
        served = self._service(service)
        entry = self.records.latest(service, joined_surrogates(post_id))
        if entry is None or entry.deleted_at is not None:
            return None
        answer = served.recorded(entry)
        text = self.records.blob(answer.contents["text"]) if "text" in answer.contents else None
        return replace(answer, links=extraction.shown(text and text.decode(errors="replace"), self._lists))

    def delete(self, service: str, post_id: str) -> bool:
        """Remove a post's content and features, also of one under way; what was decided stays on record.

        False where there is nothing. Who waits for the answer to one under way is told that it was deleted.
        """
        self._known(service)
        return self._erase(service, joined_surrogates(post_id))

    def _erase(self, service: str, post_id: str) -> bool:
        flying = self._flights.delete(service, post_id)
        contents = self.records.only_of(service, post_id)
        self.contents.forget(contents)  # before, so that after a kill the same call finds them again
        deleted = self.records.delete(service, post_id)
        self.contents.forget(contents)  # and what a job made of them meanwhile
        return deleted or flying

    def event(
        self, post_id: str, kind: str, at: datetime | None, value: dict | None, by: str | None, key: str | None = None
    ) -> bool:
        """Keep what happened to a post, and say whether it is new; enough reports send its newest answers to review."""
        post_id = joined_surrogates(post_id)
        if seconds := self._strangers.admit(None if self.records.knows(post_id) else "")[0]:
            raise RateLimited("more events on posts that were never scored than are kept; wait, then go on", seconds)
        new = self.records.event(post_id, kind, at, value, by, key)
        if kind == "report":  # told again too: a server may have died between the event and its decision
            for name in self.config.services:
                entry = self.records.latest(name, post_id)
                if entry is not None and entry.deleted_at is None:
                    self._reported(name, entry)
        return new

    def _reported(self, name: str, entry: Entry) -> None:
        """Judge a newest answer again, as reports came in; a post that waits is scored if they are a signal."""
        service = self._service(name)
        if not signals.waits(entry):
            service.again(entry, self.records)
        elif self._signals.of(service, post := self.contents.post(service.moderator, entry)):
            for _ in range(2):  # the first time it may share the answer of a post that was just put to wait
                if self._wait(self.submit(name, post, counted=True), name).decision.action != signals.WAIT:
                    break

    def content(self, content: str) -> bytes | None:
        return self.records.blob(content)

    def given(self, service: str, modality: str, content: str) -> str | bytes | Media | None:
        """Return what a post for a service brings that names a content by id (see `KeptContents.given`)."""
        return self.contents.given(self._service(service).moderator, modality, content)

    def about(self, content: str) -> dict[str, Any] | None:
        """Return what is known of a content, its vectors among it, or None (see `KeptContents.about`)."""
        self.load()
        return self.contents.about(content)

    # -------------------------------------------------------------------------------------------------- stages

    def _look_up(self, jobs: list[Job]) -> None:
        """Answer what is on record, and pass on the rest, as many as may come of an author and of a content."""
        try:
            after, recorded = self.records.deletions(), self.records.find({job.identity for job in jobs})
        except Exception as error:
            for job in jobs:
                self._fail(job, error)
            return
        for job in jobs:
            try:
                if job.deleted.is_set():
                    raise Deleted
                if (found := recorded.get(job.identity)) is not None:
                    known = found.entry.policy_id == job.service.policy()[1]
                    if found.newest and known and job.brings == context(found.entry.features):
                        self._repeat(job, found)
                    else:  # something may be recorded too, and others need not wait for the disk
                        self._writers.submit(self._repeat, job, found)
                    continue
                signal = self._signals.of(job.service, job.post)
                if not signal and (answer := self._signals.held(job)) is not None:
                    self.gauges.repeated.labels(job.service.name).inc()
                    self._resolve(job, answer)
                    continue
                seconds, over = (0.0, "") if job.counted else job.service.admit(job.post, job.contents)
                if seconds:
                    self.gauges.rate_limited[over].labels(job.service.name).inc()
                    raise RateLimited(OVER[over], seconds)
                self._ask(replace(job, after=after), signal)
            except Exception as error:
                self._fail(job, error)

    def _ask(self, job: Job, signal: str) -> None:
        """Have a post scored that has a signal; of any other it is recorded that the service was not asked."""
        if job.service.config.mode == "reactive":
            self.gauges.signals.labels(job.service.name, signal or "none").inc()
        if signal:
            self._send(self._queue_of(job), job)
        else:
            self._writers.submit(self._hold, job)

    def _hold(self, job: Job) -> None:
        try:
            if (answer := self._signals.hold(job)) is not None:
                self._resolve(job, answer)
            else:  # meanwhile reports came, which could not find it on record, or another PUT with a signal
                self._send(self._lookup, replace(job, counted=True))
        except Exception as error:
            self._fail(job, error)

    def _score(self, jobs: list[Job]) -> None:
        """Run the model once for several posts, and have the answers recorded."""
        moderator = jobs[0].service.moderator
        try:
            assessments = moderator.assess([job.post for job in jobs])
        except Exception as error:
            if len(jobs) > 1:  # one post must not take the others with it
                for job in jobs:
                    self._score([job])
            elif isinstance(error, NotStored) and (whole := self.contents.whole(jobs[0].post)) is not None:
                self._score([replace(jobs[0], post=whole)])
            elif isinstance(error, NotStored):
                self._fail(jobs[0], error)
            else:
                log.exception("the model failed on a post")
                self._fail(jobs[0], error)
            return
        self.gauges.scored(moderator.model_id, len(jobs))
        for job, assessment in zip(jobs, assessments, strict=True):
            try:
                self._writers.submit(self._finish, job, assessment)
            except RuntimeError:  # it was closed while the model ran
                self._fail(job, Busy(CLOSING, 1))

    def _finish(self, job: Job, assessment: Assessment) -> None:
        try:
            now = datetime.now(UTC)
            policy, policy_id = job.service.policy()
            model, narrowed = job.service.moderator, job.service.assessed(assessment)
            if job.identity and (reports := self.records.reports(job.post.post_id)) > (narrowed.reports or 0):
                narrowed = narrowed.model_copy(update={"reports": reports})
            decision = policy.judge(narrowed, model.taxonomy, model.model_id, now=now)
            answer = Answer(job.service.name, decision, narrowed, model.model_id, policy_id, False, job.contents)
            if job.identity is not None:
                answer = self._record(job, assessment, answer, now)
            self._resolve(job, answer)
        except Exception as error:
            self._fail(job, error)

    def _record(self, job: Job, assessment: Assessment, answer: Answer, now: datetime) -> Answer:
        """Keep an answer, and return it, or the one that another process recorded before."""
        entry = job.entry(assessment, answer, now)
        try:
            new = self.records.record(entry, job.blobs, job.elsewhere, job.after)
        except Deleted:
            self.contents.let_go(job.blobs)
            raise
        if new:  # who reports from now on finds it; until now nobody did
            late = self.records.reports(entry.post_id) > (answer.assessment.reports or 0)
            return replace(job.service.again(entry, self.records), stored=False) if late else answer
        earlier = self.records.by_identity(job.identity)
        return answer if earlier is None else job.service.again(earlier, self.records, job.post)

    def _repeat(self, job: Job, found: Recorded) -> None:
        try:
            if not found.newest:
                self.records.answer(job.identity)
            answer = job.service.again(found.entry, self.records, job.post)
            self.gauges.repeated.labels(job.service.name).inc()
            self._resolve(job, answer)
        except Exception as error:
            self._fail(job, error)

    # ------------------------------------------------------------------------------------------------- plumbing

    def _all_queues(self) -> list[BatchingQueue[Job]]:
        return [self._lookup, *self._batching.values()]

    def _overdue(self) -> dict[str, int]:
        return dict.fromkeys(self.config.services, 0) | self.records.overdue(datetime.now(UTC))

    def _known(self, service: str) -> None:
        if service not in self.config.services:
            raise WorkbenchError(unknown("service", service, self.config.services))

    def _service(self, name: str) -> Service:
        self._known(name)
        if name not in self._services:
            self.load()
        return self._services[name]

    def _queue_of(self, job: Job) -> BatchingQueue[Job]:
        media = any(getattr(job.post, name) is not None for name in MEDIA)
        return self._batching[self.bundles[job.service.name], media]

    def _send(self, queue: BatchingQueue[Job], job: Job) -> None:
        if not queue.put(job):
            raise Busy(CLOSING if self._closed else "too many posts wait; send it again in a moment", 1)

    def _wait(self, future: Future[Answer], service: str) -> Answer:
        try:
            return future.result(self.config.services[service].limits.seconds)
        except TimeoutError:
            raise Busy("the post is still being scored; ask again in a moment", 1) from None

    def _resolve(self, job: Job, answer: Answer) -> None:
        self._flights.land(job)
        job.future.set_result(replace(answer, links=extraction.shown(job.post.text, self._lists)))

    def _fail(self, job: Job, error: Exception) -> None:
        self._flights.land(job)
        if not job.future.done():
            job.future.set_exception(error)
