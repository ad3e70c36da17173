"""What happens at which score: a dated policy in YAML, and the rule that turns an assessment into a decision.

Per label there are two thresholds; `score >= threshold` meets one. Remove goes before review, review before allow. What
is missing (content that could not be read, a score that is not there, a modality that the model does not look at, a
label without a rule) leads to review and never to allow; only `unseen: allow` lets a policy pass what the model does
not look at, and even then something of the post must have been scored. A suspicious link leads to review at least,
unless the policy says `links: ignore`, and so do reports from a stated number on; neither removes a post, since people
report what annoys them. A label that acts on a signal (`mode: reactive` in the taxonomy) removes nothing at once.

Nothing heavy is imported, so a new policy can be applied to stored scores without a model.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from workbench.decisions.objective import Chosen, Share
from workbench.errors import WorkbenchError, unknown
from workbench.schema import Decision, Options, Reason, Taxonomy, read_yaml

REPORTS = 3  # reports from which a person looks, where a policy does not say otherwise
NOTHING = 2.0  # a threshold that no probability reaches


class LabelRule(Options):
    """From which score on a label leads to review and to removal; null: never."""

    review_at: Share | None = Field(description="A person looks from this score on.")
    remove_at: Share | None = Field(description="The post is removed from this score on.")
    review_for: Chosen | None = Field(None, description="What `review_at` was chosen for.")
    remove_for: Chosen | None = Field(None, description="What `remove_at` was chosen for.")

    @model_validator(mode="after")
    def _review_comes_first(self) -> Self:
        if None not in (self.review_at, self.remove_at) and self.review_at > self.remove_at:
            raise ValueError(f"review_at ({self.review_at:g}) must not be above remove_at ({self.remove_at:g})")
        return self

    @property
    def flags_from(self) -> float | None:
        """From where a comparison counts a post as flagged: above every probability where flagging nothing is best.

        None where there is no threshold because none qualified, so that nobody can say what would be flagged.
        """
        decided = self.review_at is None and self.review_for is not None and self.review_for.nothing
        return NOTHING if decided else self.review_at

    def says(self, action: Literal["review", "remove"]) -> str:
        """Return what a threshold was chosen for and what it did, in words."""
        at, chosen = self._of(action)
        if chosen is None:
            return "never" if at is None else "set by hand"
        if at != chosen.at:
            was = "none" if chosen.at is None else f"{chosen.at:.3f}"
            return f"set by hand; for {chosen.objective} it was {was}"
        gone = "nothing is removed; " if action == "remove" and at is None else ""
        return f"{chosen.objective}: {gone}{chosen.promise}"

    def adds(self, action: Literal["review", "remove"]) -> list[str]:
        """Return what else is to be known of a threshold that was chosen, in whole sentences."""
        at, chosen = self._of(action)
        return chosen.more if chosen is not None and at == chosen.at else []

    def _of(self, action: Literal["review", "remove"]) -> tuple[float | None, Chosen | None]:
        return (self.review_at, self.review_for) if action == "review" else (self.remove_at, self.remove_for)

    def reviewing(self) -> Self:
        """Return the rule with review in place of removal."""
        at = self.remove_at if self.review_at is None else self.review_at
        return self.model_copy(update={"review_at": at, "remove_at": None})

    def met(self, score: float) -> tuple[Literal["review", "remove"], float] | None:
        """Return what a score leads to, and the threshold it met; None where it meets none."""
        if self.remove_at is not None and score >= self.remove_at:
            return "remove", self.remove_at
        if self.review_at is not None and score >= self.review_at:
            return "review", self.review_at
        return None


class Override(Options):
    """Other thresholds where posts come from one place or are in one language."""

    region: str | None = Field(None, min_length=1, description="For posts of this region.")
    language: str | None = Field(None, min_length=1, description="For this language; `en` also means `en-GB`.")
    labels: dict[str, LabelRule] = Field(min_length=1, description="The whole rule of each label that differs.")

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if self.region is None and self.language is None:
            raise ValueError("an override needs a region, a language, or both")
        return self

    def applies(self, region: str | None, language: str | None) -> bool:
        """Return whether a post of this region and language is meant."""
        here = self.region is None or (region or "").lower() == self.region.lower()
        tag, wanted = (language or "").lower().replace("_", "-"), (self.language or "").lower().replace("_", "-")
        return here and (self.language is None or tag == wanted or tag.startswith(f"{wanted}-"))

    def __str__(self) -> str:
        parts = {"region": self.region, "language": self.language}
        return " and ".join(f"{name} {value}" for name, value in parts.items() if value)


class Assessment(Options):
    """What is known of a post before any policy: scores, and what is missing."""

    post_id: str = Field(description="The post.")
    scores: dict[str, Share] = Field({}, description="Calibrated probability per label that has one.")
    missing: tuple[str, ...] = Field((), description="Labels that have no score here.")
    unread: dict[str, str] = Field({}, description="Per modality that could not be read, why.")
    unseen: tuple[str, ...] = Field((), description="Modalities that the model does not look at.")
    variants: dict[str, str] = Field({}, description="Per label, what a text variant undid.")
    alike: dict[str, tuple[str, ...]] = Field(
        {},
        description="Per label whose score comes from single training posts, those with the label, most alike first.",
    )
    moved: dict[str, tuple[str, ...]] = Field(
        {}, description="Per label, what numbers around the post did to its score, the strongest first."
    )
    links: tuple[str, ...] = Field((), description="What is suspicious about the links, one sentence each.")
    reports: int | None = Field(None, ge=0, description="Reports of the post so far.")
    region: str | None = Field(None, description="The post's region.")
    language: str | None = Field(None, description="The post's language.")
    out_of_distribution: Share | None = Field(None, description="Share of validation posts that are less unusual.")
    out_of_distribution_in: str | None = Field(None, description="The modality in which it is most unusual.")
    created_at: dt.datetime | None = Field(None, description="When it was posted.")
    community: str | None = Field(None, description="Where it was posted.")


class Policy(Options):
    """Thresholds per label, with what they were chosen for."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", description="What the policy is called.")
    version: int = Field(1, ge=1, description="Counts the changes.")
    date: dt.date = Field(description="From when it holds.")
    unseen: Literal["review", "allow"] = Field(
        "review", description="What happens to a post with content that the model does not look at."
    )
    links: Literal["review", "ignore"] = Field("review", description="What happens to a post with a suspicious link.")
    reports_at: int | None = Field(
        REPORTS, ge=1, description="A person looks at a post with so many reports; null: reports alone lead to nothing."
    )
    reactive: Literal["review", "remove"] = Field(
        "review", description="What a score that removes leads to, of a label that acts on a signal."
    )
    out_of_distribution_at: Share | None = Field(
        None, description="A person looks at posts more unusual than this share of validation posts; null: never."
    )
    labels: dict[str, LabelRule] = Field(description="The rule of each label.")
    overrides: tuple[Override, ...] = Field((), description="Other rules by region or language; the last one counts.")

    @cached_property
    def id(self) -> str:
        """Name, version and eight hex digits over the whole content."""
        content = self.model_dump(mode="json")
        for name in ("reports_at", "reactive"):  # what is as it is by default is as if it were not written
            if content[name] == type(self).model_fields[name].default:
                del content[name]
        at = content.pop("out_of_distribution_at")
        if at is not None:  # what is off is as if it did not exist
            content["unusual_at"] = at  # as it was called first, so that policies on record keep their ids
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.name}@{self.version}-{digest[:8]}"

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a policy file; raise WorkbenchError in one sentence for what is wrong with it."""
        return cls.parse(read_yaml(Path(path)), f"policy {path}")

    def dump(self, path: Path | str) -> None:
        """Write the policy as YAML."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
        Path(path).write_text(text, encoding="utf-8")

    def model_copy(self, **changes: Any) -> Self:
        """Return a copy, whose id is its own."""
        copied = super().model_copy(**changes)
        copied.__dict__.pop("id", None)
        return copied

    def check(self, labels: Iterable[str], what: str) -> None:
        """Raise WorkbenchError unless there is a rule for each of the labels and for no other."""
        labels = tuple(labels)
        named = [*self.labels, *(label for override in self.overrides for label in override.labels)]
        for label in named:
            if label not in labels:
                raise WorkbenchError(f"policy {self.id}: {unknown(f'label of {what}', label, labels)}")
        for label in labels:
            if label not in self.labels:
                raise WorkbenchError(
                    f"policy {self.id} has no rule for label {label!r} of {what}; add `{label}: "
                    "{review_at: ..., remove_at: ...}` under `labels`"
                )

    def only(self, labels: Iterable[str]) -> Self:
        """Return the policy for some of its labels."""
        kept = set(labels)
        overrides = [
            override.model_copy(update={"labels": rules})
            for override in self.overrides
            if (rules := {label: rule for label, rule in override.labels.items() if label in kept})
        ]
        rules = {label: rule for label, rule in self.labels.items() if label in kept}
        return self.model_copy(update={"labels": rules, "overrides": tuple(overrides)})

    def rule(
        self, label: str, region: str | None, language: str | None, taxonomy: Taxonomy
    ) -> tuple[LabelRule | None, Override | None]:
        """Return the rule of a label for a post of this region and language, and the override that it comes from.

        A label that acts on a signal goes to a person where it would be removed, unless the policy says `remove`.
        """
        meant = (one for one in reversed(self.overrides) if label in one.labels and one.applies(region, language))
        override = next(meant, None)
        rule = self.labels.get(label) if override is None else override.labels[label]
        return rule and rule.reviewing() if label in self.waiting(taxonomy.reactive) else rule, override

    def waiting(self, reactive: Iterable[str]) -> tuple[str, ...]:
        """Return, of the labels that act on a signal, those of which nothing is removed before a person has looked."""
        return tuple(label for label in reactive if label in self.labels and self.reactive == "review")

    def idle(self) -> dict[str, str]:
        """Return the labels whose score leads to nothing anywhere, and why: nobody asked, or no threshold qualified."""
        everywhere = [self.labels, *(override.labels for override in self.overrides)]
        able = {label for rules in everywhere for label, rule in rules.items() if rule.met(1.0)}
        return {label: rule.says("review") for label, rule in self.labels.items() if label not in able}

    def judge(
        self, assessment: Assessment, taxonomy: Taxonomy, model_id: str, *, now: dt.datetime | None = None
    ) -> Decision:
        """Return the decision about an assessed post, due by the earliest deadline of the labels concerned."""
        reasons, actions, concerned, able = self._by_score(assessment, taxonomy)
        gaps = [*_missing(assessment, self.unseen), *([] if able else [_NOTHING]), *self._unlike_training(assessment)]
        if self.links == "review":
            gaps += [Reason(kind="link", detail=sentence) for sentence in assessment.links]
        gaps += self._reported(assessment)
        if gaps:
            actions.add("review")
            concerned |= {*assessment.scores, *assessment.missing}
        action = next((name for name in ("remove", "review") if name in actions), "allow")
        return Decision(
            post_id=assessment.post_id,
            action=action,
            scores=assessment.scores,
            reasons=(*reasons, *gaps),
            unread=tuple(assessment.unread),
            unseen=assessment.unseen,
            due_at=_due(concerned, taxonomy, assessment.created_at, now) if action == "review" else None,
            model_id=model_id,
            policy_id=self.id,
        )

    def _reported(self, assessment: Assessment) -> list[Reason]:
        """Return why a person looks at a post that people have reported; none where so few have."""
        if self.reports_at is None or (assessment.reports or 0) < self.reports_at:
            return []
        times = "once" if self.reports_at == 1 else f"{self.reports_at} times"  # no number that grows: one decision
        detail = f"The post was reported at least {times}; from there on, a person looks."
        return [Reason(kind="reports", detail=detail)]

    def _unlike_training(self, assessment: Assessment) -> list[Reason]:
        """Return why a person looks at a post that is unlike those the model was trained on; none where none does."""
        share, at = assessment.out_of_distribution, self.out_of_distribution_at
        if at is None or (share is not None and share < at):
            return []
        if share is None:
            return [Reason(kind="unread", detail="It could not be told how unusual the post is; a person looks.")]
        subject = f"The {assessment.out_of_distribution_in or 'post'} is more unlike the training posts than"
        detail = f"{subject} {share:.1%} of the validation posts; from {at:.1%} on, a person looks."
        return [Reason(kind="rule", score=share, threshold=at, detail=detail)]

    def _by_score(self, assessment: Assessment, taxonomy: Taxonomy) -> tuple[list[Reason], set[str], set[str], bool]:
        """Return reasons (highest urgency first), actions, labels concerned, and whether any score could have acted."""
        reasons, actions, concerned, able = [], set(), set(), False
        urgency = {label.name: -label.urgency for label in taxonomy.labels}
        for label in sorted(assessment.scores, key=lambda name: urgency.get(name, 0)):
            score = assessment.scores[label]
            rule, override = self.rule(label, assessment.region, assessment.language, taxonomy)
            if rule is None:
                reasons.append(Reason(kind="rule", label=label, score=score, detail=f"No rule is set for {label}."))
                actions.add("review")
                concerned.add(label)
                continue
            able = able or rule.met(1.0) is not None
            if (met := rule.met(score)) is not None:
                detail = _detail(label, score, *met, override, assessment)
                reasons.append(Reason(kind="label", label=label, score=score, threshold=met[1], detail=detail))
                actions.add(met[0])
                concerned.add(label)
        return reasons, actions, concerned, able


