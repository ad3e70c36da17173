"""When a service with `mode: reactive` looks at a post: on a signal, or because the post was drawn.

A post without a signal waits. Its answer says so, with no score and the action `wait`, which is no
judgement: nobody has looked, neither a model nor a person. The post is kept as it was sent, and is scored once a signal
comes, with a later PUT or as an event.

Which posts are drawn depends on their ids alone, each with the same known probability, so that what is found among them
tells how much harm no signal points at.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from workbench.decisions.policy import Assessment
from workbench.preprocessing.links import extraction
from workbench.preprocessing.links.extraction import LinkLists
from workbench.records import Entry, Records
from workbench.schema import Decision, Post, Reason
from workbench.serving.config import SignalOptions
from workbench.serving.jobs import Job
from workbench.serving.served import CONTEXT, Answer, Service

WAIT = "wait"


def signal(options: SignalOptions, post: Post, reports: int, lists: LinkLists, now: datetime | None = None) -> str:
    """Return which signal a post has, the first of reports, spread, link and sample; "" for none.

    reports: how many have come as events; what the post itself says counts too. now: for reactions an hour.
    """
    told = post.engagement
    if options.reports is not None and max(reports, (told and told.reports) or 0) >= options.reports:
        return "reports"
    if told is not None and _spreads(options, post, now or datetime.now(UTC)):
        return "spread"
    if options.links and extraction.findings(post.text, lists):
        return "link"
    return "sample" if drawn(post.post_id, options.sample) else ""


def _spreads(options: SignalOptions, post: Post, now: datetime) -> bool:
    views, reactions = post.engagement.impressions or 0, post.engagement.reactions or 0
    posted = post.created_at or now
    hours = (now - (posted if posted.tzinfo else posted.replace(tzinfo=UTC))).total_seconds() / 3600
    return (options.impressions is not None and views >= options.impressions) or (
        options.reactions_per_hour is not None and reactions / max(hours, 1) >= options.reactions_per_hour
    )


def drawn(post_id: str, share: float) -> bool:
    """Return whether a post is among a share of all, told by its id: always the same, and alike for every post.

    >>> drawn("t3_1abc", 0.0), drawn("t3_1abc", 1.0)
    (False, True)
    """
    digest = hashlib.sha256(f"signal {post_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def sentence(options: SignalOptions) -> str:
    """Return in words when a post is looked at.

    >>> sentence(SignalOptions(impressions=None, reactions_per_hour=None, sample=0))
    'from 3 reports on, or for a suspicious link'
    """
    parts = []
    if options.reports is not None:
        parts.append(f"from {options.reports:,} report{'s' * (options.reports != 1)} on")
    if options.impressions is not None:
        parts.append(f"from {options.impressions:,} views on")
    if options.reactions_per_hour is not None:
        parts.append(f"from {options.reactions_per_hour:,g} reactions an hour on")
    if options.links:
        parts.append("for a suspicious link")
    if options.sample:
        parts.append(f"if drawn, as {options.sample:.4g} of all posts are")
    return ", or ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def waits(entry: Entry) -> bool:
    """Return whether a record is of a post that the service was not asked about."""
    return entry.decision.get("action") == WAIT


class Signals:
    """What signals posts have, and the records of those that have none."""

    def __init__(self, records: Records, lists: LinkLists) -> None:
        self._records, self._lists = records, lists

    def of(self, service: Service, post: Post) -> str:
        """Return why a service looks at a post: always, or by which signal; "" where it has none."""
        if service.config.mode == "proactive":
            return "always"
        return signal(service.config.signals, post, self._records.reports(post.post_id), self._lists)

    def held(self, job: Job) -> Answer | None:
        """Return the answer of a post that waits already, None where it does not."""
        found = self._records.find([identity := _identity(job)]).get(identity)
        if found is None:
            return None
        if not found.newest:
            self._records.answer(identity)
        return job.service.recorded(found.entry)

    def hold(self, job: Job) -> Answer | None:
        """Keep a post that waits and return its answer; None where it has a signal, or was scored, by now."""
        service, post, at = job.service, job.post, datetime.now(UTC)
        model, policy_id = service.moderator, service.policy()[1]
        known = {name: getattr(post, name) for name in (*CONTEXT, "created_at")}
        known["reports"] = post.engagement and post.engagement.reports
        assessment = Assessment(post_id=post.post_id, missing=model.labels, **known)
        decision = Decision(
            post_id=post.post_id,
            action=WAIT,
            scores={},
            reasons=(Reason(kind="rule", detail=_why(service)),),
            model_id=model.model_id,
            policy_id=policy_id,
        )
        narrowed = service.assessed(assessment)
        answer = Answer(service.name, decision, narrowed, model.model_id, policy_id, False, job.contents)
        entry = job.entry(assessment, answer, at).model_copy(update={"identity": _identity(job)})
        self._records.record(entry, job.blobs, job.elsewhere, job.after, unless=job.identity)
        late = self.of(service, post) or self._records.by_identity(job.identity)
        return None if late else answer


def _why(service: Service) -> str:
    return f"Not asked: no signal; this service looks at a post {sentence(service.config.signals)}."


def _identity(job: Job) -> str:
    """Return an identity other than that of the scored post, and another one where other signals count."""
    return hashlib.sha256(f"{job.identity} {_why(job.service)}".encode()).hexdigest()
