"""The API on the engine: routes, each a few lines, and the server.

`PUT /v1/moderate/{service}/{post_id}` scores a post or repeats the recorded answer; `GET` and `DELETE` go with it.
docs/api.md says the rest. One process; several may share a folder of records.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route, Router
from starlette.types import Receive, Scope, Send

from workbench.errors import WorkbenchError
from workbench.features.store.contents import NotStored
from workbench.records import Deleted, Records
from workbench.schema import ROOT
from workbench.serving.api import openapi
from workbench.serving.api.guard import OWN, BytesHeld, Guard, body_of, failure, post_id_of
from workbench.serving.api.listening import listen
from workbench.serving.api.payloads import FeatureQuery, Put, checked, to_event, to_post
from workbench.serving.api.problems import ProblemError, later
from workbench.serving.api.strict_json import parse
from workbench.serving.config import MIB, Limits, ServingConfig, needs
from workbench.serving.engine import Answer, Busy, Engine, RateLimited
from workbench.serving.gauges import CONTENT_TYPE, Requests

log = logging.getLogger(__name__)
SMALL = 64 * 1024  # bytes of a body that is read in the event loop; larger ones would hold up the others
EVENT_BYTES, EVENT_SECONDS = 64 * 1024, 10.0
HELD = 256 * MIB  # of bodies at once
GRACE, CLOSE = 6, 3.0  # seconds that requests under way, then records, have when the server is told to stop


class _Any(StringConvertor):
    """Whatever a path holds, line breaks and slashes too, so that it is refused with a reason and not lost."""

    regex = "(?s:.*)"


register_url_convertor("any", _Any())


class Application(FastAPI):
    """An application whose API paths go straight to the guard; all else (a demo) takes FastAPI's own, longer way."""

    def __init__(self, api: Api) -> None:
        super().__init__(title="Moderation", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        self.api = api
        self.guard = Guard(Router(api.routes, redirect_slashes=False), api.requests)
        self.openapi = api.document
        self.add_exception_handler(HTTPException, _outside)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["type"] == "http" and scope["path"].startswith(OWN)
        await (self.guard if own else super().__call__)(scope, receive, send)


def create_app(engine: Engine) -> FastAPI:
    """Return the API on an engine, which may still be loading; the caller loads and closes it."""
    return Application(Api(engine))


async def _outside(request: Request, error: Exception) -> Response:
    """Answer what is neither the API's nor anything else's."""
    status = getattr(error, "status_code", 404)
    return JSONResponse({"error": "there is nothing here; the API is under /v1/"}, status)


class Api:
    """The handlers; `engine` may raise Busy for whatever is asked of it before it is ready."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.requests, self.budget = Requests(), BytesHeld(HELD)
        moderate = "/v1/moderate/{service}/{post_id:any}"
        self.routes = [
            Route(moderate, self.put, methods=["PUT"]),
            Route(moderate, self.get, methods=["GET"]),
            Route(moderate, self.delete, methods=["DELETE"]),
            Route("/v1/posts/{post_id:any}/events", self.event, methods=["POST"]),
            Route("/v1/features/{id:any}", self.feature, methods=["GET"]),
            Route("/v1/services", self.services, methods=["GET"]),
            Route("/v1/openapi.json", self.openapi, methods=["GET"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]
        # What is none of these is answered here too, whatever else is mounted at "/".
        elsewhere = ("/v1/{rest:any}", "/healthz", "/readyz", "/metrics")
        self.routes += [Route(path, _NotRouted(tuple(self.routes))) for path in elsewhere]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels that are served; an engine that is still loading has none."""
        try:
            return self.engine.taxonomy.names
        except WorkbenchError as error:
            raise _refusal(error) from error

    # ------------------------------------------------------------------------------------------------ moderation

    async def put(self, request: Request) -> Response:
        """Score a post, or repeat the recorded answer."""
        service, limits = self._service(request, "put")
        post_id = post_id_of(request)
        async with body_of(request, int(limits.body_mb * MIB), limits.seconds, self.budget) as body:
            if len(body) <= SMALL:
                future = self._submit(service, post_id, body)
            else:
                future = await run_in_threadpool(self._submit, service, post_id, body)
            answer = await _result(future, limits.seconds)
        return JSONResponse(_shown(answer, self.labels))

    def _submit(self, service: str, post_id: str, body: bytes) -> Future[Answer]:
        try:
            post = to_post(post_id, checked(Put, parse(body)), needs(service), partial(self.engine.given, service))
            return self.engine.submit(service, post)
        except WorkbenchError as error:
            raise _refusal(error) from error

    async def get(self, request: Request) -> Response:
        """Repeat the answer that was recorded last."""
        service, _ = self._service(request, "get")
        answer = await self._ask("lookup", service, post_id_of(request))
        if answer is None:
            raise ProblemError(404, "no decision of this service on this post is kept; PUT the post to get one")
        return JSONResponse(_shown(answer, self.labels))

    async def delete(self, request: Request) -> Response:
        """Remove what is kept of a post's content; what was decided stays on record."""
        service, _ = self._service(request, "delete")
        if not await self._ask("delete", service, post_id_of(request)):
            raise ProblemError(404, "nothing of this post is kept for this service")
        return Response(status_code=204)

    # ------------------------------------------------------------------------------------------------ the others

    async def event(self, request: Request) -> Response:
        request.state.operation = "event"
        post_id = post_id_of(request)
        async with body_of(request, EVENT_BYTES, EVENT_SECONDS, self.budget) as body:
            event = to_event(parse(body), self.labels)
        new = await self._ask("event", post_id, *(event[name] for name in ("kind", "at", "value", "by", "key")))
        at = None if event["at"] is None else _iso(event["at"])
        return JSONResponse({"post_id": post_id, "kind": event["kind"], "at": at, "new": new})

    async def feature(self, request: Request) -> Response:
        """Say what is kept under a content's id: its vectors by encoder, and how often each tier was of use."""
        request.state.operation = "feature"
        content, asked = request.path_params["id"], checked(FeatureQuery, dict(request.query_params))
        about = await self._ask("about", content) if openapi.ID.fullmatch(content) else None
        if about is None:
            raise ProblemError(
                404, "no content of this id is kept; an id is the sha256 of the content, in 64 hex digits"
            )
        vectors = _asked(about["vectors"], asked)
        return JSONResponse({"id": content, **about, "vectors": vectors, "hits": self.engine.store.hits})

    async def services(self, request: Request) -> Response:
        """Say what each service is: protocol, labels, limits, an example, the expected rate."""
        request.state.operation = "services"
        if not self.engine.ready:
            raise ProblemError(503, "the models are being loaded; ask again in a moment", later(2))
        services = await self._ask("services")
        return JSONResponse({"services": [openapi.described(info) for info in services.values()]})

    def document(self) -> dict[str, Any]:
        return openapi.document(self.labels)

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(self.document())

    async def healthz(self, request: Request) -> Response:
        request.state.operation = "health"
        return JSONResponse({"alive": True})

    async def readyz(self, request: Request) -> Response:
        """Say whether posts can be scored: 200 once every bundle is loaded, 503 before, and while it closes."""
        request.state.operation = "health"
        ready = bool(self.engine.ready)
        return JSONResponse({"ready": ready}, 200 if ready else 503, {} if ready else later(2))

    async def metrics(self, request: Request) -> Response:
        request.state.operation = "metrics"
        counted = self.requests.text()
        if self.engine.ready:
            counted += self.engine.gauges.text()
        return Response(counted, media_type=None, headers={"content-type": CONTENT_TYPE})

    def _service(self, request: Request, operation: str) -> tuple[str, Limits]:
        """Return the service that a path names, and its limits; raises ProblemError."""
        service = request.path_params["service"]
        request.state.operation = operation
        try:
            known = self.engine.config.services
        except Busy as error:
            raise _refusal(error) from None
        if service not in known:
            raise ProblemError(404, f"there is no such service; the services are: {', '.join(known)}")
        request.state.service = service
        if not self.engine.ready:
            raise ProblemError(503, "the models are being loaded, or the server is stopping; ask again", later(2))
        return service, known[service].limits

    async def _ask(self, what: str, *arguments: Any) -> Any:
        try:
            return await run_in_threadpool(getattr(self.engine, what), *arguments)
        except WorkbenchError as error:
            raise _refusal(error) from error


class _NotRouted:
    """Answers 405 with the methods of a path that other routes have, and 404 where there are none."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods: set[str] = set()
        for route in self._routes:
            if route.matches(scope)[0] != Match.NONE:
                methods |= route.methods or set()
        if methods:
            allowed = ", ".join(sorted(methods))
            error = ProblemError(405, f"this path takes {allowed} only", {"Allow": allowed})
        else:
            error = ProblemError(404, "there is nothing at this path; GET /v1/openapi.json names the paths")
        await failure(scope["state"]["id"], error)(scope, receive, send)


def _asked(vectors: list[dict[str, Any]], asked: FeatureQuery) -> list[dict[str, Any]]:
    """Return the vectors that a request asks for, with their values where it wants them; raises ProblemError."""
    names = list(dict.fromkeys(one["encoder"] for one in vectors))
    if asked.encoder is not None:
        vectors = [one for one in vectors if one["encoder"] == asked.encoder]
        if not vectors:
            there = f"; there are some by: {', '.join(names)}" if names else ""
            raise ProblemError(404, f"no vectors of this content by that encoder are stored{there}")
    elif asked.values == "true" and len(names) > 1:
        raise ProblemError(422, f"several encoders have read this content; name one by ?encoder=: {', '.join(names)}")
    return vectors if asked.values == "true" else [{**one, "values": None} for one in vectors]


def _refusal(error: WorkbenchError) -> ProblemError:
    """Return what the client is told of an error; what only the operator can mend goes to the log."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RateLimited):
        return ProblemError(429, str(error), later(error.seconds))
    if isinstance(error, Busy):
        return ProblemError(503, str(error), later(error.seconds))
    if isinstance(error, Deleted):
        return ProblemError(410, str(error))
    if isinstance(error, NotStored):
        return ProblemError(404, f"{error}; send it by value, or compute it first with `workbench features build`")
    log.error("not answered: %s", error)
    return ProblemError(503, "the records cannot be used now, so no answer is given; send it again", later(5))


async def _result(future: Future[Answer], seconds: float) -> Answer:
    """Return the answer to come; raises ProblemError where it takes longer, or is none. It is never cancelled."""
    waiting = asyncio.wrap_future(future)
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may come when nobody waits
    await asyncio.wait([waiting], timeout=seconds)
    if not waiting.done():
        raise ProblemError(503, "the post is still being scored; send it again in a moment", later(1))
    try:
        return waiting.result()
    except WorkbenchError as error:
        raise _refusal(error) from error


def _shown(answer: Answer, order: tuple[str, ...]) -> dict[str, Any]:
    """Return an answer as the API writes it; a label without a score has the confidence null."""
    assessment = answer.assessment
    labels = [label for label in order if label in assessment.scores or label in assessment.missing]
    return {
        "post_id": answer.decision.post_id,
        "service": answer.service,
        "results": [{"label": label, "confidence": assessment.scores.get(label)} for label in labels],
        "decision": answer.decision.model_dump(mode="json"),
        "model": answer.model_id,
        "policy": answer.policy_id,
        "stored": answer.stored,
        "features": answer.contents,
        "links": [link.model_dump(mode="json") for link in answer.links],
    }


def _iso(at: Any) -> str:
    return at.isoformat().replace("+00:00", "Z")


# ----------------------------------------------------------------------------------------------------------- the server


def serve(host: str, port: int, config: Path, device: str = "auto") -> None:
    """Serve the API until SIGTERM or Ctrl-C, then answer what is under way and end within 10 s.

    The server answers at once; `/readyz` says when the bundles are loaded. Raises WorkbenchError, in one sentence,
    for a configuration, a bundle or a port that cannot be used.
    """
    import uvicorn

    settings = ServingConfig.load(config)
    listening = listen(host, port)
    with Records(ROOT / settings.records) as records:
        engine = Engine(settings, records, device=device)
        options = {"access_log": False, "server_header": False, "proxy_headers": False, "log_level": "warning"}
        ends = {"timeout_keep_alive": 5, "timeout_graceful_shutdown": GRACE, "lifespan": "off"}
        server = uvicorn.Server(uvicorn.Config(create_app(engine), **options, **ends))
        failed: list[WorkbenchError] = []

        def load() -> None:
            try:
                engine.load()
                print(f"ready: {', '.join(settings.services)}", flush=True)
                for name, why in settings.lacking().items():
                    print(f"another model would answer for {name}: {why}", flush=True)
            except WorkbenchError as error:
                failed.append(error)
                server.should_exit = True

        threading.Thread(target=load, name="load", daemon=True).start()
        print(f"API: http://{host}:{listening.getsockname()[1]}/v1/services  (Ctrl-C ends it)", flush=True)
        # uvicorn raises the signal again once it has stopped; by then nothing is left to interrupt
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            server.run(sockets=[listening])
        finally:
            engine.close(CLOSE)
            for number, handler in before.items():
                signal.signal(number, handler)
    if failed:
        raise failed[0]
