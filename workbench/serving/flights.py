"""The posts that are under way: equal ones share an answer, and one that is deleted meanwhile is not kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from workbench.schema import MODALITIES, Post
from workbench.serving.served import Answer, Service, context


@dataclass(frozen=True, eq=False)
class Job:
    """A post on its way to an answer."""

    service: Service
    post: Post
    identity: str | None = None  # None: a probe, which is not recorded
    features: dict[str, Any] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    future: Future[Answer] = field(default_factory=Future)
    deleted: threading.Event = field(default_factory=threading.Event)  # the post was, meanwhile
    after: int | None = None  # the number of the last deletion when the post was looked up

    @property
    def contents(self) -> dict[str, str]:
        """Modality -> id of the content that the post brings."""
        cells = {name: self.features.get(name) or {} for name in MODALITIES}
        return {name: cell["id"] for name, cell in cells.items() if "id" in cell}

    @property
    def brings(self) -> tuple[Any, ...]:
        """What it tells of the post beside what is scored."""
        return context(self.features)


class Flights:
    """The recorded posts that are under way, by what they have in common that share an answer."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[Any, ...], Job] = {}
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return len(self._jobs)

    def share(self, job: Job) -> Future[Answer] | None:
        """Return the answer to come of an equal post; None where there is none, and then the job is under way."""
        with self._guard:
            flying = self._jobs.setdefault(_common(job), job)
            if flying is not job:
                return flying.future
            job.future.set_running_or_notify_cancel()  # one who no longer waits must not cancel it for the others
            return None

    def land(self, job: Job) -> None:
        if job.identity is not None:
            with self._guard:
                self._jobs.pop(_common(job), None)

    def delete(self, service: str, post_id: str) -> bool:
        """Have every version of a post that is under way not recorded, and say whether there is one."""
        with self._guard:
            jobs = [job for job in self._jobs.values() if (job.service.name, job.post.post_id) == (service, post_id)]
            for job in jobs:
                job.deleted.set()
        return bool(jobs)


def _common(job: Job) -> tuple[Any, ...]:
    return job.identity, *job.brings
