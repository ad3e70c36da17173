"""The way of a study: config, plan, execute, compare, report.

`config` reads the YAML file, `plan` says of each run how it stands and why it would run, `execute` does what is due,
`compare` makes comparison and report of what is finished. Finished results are never deleted before their replacement
is finished, and nothing but `done` is ever reused.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout

from workbench.comparison.predictions import Run, load_runs
from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import study_name
from workbench.errors import WorkbenchError
from workbench.studies import DONE, find
from workbench.studies.compare import compare_study, posts_of
from workbench.studies.config import StudyConfig
from workbench.studies.display import ending
from workbench.studies.execute import execute
from workbench.studies.plan import PlannedRun, as_it_stands, current, due, latest_runs, plan, whole
from workbench.studies.steps.prepare import gate
from workbench.studies.worker import restore


def run_study(
    path: Path | str,
    *,
    jobs: int | None = None,
    redo: bool = False,
    stale_libraries: bool = False,
    dry_run: bool = False,
    device: str = "auto",
) -> int:
    """Execute what is missing or stale in a study, rebuild its comparison, and return the exit status.

    0: everything is done; 1: some run failed (the rest is compared); 130: interrupted, the next call goes on.
    `redo` executes finished runs again, `stale_libraries` those made with other versions of the libraries they use;
    `dry_run` only says what would run and why. Raises WorkbenchError.
    """
    study = StudyConfig.load(path)
    if dry_run:
        runs = plan(study, device)
        _say(runs, due(runs, redo=redo, stale_libraries=stale_libraries))
        return 0
    with _locked(study), _interruptible():
        try:
            restore(study.folder)
            runs = plan(study, device)
            waiting = due(runs, redo=redo, stale_libraries=stale_libraries)
            print(f"study {study.name}: {len(waiting)} of {len(runs)} runs to do", flush=True)
            gate(study, waiting)
            ended = execute(study, waiting, jobs)
        except KeyboardInterrupt:
            print(f"interrupted; `workbench run {study.path}` goes on from here", flush=True)
            return 130
        failed = [record for record in ended if record.state != DONE]
        edited = {record.key for record in ended} - {run.key for run in runs}  # code was, while runs waited
        try:
            latest = latest_runs(study.folder)
            runs = plan(study, device) if edited else [as_it_stands(run, latest) for run in runs]
            compare_study(study, runs, runs[0].inputs)
        except WorkbenchError as error:
            if not failed:
                raise
            print(f"no comparison: {error}", file=sys.stderr, flush=True)
    for record in failed:
        print(f"{record.name}: {ending(record)}; see {record.notebook}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _say(runs: Sequence[PlannedRun], waiting: Sequence[PlannedRun]) -> None:
    why = {run.name: "; ".join(run.reasons) for run in waiting}
    for run in runs:
        print(f"{run.name}: " + (f"would run ({why[run.name]})" if run.name in why else run.up_to_date))


@contextlib.contextmanager
def _locked(study: StudyConfig) -> Iterator[None]:
    """Hold the study's lock; the system releases it when this process ends, however it ends."""
    try:
        study.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(study.folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise WorkbenchError(
            f"study {study.name!r} is being run by another process; wait for it, or look with "
            f"`workbench status {study_name(study.folder)}`"
        ) from None
    except OSError as error:
        raise WorkbenchError(
            f"cannot write results to {study.folder}: {error.strerror or error}; make room or allow it"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        names = []  # only the main thread may set handlers; there Ctrl-C is the caller's
    before = {name: signal.signal(getattr(signal, name), _interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler or signal.SIG_DFL)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


# ------------------------------------------------------------------------------------------------------- for notebooks


@dataclass(frozen=True)
class Results:
    """What a study found: its comparison, its finished runs, and the posts they scored (None where not at hand)."""

    comparison: Comparison
    runs: list[Run]
    posts: pa.Table | None


def results(path: Path | str, *, jobs: int | None = None, device: str = "auto") -> Results:
    """Return a study's results, running what is missing or stale first; path: as `studies.find` takes it.

    Raises WorkbenchError when a run fails; what has finished stays and is not run again.
    """
    study = StudyConfig.load(find(str(path)))
    if run_study(study.path, jobs=jobs, device=device):
        named = study_name(study.folder)
        raise WorkbenchError(f"some run of {study.name} failed; `workbench status {named}` says which and why")
    comparison = Comparison.load(study.folder)
    runs = load_runs({run.name: run.folder for run in whole(current(study))})
    return Results(comparison, runs, posts_of(study, runs))
