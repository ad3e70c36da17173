"""What the API says of itself: the OpenAPI document, and each service with its limits and an example.

The schemas are those that requests are checked by. Every service has a path of its own here, since each needs other
features.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from workbench.preprocessing.limits import ContentLimits, stated
from workbench.preprocessing.links.extraction import ShownLink
from workbench.schema import Decision
from workbench.serving.api.payloads import (
    BASE64,
    EVENTS,
    POST_ID,
    POST_ID_LENGTH,
    ContentId,
    FeatureQuery,
    Features,
    schema_of,
    visible_pattern,
)
from workbench.serving.api.samples import EXAMPLES
from workbench.serving.config import MIB, SERVICES, SignalOptions, needs
from workbench.serving.served import ServiceInfo

ID = re.compile(r"[0-9a-f]{64}")


class Result(BaseModel):
    """A label with its confidence."""

    label: str
    confidence: float | None = Field(ge=0, le=1, description="Null: there is no score, for content that is unread.")


class Moderated(BaseModel):
    """The answer of a service about a post."""

    post_id: str
    service: Literal[SERVICES]
    results: list[Result]
    decision: Decision
    model: str = Field(description="Which model scored it.")
    policy: str = Field(description="Which policy decided.")
    stored: bool = Field(description="Whether the answer was on record, so that no model ran.")
    features: dict[str, str] = Field(description="Under which id each content is kept.")
    links: list[ShownLink] = Field(description="The first links of the text, with what was found of each.")


class Happened(BaseModel):
    """An event as it is kept."""

    post_id: str
    kind: str
    at: str | None = Field(description="When, as it was sent; null: the time of its arrival is kept.")
    new: bool = Field(description="False: the same event was kept before.")


class EncodedContent(BaseModel):
    """What one encoder made of a content."""

    encoder: str
    modality: str = Field(description="As what it was read: text, image or video.")
    tier: str = Field(description="Where the vectors are now: memory or disk.")
    shape: tuple[int, int] = Field(description="Rows (windows, variants, frames; 0: unread) and length of a vector.")
    variants: list[int] = Field(description="Which variant each row is of; 0 is the content as it stands.")
    unread: str | None = Field(description="Why it could not be read; null: it was.")
    note: str | None = Field(description="What was left out of it; null: nothing.")
    values: list[list[float]] | None = Field(description="The rows, where they were asked for.")


class Kept(BaseModel):
    """What is kept under a content's id."""

    id: str
    kinds: list[str] = Field(description="As what it was sent: text, image, video.")
    bytes: int
    vectors: list[EncodedContent] = Field(description="Stored vectors by the encoders of what is served.")
    hits: dict[str, int] = Field(description="Of all contents so far: features from memory, from disk, computed, …")


class Described(BaseModel):
    """What a service is."""

    name: str
    labels: list[str]
    modalities: list[str] = Field(description="What its model looks at.")
    needs: list[str] = Field(description="Of which a post must bring at least one.")
    model: str
    policy: str
    protocol: dict[str, str]
    limits: dict[str, float]
    contents: dict[str, ContentLimits] = Field(description="How much is read of what its model looks at, by modality.")
    expected_per_second: float
    mode: Literal["proactive", "reactive"] = Field(description="Whether every post is scored, or those with a signal.")
    signals: SignalOptions | None = Field(
        description="The signals, one of which is enough; null: every post is scored."
    )
    example: dict[str, Any]


class Services(BaseModel):
    """All services."""

    services: list[Described]


class Alive(BaseModel):
    """The process answers."""

    alive: bool


class Readiness(BaseModel):
    """Whether posts can be scored."""

    ready: bool


class Problem(BaseModel):
    """What went wrong, in a sentence, and the id under which the log has it."""

    error: str
    id: str


def described(info: ServiceInfo) -> dict[str, Any]:
    """Return what a service says of itself."""
    path = f"/v1/moderate/{info.name}/{{post_id}}"
    limits = info.limits.model_dump() | {"body_bytes": int(info.limits.body_mb * MIB), "post_id": POST_ID_LENGTH}
    return {
        "name": info.name,
        "labels": list(info.labels),
        "modalities": list(info.modalities),
        "needs": list(info.needs),
        "model": info.model_id,
        "policy": info.policy_id,
        "protocol": {
            "score": f"PUT {path}",
            "repeat": f"GET {path}",
            "remove": f"DELETE {path}",
            "body": "application/json",
        },
        "limits": limits,
        "contents": {name: read.model_dump(mode="json") for name, read in info.contents.items()},
        "expected_per_second": info.expected_per_second,
        "mode": info.mode,
        "signals": info.signals and info.signals.model_dump(mode="json"),
        "example": {"features": EXAMPLES[info.name]},
    }


