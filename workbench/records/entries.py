"""What is recorded: a post as it was scored, and what happened to it afterwards."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from typing import Any, Literal, Self, get_args

from pydantic import AwareDatetime, Field, model_validator

from workbench.records.blobs import Blobs, blobs_of
from workbench.records.references import Reference
from workbench.schema import MODALITIES, Options, Post

Kind = Literal["report", "reaction", "impression", "removal", "appeal", "label"]
KINDS: tuple[str, ...] = get_args(Kind)


class Entry(Options):
    """One post as it was scored, and what was decided."""

    identity: str = Field(min_length=1, description="What tells it from every other: service, post, features, model.")
    service: str = Field(min_length=1, description="Which service was asked.")
    post_id: str = Field(min_length=1, description="The site's identifier of the post.")
    at: AwareDatetime = Field(description="When it was scored.")
    features: dict[str, Any] = Field(description="What the model was given, as `by_value` writes it.")
    assessment: dict[str, Any] = Field(description="Scores, and what could not be read.")
    decision: dict[str, Any] = Field(description="The newest decision on it.")
    model_id: str = Field(description="Which model scored it.")
    policy_id: str = Field(description="Which policy made the newest decision.")
    deleted_at: AwareDatetime | None = Field(None, description="When its content was removed, if it was.")


class Event(Options):
    """Something that happened to a post after it was scored."""

    post_id: str = Field(min_length=1, description="The post.")
    kind: Kind = Field(description="What happened.")
    at: AwareDatetime = Field(description="When.")
    value: dict[str, Any] = Field({}, description="What is known of it, such as {label: true}.")
    by: str | None = Field(None, description="Who did it; None for an automatic act.")
    key: str | None = Field(None, min_length=1, description="What tells it from every other, where the sender says so.")
    timed: bool = Field(True, description="Whether the sender said when; else `at` is when it came.")

    @model_validator(mode="after")
    def _verdicts_can_be_read(self) -> Self:
        if self.kind == "label" and not all(value in (True, False, None) for value in self.value.values()):
            raise ValueError("a `label` event's value maps labels to true, false or null")
        labels = self.value.get("labels", [])
        if self.kind in ("removal", "appeal") and not (
            isinstance(labels, list) and all(isinstance(value, str) for value in labels)
        ):
            raise ValueError(f"`labels` of a {self.kind} is a list of names")
        if self.kind == "appeal" and self.value.get("decision") not in ("upheld", "overturned", None):
            raise ValueError("an appeal's `decision` is upheld or overturned, or left out while it is open")
        return self

    @property
    def verdict(self) -> bool:
        """Whether it says something of what the post was then; another kind only counts."""
        return self.kind in ("label", "removal", "appeal")

    @property
    def told(self) -> str:
        """The value as text, the same for the same."""
        return json.dumps(self.value, sort_keys=True)

    @property
    def once(self) -> str:
        """What two events have in common that are one: the key; or post, kind, who, value, and the time where told."""
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds") if self.timed else None
        parts = [self.key] if self.key else [self.post_id, self.kind, self.by or "", self.value, at]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def by_value(post: Post) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a post's inputs as plain JSON types without what is None, and the blobs that it names by their id.

    Text, image and video become {"id": sha256, "bytes": n}, those by reference too; media that are given by path alone
    keep {"path"}. The second value is {modality: bytes}, the text as UTF-8 with lone halves of surrogate pairs kept.
    """
    features = post.model_dump(mode="json", exclude={"post_id", *MODALITIES}, exclude_none=True)
    blobs = blobs_of(post)
    for modality, data in blobs.items():
        features[modality] = {"id": Blobs.id_of(data), "bytes": len(data)}
    for modality in ("image", "video"):
        media = getattr(post, modality)
        if media is not None and media.bytes is None and media.path:
            reference = Reference.of(media.path)
            features[modality] = reference._asdict() if reference else {"path": media.path}
    return features, blobs
