"""One service as it is served: a bundle with the labels, the policy and the limits of the service, and its answers."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.decisions.bundle import POLICY
from workbench.decisions.policy import Assessment, Policy
from workbench.errors import WorkbenchError, unknown
from workbench.features.encoders.names import clip_options
from workbench.preprocessing.limits import ContentLimits, file_bytes, stated
from workbench.preprocessing.links.extraction import ShownLink
from workbench.preprocessing.video.reader import VideoOptions
from workbench.records import Entry, Records
from workbench.schema import MODALITIES, Decision, Post
from workbench.serving.config import MIB, Limits, ServiceConfig, SignalOptions, needs
from workbench.serving.rate_limit import RateLimit

if TYPE_CHECKING:
    from workbench.decisions.moderator import Moderator
    from workbench.models import Classifier

log = logging.getLogger(__name__)
CONTEXT = ("community", "language", "region")  # what a policy may depend on
COPIED = 40  # characters from which a text that many posts share is a copy
LOOK_AGAIN = 1.0  # seconds between two looks at a policy file


@dataclass(frozen=True)
class Answer:
    """What a service says about a post; `stored`: no model ran for it."""

    service: str
    decision: Decision
    assessment: Assessment
    model_id: str
    policy_id: str
    stored: bool
    contents: dict[str, str] = field(default_factory=dict)  # modality -> id under which the content is kept
    links: tuple[ShownLink, ...] = ()  # of the text, the first ones; they are found again for each answer, not kept

    @classmethod
    def recorded(cls, entry: Entry) -> Answer:
        """Return an answer as it stands on record."""
        decision, assessment = Decision.model_validate(entry.decision), Assessment.model_validate(entry.assessment)
        cells = {name: entry.features.get(name) or {} for name in MODALITIES}
        ids = {name: cell["id"] for name, cell in cells.items() if "id" in cell}
        return cls(entry.service, decision, assessment, entry.model_id, entry.policy_id, True, ids)


def context(features: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what features by value (`records.by_value`) tell of a post beside what is scored, to compare by."""
    return *map(features.get, (*CONTEXT, "created_at")), (features.get("engagement") or {}).get("reports") or 0


@dataclass(frozen=True)
class ServiceInfo:
    """What a service is."""

    name: str
    labels: tuple[str, ...]
    modalities: tuple[str, ...]  # that its model looks at
    needs: tuple[str, ...]  # of which a post must bring one
    model_id: str
    policy_id: str
    limits: Limits
    expected_per_second: float
    mode: str  # proactive: it scores what it is sent; reactive: what has a signal
    signals: SignalOptions | None  # those of a reactive service
    contents: dict[str, ContentLimits]  # modality that its model looks at -> how much of a content is read


