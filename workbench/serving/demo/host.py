"""Demo and API in one process: the application put together, and served until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from workbench.errors import WorkbenchError
from workbench.preprocessing.limits import file_bytes
from workbench.requirements import Requirements
from workbench.schema import Taxonomy
from workbench.serving.api.listening import listen
from workbench.serving.config import ServingConfig
from workbench.serving.demo import shield
from workbench.serving.demo.startup import Startup, prepare

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PREFIX = "workbench-demo-"
NAMES = ("localhost", "127.0.0.1", "::1")


def private_folder() -> Path:
    """Return a new folder for uploads that this user alone can read, and have Gradio use it.

    Settings of Gradio's in the environment are dropped first: sharing, other folders and recording are none of a
    caller's choices here. Call it before anything imports gradio.
    """
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    os.environ.update(GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False")
    return folder


def _sweep(where: Path) -> None:
    """Remove what servers that were killed have left of uploads."""
    for folder in where.glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)) and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


def assemble(
    engine: Startup, config: ServingConfig, folder: Path, *, users: Mapping[str, str] | None, local: bool
) -> ASGIApp:
    """Return demo and API as one application. local: it is asked for under this machine's own names only."""
    from starlette.middleware.cors import CORSMiddleware
    from starlette.routing import Mount

    from workbench.serving.api.app import create_app
    from workbench.serving.demo import examples, page

    app = create_app(engine)
    app.add_middleware(CORSMiddleware, allow_origins=[])  # its presence keeps Gradio from reflecting any origin
    body = max(service.limits.body_mb for service in config.services.values())
    max_bytes = min(page.LARGEST, file_bytes(int(body * 2**20)))  # what the API takes
    tries = examples.load(Taxonomy.load(), folder / "examples")

    async def mounted() -> None:
        needs = Requirements.load().of(engine.taxonomy.names)
        about = {"needs": needs, "lacking": config.lacking(), "max_bytes": max_bytes}
        shown = page.build(engine, tuple(config.services), engine.standing, tries, **about)
        page.mount(app, shown, max_bytes)

    asyncio.run(mounted())  # outside a running loop, Gradio opens one and leaves it open
    for route in app.routes:
        if isinstance(route, Mount) and route.path == "":
            route.app = shield.Gate(route.app, folder)
    return shield.Shield(app, users, NAMES if local else ())


def serve(host: str, port: int, config: Path, device: str, auth_file: Path | None) -> None:
    """Serve demo and API until interrupted; raises WorkbenchError in a sentence for what is to be mended first."""
    local = shield.loopback(host)
    if not local and auth_file is None:
        raise WorkbenchError(
            f"other machines can reach host {host!r}, so the page needs names and passwords: add --auth-file FILE "
            "(a file of name:password lines), or leave out --host"
        )
    users = shield.users(auth_file) if auth_file is not None else None
    settings = ServingConfig.load(config)
    listening = listen(host, port)
    signal.signal(signal.SIGTERM, _end)  # uvicorn raises it again when it has stopped, and what follows must be done
    folder = private_folder()
    engine = prepare(settings, device)
    try:
        import uvicorn

        app = assemble(engine, settings, folder, users=users, local=local)
        engine.start()
        shown = f"[{host}]" if ":" in host else host
        print(f"Demo and API: http://{shown}:{listening.getsockname()[1]}  (Ctrl-C ends them)", flush=True)
        options = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5
        )
        uvicorn.Server(options).run(sockets=[listening])
    finally:
        engine.close()
        listening.close()
        shutil.rmtree(folder, ignore_errors=True)


def _end(*_: Any) -> None:
    raise KeyboardInterrupt
