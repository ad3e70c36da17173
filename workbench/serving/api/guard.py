"""Around every request of the API: an id, the headers, the clock, bodies of bounded size, errors as one sentence.

Pure ASGI, so that a body is counted while it comes in and nothing is held twice.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.serving.api.payloads import POST_ID, POST_ID_LENGTH
from workbench.serving.api.problems import ProblemError, later
from workbench.serving.config import MIB
from workbench.serving.gauges import Requests

log = logging.getLogger(__name__)
OWN = ("/v1/", "/healthz", "/readyz", "/metrics")  # how the paths of the API begin
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
DRAIN_BYTES, DRAIN_SECONDS = 16 * MIB, 1.0  # of a refused body, so that the client gets to read why


class Guard:
    """The only layer around the API's routes."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self.app, self.requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        state |= {"id": uuid.uuid4().hex[:16], "operation": "other", "service": ""}
        began, status = time.perf_counter(), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [*HEADERS, (b"x-request-id", state["id"].encode())]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        except ClientDisconnect:
            status = status or 499
        except Exception as error:
            if not isinstance(error, ProblemError):
                log.exception("request %s failed", state["id"])
            if status:
                raise  # half an answer is out; the server ends the connection
            await failure(state["id"], error)(scope, receive, send_on)
        finally:
            seconds = time.perf_counter() - began
            self.requests.answered(state["operation"], state["service"], status, seconds)


def failure(request_id: str, error: Exception) -> JSONResponse:
    """Return the answer for what went wrong: a status, one sentence, and the id that the log has too."""
    if isinstance(error, ProblemError):
        status, message, headers = error.status, str(error), error.headers
    else:
        status, message, headers = 500, "the server failed on this request; say the id when you report it", {}
    return JSONResponse({"error": message, "id": request_id}, status, headers)


# --------------------------------------------------------------------------------------------------------------- bodies


class BytesHeld:
    """How many bytes of bodies may be held at once, by all requests together."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0

    def take(self, size: int) -> None:
        """Hold so many more bytes; raises ProblemError 503 where that is too many."""
        if self.held + size > self.limit:
            raise ProblemError(503, "too many large requests at once; send it again in a moment", later(1))
        self.held += size


@asynccontextmanager
async def body_of(request: Request, limit: int, seconds: float, budget: BytesHeld) -> AsyncIterator[bytes]:
    """Give the body of a request while it is needed; raises ProblemError for one too large, slow or of another kind."""
    _check_kind(request)
    taken = 0
    try:
        try:
            _check_length(request, limit)
            parts = []
            async with asyncio.timeout(seconds):
                async for part in request.stream():
                    if taken + len(part) > limit:
                        raise _too_large(limit)
                    budget.take(len(part))
                    taken += len(part)
                    parts.append(part)
        except ProblemError:
            await _drain(request)
            raise
        except TimeoutError:
            message = f"the body did not come within {seconds:g} s; send it again"
            raise ProblemError(408, message, {"Connection": "close"}) from None
        body = b"".join(parts)
        del parts
        yield body
    finally:
        budget.held -= taken


def _check_kind(request: Request) -> None:
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    charset = re.fullmatch(r'\s*charset\s*=\s*"?([\w-]+)"?\s*', rest, re.IGNORECASE)
    if kind.strip().lower() != "application/json" or (charset and charset[1].lower() not in ("utf-8", "utf8")):
        raise ProblemError(415, "the content type must be application/json, in UTF-8")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ProblemError(415, "the body must not be compressed; send it without a content encoding")


def _check_length(request: Request, limit: int) -> None:
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> ProblemError:
    message = f"the body is larger than the {limit:,} bytes that this service takes; GET /v1/services names the limits"
    return ProblemError(413, message, {"Connection": "close"})


async def _drain(request: Request) -> None:
    """Take some more of a refused body: a connection that is closed on unread bytes loses the answer."""
    rest = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while rest > 0:
                message = await request.receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                rest -= len(message.get("body", b""))
    except TimeoutError:
        return


# --------------------------------------------------------------------------------------------------------------- paths


def post_id_of(request: Request) -> str:
    """Return the post id of a path, or raise ProblemError 422: what is recorded must be what was sent."""
    raw: Any = request.scope.get("raw_path") or request.scope["path"].encode()
    try:
        unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise ProblemError(422, "the post id is not UTF-8; send it percent-encoded from UTF-8") from None
    post_id = request.path_params["post_id"]
    if len(post_id) > POST_ID_LENGTH:
        raise ProblemError(422, f"the post id is longer than {POST_ID_LENGTH} characters; send a shorter one")
    if not re.search(POST_ID, post_id):
        raise ProblemError(422, "the post id is empty, or has a slash or a control character; send one without")
    return post_id
