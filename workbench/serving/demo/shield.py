"""What stands around demo and API: who may ask, what the page may do, and which of Gradio's routes are open at all.

Measured on Gradio 6.31: any Origin is reflected with credentials, endpoints marked private still answer, uploads can be
fetched by address, and there is no content security policy. `Shield` goes around the whole application, `Gate` around
Gradio alone. Scripts run only from this server and, inline, by their hash, so that markup which slips in cannot act.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.errors import WorkbenchError

FIXED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
OPEN = ("/healthz", "/readyz")  # asked by those who watch the process, who have no password
UPLOAD = "/gradio_api/upload"  # has a limit of its own
FORM = 8 * 2**20
SAFE = ("GET", "HEAD", "OPTIONS")
_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
# What Gradio's page needs. Not among it: files by address, the plain call interface, components' own functions,
# deep links, histories, proxies, streams, custom components, monitoring.
_ROUTES = {
    "GET": re.compile(
        r"/|/config|/theme\.css|/favicon\.ico|/robots\.txt|/(assets|static)/.*"
        r"|/gradio_api/(queue/data|upload_progress|heartbeat/\w+|app_id|startup-events)"
    ),
    "POST": re.compile(r"/gradio_api/(queue/join|upload|cancel|reset)"),
}


def policy(page: bytes = b"") -> str:
    """Return the content security policy of a page: its inline scripts by hash, nothing from elsewhere."""
    scripts = (script.replace(b"\r\n", b"\n") for script in _SCRIPT.findall(page))
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts]
    return "; ".join(
        (
            "default-src 'self'",
            " ".join(["script-src 'self'", *dict.fromkeys(hashes)]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class Shield:
    """Adds the headers, asks for the password, refuses foreign hosts and origins.

    users: name -> password; none: everybody who reaches the port may ask. hosts: names under which the page may be
    asked for, so that no foreign name can be made to point here; none: any.
    """

    def __init__(self, app: ASGIApp, users: Mapping[str, str] | None = None, hosts: tuple[str, ...] = ()) -> None:
        self.app, self.users, self.hosts = app, users, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        guarded = _Guarded(send)
        refused = self._refused(scope["method"], scope["path"], Headers(scope=scope))
        if refused is not None:
            await refused(scope, receive, guarded)
            return
        await self.app(_uncompressed(scope), receive, guarded)

    def _refused(self, method: str, path: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if self.hosts and (urlsplit(f"//{host}").hostname or "") not in self.hosts:
            return PlainTextResponse("This address is not served here.\n", 421)
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        if method not in SAFE and (foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")):
            return PlainTextResponse("Requests from other sites are refused.\n", 403)
        if self.users is not None and path not in OPEN and not self._known(headers.get("authorization", "")):
            ask = {"www-authenticate": 'Basic realm="Moderation workbench", charset="UTF-8"'}
            return PlainTextResponse("Name and password are needed.\n", 401, headers=ask)
        return None

    def _known(self, given: str) -> bool:
        scheme, _, code = given.partition(" ")
        try:
            name, _, password = base64.b64decode(code, validate=True).decode().partition(":")
        except ValueError:
            return False
        expected = (self.users or {}).get(name)
        same = hmac.compare_digest(password.encode(), (expected or "").encode())
        return scheme.lower() == "basic" and expected is not None and same


class _Guarded:
    """Sends an answer with the headers; a page is held back until its scripts are known."""

    def __init__(self, send: Send) -> None:
        self.send, self.start, self.page = send, None, b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = Headers(raw=message.get("headers", [])).get("content-type", "")
            if kind.startswith("text/html"):
                self.start = message
            else:
                await self.send(_with_headers(message, policy()))
        elif self.start is None:
            await self.send(message)
        else:
            self.page += message.get("body", b"")
            if not message.get("more_body"):
                await self.send(_with_headers(self.start, policy(self.page), page=True))
                await self.send({"type": "http.response.body", "body": self.page})


def _with_headers(start: Message, csp: str, page: bool = False) -> Message:
    """Return the head of an answer with our headers; the API's own policy for its answers is stricter and stays."""
    ours = {**FIXED, "content-security-policy": csp}
    given = [(name.decode("latin-1").lower(), name, value) for name, value in start.get("headers", [])]
    if not page and any(lower == "content-security-policy" for lower, _, _ in given):
        del ours["content-security-policy"]
    dropped = {*ours, "server", "access-control-allow-origin", "access-control-allow-credentials"}
    kept = [(name, value) for lower, name, value in given if lower not in dropped]
    return {**start, "headers": [*kept, *((name.encode(), value.encode()) for name, value in ours.items())]}


def _uncompressed(scope: Scope) -> Scope:
    """Ask for pages as they are, because their scripts are hashed; assets stay compressed."""
    if scope["path"].startswith(("/assets/", "/static/")):
        return scope
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]}


class Gate:
    """Lets through to Gradio only what its page needs.

    A form is small and names only files in `folder`, where uploads are: given an address, Gradio would fetch it.
    """

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self.app, self.folder = app, folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        route = _ROUTES.get("GET" if method == "HEAD" else method)
        if route is None or not route.fullmatch(path) or ".." in path:
            await PlainTextResponse("There is nothing here.\n", 404)(scope, receive, send)
        elif method == "POST" and path != UPLOAD:
            await self._form(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _form(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        async for piece in Request(scope, receive).stream():
            body += piece
            if len(body) > FORM:
                await PlainTextResponse(f"A form of at most {FORM:,} bytes is taken.\n", 413)(scope, receive, send)
                return
        if not self._files_are_ours(body):
            await PlainTextResponse("This form is not taken.\n", 400)(scope, receive, send)
            return

        async def again() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            given, body = body, None
            return {"type": "http.request", "body": given, "more_body": False}

        await self.app(scope, again, send)

    def _files_are_ours(self, body: bytes) -> bool:
        """Return whether a form is JSON in which every `path` lies in the folder of uploads."""
        try:
            pending = [json.loads(body or b"null")]
        except (ValueError, RecursionError):
            return False
        while pending:
            value = pending.pop()
            if isinstance(value, dict):
                path = value.get("path")
                if path is not None and not (isinstance(path, str) and self._inside(path)):
                    return False
                pending += value.values()
            elif isinstance(value, list):
                pending += value
        return True

    def _inside(self, path: str) -> bool:
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self.folder)
        except (OSError, ValueError):
            return False


# ------------------------------------------------------------------------------------------------------------ passwords


def loopback(host: str) -> bool:
    """Return whether a host to listen on can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def users(path: Path) -> dict[str, str]:
    """Read a file of `name:password` lines; raise WorkbenchError for one that is wrong or that others may read."""
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkbenchError(f"cannot read the password file {path}: {error}; check the path") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise WorkbenchError(f"others can read the password file {path}; close it with `chmod 600 {path}`")
    accounts = {}
    for number, line in enumerate(lines, 1):
        name, colon, password = line.strip().partition(":")
        if not line.strip() or line.startswith("#"):
            continue
        if not (name and colon) or len(password) < 8:
            raise WorkbenchError(f"{path}, line {number}: write name:password, the password 8 characters or longer")
        accounts[name] = password
    if not accounts:
        raise WorkbenchError(f"the password file {path} names nobody; write a line name:password")
    return accounts
