"""An engine that gets ready while the page is already there: a first study where there is none, then the bundles.

`Startup` stands in the engine's place from the first second. Until it is ready everything asked of it raises `Busy`,
which the API answers with 503; `standing()` says in a sentence how far it is, and what to do where it cannot go on.
"""

from __future__ import annotations

import contextlib
import logging
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from workbench.artifacts import read_json
from workbench.comparison.run_files import RunRecord
from workbench.decisions import bundle
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, Taxonomy
from workbench.serving.config import ServingConfig

if TYPE_CHECKING:
    from workbench.serving.engine import Engine

log = logging.getLogger(__name__)
_LINE = re.compile(r"\[(\d+)/(\d+)\] ([^:]+): (.*)")
GRACE = 10.0  # seconds a study has to record its interruption


@dataclass(frozen=True)
class Standing:
    """How far the start is.

    sentence: for staff; once ready, where the models come from, if known. Of `total` runs `done` are finished (0 of 0
    without a study).
    """

    sentence: str
    ready: bool = False
    failed: bool = False
    done: int = 0
    total: int = 0


class Startup:
    """The engine to be. `start` begins in a thread; `close` ends whatever it began.

    make: returns a loaded engine; raises WorkbenchError in a sentence where it cannot.
    study: the YAML file of the study to run first, or None where bundles are there.
    """

    def __init__(self, make: Callable[[], Engine], study: Path | None = None, device: str = "auto") -> None:
        self._make, self._study, self._device = make, study, device
        self._engine: Engine | None = None
        self._standing = Standing("Starting.")
        self._since = time.monotonic()
        self._process: subprocess.Popen | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._begin, name="startup", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def standing(self) -> Standing:
        """Return how far the start is, with the seconds it has taken."""
        standing = self._standing
        if standing.ready or standing.failed:
            return standing
        seconds = round(time.monotonic() - self._since)
        return Standing(f"{standing.sentence} {seconds} seconds so far.", done=standing.done, total=standing.total)

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels that are decided about; until the engine is there those of the checkout."""
        return Taxonomy.load() if self._engine is None else self._engine.taxonomy

    @property
    def ready(self) -> bool:
        return self._engine is not None and self._engine.ready

    def __getattr__(self, name: str) -> Any:
        """Hand on everything else to the engine; until it is there, raise `Busy`."""
        if name.startswith("_"):
            raise AttributeError(name)
        if self._engine is None:
            from workbench.serving.engine import Busy

            raise Busy(self.standing().sentence, 5)
        return getattr(self._engine, name)

    def close(self) -> None:
        self._closed.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            if process.poll() is None:
                process.kill()
        if self._thread.is_alive():
            self._thread.join(GRACE)
        if self._engine is not None:
            self._engine.close()
            self._engine.records.close()

    def _begin(self) -> None:
        try:
            if self._study is not None:
                self._say("There is no trained model yet, so a small study is run first.")
                self._run(self._study)
            if self._closed.is_set():
                return
            self._say("Loading the models.")
            self._engine = self._make()
            self._standing = Standing(origin(self._engine.bundles, self._engine.config.lacking()), ready=True)
        except WorkbenchError as error:
            if not self._closed.is_set():
                self._fail(str(error))
        except Exception:
            log.exception("the start failed")
            self._fail("The start failed for a reason that is no user's to mend; the server's log has it")

    def _say(self, sentence: str, done: int = 0, total: int = 0) -> None:
        self._standing = Standing(sentence, done=done, total=total)

    def _fail(self, why: str) -> None:
        why = why[:1].upper() + why[1:].rstrip(".")
        log.error("not started: %s", why)
        self._standing = Standing(f"{why}. Then start app.py again.", failed=True)

    def _run(self, study: Path) -> None:
        """Run a study in a process of its own and follow what it says; raise WorkbenchError where it fails."""
        self._process = subprocess.Popen(
            self._command(study),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the server alone, which then ends the study
        )
        with self._process as process:
            last = self._follow(process.stdout)
        code = process.returncode
        if code and not self._closed.is_set():
            why = last or f"exit status {code}"
            raise WorkbenchError(f"the first study failed ({why}); see why with `workbench run {study}` and mend it")

    def _command(self, study: Path) -> list[str]:
        return [sys.executable, "-m", "workbench.cli", "run", str(study), "--device", self._device]

    def _follow(self, lines: Iterable[str]) -> str:
        """Turn what `workbench run` prints into sentences; return the last line that says what went wrong."""
        active: dict[str, str] = {}
        problem = ""
        for line in (line.strip() for line in lines):
            match = _LINE.fullmatch(line)
            if match is None:
                problem = line.removeprefix("error: ") or problem
                continue
            done, total, name, status = int(match[1]), int(match[2]), match[3], match[4]
            active[name] = status
            if not status.startswith("started") and not re.match(r"cell \d", status):
                active.pop(name)
            running = f" Training now: {', '.join(active)}." if active else ""
            self._say(f"A small study is run first: {done} of {total} models are done.{running}", done, total)
        return problem


def note(folder: Path) -> str:
    """Return what has to be known of a bundle's model before its verdict is believed; empty: nothing.

    It is the purpose on the bundle's card, or that it has seen the synthetic world only.
    """
    return _purpose(folder) or (UNREAL if _run(folder).source == "synthetic" else "")


UNREAL = "Its model has seen the synthetic world alone: what it says of real posts means nothing."


def origin(bundles: Mapping[str, Path], lacking: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return in a sentence or two where the models come from, and a warning of those that say little of real posts.

    lacking: of services whose preferred bundle cannot answer here, what is not installed.
    """
    own = {service: why for service, folder in bundles.items() if (why := _purpose(folder))}
    sentences = [
        f"The model of {' and '.join(service for service in own if own[service] == why)}: {why}"
        for why in dict.fromkeys(own.values())
    ]
    records = [_run(folder) for service, folder in bundles.items() if service not in own]
    studies = sorted({record.study for record in records if record.study})
    if studies:
        which = "The other models" if own else "The models"
        sentence = f"{which} come from the stud{'y' if len(studies) == 1 else 'ies'} {', '.join(studies)}"
        unreal = all(record.source == "synthetic" for record in records)
        warning = ", trained on the synthetic world alone: what they say of real posts means nothing" if unreal else ""
        sentences.append(f"{sentence}{warning}.")
    sentences += [f"Another model would answer for {service}: {why}." for service, why in lacking.items()]
    return " ".join(sentences)


def _run(folder: Path) -> RunRecord:
    return RunRecord.read(folder.parent.parent) or RunRecord()


def _purpose(folder: Path) -> str:
    head = read_json(folder / bundle.HEAD) or {}
    return str((head.get("card") or {}).get("purpose") or "")


def prepare(config: ServingConfig, device: str) -> Startup:
    """Return the engine to be of a configuration; where no study is finished, its last-named one is run first."""

    def make() -> Engine:
        from workbench.records import Records
        from workbench.serving.engine import Engine

        engine = Engine(config, Records(ROOT / config.records), device=device)
        engine.load()
        return engine

    return Startup(make, _first_study(config), device)


def _first_study(config: ServingConfig) -> Path | None:
    """Return the study that has to be run before there is anything to serve, or None."""
    try:
        config.bundles()
    except WorkbenchError:
        by_study = any(service.model and not service.study for service in config.services.values())
        name = config.studies[-1] if config.studies else ""
        study = Path(name) if name.endswith((".yaml", ".yml")) else ROOT / "experiments" / f"{name}.yaml"
        return study if by_study and study.is_file() else None
    return None
