"""The bodies of requests, each checked against one schema, and the posts and events that they stand for.

What is checked here and what the OpenAPI document says come from the same models. No body can name a file.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from workbench.schema import MODALITIES, Media, Post, visible
from workbench.serving.api.problems import ProblemError, sentence

MOST = 2**53  # of any count: what every JSON reader takes exactly
BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
POST_ID = r"^[^/\x00-\x1f\x7f]+$"
POST_ID_LENGTH = 256
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
Model = TypeVar("Model", bound=BaseModel)


# --------------------------------------------------------------------------------------------------------- field types


def checked(model: type[Model], value: Any) -> Model:
    """Return a body as its model, or raise ProblemError 422 with a sentence that repeats nothing of it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ProblemError(422, sentence(error, model)) from None


class Body(BaseModel):
    """Strict: no unknown keys, no numbers as text, nothing that is not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _moment(value: Any) -> datetime:
    if not isinstance(value, str) or not _MOMENT.fullmatch(value.upper()):
        raise ValueError("must be a time as RFC 3339 writes it, such as 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time that there is, such as 2026-01-31T12:00:00Z") from None


Count = Annotated[int, Field(ge=0, le=MOST), BeforeValidator(_whole)]
Moment = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation")
]
Name = Annotated[str, Field(max_length=256)]
Key = Annotated[str, Field(min_length=1, max_length=256)]


class ContentId(Body):
    """A content that is kept already, by its id."""

    id: str = Field(pattern=r"^[0-9a-f]{64}$", description="The sha256 of its bytes (of a text: of its UTF-8).")


def _one_of(value: Any) -> Any:
    """Tell a content from its id by type, so that a fault in one is not reported for both."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, dict):
        return ContentId.model_validate(value)
    raise ValueError('must be a string, or {"id": ...} of a content that is kept')


_ID = ContentId.model_json_schema()
_ENCODED = {"type": "string", "pattern": BASE64, "contentEncoding": "base64"}
Text = Annotated[
    str | ContentId | None,
    BeforeValidator(_one_of),
    WithJsonSchema({"anyOf": [{"type": "string"}, _ID, {"type": "null"}], "description": "The words, unchanged."}),
]
Encoded = Annotated[
    str | ContentId | None,
    BeforeValidator(_one_of),
    WithJsonSchema({"anyOf": [_ENCODED, _ID, {"type": "null"}], "description": "The file, as padded base64."}),
]


class AuthorIn(Body):
    """Who posted, as known now."""

    id: Name | None = Field(None, description="A stable pseudonym.")
    account_age_days: float | None = Field(None, ge=0, le=1e6, description="Days since the account was opened.")
    posts: Count | None = Field(None, description="Posts before this one.")
    prior_reports: Count | None = Field(None, description="Reports of earlier posts.")
    prior_removals: Count | None = Field(None, description="Earlier posts that were removed.")


class EngagementIn(Body):
    """Reactions up to now."""

    reactions: Count | None = Field(None, description="Reactions so far.")
    reports: Count | None = Field(None, description="Reports so far.")
    impressions: Count | None = Field(None, description="Views so far.")


class Features(Body):
    """What is known of the post; null is the same as left out."""

    text: Text = None
    image: Encoded = None
    video: Encoded = None
    author: AuthorIn | None = None
    engagement: EngagementIn | None = None
    community: Name | None = Field(None, description="Where it was posted.")
    language: Name | None = Field(None, description="A BCP 47 tag, if known.")
    region: Name | None = Field(None, description="The author's or the community's region, if known.")
    created_at: Moment | None = Field(None, description="When it was posted.")


class FeatureQuery(Body):
    """What is asked of a content's vectors."""

    encoder: Name | None = Field(None, description="Only the vectors of this encoder.")
    values: Literal["true", "false"] = Field("false", description="Whether the vectors themselves are wanted.")


class Put(Body):
    """The body of a PUT."""

    features: Features


# ------------------------------------------------------------------------------------------------------------- to posts


Fetch = Callable[[str, str], str | bytes | Media | None]


def to_post(post_id: str, body: Put, needs: tuple[str, ...], fetch: Fetch) -> Post:
    """Return the post of a body; `fetch` returns what a modality and an id stand for, None for nothing.

    Raises ProblemError where a content is no base64 or not kept, or where the post brings nothing of `needs`.
    """
    features = body.features
    text, image, video = (_content(name, getattr(features, name), fetch) for name in MODALITIES)
    brought = {"text": visible(text), "image": image is not None, "video": video is not None}
    if not any(brought[name] for name in needs):
        listed = " or ".join(f"features.{name}" for name in needs)
        raise ProblemError(422, f"the service needs {listed}; a text needs a visible character")
    files = ((name, data) for name, data in (("image", image), ("video", video)) if data is not None)
    media = {name: data if isinstance(data, Media) else Media(bytes=data) for name, data in files}
    return Post(post_id=post_id, text=text, **media, **features.model_dump(exclude=set(MODALITIES)))


