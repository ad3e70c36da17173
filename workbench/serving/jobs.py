"""The posts that are under way: equal ones share an answer, and one that is deleted meanwhile is not kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from workbench.decisions.policy import Assessment
from workbench.records import Entry
from workbench.schema import MODALITIES, Post
from workbench.serving.contents import references
from workbench.serving.served import Answer, Service, context


@dataclass(frozen=True, eq=False)
class Job:
    """A post for one service, and the answer to come.

    identity: None of a probe, which is not recorded. counted: whether rate limits have counted the post before.
    deleted: that the post was, meanwhile. after: the number of the last deletion when the post was looked up.
    """

    service: Service
    post: Post
    identity: str | None = None
    features: dict[str, Any] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    counted: bool = False
    future: Future[Answer] = field(default_factory=Future)
    deleted: threading.Event = field(default_factory=threading.Event)
    after: int | None = None

    @property
    def contents(self) -> dict[str, str]:
        """Modality -> id of the content that the post brings."""
        cells = {name: self.features.get(name) or {} for name in MODALITIES}
        return {name: cell["id"] for name, cell in cells.items() if "id" in cell}

    @property
    def brings(self) -> tuple[Any, ...]:
        """What it tells of the post beside what is scored."""
        return context(self.features)

    @property
    def flight(self) -> tuple[Any, ...]:
        """What posts have in common that share an answer while it is under way."""
        return self.identity, *self.brings, self.post.engagement

    @property
    def elsewhere(self) -> set[str]:
        """The ids of contents that it brings by reference, which the records need not keep."""
        return {reference.id for reference in references(self.post).values()}

    def entry(self, assessment: Assessment, answer: Answer, at: datetime) -> Entry:
        """Return the record of an answer to it; assessment: for all labels of the model."""
        return Entry(
            identity=self.identity,
            service=self.service.name,
            post_id=self.post.post_id,
            at=at,
            features=self.features,
            assessment=assessment.model_dump(mode="json"),
            decision=answer.decision.model_dump(mode="json"),
            model_id=answer.model_id,
            policy_id=answer.policy_id,
        )


class Flights:
    """The recorded posts that are under way."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[Any, ...], Job] = {}
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return len(self._jobs)

    def share(self, job: Job) -> Future[Answer] | None:
        """Return the answer to come of an equal post; None where there is none, and then the job is under way."""
        with self._guard:
            flying = self._jobs.setdefault(job.flight, job)
            if flying is not job:
                return flying.future
            job.future.set_running_or_notify_cancel()  # one who no longer waits must not cancel it for the others
            return None

    def land(self, job: Job) -> None:
        if job.identity is not None:
            with self._guard:
                self._jobs.pop(job.flight, None)

    def delete(self, service: str, post_id: str) -> bool:
        """Have every version of a post that is under way not recorded, and say whether there is one."""
        with self._guard:
            jobs = [job for job in self._jobs.values() if (job.service.name, job.post.post_id) == (service, post_id)]
            for job in jobs:
                job.deleted.set()
        return bool(jobs)