class Service:
    """A bundle with the labels, the policy and the limits of one service."""

    def __init__(self, name: str, config: ServiceConfig, moderator: Moderator, folder: Path) -> None:
        for label in config.labels:
            if label not in moderator.labels:
                raise WorkbenchError(f"service {name!r}: {unknown('label', label, moderator.labels)}")
        self.name, self.config, self.moderator = name, config, moderator
        self.labels = tuple(label for label in moderator.labels if not config.labels or label in config.labels)
        limits = config.limits
        self._authors = RateLimit(limits.author_per_minute, limits.author_burst)
        self._copies = RateLimit(limits.copies_per_minute, limits.copies_burst)
        self._judging = [threading.Lock() for _ in range(64)]  # by identity
        self._path = config.policy or folder / POLICY
        self._stamp, self._looked = _stamp(self._path), -LOOK_AGAIN
        self._set(Policy.load(self._path) if config.policy else moderator.policy)

    def _set(self, policy: Policy) -> None:
        policy = policy.only(self.labels)
        policy.check(self.labels, f"service {self.name!r}")
        self.moderator.able(policy)
        for label, why in policy.idle().items():
            log.warning("service %s: no score on %r leads to anything: %s", self.name, label, why)
        self._policy = (policy, policy.id)

    def policy(self) -> tuple[Policy, str]:
        """Return the policy as its file stands and its id; a file that cannot be read leaves the last one in force."""
        now = time.monotonic()
        if now - self._looked > LOOK_AGAIN:
            self._looked = now
            if (stamp := _stamp(self._path)) != self._stamp:
                self._stamp = stamp
                try:
                    self._set(Policy.load(self._path))
                    log.info("service %s: policy %s is in force", self.name, self._policy[1])
                except WorkbenchError as error:
                    log.error("service %s keeps policy %s: %s", self.name, self._policy[1], error)
        return self._policy

    def admit(self, post: Post, contents: Mapping[str, str]) -> tuple[float, str]:
        """Count a new post, and return (0, "") or the seconds until it may come again and which limit it is over.

        contents: modality -> id. Short texts are no copies: many people say the same in a few words.
        """
        copied = {name: key for name, key in contents.items() if name != "text" or len(post.text or "") >= COPIED}
        author = post.author.id.strip().casefold() if post.author and post.author.id else None  # no two by a capital
        told = [("author", f"author {author!r}", author, self._authors)]
        told += [("content", f"content {key[:12]}", key, self._copies) for key in copied.values()]
        for kind, name, key, limit in told:
            seconds, news = limit.admit(key)
            if news:
                log.warning("%s is over the rate limit of service %s", name, self.name)
            if seconds:
                return seconds, kind
        return 0.0, ""

    def assessed(self, assessment: Assessment) -> Assessment:
        """Return an assessment for the service's own labels."""
        scores = {label: score for label, score in assessment.scores.items() if label in self.labels}
        missing = tuple(label for label in assessment.missing if label in self.labels)
        return assessment.model_copy(update={"scores": scores, "missing": missing})

    def recorded(self, entry: Entry) -> Answer:
        """Return a recorded answer as it was given."""
        answer = Answer.recorded(entry)
        return replace(answer, assessment=self.assessed(answer.assessment))

    def again(self, entry: Entry, records: Records, post: Post | None = None) -> Answer:
        """Return a recorded answer under the present policy and what is known by now; another decision is recorded.

        post: as it came again; what it tells anew is kept with the answer and no model runs. None: an event told of a
        report. Without news and under the same policy it is the answer that was given.
        """
        answer, policy_id = Answer.recorded(entry), self.policy()[1]
        if policy_id == entry.policy_id and post is not None and not _told(answer.assessment, post):
            return replace(answer, assessment=self.assessed(answer.assessment))
        with self._judging[hash(entry.identity) % len(self._judging)]:  # what others told meanwhile counts too
            entry = records.by_identity(entry.identity) or entry
            full = Assessment.model_validate(entry.assessment)
            told = {} if post is None else _told(full, post)
            known, (policy, policy_id) = full.model_copy(update=told), self.policy()
            reports = max(known.reports or 0, records.reports(entry.post_id))
            assessment = self.assessed(known).model_copy(update={"reports": reports} if reports else {})
            decision = policy.judge(assessment, self.moderator.taxonomy, entry.model_id, now=entry.at)
            kept = known.model_dump(mode="json") if told else None
            records.redecide(entry.identity, decision.model_dump(mode="json"), policy_id, kept)
        return replace(answer, assessment=assessment, decision=decision, policy_id=policy_id)

    def identity(self, post: Post, features: dict[str, Any]) -> str:
        """Return 64 hex digits over all that the answer depends on, the policy excepted."""
        read = {name: value for name, value in features.items() if name in self.moderator.reads}
        there = [name for name in MODALITIES if features.get(name) is not None]
        parts = [self.name, post.post_id, read, there, self.moderator.model_id]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def info(self) -> ServiceInfo:
        model, config = self.moderator, self.config
        modalities = tuple(model.classifier.modalities)
        ids = (model.model_id, self.policy()[1])
        asked = (config.mode, config.signals if config.mode == "reactive" else None)
        rate, read = config.expected_per_second, stated(_clip_options(model.classifier))
        most = file_bytes(int(config.limits.body_mb * MIB))
        contents = {name: read[name].within(most) for name in modalities}
        return ServiceInfo(
            self.name, self.labels, modalities, needs(self.name), *ids, config.limits, rate, *asked, contents
        )


def _clip_options(classifier: Classifier) -> list[VideoOptions]:
    """Return how clips are read by a model and those that it is made of: an encoder's name may say so."""
    options = [model.options for model in (classifier, *classifier.parts())]
    named = {getattr(one, field, None) for one in options for field in ("encoder", "image_encoder")}
    return [clip_options(name) for name in sorted(name for name in named if isinstance(name, str))]


def _told(known: Assessment, post: Post) -> dict[str, Any]:
    """Return what a post that came again tells anew: another place or language, more reports, its first time.

    What it does not tell, and fewer reports than there were, change nothing.
    """
    told = {name: getattr(post, name) for name in CONTEXT}
    if known.created_at is None:
        told["created_at"] = post.created_at
    reports = (post.engagement and post.engagement.reports) or 0
    if reports > (known.reports or 0):
        told["reports"] = reports
    return {name: value for name, value in told.items() if value is not None and value != getattr(known, name)}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size