def _content(name: str, given: str | ContentId | None, fetch: Fetch) -> str | bytes | Media | None:
    if isinstance(given, ContentId):
        data = fetch(name, given.id)
        if data is None:
            raise ProblemError(404, f"features.{name}: no content of this id is kept; send it by value")
        return data
    if given is None or name == "text":
        return given
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise ProblemError(422, f"features.{name}: must be base64 with padding and without line breaks") from None


# --------------------------------------------------------------------------------------------------------------- events


class Counted(Body):
    """How many at once."""

    count: Count = Field(1, description="How many.")


class Because(Body):
    """What was reported."""

    reason: Name | None = Field(None, description="The reporter's choice or words.")


class Concerned(Body):
    """Which labels a removal was for."""

    labels: list[str] = Field([], max_length=64, description="The labels it was for.")
    reason: Name | None = Field(None, description="Why.")


class Appealed(Concerned):
    """An appeal, and its end once it has one."""

    decision: Literal["upheld", "overturned"] | None = Field(None, description="How it ended; null while it is open.")


class _Event(Body):
    at: Moment | None = Field(None, description="When; now, if left out.")
    by: Name | None = Field(None, description="Who; left out for an automatic act.")
    idempotency_key: Key | None = Field(None, description="What tells the event from every other, for retries.")


def _said(name: str) -> dict[str, Any]:
    """Return the schema of an object that has a text of this name, and not an empty one."""
    return {"required": [name], "properties": {name: {"type": "string", "minLength": 1}}}


class Report(_Event):
    """Somebody reported the post."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_said("by"), _said("idempotency_key")]})
    kind: Literal["report"]
    value: Because | None = None

    @model_validator(mode="after")
    def _is_counted_once(self) -> Self:
        if not self.by and self.idempotency_key is None:
            raise ValueError("a report needs by (who) or idempotency_key, so that it is counted once")
        return self


class Reaction(_Event):
    """Somebody reacted to the post."""

    kind: Literal["reaction"]
    value: Counted | None = None


class Impression(_Event):
    """The post was seen."""

    kind: Literal["impression"]
    value: Counted | None = None


class Removal(_Event):
    """The post was removed."""

    kind: Literal["removal"]
    value: Concerned | None = None


class Appeal(_Event):
    """Its author appealed, or the appeal was decided."""

    kind: Literal["appeal"]
    value: Appealed | None = None


class Verdict(_Event):
    """A person said which labels hold."""

    kind: Literal["label"]
    value: dict[str, bool | None] = Field(max_length=64, description="Label to true, false, or null for unclear.")


EVENTS = (Report, Reaction, Impression, Removal, Appeal, Verdict)
_BY_KIND = {model.model_fields["kind"].annotation.__args__[0]: model for model in EVENTS}


def to_event(value: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return {kind, at, value, by, key} of an event's body, `at` None where it has none; raises ProblemError 422."""
    kind = value.get("kind") if isinstance(value, dict) else None
    model = _BY_KIND.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise ProblemError(422, f"kind must be one of: {', '.join(_BY_KIND)}")
    event = checked(model, value)
    given = event.value if isinstance(event.value, dict) else event.value and event.value.model_dump(exclude_unset=True)
    named = given if event.kind == "label" else (given or {}).get("labels", ())
    if not set(named or ()) <= set(labels):
        raise ProblemError(422, f"value: labels must be among: {', '.join(labels)}")
    about = {"kind": event.kind, "at": event.at, "value": given or {}}
    return about | {"by": event.by, "key": event.idempotency_key}


# ---------------------------------------------------------------------------------------------------------- the schema


@cache
def visible_pattern() -> str:
    """Return the regular expression of a text with a visible character, as `schema.visible` tells it."""
    fillers = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
    hidden = [
        code
        for code in range(sys.maxunicode + 1)
        if code in fillers or unicodedata.category(chr(code)) in ("Cc", "Cf", "Zs", "Zl", "Zp")
    ]
    spans: list[list[int]] = []
    for code in hidden:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "[^" + "".join("-".join(dict.fromkeys(map(_escaped, span))) for span in spans) + "]"


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else chr(code)


def schema_of(*models: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schemas of models by name, with what they refer to."""
    definitions: dict[str, Any] = {}
    for model in models:
        schema = TypeAdapter(model).json_schema(ref_template="#/components/schemas/{model}")
        definitions |= schema.pop("$defs", {})
        definitions[model.__name__] = schema
    return definitions