def document(labels: tuple[str, ...]) -> dict[str, Any]:
    """Return the OpenAPI document; labels: what events may name."""
    models = (Moderated, Happened, Kept, Services, Alive, Readiness, Problem, ContentId, Features, *EVENTS)
    schemas = schema_of(*models)
    _name_labels(schemas, labels)
    _say_limits(schemas)
    paths: dict[str, Any] = {}
    for service in SERVICES:
        body = f"Put{service.title()}"
        schemas[body] = _put(service)
        paths[f"/v1/moderate/{service}/{{post_id}}"] = {
            "parameters": [_POST],
            "put": _operation(f"put_{service}", f"Score a post: {service}", Moderated, _PUT, body),
            "get": _operation(f"get_{service}", f"The recorded answer: {service}", Moderated, _GET),
            "delete": _operation(f"delete_{service}", f"Remove the content: {service}", None, _GET),
        }
        paths[f"/v1/moderate/{service}/{{post_id}}"]["put"]["responses"]["200"]["links"] = _links(service)
    schemas["Event"] = {"oneOf": [{"$ref": f"#/components/schemas/{model.__name__}"} for model in EVENTS]}
    event = _operation("event", "Something happened to a post", Happened, _EVENT, "Event")
    paths["/v1/posts/{post_id}/events"] = {"parameters": [_POST], "post": event}
    content = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{ID.pattern}$"}}
    kept = _operation("feature", "What is kept under an id", Kept, (404, 422, 503))
    paths["/v1/features/{id}"] = {"parameters": [content, *_queries(FeatureQuery)], "get": kept}
    paths["/v1/services"] = {"get": _operation("services", "What each service is", Services, (503,))}
    paths["/healthz"] = {"get": _operation("alive", "Whether the process answers", Alive, ())}
    paths["/readyz"] = {"get": _operation("ready", "Whether posts can be scored", Readiness, ())}
    paths["/readyz"]["get"]["responses"]["503"] = _answer("Not yet, or no longer.", "Readiness")
    metrics = _operation("metrics", "Counts for Prometheus", None, ())
    metrics["responses"] = {"200": {"description": "Counts.", "content": {"text/plain": {"schema": _STRING}}}}
    paths["/metrics"] = {"get": metrics}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Moderation", "version": "1", "description": "docs/api.md says more."},
        "paths": paths,
        "components": {"schemas": schemas},
    }


_STRING = {"type": "string"}
_POST = {
    "name": "post_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": POST_ID_LENGTH, "pattern": POST_ID},
}
_SAID = {
    400: "The body is not JSON.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    410: "The post was deleted meanwhile.",
    413: "The body is too large.",
    415: "The body is of another kind.",
    422: "The request does not say what it must.",
    429: "The author sends too many new posts.",
    500: "The server failed.",
    503: "Not now; come again.",
}
_PUT = (400, 404, 408, 410, 413, 415, 422, 429, 500, 503)
_EVENT = (400, 408, 413, 415, 422, 503)
_GET = (404, 422, 503)


def _operation(
    name: str, summary: str, answer: type[BaseModel] | None, errors: tuple[int, ...], body: str | None = None
) -> dict[str, Any]:
    good = {"200": _answer("Done.", answer.__name__)} if answer else {"204": {"description": "Done."}}
    operation: dict[str, Any] = {"operationId": name, "summary": summary}
    if body:
        ref = {"$ref": f"#/components/schemas/{body}"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref}}}
    return operation | {"responses": good | {str(code): _answer(_SAID[code], "Problem") for code in errors}}


def _answer(description: str, schema: str) -> dict[str, Any]:
    ref = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {"application/json": {"schema": ref}}}


def _links(service: str) -> dict[str, Any]:
    """Return what can be done with what a PUT has made."""
    post = {"post_id": "$request.path.post_id"}
    links = {name: {"operationId": f"{name}_{service}", "parameters": post} for name in ("get", "delete")}
    links["event"] = {"operationId": "event", "parameters": post}
    if len(needs(service)) == 1:  # else nobody can tell which content there is
        content = f"$response.body#/features/{needs(service)[0]}"
        links["feature"] = {"operationId": "feature", "parameters": {"id": content}}
    return links


def _queries(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the query parameters that a model's fields are; none is needed."""
    schemas = {name: TypeAdapter(field.annotation).json_schema() for name, field in model.model_fields.items()}
    schemas = {name: next(iter(schema.get("anyOf", [schema]))) for name, schema in schemas.items()}
    named = {name: field.description for name, field in model.model_fields.items()}
    return [{"name": name, "in": "query", "description": named[name], "schema": schemas[name]} for name in schemas]


def _put(service: str) -> dict[str, Any]:
    """Return the schema of a service's body: the features, of which it needs some."""
    content = {"$ref": "#/components/schemas/ContentId"}
    there = {
        "text": [{"type": "string", "pattern": visible_pattern()}, content],
        "image": [{"type": "string", "pattern": BASE64}, content],
        "video": [{"type": "string", "pattern": BASE64}, content],
    }
    some = [{"required": [name], "properties": {name: {"anyOf": there[name]}}} for name in needs(service)]
    return {
        "type": "object",
        "required": ["features"],
        "additionalProperties": False,
        "properties": {"features": {"allOf": [{"$ref": "#/components/schemas/Features"}, {"anyOf": some}]}},
        "example": {"features": EXAMPLES[service]},
    }


def _name_labels(schemas: dict[str, Any], labels: tuple[str, ...]) -> None:
    """Say which labels an event may name."""
    schemas["Verdict"]["properties"]["value"]["propertyNames"] = {"enum": list(labels)}
    for name in ("Concerned", "Appealed"):
        schemas[name]["properties"]["labels"]["items"] = {"enum": list(labels)}


def _say_limits(schemas: dict[str, Any]) -> None:
    """Say how much of each content is read."""
    for name, read in stated().items():
        field = schemas["Features"]["properties"][name]
        field["description"] = f"{field['description']} {read}."