_NOTHING = Reason(kind="rule", detail="No score that the policy has a threshold for is there, so a person looks.")


def _detail(
    label: str, score: float, action: str, threshold: float, override: Override | None, assessment: Assessment
) -> str:
    variant, alike, moved = (getattr(assessment, name).get(label) for name in ("variants", "alike", "moved"))
    done = "removed" if action == "remove" else "sent to review"
    where = f" for {override}" if override else ""
    by = f" by its variant with {variant}" if variant else ""
    like = f" Most like it of the training posts with {label}: {', '.join(alike)}." if alike else ""
    around = f" Against a typical post: {', '.join(moved)}." if moved else ""
    return f"{label} scores {score:.3f}{by}; posts are {done} from {threshold:.3f} on{where}.{like}{around}"


def _missing(assessment: Assessment, unseen: str) -> list[Reason]:
    """Return why the post needs a person whatever its scores."""
    reasons = [
        Reason(kind="unread", detail=f"The {modality} could not be read: {why}")
        for modality, why in assessment.unread.items()
    ]
    if assessment.missing:
        names = ", ".join(assessment.missing)
        reasons.append(Reason(kind="rule", detail=f"There is no score for {names}, so a person looks."))
    if assessment.unseen and unseen == "review":
        names = " and the ".join(assessment.unseen)
        reasons.append(Reason(kind="rule", detail=f"The model does not look at the {names} of this post."))
    return reasons


def _due(
    concerned: set[str], taxonomy: Taxonomy, created_at: dt.datetime | None, now: dt.datetime | None
) -> dt.datetime | None:
    """Return the earliest deadline of the labels concerned, or of all labels where none is.

    It runs from when the post was made, and at the latest from when it came.
    """
    came = dt.datetime.now(dt.UTC) if now is None else now
    start = min(at if at.tzinfo else at.replace(tzinfo=dt.UTC) for at in (came, created_at or came))
    hours = [label.deadline_hours for label in taxonomy.labels if label.name in concerned]
    hours = hours or [label.deadline_hours for label in taxonomy.labels]
    try:
        return start + dt.timedelta(hours=min(hours))
    except OverflowError:  # posted at the end of time
        return start
